/*
 * fuzz_rpc.c - clients of the manager, up to two: right calls with any arguments, wrong ones, half messages, streams that nobody
 * opened, some that never read.  The daemon keeps everything in memory, its own machines' realm too.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/be.h"
#include "fuzz_input.h"
#include "manage/daemon/net.h"
#include "manage/daemon/pool.h"
#include "manage/rpc/rpc_inside.h"
#include "manage/rpc/xdr.h"

enum { CLIENTS = 2, STEPS = 64, BODY_BYTES = 600, ITERATIONS = 4 };

typedef struct Rig {
    char *dir;
    Daemon *daemon;
    int fd[CLIENTS];
    uint32_t serial;
} Rig;

/* ---- what a string may be: names of what is there, documents, and nonsense */
static const char *const words[] = {
    "test", "", "other", "6695eb01-f6a4-8304-79aa-97f2502e193f", "test:///default", "qemu:///session", "pool", "vol", "net", "vda", "a", "../x", "no-such",
    "<domain type='test'><name>other</name><memory>4096</memory><os><type>hvm</type></os></domain>",
    ("<domain type='test'><name>test</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory>9999</memory><vcpu current='1'>4</vcpu><os><type>hvm</type></os>"
    "<devices><disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/></disk><serial type='pty'/></devices></domain>"),
    "<disk type='file'><source file='/b'/><target dev='vdb' bus='virtio'/></disk>",
    "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='net'/></interface>",
    "<pool type='dir'><name>pool</name><target><path>/pool</path></target></pool>",
    "<volume><name>vol</name><capacity>1000</capacity></volume>",
    "<volume><name>vol2</name><capacity unit='G'>1</capacity><target><format type='qcow2'/></target></volume>",
    "<network><name>net</name><forward mode='nat'/><ip address='10.0.0.1' netmask='255.255.255.0'><dhcp><range start='10.0.0.2' end='10.0.0.9'/></dhcp></ip></network>",
    "<secret><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><usage type='volume'><volume>/v</volume></usage></secret>",
    "<host mac='52:54:00:00:00:01' ip='10.0.0.3'/>", "<domainsnapshot><name>s</name></domainsnapshot>", "<a>b</a>", "\xc3\xa4%s<&>", "<", "<a><!DOCTYPE b>",
};

static GVariant *make_value(FuzzInput *in, const GVariantType *type, unsigned depth);

static GVariant *make_container(FuzzInput *in, const GVariantType *type, unsigned depth)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, type);
    if (g_variant_type_is_array(type)) {
        for (unsigned n = depth > 3 ? 0 : fuzz_take(in, 1) % 4; n; n--)
            g_variant_builder_add_value(&b, make_value(in, g_variant_type_element(type), depth + 1));
    } else {
        for (const GVariantType *t = g_variant_type_first(type); t; t = g_variant_type_next(t))
            g_variant_builder_add_value(&b, make_value(in, t, depth + 1));
    }
    return g_variant_builder_end(&b);
}

static GVariant *make_value(FuzzInput *in, const GVariantType *type, unsigned depth)
{
    static const char any[] = "iuxtdbs";
    const char letter[] = { any[fuzz_take(in, 1) % (sizeof any - 1)], 0 };
    switch (*g_variant_type_peek_string(type)) {
    case 's':
        return g_variant_new_string(words[fuzz_take(in, 1) % G_N_ELEMENTS(words)]);
    case 'i':
        return g_variant_new_int32((int8_t)fuzz_take(in, 1));
    case 'u':
        return g_variant_new_uint32(fuzz_take(in, 2));
    case 'x':
        return g_variant_new_int64(fuzz_take(in, 4));
    case 't':
        return g_variant_new_uint64(fuzz_take(in, 8) >> fuzz_take(in, 1) % 64);
    case 'd':
        return g_variant_new_double(fuzz_take(in, 4));
    case 'b':
        return g_variant_new_boolean(fuzz_take(in, 1) & 1);
    case 'y':
        return g_variant_new_byte(fuzz_take(in, 1));
    case 'v':
        return g_variant_new_variant(make_value(in, G_VARIANT_TYPE(letter), depth + 1));
    case 'm':
        return g_variant_new_maybe(g_variant_type_element(type), *letter & 1 ? make_value(in, g_variant_type_element(type), depth + 1) : NULL);
    default:
        return make_container(in, type, depth);
    }
}

/* ---- the daemon */
static void work(void)
{
    for (unsigned i = 0; i < ITERATIONS && g_main_context_iteration(NULL, FALSE); i++)
        ;
}

static void dial(Rig *r, unsigned n)
{
    int pair[2];
    if (r->fd[n] >= 0)
        close(r->fd[n]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    g_autoptr(GSocket) socket = g_socket_new_from_fd(pair[0], NULL);
    RpcServer *s = r->daemon->server;
    connection_known(connection_new(s, socket, false, NULL));
    r->fd[n] = pair[1];
}

static void say(Rig *r, unsigned n, const void *bytes, size_t count)
{
    if (r->fd[n] >= 0 && send(r->fd[n], bytes, count, MSG_NOSIGNAL) < 0) {
        close(r->fd[n]);
        r->fd[n] = -1;
    }
}

static void message(Rig *r, unsigned n, const Header *h, const void *body, size_t bytes)
{
    g_autoptr(GByteArray) m = message_new(h, body, bytes);
    say(r, n, m->data, m->len);
}

static void call(Rig *r, unsigned n, const Procedure *p, GVariant *args)
{
    g_autoptr(GByteArray) body = g_byte_array_new();
    xdr_encode(body, p->args, args);
    message(r, n, &(Header){ RPC_PROGRAM_REMOTE, RPC_VERSION, p->number, MESSAGE_CALL, r->serial++ % 8, STATUS_OK }, body->data, body->len);
}

static void open_test(Rig *r, unsigned n) { call(r, n, procedure_named("CONNECT_OPEN"), g_variant_new("(msu)", "test:///default", 0)); }

/* Every message that comes back has a length that can be. */
static void drain(Rig *r, unsigned n)
{
    uint8_t room[1 << 16];
    for (unsigned i = 0; r->fd[n] >= 0 && i < 16 && read(r->fd[n], room, sizeof room) > 0; i++)
        ;
}

static void any_call(Rig *r, unsigned n, FuzzInput *in)
{
    unsigned count = 0, pick = fuzz_take(in, 2);
    while (remote_procedures[count].name)
        count++;
    const Procedure *p = &remote_procedures[pick % count];
    g_autofree char *type = xdr_type(p->args);
    call(r, n, p, make_value(in, G_VARIANT_TYPE(type), 0));
}

static void wrong_message(Rig *r, unsigned n, FuzzInput *in)
{
    static const uint32_t programs[] = { RPC_PROGRAM_REMOTE, RPC_PROGRAM_QEMU, RPC_PROGRAM_KEEPALIVE, 7 };
    Header h = { programs[fuzz_take(in, 1) % 4], RPC_VERSION, fuzz_take(in, 2) % 500, fuzz_take(in, 1) % 8, r->serial++ % 8, fuzz_take(in, 1) % 4 };
    size_t bytes;
    const void *body = fuzz_bytes(in, BODY_BYTES, &bytes);
    message(r, n, &h, body, bytes);
}

static void raw_bytes(Rig *r, unsigned n, FuzzInput *in)
{
    size_t bytes;
    const void *at = fuzz_bytes(in, BODY_BYTES, &bytes);
    say(r, n, at, bytes);
}

static void stream_data(Rig *r, unsigned n, FuzzInput *in)
{
    static const char *const openers[] = { "STORAGE_VOL_UPLOAD", "STORAGE_VOL_DOWNLOAD", "DOMAIN_OPEN_CONSOLE", "DOMAIN_SCREENSHOT" };
    const Procedure *p = procedure_named(openers[fuzz_take(in, 1) % G_N_ELEMENTS(openers)]);
    Header h = { RPC_PROGRAM_REMOTE, RPC_VERSION, p->number, MESSAGE_STREAM, fuzz_take(in, 1) % 8, fuzz_take(in, 1) % 3 };
    size_t bytes;
    const void *body = fuzz_bytes(in, BODY_BYTES, &bytes);
    message(r, n, &h, body, bytes);
}

static void step(Rig *r, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    unsigned n = op >> 4 & 1;
    switch (op & 15) {
    case 0:
        raw_bytes(r, n, in);
        break;
    case 1:
        wrong_message(r, n, in);
        break;
    case 2:
        dial(r, n);
        open_test(r, n);
        break;
    case 3:
        stream_data(r, n, in);
        break;
    case 4:
        drain(r, n);
        break;
    case 5:
        work();
        break;
    default:
        any_call(r, n, in);
    }
    work();
}

static bool realm_busy(const Realm *r)
{
    GHashTable *const tables[] = { r->domains, r->pools, r->networks };
    for (unsigned t = 0; t < G_N_ELEMENTS(tables); t++) {
        GHashTableIter i;
        gpointer v;
        g_hash_table_iter_init(&i, tables[t]);
        while (g_hash_table_iter_next(&i, NULL, &v)) {
            const Lane *lane = t == 0 ? ((ManagedDomain *)v)->lane : t == 1 ? ((ManagedPool *)v)->lane : ((ManagedNetwork *)v)->lane;
            if (lane_current(lane))
                return true;
        }
    }
    return false;
}

/* An input with a job that does not end is a finding: libFuzzer's -timeout. */
static void settle(Rig *r)
{
    while (realm_busy(r->daemon->machines) || realm_busy(r->daemon->test))
        g_main_context_iteration(NULL, TRUE);
    while (g_main_context_iteration(NULL, FALSE))
        for (unsigned n = 0; n < CLIENTS; n++)
            drain(r, n);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        remove_tree(inner);
    }
    remove(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    FuzzInput in = { data, size };
    g_autoptr(GError) err = NULL;
    Rig r = { .dir = g_dir_make_tmp("rpc-fuzz-XXXXXX", NULL), .fd = { -1, -1 } };
    const DaemonOptions o = { .config_dir = r.dir, .state_dir = r.dir, .runtime_dir = r.dir, .log_dir = r.dir, .emulator = "/no/emulator", .session = true };
    r.daemon = daemon_new(&o, &err);
    if (!r.daemon)
        g_error("%s", err->message);
    r.daemon->machines->in_memory = true; /* so that nothing that is sent reaches this host */
    for (unsigned n = 0; n < CLIENTS; n++) {
        dial(&r, n);
        open_test(&r, n);
    }
    for (unsigned i = 0; i < STEPS && in.left; i++)
        step(&r, &in);
    settle(&r);
    for (unsigned n = 0; n < CLIENTS; n++)
        if (r.fd[n] >= 0)
            close(r.fd[n]);
    settle(&r);
    daemon_free(r.daemon);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    remove_tree(r.dir);
    g_free(r.dir);
    return 0;
}
