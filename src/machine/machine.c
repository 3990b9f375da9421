/* machine.c - one machine's parts and its life. */
#include "machine/machine.h"

#include <string.h>
#include <sys/mman.h>

#include "machine/help.h"
#include "machine/vcpu_thread.h"

static const uint64_t MEMORY_SPACE = 1ull << 52; /* the most that x86-64 paging can name */
static const uint64_t PORT_SPACE = 1ull << 16;

/* ---- creating */

static Exclusive *exclusive_create(void)
{
    Exclusive *ex = g_new0(Exclusive, 1);
    g_mutex_init(&ex->lock);
    g_cond_init(&ex->changed);
    return ex;
}

static void exclusive_destroy(Exclusive *ex)
{
    g_mutex_clear(&ex->lock);
    g_cond_clear(&ex->changed);
    g_free(ex);
}

Machine *machine_create(const MachineConfig *config, GError **err)
{
    RamBlock *ram = config->ram_size ? ram_create_from("ram", config->ram_size, &config->ram_source, err) : NULL;
    if (config->ram_size && !ram)
        return NULL;
    Machine *m = g_new0(Machine, 1);
    m->config = *config;
    m->name = g_strdup(config->name ? config->name : "atoll");
    m->config.name = m->name;
    m->log = log_create();
    m->clock = config->manual_clock ? clock_create_manual() : clock_create();
    tsc_init(&m->tsc, config->cpu_model.tsc_khz, m->clock, config->manual_clock, &config->tsc_since);
    m->memory = space_create("memory", MEMORY_SPACE);
    m->ports = space_create("ports", PORT_SPACE);
    m->ram = ram;
    m->vcpus = g_ptr_array_new();
    m->devices = g_ptr_array_new();
    m->device_ram = g_ptr_array_new_with_free_func((GDestroyNotify)ram_destroy);
    m->buses = g_ptr_array_new();
    m->exclusive = exclusive_create();
    g_mutex_init(&m->lock);
    for (unsigned kind = 0; kind < BACKEND_KINDS; kind++)
        m->backends[kind] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return m;
}

static void destroy_vcpus(Machine *m)
{
    while (m->vcpus->len) {
        vcpu_destroy(m->vcpus->pdata[m->vcpus->len - 1]);
        g_ptr_array_set_size(m->vcpus, m->vcpus->len - 1);
    }
    g_ptr_array_unref(m->vcpus);
}

/* Cards first: they may have been made before the board, and let their lines fall when they go. */
static void destroy_devices(Machine *m)
{
    for (unsigned i = m->devices->len; i-- > 0;)
        if (i < m->devices->len && ((Device *)m->devices->pdata[i])->bus)
            device_destroy(m->devices->pdata[i]);
    while (m->devices->len)
        device_destroy(m->devices->pdata[m->devices->len - 1]);
    g_ptr_array_unref(m->devices);
}

/* A board's buses outlive the machine. */
static void forget_buses(Machine *m)
{
    for (unsigned i = 0; i < m->buses->len; i++)
        ((Bus *)m->buses->pdata[i])->machine = NULL;
    g_ptr_array_unref(m->buses);
}

void machine_destroy(Machine *m)
{
    if (!m)
        return;
    machine_stop(m);
    space_on_change(m->memory, NULL, NULL);
    destroy_devices(m); /* first: a transfer that ends meanwhile tells the accelerator, a line that falls tells a vCPU */
    forget_buses(m);
    destroy_vcpus(m);
    if (m->accel)
        m->accel->ops->destroy(m->accel);
    space_destroy(m->memory);
    space_destroy(m->ports);
    clock_destroy(m->clock);
    ram_destroy(m->ram);
    g_ptr_array_unref(m->device_ram);
    for (unsigned kind = 0; kind < BACKEND_KINDS; kind++)
        g_hash_table_unref(m->backends[kind]);
    help_free(m->helpers);
    exclusive_destroy(m->exclusive);
    g_mutex_clear(&m->lock);
    log_destroy(m->log);
    g_free(m->name);
    g_free(m);
}

/* ---- accelerator and vCPUs */

static void tell_accel(void *opaque, const FlatView *old, const FlatView *now)
{
    Accel *a = opaque;
    a->ops->map_changed(a, old->range, old->n, now->range, now->n);
}

static void follow_map(Machine *m)
{
    if (!m->accel->ops->map_changed)
        return;
    space_on_change(m->memory, tell_accel, m->accel);
    FlatView *v = space_view(m->memory);
    m->accel->ops->map_changed(m->accel, NULL, 0, v->range, v->n);
    view_unref(v);
}

bool machine_add_accel(Machine *m, const AccelOps *ops, GError **err)
{
    m->accel = ops->create(m, &m->config.cpu_model, err);
    if (!m->accel)
        return false;
    follow_map(m);
    for (unsigned id = 0; id < m->config.cpus; id++)
        if (!vcpu_create(m, id, err))
            return false;
    return true;
}

bool machine_has_ioeventfd(const Machine *m) { return m->accel && m->accel->ops->ioeventfd; }

bool machine_ioeventfd(Machine *m, int fd, const IoEvent *e, bool assign)
{
    return machine_has_ioeventfd(m) && m->accel->ops->ioeventfd(m->accel, fd, e, assign, NULL);
}

bool machine_on_vcpu(const Machine *m)
{
    for (unsigned i = 0; i < m->vcpus->len; i++)
        if (((const Vcpu *)m->vcpus->pdata[i])->thread == g_thread_self())
            return true;
    return false;
}

Vcpu *machine_vcpu(Machine *m, unsigned id) { return id < m->vcpus->len ? m->vcpus->pdata[id] : NULL; }

/* ---- life */

static void request_all(Machine *m, uint32_t bits)
{
    for (unsigned i = 0; i < m->vcpus->len; i++)
        vcpu_request(m->vcpus->pdata[i], bits);
}

RamBlock *machine_create_ram(Machine *m, const char *name, uint64_t size, GError **err)
{
    RamBlock *ram = ram_create(name, size, err);
    if (ram)
        g_ptr_array_add(m->device_ram, ram);
    return ram;
}

void machine_release_ram(RamBlock *ram)
{
    if (ram)
        ram_discard(ram, 0, ram->size); /* a failure costs memory, no more */
}

/* What was written before the log began is not known: all of it counts as written. */
static bool begin_dirty_log(const AccelOps *ops, Machine *m, RamBlock *ram, GError **err)
{
    if (!ops || !ops->dirty_log || atomic_exchange(&ram->logged, true))
        return true;
    for (uint64_t page = 0; page < ram->size / 4096; page++)
        atomic_fetch_or(&ram->page_flags[page], PAGE_DIRTY);
    return ops->dirty_log(m->accel, ram, err);
}

bool machine_take_dirty(Machine *m, RamBlock *ram, uint64_t first_page, uint64_t n_pages, uint64_t *bitmap, GError **err)
{
    const AccelOps *ops = m->accel ? m->accel->ops : NULL;
    if (!begin_dirty_log(ops, m, ram, err) || (ops && ops->dirty_fetch && !ops->dirty_fetch(m->accel, ram, err)))
        return false;
    if (!ram_any_dirty(ram, first_page, n_pages))
        return true; /* nobody is disturbed */
    if (ops && ops->dirty_take)
        ops->dirty_take(m->accel, ram, first_page, n_pages, bitmap);
    else
        ram_take_dirty(ram, first_page, n_pages, bitmap);
    return true;
}

void machine_stop(Machine *m)
{
    request_all(m, VREQ_STOP);
    for (unsigned i = 0; i < m->vcpus->len; i++)
        vcpu_wait_outside(m->vcpus->pdata[i]);
    clock_stop(m->clock);
    tsc_stop(&m->tsc);
    if (m->state != MACHINE_RUNNING)
        return;
    m->state = MACHINE_PAUSED;
    if (m->accel && m->accel->ops->stand)
        m->accel->ops->stand(m->accel, true);
}

static void resume_devices(Machine *m)
{
    for (unsigned i = 0; i < m->devices->len; i++) {
        Device *d = m->devices->pdata[i];
        if (!d->type->resumed || !d->realized)
            continue;
        g_mutex_lock(&d->lock);
        d->type->resumed(d);
        g_mutex_unlock(&d->lock);
    }
}

void machine_start(Machine *m)
{
    if (m->accel && m->accel->ops->stand && m->state != MACHINE_RUNNING)
        m->accel->ops->stand(m->accel, false);
    m->state = MACHINE_RUNNING;
    tsc_start(&m->tsc);
    clock_start(m->clock);
    resume_devices(m);
    for (unsigned i = 0; i < m->vcpus->len; i++) {
        Vcpu *v = m->vcpus->pdata[i];
        g_mutex_lock(&v->lock);
        vcpu_unrequest(v, VREQ_STOP);
        v->restarted = true;
        g_cond_broadcast(&v->wake);
        g_mutex_unlock(&v->lock);
    }
}

bool machine_running(Machine *m) { return m->state == MACHINE_RUNNING; }

/* EDX after reset holds the processor's signature (SDM 3, 10.1.1.1). */
static void reset_vcpu(Vcpu *v)
{
    CpuState s;
    cpu_state_reset(&s, v->id == 0, false);
    CpuidContext context = { .apic_id = v->apic_id };
    s.gpr[GPR_RDX] = cpu_model_cpuid(&v->accel->model, &context, 1, 0).eax;
    vcpu_unrequest(v, VREQ_NMI | VREQ_SMI | VREQ_INIT | VREQ_SIPI | VREQ_INTR);
    g_autoptr(GError) err = NULL;
    if (!v->accel->ops->set(v, &s, &err)) {
        g_free(v->broken);
        v->broken = g_strdup(err->message);
    }
    if (v->apic_ops)
        v->apic_ops->cpu_reset(v->apic, false);
}

void machine_reset(Machine *m, ResetKind k)
{
    for (unsigned i = 0; i < m->devices->len; i++)
        device_reset(m->devices->pdata[i], k);
    for (unsigned i = 0; i < m->vcpus->len; i++)
        reset_vcpu(m->vcpus->pdata[i]);
}

char *machine_find_data(Machine *m, const char *name, GError **err)
{
    if (strchr(name, '/') || g_file_test(name, G_FILE_TEST_EXISTS))
        return g_strdup(name);
    static const char *const none[] = { NULL };
    const char *const *dirs = m->config.data_dirs ? m->config.data_dirs : none;
    for (unsigned i = 0; dirs[i]; i++) {
        g_autofree char *path = g_build_filename(dirs[i], name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
            return g_steal_pointer(&path);
    }
    g_autofree char *all = g_strjoinv(", ", (char **)dirs);
    error_set(err, ERR_NOT_FOUND, "no file '%s' in %s", name, *all ? all : "any folder");
    return NULL;
}

void machine_request(Machine *m, StopCause cause)
{
    if (m->listener.stop_requested)
        m->listener.stop_requested(m->listener.opaque, cause);
}

void machine_tray_moved(Machine *m, Device *d)
{
    if (m->listener.tray_moved)
        m->listener.tray_moved(m->listener.opaque, d);
}

void machine_tell(Device *d, DeviceSays what, uint64_t value)
{
    const MachineListener *l = &d->machine->listener;
    if (l->said)
        l->said(l->opaque, d, what, value);
}

void machine_powerdown(Machine *m) { irq_pulse(&m->power_button); }

/* ---- backends */

typedef struct BackendEntry {
    void *backend;
    Device *holder;
    const char *reserved; /* for whom; NULL: nobody */
    unsigned sharers;
} BackendEntry;

static const char *const backend_words[BACKEND_KINDS] = {
    [BACKEND_CHARDEV] = "chardev", [BACKEND_DRIVE] = "drive", [BACKEND_NETDEV] = "netdev", [BACKEND_RNG] = "rng object", [BACKEND_IOTHREAD] = "iothread",
};

void machine_add_backend(Machine *m, BackendKind kind, const char *id, void *backend)
{
    BackendEntry *e = g_new0(BackendEntry, 1);
    e->backend = backend;
    g_mutex_lock(&m->lock);
    g_hash_table_replace(m->backends[kind], g_strdup(id), e);
    g_mutex_unlock(&m->lock);
}

static bool no_such_backend(Machine *m, BackendKind kind, const char *id, Device *by, GError **err)
{
    g_autofree const char **names = (const char **)g_hash_table_get_keys_as_array(m->backends[kind], NULL);
    g_autofree char *hint = did_you_mean(id, names);
    return error_set(err, ERR_NOT_FOUND, "%s: there is no %s '%s'%s; define it with an option before", by->path, backend_words[kind], id, hint);
}

void machine_reserve_backend(Machine *m, BackendKind kind, const char *id, const char *by)
{
    g_mutex_lock(&m->lock);
    BackendEntry *e = g_hash_table_lookup(m->backends[kind], id);
    if (e)
        e->reserved = by;
    g_mutex_unlock(&m->lock);
}

void *machine_claim_backend(Machine *m, BackendKind kind, const char *id, Device *by, GError **err)
{
    void *backend = NULL;
    g_mutex_lock(&m->lock);
    BackendEntry *e = g_hash_table_lookup(m->backends[kind], id);
    if (!e) {
        no_such_backend(m, kind, id, by, err);
    } else if (e->holder) {
        error_set(err, ERR_BUSY, "%s: %s '%s' is already used by device '%s'", by->path, backend_words[kind], id, e->holder->path);
    } else if (e->reserved) {
        error_set(err, ERR_BUSY, "%s: %s '%s' is already used by %s", by->path, backend_words[kind], id, e->reserved);
    } else {
        e->holder = by;
        backend = e->backend;
    }
    g_mutex_unlock(&m->lock);
    return backend;
}

void *machine_share_backend(Machine *m, BackendKind kind, const char *id, Device *by, GError **err)
{
    g_mutex_lock(&m->lock);
    BackendEntry *e = g_hash_table_lookup(m->backends[kind], id);
    if (e)
        e->sharers++;
    else
        no_such_backend(m, kind, id, by, err);
    void *backend = e ? e->backend : NULL;
    g_mutex_unlock(&m->lock);
    return backend;
}

void machine_unshare_backend(Machine *m, BackendKind kind, const char *id)
{
    g_mutex_lock(&m->lock);
    BackendEntry *e = g_hash_table_lookup(m->backends[kind], id);
    if (e)
        e->sharers--;
    g_mutex_unlock(&m->lock);
}

bool machine_remove_backend(Machine *m, BackendKind kind, const char *id, GError **err)
{
    g_mutex_lock(&m->lock);
    BackendEntry *e = g_hash_table_lookup(m->backends[kind], id);
    bool held = e && e->holder;
    if (held)
        error_set(err, ERR_BUSY, "%s '%s' is used by device '%s'; unplug that first", backend_words[kind], id, e->holder->path);
    bool shared = e && e->sharers;
    if (shared)
        error_set(err, ERR_BUSY, "%s '%s' is used by %u devices; unplug them first", backend_words[kind], id, e->sharers);
    if (!held && !shared)
        g_hash_table_remove(m->backends[kind], id);
    g_mutex_unlock(&m->lock);
    return !held && !shared;
}

void machine_release_backend(Machine *m, BackendKind kind, const char *id)
{
    g_mutex_lock(&m->lock);
    BackendEntry *e = id ? g_hash_table_lookup(m->backends[kind], id) : NULL;
    if (e)
        e->holder = NULL;
    g_mutex_unlock(&m->lock);
}

void machine_release_backend_of(Machine *m, BackendKind kind, const char *id, Device *by)
{
    g_mutex_lock(&m->lock);
    BackendEntry *e = id ? g_hash_table_lookup(m->backends[kind], id) : NULL;
    if (e && e->holder == by)
        e->holder = NULL;
    g_mutex_unlock(&m->lock);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void machine_each_backend(Machine *m, BackendKind kind, void (*fn)(const char *id, void *backend, Device *holder, void *arg), void *arg)
{
    guint n;
    g_autofree char **ids = (char **)g_hash_table_get_keys_as_array(m->backends[kind], &n);
    qsort(ids, n, sizeof(*ids), by_text);
    for (unsigned i = 0; i < n; i++) {
        const BackendEntry *e = g_hash_table_lookup(m->backends[kind], ids[i]);
        fn(ids[i], e->backend, e->holder, arg);
    }
}
