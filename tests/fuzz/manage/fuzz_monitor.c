/*
 * fuzz_monitor.c - a machine that answers nonsense: the daemon's driver takes it up, asks and orders, and the input says what
 * the monitor sends.  Each verb ends, with an error or without, and what the machine tells reaches nobody it should not.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "manage/hypervisor/hypervisor.h"

enum { LINE_BYTES = 8192, ANSWERS = 200 };

typedef struct Rig {
    char *dir;
    HvHost host;
    Domain *def;
    HvDomain *hv;
    FuzzInput in;
    int listener;
    gint done; /* atomic: the worker has ended */
} Rig;

static const char definition[] = "<domain type='qemu'><name>m</name><uuid>5ed9631a-e07a-47ed-9140-631a3979af6b</uuid><memory>65536</memory><os><type>hvm</type></os>"
                                 "<devices><serial type='pty'><alias name='serial0'/></serial><graphics type='vnc' port='-1' autoport='yes' passwd='x'/>"
                                 "<disk type='file' device='cdrom'><source file='/a'/><target dev='sda' bus='sata'/><alias name='sata0-0-0'/></disk>"
                                 "<interface type='user'><mac address='52:54:00:00:00:01'/><alias name='net0'/></interface></devices></domain>";

/* ---- the machine's side, on a thread of its own */
static const char *const values[] = {
    "{}", "[]", "null", "7", "\"text\"", "true", "{\"running\":true,\"status\":\"running\"}", "{\"running\":\"no\",\"status\":7}",
    "[{\"label\":\"charserial0\",\"filename\":\"pty:/dev/pts/9\"}]", "[{\"label\":7,\"filename\":[]},7,null,[{}]]", "{\"service\":\"5900\"}", "{\"service\":5900}",
    "{\"actual\":1048576}", "{\"actual\":\"x\"}", "[{\"device\":\"d\",\"stats\":{\"rd_bytes\":1}},{\"node-name\":7}]", "{\"fd\":9,\"fdset-id\":1}",
    "[{\"cpu-index\":0,\"thread-id\":1,\"props\":{\"core-id\":0}}]", "[{\"inserted\":{\"image\":{\"virtual-size\":1e99}}}]", "-9223372036854775808", "1e999",
};
static const char *const events[] = { "SHUTDOWN", "STOP", "RESUME", "RESET", "GUEST_PANICKED", "DEVICE_DELETED", "DEVICE_TRAY_MOVED", "BALLOON_CHANGE", "RTC_CHANGE",
                                      "VSERPORT_CHANGE", "BLOCK_IO_ERROR", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_READY", "JOB_STATUS_CHANGE", "WATCHDOG", "\\u0000" };
static const char *const datas[] = { "{}", "7", "[]", "{\"reason\":7}", "{\"reason\":\"guest-panic\"}", "{\"device\":[]}", "{\"device\":\"d\",\"path\":\"/x\"}",
                                     "{\"tray-open\":\"x\",\"id\":7}", "{\"actual\":\"x\"}", "{\"offset\":1e99}", "{\"open\":true,\"id\":\"c\"}",
                                     "{\"id\":\"j\",\"status\":\"concluded\"}" };

static void append_any(FuzzInput *in, GString *s)
{
    size_t bytes;
    const char *at = fuzz_bytes(in, 255, &bytes);
    g_string_append_len(s, at, bytes);
    g_string_append_c(s, '\n');
}

/* One answer to the request whose id is given, or something else; false: the machine hangs up. */
static bool answer(FuzzInput *in, int fd, long id)
{
    g_autoptr(GString) s = g_string_new(NULL);
    unsigned op = fuzz_take(in, 1), value = fuzz_take(in, 1);
    switch (op & 7) {
    case 0 ... 2:
        g_string_printf(s, "{\"return\":%s,\"id\":%ld}\n", values[value % G_N_ELEMENTS(values)], id);
        break;
    case 3:
        g_string_printf(s, "{\"error\":%s,\"id\":%ld}\n", value & 1 ? "{\"class\":\"GenericError\",\"desc\":\"no\"}" : values[value % G_N_ELEMENTS(values)], id);
        break;
    case 4:
        g_string_printf(s, "{\"event\":\"%s\",\"data\":%s,\"timestamp\":{\"seconds\":1,\"microseconds\":2}}\n", events[value % G_N_ELEMENTS(events)],
                        datas[fuzz_take(in, 1) % G_N_ELEMENTS(datas)]);
        g_string_append_printf(s, "{\"return\":{},\"id\":%ld}\n", id);
        break;
    case 5:
        g_string_printf(s, "{\"return\":{},\"id\":%ld}\r\n{\"id\":%s,\"x\":1}\n{\"return\":{},\"id\":%ld}\n", id + 1, values[value % G_N_ELEMENTS(values)], id);
        break;
    default:
        append_any(in, s);
        g_string_append_printf(s, "{\"return\":{},\"id\":%ld}\n", id);
    }
    return in->left && send(fd, s->str, s->len, MSG_NOSIGNAL) == (ssize_t)s->len;
}

static gpointer machine(gpointer opaque)
{
    Rig *r = opaque;
    char line[LINE_BYTES];
    int fd = accept(r->listener, NULL, NULL);
    FILE *from = fd >= 0 ? fdopen(dup(fd), "r") : NULL;
    g_autoptr(GString) hello = g_string_new("{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n");
    if (fuzz_take(&r->in, 1) % 16 == 0)
        append_any(&r->in, hello);
    bool ok = from && send(fd, hello->str, hello->len, MSG_NOSIGNAL) > 0;
    for (unsigned n = 0; ok && n < ANSWERS && fgets(line, sizeof line, from); n++) {
        const char *id = g_strrstr(line, "\"id\":");
        ok = answer(&r->in, fd, id ? atol(id + 5) : 0);
    }
    if (from)
        fclose(from);
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* ---- the daemon's side */
static void notify(const HvEvent *event, void *opaque)
{
    if (event->name && strlen(event->name) > LINE_BYTES)
        abort();
}

static gpointer daemon_side(gpointer opaque)
{
    Rig *r = opaque;
    bool paused;
    HvStats stats;
    g_autoptr(GError) err = NULL;
    r->hv = atoll_driver.reattach(&r->host, r->def, notify, r, &paused, &err);
    if (!r->hv != !!err)
        abort();
    if (r->hv) {
        g_autofree char *said = NULL, *shot = NULL;
        atoll_driver.pause(r->hv, true, NULL);
        atoll_driver.stats(r->hv, &stats, NULL);
        atoll_driver.pause(r->hv, false, NULL);
        if (atoll_driver.set_memory)
            atoll_driver.set_memory(r->hv, 1 << 20, NULL);
        if (atoll_driver.monitor)
            atoll_driver.monitor(r->hv, "info status", true, &said, NULL);
        if (atoll_driver.screenshot)
            atoll_driver.screenshot(r->hv, 0, &shot, NULL);
        atoll_driver.stop(r->hv, HV_RESET, NULL);
        atoll_driver.stop(r->hv, HV_ASK, NULL);
    }
    g_atomic_int_set(&r->done, 1);
    g_main_context_wakeup(NULL);
    return NULL;
}

static void listen_at(Rig *r)
{
    g_autofree char *folder = g_build_filename(r->dir, "domains", NULL), *path = g_strdup_printf("%s/%s.monitor", folder, r->def->uuid);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    g_mkdir(folder, 0700);
    g_strlcpy(a.sun_path, path, sizeof a.sun_path);
    r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(r->listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(r->listener, 1) < 0)
        abort();
}

static void clean(Rig *r)
{
    g_autofree char *folder = g_build_filename(r->dir, "domains", NULL), *path = g_strdup_printf("%s/%s.monitor", folder, r->def->uuid);
    close(r->listener);
    g_unlink(path);
    g_rmdir(folder);
    g_rmdir(r->dir);
    g_free(r->dir);
    record_free(r->def);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Rig r = { .dir = g_dir_make_tmp("mon-fuzz-XXXXXX", NULL), .in = { data, size } };
    r.host = (HvHost){ .emulator = "/no/emulator", .runtime_dir = r.dir, .state_dir = r.dir, .log_dir = r.dir };
    r.def = record_read_xml(&domain_type, definition, RECORD_LIVE | RECORD_SECRET, NULL, NULL);
    if (!r.def)
        abort();
    listen_at(&r);
    GThread *theirs = g_thread_new("machine", machine, &r), *ours = g_thread_new("daemon", daemon_side, &r);
    while (!g_atomic_int_get(&r.done))
        g_main_context_iteration(NULL, TRUE);
    g_thread_join(ours);
    if (r.hv)
        atoll_driver.release(r.hv);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_thread_join(theirs);
    clean(&r);
    return 0;
}
