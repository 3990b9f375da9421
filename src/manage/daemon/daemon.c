/* daemon.c - the daemon as a whole: realms, connections, and the way from a call to its handler. */
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/cpu_models.h"
#include "manage/daemon/net.h"
#include "manage/daemon/pool.h"
#include "manage/daemon/secret.h"

static const Handler *const tables[] = {
    connect_handlers,
    host_handlers,
    domain_handlers,
    domain_life_handlers,
    save_handlers,
    change_handlers,
    device_handlers,
    disk_handlers,
    job_handlers,
    snapshot_handlers,
    console_handlers,
    machine_handlers,
    pool_handlers,
    volume_handlers,
    network_handlers,
    event_handlers,
    stats_handlers,
    card_handlers,
    agent_handlers,
    guest_handlers,
    memory_handlers,
    tune_handlers,
    pin_handlers,
    native_handlers,
    none_handlers,
    power_handlers,
    iothread_handlers,
    nodedev_handlers,
    secret_handlers,
};

static const Handler *handler_for(const char *procedure)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++)
        for (const Handler *h = tables[i]; h->procedure; h++)
            if (!strcmp(h->procedure, procedure))
                return h;
    return NULL;
}

/* Before a connection is opened only these are answered. */
static bool is_early(const char *procedure)
{
    return g_str_has_prefix(procedure, "AUTH_") || !strcmp(procedure, "CONNECT_OPEN") || !strcmp(procedure, "CONNECT_CLOSE") ||
           !strcmp(procedure, "CONNECT_SUPPORTS_FEATURE");
}

/* Why a procedure is refused, by what its name holds; the first that fits. */
static const char *why_refused(const char *procedure)
{
    static const struct {
        const char *piece, *why;
    } reasons[] = {
        { "MIGRATE", "live migration comes in a later issue" }, { "CHECKPOINT", "checkpoints come with backups, in a later issue" }, { "BACKUP", "backups come in a later issue" },
        { "NWFILTER", "there are no network filters: rules are those of networks" }, { "SAVE", "machines with their memory are not written yet" },
        { "RESTORE", "machines with their memory are not written yet" }, { "CORE_DUMP", "machines with their memory are not written yet" }, { "_CPU", "models of processors are not compared here" }, { "SASL", "clients are known by their socket" },
        { "POLKIT", "rights are those of the socket" }, { "INTERFACE_", "the host's interfaces are the host's own" }, { "IFACE", "the host's interfaces are the host's own" },
        { "NODE_DEVICE", "the host's devices are not changed here" }, { "LAUNCH_SECURITY", "no confidential guests" }, { "SET_NUMA", "memory is taken from the host as it comes" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (strstr(procedure, reasons[i].piece))
            return reasons[i].why;
    return "not built yet";
}

static void on_call(RpcCall *call, void *opaque)
{
    Client *c = rpc_data(rpc_call_connection(call));
    const char *name = rpc_call_procedure(call)->name;
    const Handler *h = handler_for(name);
    g_debug("call %s", name);
    if (!h)
        rpc_fail(call, RPC_ERR_NO_SUPPORT, "this function is not supported by the connection driver: %s: %s", name, why_refused(name));
    else if (!c->realm && !is_early(name))
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "the connection is not open: CONNECT_OPEN comes first");
    else
        h->run(c, call, rpc_call_args(call));
}

static void on_connected(RpcConnection *connection, void *opaque)
{
    Daemon *d = opaque;
    Client *c = g_new0(Client, 1);
    *c = (Client){ .daemon = d, .connection = connection };
    g_hash_table_add(d->clients, c);
    rpc_set_data(connection, c, g_free);
}

static void on_closed(RpcConnection *connection, void *opaque)
{
    Client *c = rpc_data(connection);
    client_unsubscribe_all(c);
    g_hash_table_remove(((Daemon *)opaque)->clients, c);
}

/* One of our programs: as told, beside this one, or in PATH. */
static char *find_program(const char *told, const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *folder = self ? g_path_get_dirname(self) : g_strdup("/usr/bin");
    g_autofree char *beside = g_build_filename(folder, name, NULL);
    if (told)
        return g_strdup(told);
    if (g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
        return g_steal_pointer(&beside);
    char *found = g_find_program_in_path(name);
    return found ? found : g_build_filename("/usr/bin", name, NULL);
}

static void find_host(Daemon *d)
{
    d->host = (HvHost){ .emulator = d->emulator, .runtime_dir = d->runtime_dir, .state_dir = d->state_dir, .log_dir = d->log_dir, .image_tool = d->image_tool, .machine_user = d->machine_user };
    d->host.kvm = !access("/dev/kvm", R_OK | W_OK);
    d->host.cpus = g_get_num_processors();
    d->host.memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    g_autofree char *id = NULL;
    g_file_get_contents("/etc/machine-id", &id, NULL, NULL);
    d->uuid = id && strlen(id) >= 32 ? g_strdup_printf("%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8, id + 12, id + 16, id + 20) : g_uuid_string_random();
}

static void twice(Daemon *d, Domain *config)
{
    g_warning("the definition '%s' is left alone: domain '%s' has its UUID", config->name, domain_by_uuid(d->machines, config->uuid)->name);
    record_free(config);
}

static void read_domain(const char *name, const char *text, void *opaque)
{
    Daemon *d = opaque;
    g_autoptr(GError) err = NULL;
    Domain *config = record_read_xml(&domain_type, text, RECORD_SECRET, NULL, &err);
    if (!config)
        g_warning("the definition of domain '%s' cannot be read, and is left as it is: %s", name, err->message);
    else if (domain_by_uuid(d->machines, config->uuid)) /* a crash while it was renamed */
        twice(d, config);
    else
        domain_add(d->machines, config, true);
}

static void mark_autostart(const char *name, const char *text, void *opaque)
{
    ManagedDomain *m = domain_by_name(((Daemon *)opaque)->machines, name);
    if (m)
        m->autostart = true;
}

static void read_record(const char *name, const char *text, void *opaque)
{
    Daemon *d = opaque;
    g_autoptr(GError) err = NULL;
    Domain *live = record_read_xml(&domain_type, text, RECORD_LIVE | RECORD_SECRET, NULL, &err);
    if (!live) {
        g_warning("the record of the running machine '%s' cannot be read: %s", name, err->message);
        return;
    }
    ManagedDomain *m = domain_by_uuid(d->machines, live->uuid);
    domain_reattach(m ? m : domain_add(d->machines, record_copy(live), false), live);
}

static const char test_domain[] = "<domain type='test'><name>test</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory>8388608</memory>"
                                  "<currentMemory>2097152</currentMemory><vcpu>2</vcpu><os><type>hvm</type></os></domain>";

Daemon *daemon_new(const DaemonOptions *o, GError **err)
{
    static const RpcHandlers handlers = { .call = on_call, .connected = on_connected, .closed = on_closed };
    const char *const folders[] = { o->config_dir, o->state_dir, o->runtime_dir, o->log_dir };
    if (o->machine_user && geteuid()) {
        error_set(err, ERR_DENIED, "machines cannot run as '%s': only root may start programs of other users", o->machine_user);
        return NULL;
    }
    if (o->machine_user && !getpwnam(o->machine_user)) {
        error_set(err, ERR_NOT_FOUND, "machines cannot run as '%s': there is no such user; `useradd --system %s` makes it", o->machine_user, o->machine_user);
        return NULL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++)
        if (g_mkdir_with_parents(folders[i], 0711) < 0) {
            error_set_errno(err, errno, "cannot make the folder '%s'", folders[i]);
            return NULL;
        }
    Daemon *d = g_new0(Daemon, 1);
    d->config_dir = g_strdup(o->config_dir);
    d->state_dir = g_strdup(o->state_dir);
    d->runtime_dir = g_strdup(o->runtime_dir);
    d->log_dir = g_strdup(o->log_dir);
    d->emulator = find_program(o->emulator, "atoll-vm");
    d->machine_user = g_strdup(o->machine_user);
    d->session = o->session;
    d->lanes = lanes_new();
    d->lane = lane_new(d->lanes);
    d->clients = g_hash_table_new(NULL, NULL);
    d->image_tool = find_program(NULL, "atoll-img");
    find_host(d);
    d->machines = realm_new(d, "qemu", false);
    d->test = realm_new(d, "test", true);
    d->server = rpc_server_new(&handlers, d);
    g_autofree char *domains = g_build_filename(d->config_dir, "domains", NULL), *autostart = g_build_filename(d->config_dir, "autostart", NULL);
    g_autofree char *records = g_build_filename(d->runtime_dir, "domains", NULL);
    store_each(domains, read_domain, d);
    store_each(autostart, mark_autostart, d);
    store_each(records, read_record, d);
    secrets_load(d);
    pools_load(d);
    networks_load(d);
    domain_start(domain_add(d->test, record_read_xml(&domain_type, test_domain, 0, NULL, NULL), true), 0, NULL, false);
    return d;
}

void daemon_free(Daemon *d)
{
    if (!d)
        return;
    rpc_server_free(d->server);
    lanes_end(d->lanes);
    while (d->transfers)
        g_main_context_iteration(NULL, TRUE);
    host_watch_end(d);
    realm_free(d->machines);
    realm_free(d->test);
    lane_free(d->lane);
    lanes_free(d->lanes);
    g_hash_table_unref(d->clients);
    for (unsigned i = 0; i < G_N_ELEMENTS(d->cpu_models); i++)
        cpu_models_free(d->cpu_models[i]);
    g_free(d->config_dir);
    g_free(d->state_dir);
    g_free(d->runtime_dir);
    g_free(d->log_dir);
    g_free(d->emulator);
    g_free(d->image_tool);
    g_free(d->machine_user);
    g_free(d->uuid);
    g_free(d);
}

bool daemon_listen(Daemon *d, const char *path, unsigned mode, bool readonly, GError **err)
{
    return rpc_server_listen(d->server, path, mode, readonly, err);
}

bool daemon_listen_tls(Daemon *d, const char *where, const char *pki, const char *const *allowed, GError **err)
{
    RpcTls *tls = rpc_tls_new(pki, allowed, err);
    bool ok = tls && rpc_server_listen_tls(d->server, where, tls, err);
    rpc_tls_unref(tls);
    return ok;
}

bool daemon_listen_fd(Daemon *d, int fd, bool readonly, GError **err) { return rpc_server_listen_fd(d->server, fd, readonly, err); }

void daemon_autostart(Daemon *d)
{
    g_autoptr(GList) all = g_hash_table_get_values(d->machines->domains);
    for (GList *l = all; l; l = l->next) {
        ManagedDomain *m = l->data;
        if (m->autostart && !domain_active(m))
            domain_start(m, 0, NULL, false);
    }
}

bool daemon_is_idle(const Daemon *d)
{
    GHashTableIter i;
    gpointer m;
    g_hash_table_iter_init(&i, d->machines->domains);
    while (g_hash_table_iter_next(&i, NULL, &m))
        if (domain_active(m) || lane_current(((ManagedDomain *)m)->lane))
            return false;
    return !g_hash_table_size(d->clients);
}

static void append_coverage(GString *s, const Procedure *table, unsigned *answered, unsigned *all)
{
    for (const Procedure *p = table; p->name; p++) {
        if (p->right == RPC_EVENT)
            continue;
        bool yes = handler_for(p->name);
        g_string_append_printf(s, "| %s | %d | %s | %s%s |\n", p->name, p->number, p->right == RPC_READ ? "read" : "write", yes ? "yes" : "no: ", yes ? "" : why_refused(p->name));
        *answered += yes;
        ++*all;
    }
}

char *daemon_coverage(void)
{
    unsigned answered = 0, all = 0;
    g_autoptr(GString) rows = g_string_new(NULL);
    append_coverage(rows, remote_procedures, &answered, &all);
    append_coverage(rows, qemu_procedures, &answered, &all);
    return g_strdup_printf("%u of %u procedures are answered; the others are refused at once as not supported.\n\n| procedure | number | rights | answered |\n|---|--:|---|---|\n%s",
                           answered, all, rows->str);
}
