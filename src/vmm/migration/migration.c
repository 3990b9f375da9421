/* migration.c - see migration.h. */
#include "vmm/migration/migration.h"

#include "block/block.h"
#include "vmm/jobs.h"
#include "vmm/monitor/monitor.h"

const MigrationParameter migration_parameters[MIGRATION_PARAMETERS] = {
    [MIGRATION_MAX_BANDWIDTH] = { "max-bandwidth", 0, 0, INT64_MAX, "bytes a second; 0: as fast as it goes" },
    [MIGRATION_DOWNTIME_LIMIT] = { "downtime-limit", 300, 0, 2000000, "milliseconds; taken, but the machine stands still all the time" },
};

Migration *migration_of(Vm *vm)
{
    if (!vm->migration) {
        vm->migration = g_new0(Migration, 1);
        *vm->migration = (Migration){ .vm = vm, .channel.fd = -1 };
        for (unsigned i = 0; i < MIGRATION_PARAMETERS; i++)
            vm->migration->parameter[i] = migration_parameters[i].def;
    }
    return vm->migration;
}

const char *migration_status_name(const Migration *m)
{
    static const char *const names[] = { "none", "setup", "active", "completed", "failed", "cancelling", "cancelled" };
    return names[m->status];
}

bool migration_under_way(const Vm *vm)
{
    const Migration *m = vm->migration;
    return m && (m->status == MIGRATION_SETUP || m->status == MIGRATION_ACTIVE || m->status == MIGRATION_CANCELLING);
}

bool migration_allows(const Vm *vm, const char *what, GError **err)
{
    return !migration_under_way(vm) || error_set(err, ERR_BUSY, "%s is not allowed while the machine's state is on its way; migrate_cancel ends that", what);
}

static void set_status(Migration *m, MigrationStatus status)
{
    m->status = status;
    if (!m->events)
        return;
    JsonObject *data = json_object_new();
    json_object_set_string_member(data, "status", migration_status_name(m));
    monitors_event(m->vm, "MIGRATION", data);
}

/* ---- a thread at work */
static void begin(Migration *m, bool incoming)
{
    g_clear_pointer(&m->error, g_free);
    m->incoming = incoming;
    m->began_us = m->ended_us = g_get_monotonic_time();
    m->cancelled = false;
    m->memory = (MemoryCount){ 0 };
    set_status(m, MIGRATION_SETUP);
}

/* Forgets what only the thread's time had; *err is its failure. */
static bool end(Migration *m, GError **err)
{
    g_clear_pointer(&m->thread, g_thread_join);
    m->ended_us = g_get_monotonic_time();
    channel_close(&m->channel);
    stream_clear(&m->stream);
    if (!m->failure)
        return true;
    m->error = g_strdup(m->failure->message);
    g_propagate_error(err, g_steal_pointer(&m->failure));
    return false;
}

void migration_free(Migration *m)
{
    if (!m)
        return;
    m->cancelled = true;
    end(m, NULL);
    g_idle_remove_by_data(m);
    g_clear_pointer(&m->state, g_byte_array_unref);
    g_free(m->error);
    g_free(m);
}

/* ---- out */
static gboolean sent(void *opaque)
{
    Migration *m = opaque;
    Vm *vm = m->vm;
    bool cancelled = m->cancelled, ok = end(m, NULL);
    g_clear_pointer(&m->state, g_byte_array_unref);
    vm->status = ok ? VM_POSTMIGRATE : m->before == VM_RUNNING ? VM_PAUSED : m->before;
    set_status(m, ok ? MIGRATION_COMPLETED : cancelled ? MIGRATION_CANCELLED : MIGRATION_FAILED);
    if (!ok && !cancelled)
        g_printerr("atoll-vm: the machine's state was not sent: %s\n", m->error);
    if (!ok && m->before == VM_RUNNING)
        vm_continue(vm, NULL);
    return G_SOURCE_REMOVE;
}

static void *send_all(void *opaque)
{
    Migration *m = opaque;
    if (contents_write(&m->stream, m->vm->machine, m->vm->config->board->name, m->state, &m->memory, &m->failure))
        channel_finish(&m->channel, &m->failure);
    g_idle_add(sent, m);
    return NULL;
}

/* What the guest has been told is written is in the images when somebody else goes on with them. */
static bool flush_drives(Vm *vm, GError **err)
{
    for (unsigned i = 0; i < vm->drives->len; i++)
        if (!blk_flush(vm->drives->pdata[i], err))
            return false;
    return true;
}

static bool can_leave(Vm *vm, GError **err)
{
    if (!vm->board)
        return error_set(err, ERR_INVALID, "there is no machine to send (-machine none)");
    if (vm->status == VM_INMIGRATE)
        return error_set(err, ERR_INVALID, "the machine waits for its own state (migrate-incoming)");
    if (vm->jobs->len)
        return error_set(err, ERR_BUSY, "block job '%s' is at work; end it first (block-job-cancel)", ((const VmJob *)vm->jobs->pdata[0])->id);
    return migration_allows(vm, "migrate", err);
}

/* The devices' requests have ended when their state is taken. */
static bool take_state(Migration *m, GError **err)
{
    m->state = g_byte_array_new();
    if (machine_save(m->vm->machine, m->state, err) && flush_drives(m->vm, err))
        return true;
    g_clear_pointer(&m->state, g_byte_array_unref);
    return false;
}

bool migration_start(Vm *vm, struct Monitor *monitor, const char *uri, GError **err)
{
    Migration *m = migration_of(vm);
    if (!can_leave(vm, err) || !channel_open_out(&m->channel, vm, monitor, uri, err))
        return false;
    m->before = vm->status;
    begin(m, false);
    vm_stop(vm, VM_FINISH_MIGRATE);
    stream_init(&m->stream, m->channel.fd, &m->cancelled);
    m->stream.limit = m->parameter[MIGRATION_MAX_BANDWIDTH];
    if (!take_state(m, &m->failure)) {
        sent(m);
        return error_set(err, ERR_IO, "the machine's state cannot be taken: %s", m->error);
    }
    set_status(m, MIGRATION_ACTIVE);
    m->thread = g_thread_new("migration", send_all, m);
    return true;
}

void migration_cancel(Vm *vm)
{
    if (!migration_under_way(vm) || vm->migration->incoming)
        return;
    vm->migration->cancelled = true;
    set_status(vm->migration, MIGRATION_CANCELLING);
}

/* ---- in */
static bool come_alive(Migration *m, GError **err)
{
    g_autoptr(GByteArray) state = g_steal_pointer(&m->state);
    return machine_load(m->vm->machine, state->data, state->len, err);
}

static gboolean received(void *opaque)
{
    Migration *m = opaque;
    Vm *vm = m->vm;
    g_autoptr(GError) why = NULL;
    bool ok = end(m, &why) && come_alive(m, &why);
    if (!ok && !m->error)
        m->error = g_strdup(why->message);
    set_status(m, ok ? MIGRATION_COMPLETED : MIGRATION_FAILED);
    if (!ok) {
        g_printerr("atoll-vm: the machine's state was not taken: %s\n", why->message);
        if (!m->stay)
            vm_quit(vm, 1, "host-error");
        return G_SOURCE_REMOVE;
    }
    vm->status = VM_PAUSED;
    if (vm->run_after_incoming)
        vm_continue(vm, NULL);
    return G_SOURCE_REMOVE;
}

static void *receive_all(void *opaque)
{
    Migration *m = opaque;
    bool ok = !m->channel.listening || channel_accept(&m->channel, &m->cancelled, &m->failure);
    m->stream.fd = m->channel.fd;
    if (ok && contents_read(&m->stream, m->vm->machine, m->vm->config->board->name, &m->state, &m->memory, &m->failure))
        channel_finish(&m->channel, &m->failure);
    g_idle_add(received, m);
    return NULL;
}

bool incoming_prepare(Vm *vm, GError **err)
{
    const char *uri = vm->config->incoming;
    if (!uri)
        return true;
    if (!vm->board)
        return error_set(err, ERR_INVALID, "-incoming: there is no machine to take a state (-machine none)");
    vm->status = VM_INMIGRATE;
    vm->run_after_incoming = !vm->config->start_paused;
    if (g_str_equal(uri, "defer") || channel_open_in(&migration_of(vm)->channel, vm, NULL, uri, err))
        return true;
    g_prefix_error(err, "-incoming: ");
    return false;
}

void incoming_begin(Vm *vm)
{
    Migration *m = migration_of(vm);
    if (m->channel.fd < 0)
        return;
    begin(m, true);
    stream_init(&m->stream, m->channel.fd, &m->cancelled);
    set_status(m, MIGRATION_ACTIVE);
    m->thread = g_thread_new("migration", receive_all, m);
}

bool incoming_open(Vm *vm, struct Monitor *monitor, const char *uri, bool stay, GError **err)
{
    Migration *m = migration_of(vm);
    if (vm->status != VM_INMIGRATE)
        return error_set(err, ERR_INVALID, "'-incoming' was not specified on the command line");
    if (m->thread || m->channel.fd >= 0)
        return error_set(err, ERR_BUSY, "The incoming migration has already been started");
    if (!channel_open_in(&m->channel, vm, monitor, uri, err))
        return false;
    m->stay = stay;
    incoming_begin(vm);
    return true;
}
