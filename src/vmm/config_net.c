/* config_net.c - options about networks. */
#include "vmm/config_net.h"

#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "devices/devices.h"
#include "hostnet/hostnet.h"

#define DEFAULT_CARD "e1000" /* what every guest has a driver for; QEMU's choice for pc too */

/* ---- life */

static void clear_dump(void *data)
{
    NetDumpConfig *d = data;
    g_free(d->id);
    g_free(d->netdev);
    g_free(d->file);
}

static void free_nic(void *data)
{
    NicConfig *n = data;
    g_free(n->model);
    g_free(n->netdev);
    g_free(n->addr);
    g_ptr_array_unref(n->props);
    g_free(n);
}

NetConfig *config_net_new(void)
{
    NetConfig *n = g_new0(NetConfig, 1);
    n->netdevs = g_ptr_array_new_with_free_func(g_free);
    n->legacy = g_ptr_array_new_with_free_func(g_free);
    n->nics = g_ptr_array_new_with_free_func(free_nic);
    n->dumps = g_array_new(FALSE, TRUE, sizeof(NetDumpConfig));
    g_array_set_clear_func(n->dumps, clear_dump);
    return n;
}

void config_net_free(NetConfig *n)
{
    if (!n)
        return;
    GPtrArray *lists[] = { n->netdevs, n->legacy, n->nics };
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++)
        g_ptr_array_unref(lists[i]);
    g_array_unref(n->dumps);
    g_free(n);
}

/* ---- host ends */

static bool answer_help(VmConfig *c, const char *arg)
{
    if (!g_str_equal(arg, "help") && !g_str_equal(arg, "?"))
        return false;
    c->answer = hostnet_help();
    return true;
}

bool config_netdev(VmConfig *c, const char *arg, GError **err)
{
    c->net->chosen = true;
    if (answer_help(c, arg))
        return true;
    g_ptr_array_add(c->net->netdevs, g_strdup(arg));
    return true;
}

static void append_pair(GString *to, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);
    g_string_append_printf(to, ",%s=%s", key, doubled);
}

/* kv: what nobody took is the host end's; NULL: nothing.  Returns its id. */
static char *add_host_end(VmConfig *c, KeyVals *kv, const char *type, const char *id)
{
    g_autofree const char **rest = kv ? keyvals_rest(kv) : NULL;
    char *own = id ? g_strdup(id) : g_strdup_printf("#net%u", c->net->next_id++);
    GString *spec = g_string_new(type);
    append_pair(spec, "id", own);
    for (const char **p = rest; p && p[0]; p += 2)
        append_pair(spec, p[0], p[1]);
    g_ptr_array_add(c->net->netdevs, g_string_free(spec, FALSE));
    return own;
}

/* ---- cards */

/* As QEMU names models; others are names of -device. */
static const struct {
    const char *model, *device;
} models[] = { { "virtio", "virtio-net-pci" }, { "virtio-net", "virtio-net-pci" }, { "e1000", "e1000" }, { "82540em", "e1000" } };

static const char *model_device(const VmConfig *c, const char *model)
{
    if (config_is_bare(c) && g_str_has_prefix(model, "virtio") && !strchr(model, '-'))
        return "virtio-net-device";
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++)
        if (g_str_equal(models[i].model, model))
            return models[i].device;
    return model;
}

static bool is_card(const DeviceType *t) { return t->fields && !t->internal && field_find(t->fields, "netdev", FIELD_PROP); }

static bool answer_models(VmConfig *c)
{
    GString *s = g_string_new("Network cards:\n");
    for (unsigned i = 0; device_types[i]; i++)
        if (is_card(device_types[i]))
            g_string_append_printf(s, "%-32s %s\n", device_types[i]->name, device_types[i]->summary);
    c->answer = g_string_free(s, FALSE);
    return true;
}

static void add_prop(NicConfig *n, const char *name, const char *value)
{
    g_ptr_array_add(n->props, g_strdup(name));
    g_ptr_array_add(n->props, g_strdup(value));
}

static NicConfig *add_nic(VmConfig *c, const char *model)
{
    NicConfig *n = g_new0(NicConfig, 1);
    n->model = g_strdup(model);
    n->props = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(c->net->nics, n);
    return n;
}

/* What -nic and -net nic say of the card itself. */
static NicConfig *take_nic(VmConfig *c, KeyVals *kv)
{
    const char *model = keyvals_take(kv, "model"), *mac = keyvals_take(kv, "mac"), *macaddr = keyvals_take(kv, "macaddr");
    const char *addr = keyvals_take(kv, "addr");
    if (model && (g_str_equal(model, "help") || g_str_equal(model, "?"))) {
        answer_models(c);
        return NULL;
    }
    NicConfig *n = add_nic(c, model);
    n->addr = g_strdup(addr);
    if (mac || macaddr)
        add_prop(n, "mac", mac ? mac : macaddr);
    keyvals_take(kv, "name");
    keyvals_take(kv, "vectors"); /* our cards have as many as they need */
    return n;
}

bool config_nic(VmConfig *c, const char *arg, GError **err)
{
    c->net->chosen = true;
    if (g_str_equal(arg, "none") || answer_help(c, arg))
        return true;
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "type", "-nic", err);
    const char *type = kv ? keyvals_take(kv, "type") : NULL, *id = kv ? keyvals_take(kv, "id") : NULL;
    NicConfig *nic = kv ? take_nic(c, kv) : NULL;
    if (!nic)
        return kv != NULL;
    nic->netdev = add_host_end(c, kv, type ? type : "user", id);
    return true;
}

static bool net_nic(VmConfig *c, KeyVals *kv, GError **err)
{
    const char *netdev = keyvals_take(kv, "netdev");
    NicConfig *n = take_nic(c, kv);
    if (!n)
        return true;
    n->netdev = g_strdup(netdev);
    return keyvals_end(kv, err);
}

bool config_net(VmConfig *c, const char *arg, GError **err)
{
    c->net->chosen = true;
    if (g_str_equal(arg, "none") || answer_help(c, arg))
        return true;
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "type", "-net", err);
    const char *type = kv ? keyvals_take(kv, "type") : NULL;
    if (!kv)
        return false;
    if (type && g_str_equal(type, "nic"))
        return net_nic(c, kv, err);
    const char *id = keyvals_take(kv, "id"), *name = keyvals_take(kv, "name");
    g_ptr_array_add(c->net->legacy, add_host_end(c, kv, type ? type : "", id ? id : name));
    return true;
}

/* ---- dumps */

static bool read_dump(KeyVals *kv, NetDumpConfig *d, GError **err)
{
    uint64_t maxlen = 65536;
    const char *id = keyvals_take(kv, "id"), *netdev = keyvals_take(kv, "netdev"), *file = keyvals_take(kv, "file");
    keyvals_take(kv, "qom-type");
    if (!keyvals_take_number(kv, "maxlen", 1, UINT32_MAX, &maxlen, err) || !keyvals_end(kv, err))
        return false;
    if (!id || !netdev || !file)
        return error_set(err, ERR_INVALID, "-object filter-dump needs id=, netdev= (which host end) and file= (where to)");
    *d = (NetDumpConfig){ g_strdup(id), g_strdup(netdev), g_strdup(file), maxlen };
    return true;
}

bool config_net_object(VmConfig *c, const char *arg, bool *ret_mine, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "qom-type", "-object", err);
    const char *type = kv ? keyvals_take(kv, "qom-type") : NULL;
    NetDumpConfig d;
    *ret_mine = g_strcmp0(type, "filter-dump") == 0;
    if (!*ret_mine)
        return kv;
    if (!read_dump(kv, &d, err))
        return false;
    g_array_append_val(c->net->dumps, d);
    return true;
}

/* ---- all together */

/* -net's cards and host ends, by order. */
static bool join_legacy(VmConfig *c, GError **err)
{
    const GPtrArray *ends = c->net->legacy;
    unsigned next = 0;
    for (unsigned i = 0; i < c->net->nics->len; i++) {
        NicConfig *card = c->net->nics->pdata[i];
        if (card->netdev || !ends->len)
            continue;
        if (next == ends->len)
            return error_set(err, ERR_UNSUPPORTED, "-net: more cards than host ends; cards cannot share one, so write -nic for each");
        card->netdev = g_strdup(ends->pdata[next++]);
    }
    return true;
}

static bool plug(VmConfig *c, NicConfig *n, GError **err)
{
    const DeviceType *t = device_type_find(device_types, model_device(c, n->model ? n->model : DEFAULT_CARD), err);
    if (!t)
        return false;
    if (!is_card(t))
        return error_set(err, ERR_INVALID, "model=%s is no network card; model=help lists those", n->model);
    if (n->netdev)
        add_prop(n, "netdev", n->netdev);
    g_ptr_array_add(n->props, NULL);
    DeviceConfig d = { .type = t, .addr = g_strdup(n->addr), .props = g_strdupv((char **)n->props->pdata) };
    g_array_append_val(c->devices, d);
    return true;
}

/* What a machine has where nobody said anything: a card on user networking. */
static void add_default(VmConfig *c)
{
    if (!c->net->chosen && !c->nodefaults && !c->no_board && !config_is_bare(c))
        add_nic(c, NULL)->netdev = add_host_end(c, NULL, "user", NULL);
}

bool config_net_finish(VmConfig *c, GError **err)
{
    add_default(c);
    if (!join_legacy(c, err))
        return false;
    for (unsigned i = 0; i < c->net->nics->len; i++)
        if (!plug(c, c->net->nics->pdata[i], err))
            return false;
    return true;
}
