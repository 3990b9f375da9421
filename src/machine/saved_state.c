/*
 * saved_state.c - devices and CPUs to bytes and back.
 *
 * The form is a GVariant of type a(sqa{sv}): sections of (name, version, {field: value}), so every part names itself,
 * and reading hostile bytes is GLib's well-trodden ground.  Scalars are 't' or 's', arrays 'ay' or 'at', structs
 * 'a{sv}' in an 'av'.  Guest RAM is not in it: it travels beside, page by page.
 *
 * A field that an older writer did not know keeps its reset value if its `since` says so; a field or section that this
 * program does not know is an error that names it.
 */
#include <string.h>

#include "machine/machine.h"

static GVariant *save_fields(const Field *table, const void *object);
static bool load_fields(const Field *table, void *object, GVariant *dict, uint16_t version, const char *where, GError **err);

/* ---- saving */

static GVariant *save_scalars(const Field *f, const void *object)
{
    if (f->n == 1)
        return g_variant_new_uint64(field_get(f, object, 0));
    if (f->bytes == f->n)
        return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, (const char *)object + f->off, f->n, 1);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("at"));
    for (unsigned i = 0; i < f->n; i++)
        g_variant_builder_add(&b, "t", field_get(f, object, i));
    return g_variant_builder_end(&b);
}

static GVariant *save_structs(const Field *f, const void *object)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("av"));
    for (unsigned i = 0; i < f->n; i++)
        g_variant_builder_add(&b, "v", save_fields(f->sub, (const char *)object + f->off + (size_t)i * (f->bytes / f->n)));
    return g_variant_builder_end(&b);
}

static GVariant *save_field(const Field *f, const void *object)
{
    if (f->type == FT_STRUCT)
        return save_structs(f, object);
    if (f->type != FT_STR)
        return save_scalars(f, object);
    const char *s = *(char *const *)((const char *)object + f->off);
    return g_variant_new_string(s ? s : "");
}

static GVariant *save_fields(const Field *table, const void *object)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
    for (const Field *f = table; f && f->name; f++)
        if (f->role == FIELD_STATE && f->type != FT_OPAQUE)
            g_variant_builder_add(&b, "{sv}", f->name, save_field(f, object));
    return g_variant_builder_end(&b);
}

static void add_section(GVariantBuilder *b, const char *name, uint16_t version, GVariant *fields)
{
    g_variant_builder_add(b, "(sq@a{sv})", name, version, fields);
}

static void save_device(GVariantBuilder *b, Device *d)
{
    g_mutex_lock(&d->lock);
    if (d->type->pre_save)
        d->type->pre_save(d);
    GVariant *fields = save_fields(d->type->fields, d);
    GVariant *pci = d->type->pci ? save_fields(pci_fields, d) : NULL;
    g_mutex_unlock(&d->lock);
    g_autofree char *name = g_strconcat("device/", d->path, NULL);
    add_section(b, name, d->type->version, fields);
    if (pci) {
        g_autofree char *pci_name = g_strconcat("pci/", d->path, NULL);
        add_section(b, pci_name, 1, pci);
    }
}

static bool save_vcpu(GVariantBuilder *b, Vcpu *v, GError **err)
{
    CpuState s;
    if (!v->accel->ops->get(v, &s, err))
        return false;
    g_autofree char *name = g_strdup_printf("cpu/%u", v->id);
    add_section(b, name, 1, save_fields(cpu_state_fields, &s));
    return true;
}

static bool save_accel(GVariantBuilder *b, Machine *m, GError **err)
{
    GVariantBuilder fields;
    if (!m->accel || !m->accel->ops->save)
        return true;
    g_variant_builder_init(&fields, G_VARIANT_TYPE_VARDICT);
    bool ok = m->accel->ops->save(m->accel, &fields, err);
    g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_builder_end(&fields));
    g_autofree char *name = g_strconcat("accel/", m->accel->ops->name, NULL);
    if (ok)
        add_section(b, name, 1, all);
    return ok;
}

static void save_clock(GVariantBuilder *b, Machine *m)
{
    GVariantBuilder fields;
    g_variant_builder_init(&fields, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_add(&fields, "{sv}", "now", g_variant_new_uint64(clock_now(m->clock)));
    g_variant_builder_add(&fields, "{sv}", "tsc", g_variant_new_uint64(tsc_now(&m->tsc)));
    add_section(b, "clock", 1, g_variant_builder_end(&fields));
}

bool machine_save(Machine *m, GByteArray *ret, GError **err)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sqa{sv})"));
    save_clock(&b, m);
    bool ok = true;
    for (unsigned i = 0; ok && i < m->vcpus->len; i++)
        ok = save_vcpu(&b, m->vcpus->pdata[i], err);
    if (!ok || !save_accel(&b, m, err)) {
        g_variant_builder_clear(&b);
        return false;
    }
    for (unsigned i = 0; i < m->devices->len; i++)
        save_device(&b, m->devices->pdata[i]);
    g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_builder_end(&b));
    g_byte_array_append(ret, g_variant_get_data(all), g_variant_get_size(all));
    return true;
}

/* ---- loading */

static bool wrong_value(const Field *f, const char *where, GError **err)
{
    return error_set(err, ERR_INVALID, "saved state of %s: field '%s' does not have the form that this version reads", where, f->name);
}

static bool load_bytes(const Field *f, void *object, GVariant *value, const char *where, GError **err)
{
    gsize n;
    const void *bytes = g_variant_get_fixed_array(value, &n, 1);
    if (n != f->n)
        return wrong_value(f, where, err);
    memcpy((char *)object + f->off, bytes, n);
    return true;
}

static bool load_array(const Field *f, void *object, GVariant *value, const char *where, GError **err)
{
    if (g_variant_n_children(value) != f->n)
        return wrong_value(f, where, err);
    for (unsigned i = 0; i < f->n; i++) {
        uint64_t element;
        g_variant_get_child(value, i, "t", &element);
        field_set(f, object, i, element);
    }
    return true;
}

static bool load_structs(const Field *f, void *object, GVariant *value, uint16_t version, const char *where, GError **err)
{
    if (g_variant_n_children(value) != f->n)
        return wrong_value(f, where, err);
    for (unsigned i = 0; i < f->n; i++) {
        g_autoptr(GVariant) dict = NULL;
        g_variant_get_child(value, i, "v", &dict);
        void *element = (char *)object + f->off + (size_t)i * (f->bytes / f->n);
        if (!g_variant_is_of_type(dict, G_VARIANT_TYPE_VARDICT))
            return wrong_value(f, where, err);
        if (!load_fields(f->sub, element, dict, version, where, err))
            return false;
    }
    return true;
}

static bool load_field(const Field *f, void *object, GVariant *value, uint16_t version, const char *where, GError **err)
{
    if (f->type == FT_STRUCT && g_variant_is_of_type(value, G_VARIANT_TYPE("av")))
        return load_structs(f, object, value, version, where, err);
    if (f->type == FT_STR && g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
        char **s = (char **)((char *)object + f->off);
        g_free(*s);
        *s = g_variant_dup_string(value, NULL);
        return true;
    }
    if (f->n == 1 && g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64)) {
        field_set(f, object, 0, g_variant_get_uint64(value));
        return true;
    }
    if (f->n > 1 && g_variant_is_of_type(value, G_VARIANT_TYPE_BYTESTRING))
        return load_bytes(f, object, value, where, err);
    if (f->n > 1 && g_variant_is_of_type(value, G_VARIANT_TYPE("at")))
        return load_array(f, object, value, where, err);
    return wrong_value(f, where, err);
}

static bool check_known(const Field *table, GVariant *dict, const char *where, GError **err)
{
    GVariantIter iter;
    const char *name;
    g_variant_iter_init(&iter, dict);
    while (g_variant_iter_next(&iter, "{&sv}", &name, NULL))
        if (!field_find(table, name, FIELD_STATE))
            return error_set(err, ERR_UNSUPPORTED, "saved state of %s has a field '%s' that this version does not know", where, name);
    return true;
}

static bool load_fields(const Field *table, void *object, GVariant *dict, uint16_t version, const char *where, GError **err)
{
    if (!check_known(table, dict, where, err))
        return false;
    for (const Field *f = table; f && f->name; f++) {
        if (f->role != FIELD_STATE || f->type == FT_OPAQUE)
            continue;
        g_autoptr(GVariant) value = g_variant_lookup_value(dict, f->name, NULL);
        if (value && !load_field(f, object, value, version, where, err))
            return false;
        if (!value && f->since <= version)
            return error_set(err, ERR_INVALID, "saved state of %s lacks the field '%s'", where, f->name);
    }
    return true;
}

static Device *find_device(Machine *m, const char *path)
{
    for (unsigned i = 0; i < m->devices->len; i++)
        if (g_str_equal(((Device *)m->devices->pdata[i])->path, path))
            return m->devices->pdata[i];
    return NULL;
}

static bool load_device(Machine *m, const char *path, const Field *table, uint16_t version, GVariant *dict, GError **err)
{
    Device *d = find_device(m, path);
    if (!d)
        return error_set(err, ERR_NOT_FOUND, "saved state has a device '%s' that this machine lacks; start it with the same devices", path);
    const Field *fields = table ? table : d->type->fields;
    if (!table && version > d->type->version)
        return error_set(err, ERR_UNSUPPORTED, "saved state of device '%s' has version %u, this program reads up to %u", path,
                         version, d->type->version);
    g_mutex_lock(&d->lock);
    bool ok = load_fields(fields, d, dict, version, path, err);
    g_mutex_unlock(&d->lock);
    return ok;
}

static bool load_vcpu(Machine *m, const char *number, uint16_t version, GVariant *dict, GError **err)
{
    Vcpu *v = machine_vcpu(m, g_ascii_strtoull(number, NULL, 10));
    if (!v)
        return error_set(err, ERR_NOT_FOUND, "saved state has a CPU %s, but this machine has %u CPUs", number, m->vcpus->len);
    CpuState s;
    return v->accel->ops->get(v, &s, err) && load_fields(cpu_state_fields, &s, dict, version, "a CPU", err) &&
           v->accel->ops->set(v, &s, err);
}

static bool load_accel(Machine *m, const char *name, GVariant *dict, GError **err)
{
    const AccelOps *ops = m->accel ? m->accel->ops : NULL;
    if (!ops || !ops->load || !g_str_equal(ops->name, name))
        return error_set(err, ERR_INVALID, "saved state is of a machine that accelerator '%s' ran; start this one with -accel %s, too", name, name);
    return ops->load(m->accel, dict, err);
}

static bool load_section(Machine *m, const char *name, uint16_t version, GVariant *dict, GError **err)
{
    uint64_t now, tsc;
    if (g_str_has_prefix(name, "device/"))
        return load_device(m, name + strlen("device/"), NULL, version, dict, err);
    if (g_str_has_prefix(name, "pci/"))
        return load_device(m, name + strlen("pci/"), pci_fields, version, dict, err);
    if (g_str_has_prefix(name, "cpu/"))
        return load_vcpu(m, name + strlen("cpu/"), version, dict, err);
    if (g_str_has_prefix(name, "accel/"))
        return load_accel(m, name + strlen("accel/"), dict, err);
    if (!g_str_equal(name, "clock") || !g_variant_lookup(dict, "now", "t", &now))
        return error_set(err, ERR_UNSUPPORTED, "saved state has a section '%s' that this version does not know", name);
    clock_set(m->clock, now);
    if (g_variant_lookup(dict, "tsc", "t", &tsc))
        tsc_set(&m->tsc, tsc);
    return true;
}

static bool after_load(Machine *m, GError **err)
{
    for (unsigned i = 0; i < m->devices->len; i++) {
        Device *d = m->devices->pdata[i];
        g_mutex_lock(&d->lock);
        bool ok = (!d->type->pci || pci_post_load((PciDevice *)d, err)) && (!d->type->post_load || d->type->post_load(d, err));
        g_mutex_unlock(&d->lock);
        if (!ok)
            return false;
    }
    return true;
}

/* A device that kept the state of its reset beside others that go on would be a machine that never was. */
static bool check_complete(Machine *m, GHashTable *sections, GError **err)
{
    for (unsigned i = 0; i < m->devices->len; i++) {
        const Device *d = m->devices->pdata[i];
        g_autofree char *name = g_strconcat("device/", d->path, NULL);
        if (!g_hash_table_contains(sections, name))
            return error_set(err, ERR_NOT_FOUND, "saved state lacks the device '%s' that this machine has; start it without", d->path);
    }
    g_autofree char *accel = m->accel && m->accel->ops->load ? g_strconcat("accel/", m->accel->ops->name, NULL) : NULL;
    if (accel && !g_hash_table_contains(sections, accel))
        return error_set(err, ERR_INVALID, "saved state is of a machine that another accelerator than '%s' ran; start this one with that (-accel dbt)", m->accel->ops->name);
    for (unsigned i = 0; i < m->vcpus->len; i++) {
        g_autofree char *name = g_strdup_printf("cpu/%u", i);
        if (!g_hash_table_contains(sections, name))
            return error_set(err, ERR_NOT_FOUND, "saved state lacks CPU %u", i);
    }
    return true;
}

bool machine_load(Machine *m, const uint8_t *data, size_t n, GError **err)
{
    g_autoptr(GHashTable) sections = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GBytes) bytes = g_bytes_new(data, n);
    g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE("a(sqa{sv})"), bytes, FALSE));
    if (!g_variant_is_normal_form(all))
        return error_set(err, ERR_INVALID, "saved state is damaged: its structure does not parse");
    GVariantIter iter;
    g_variant_iter_init(&iter, all);
    for (;;) {
        g_autofree char *name = NULL;
        g_autoptr(GVariant) dict = NULL;
        uint16_t version;
        if (!g_variant_iter_next(&iter, "(sq@a{sv})", &name, &version, &dict))
            return check_complete(m, sections, err) && after_load(m, err);
        if (!load_section(m, name, version, dict, err))
            return false;
        g_hash_table_add(sections, g_steal_pointer(&name));
    }
}
