/* stub.c - the remote serial protocol, and running under it. */
#include <stdlib.h>
#include <string.h>

#include "console/chardev.h"
#include "vmm/gdb/gdb.h"
#include "vmm/monitor/monitor.h"

enum { PACKET_BYTES = 16384, STEPS_A_TURN = 4000, SIGINT_ = 2, SIGTRAP_ = 5 };
enum { POINT_SOFTWARE, POINT_HARDWARE, WATCH_WRITE, WATCH_READ, WATCH_ACCESS };

typedef struct Point {
    int type;
    uint64_t at, bytes;
    uint8_t old[64]; /* of a watch point: what stood there */
} Point;

struct Gdb {
    Vm *vm;
    Chardev *chardev;
    const GdbTarget *target;
    GString *in, *last;    /* packet so far; the answer that may be asked for again */
    int state;             /* 0: outside a packet, 1: within, 2 and 3: checksum */
    bool no_ack, going;    /* the last thing gdb said was to go on */
    GArray *points;
    unsigned general, stepping; /* vCPU that g and m mean; vCPU that steps, plus one, or 0 */
    GSource *stepper;
    char watch[64];        /* why it stopped, for a watch point */
};

/* ---- packets */

static void put(Gdb *g, const char *text) { chardev_write(g->chardev, (const uint8_t *)text, strlen(text)); }

static void send_packet(Gdb *g, const char *body)
{
    uint8_t sum = 0;
    for (const char *p = body; *p; p++)
        sum += *p;
    g_string_printf(g->last, "$%s#%02x", body, sum);
    put(g, g->last->str);
}

static void send_hex(Gdb *g, const uint8_t *data, size_t n)
{
    g_autoptr(GString) s = g_string_sized_new(n * 2);
    for (size_t i = 0; i < n; i++)
        g_string_append_printf(s, "%02x", data[i]);
    send_packet(g, s->str);
}

static size_t from_hex(const char *text, uint8_t *ret, size_t max)
{
    size_t n = 0;
    for (; n < max && g_ascii_isxdigit(text[0]) && g_ascii_isxdigit(text[1]); n++, text += 2)
        ret[n] = g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]);
    return n;
}

/* ---- processors */

typedef struct Access {
    CpuState *s;
    bool set, ok;
} Access;

static void access_state(Vcpu *v, void *opaque)
{
    Access *a = opaque;
    a->ok = a->set ? v->accel->ops->set(v, a->s, NULL) : v->accel->ops->get(v, a->s, NULL);
}

static bool state(Gdb *g, unsigned cpu, CpuState *s, bool set)
{
    Access a = { s, set, false };
    Vcpu *v = machine_vcpu(g->vm->machine, cpu);
    if (v)
        vcpu_run_on(v, access_state, &a);
    return a.ok;
}

/* What gdb calls the program counter: the linear address. */
static uint64_t pc(const CpuState *s) { return s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEG_ATTR_L ? s->rip : s->seg[SEG_CS].base + s->rip; }

/* ---- stopping and going on */

static void stop_stepper(Gdb *g)
{
    if (g->stepper) {
        g_source_destroy(g->stepper);
        g_clear_pointer(&g->stepper, g_source_unref);
    }
}

static void tell_stop(Gdb *g, int signal)
{
    g_autofree char *text = g_strdup_printf("T%02x%sthread:%x;", signal, g->watch, g->general + 1);
    send_packet(g, text);
    g->watch[0] = 0;
}

static void stop(Gdb *g, int signal)
{
    stop_stepper(g);
    vm_stop(g->vm, VM_DEBUG);
    g->going = false;
    tell_stop(g, signal);
}

static bool watch_hit(Gdb *g, Point *p, const CpuState *s)
{
    static const char *const words[] = { [WATCH_WRITE] = "watch", [WATCH_READ] = "rwatch", [WATCH_ACCESS] = "awatch" };
    uint8_t now[sizeof(p->old)];
    if (p->type < WATCH_WRITE || !gdb_memory(g->vm->machine, s, p->at, now, p->bytes, false) || !memcmp(now, p->old, p->bytes))
        return false;
    memcpy(p->old, now, p->bytes);
    g_snprintf(g->watch, sizeof(g->watch), "%s:%" G_GINT64_MODIFIER "x;", words[p->type], p->at);
    return true;
}

static bool point_hit(Gdb *g, const CpuState *s)
{
    for (unsigned i = 0; i < g->points->len; i++) {
        Point *p = &g_array_index(g->points, Point, i);
        if ((p->type <= POINT_HARDWARE && (p->at == pc(s) || p->at == s->rip)) || watch_hit(g, p, s))
            return true;
    }
    return false;
}

/* Some steps of a vCPU, on its own thread. */
typedef struct Turn {
    Gdb *g;
    unsigned steps;
    bool hit, moved;
} Turn;

static void take_turn(Vcpu *v, void *opaque)
{
    Turn *t = opaque;
    CpuState s;
    for (unsigned i = 0; i < t->steps && !t->hit; i++) {
        uint64_t before = v->accel->ops->get(v, &s, NULL) ? s.rip : 0;
        bool waits = s.activity != CPU_RUNNING;
        if (!v->accel->ops->step(v, NULL) || !v->accel->ops->get(v, &s, NULL))
            return;
        if (waits && s.rip == before) /* halted still */
            return;
        t->moved = true;
        t->hit = point_hit(t->g, &s);
    }
}

/* Virtual time goes while vCPUs stand between the steps. */
static void start_time(Machine *m)
{
    tsc_start(&m->tsc);
    clock_start(m->clock);
}

static gboolean step_all(void *opaque)
{
    Gdb *g = opaque;
    Machine *m = g->vm->machine;
    bool moved = false;
    if (g->vm->status != VM_RUNNING) { /* a monitor or the guest has stopped it */
        stop(g, SIGINT_);
        return G_SOURCE_REMOVE;
    }
    if (machine_running(m)) { /* a reset has started it anew */
        machine_stop(m);
        start_time(m);
    }
    for (unsigned i = 0; i < m->vcpus->len; i++) {
        Turn t = { g, STEPS_A_TURN };
        vcpu_run_on(m->vcpus->pdata[i], take_turn, &t);
        moved |= t.moved;
        if (t.hit) {
            g->general = i;
            stop(g, SIGTRAP_);
            return G_SOURCE_REMOVE;
        }
    }
    if (!moved)
        g_usleep(500); /* all wait for an interrupt */
    return G_SOURCE_CONTINUE;
}

static void go_by_steps(Gdb *g)
{
    start_time(g->vm->machine);
    g->vm->status = VM_RUNNING;
    monitors_event(g->vm, "RESUME", NULL);
    g->stepper = g_idle_source_new();
    g_source_set_callback(g->stepper, step_all, g, NULL);
    g_source_attach(g->stepper, NULL);
}

static void single_step(Gdb *g, unsigned cpu)
{
    Vcpu *v = machine_vcpu(g->vm->machine, cpu);
    Turn t = { g, 1 };
    if (v)
        vcpu_run_on(v, take_turn, &t);
    g->general = cpu;
    tell_stop(g, SIGTRAP_);
}

static void go_on(Gdb *g)
{
    CpuState s;
    g->going = true;
    if (g->points->len) {
        for (unsigned i = 0; i < g->points->len && state(g, 0, &s, false); i++) {
            Point *p = &g_array_index(g->points, Point, i);
            if (p->type >= WATCH_WRITE)
                gdb_memory(g->vm->machine, &s, p->at, p->old, p->bytes, false);
        }
        go_by_steps(g);
    } else if (!vm_continue(g->vm, NULL)) {
        stop(g, SIGTRAP_);
    }
}

/* ---- commands */

static void read_registers(Gdb *g)
{
    CpuState s;
    uint8_t buf[2048];
    size_t n = 0;
    if (!state(g, g->general, &s, false)) {
        send_packet(g, "E01");
        return;
    }
    for (unsigned i = 0; i < gdb_register_count(g->target); i++)
        n += gdb_register(g->target, i, &s, buf + n, false);
    send_hex(g, buf, n);
}

static void write_registers(Gdb *g, const char *args)
{
    CpuState s;
    uint8_t buf[2048] = { 0 };
    size_t have = from_hex(args, buf, sizeof(buf)), n = 0;
    bool ok = state(g, g->general, &s, false);
    for (unsigned i = 0; ok && i < gdb_register_count(g->target) && n + 16 <= have + 16; i++)
        n += gdb_register(g->target, i, &s, buf + n, true);
    send_packet(g, ok && state(g, g->general, &s, true) ? "OK" : "E01");
}

static void one_register(Gdb *g, const char *args, bool set)
{
    CpuState s;
    uint8_t buf[16] = { 0 };
    char *end;
    unsigned n = strtoul(args, &end, 16);
    if (set && *end == '=')
        from_hex(end + 1, buf, sizeof(buf));
    unsigned bytes = state(g, g->general, &s, false) ? gdb_register(g->target, n, &s, buf, set) : 0;
    if (!bytes)
        send_packet(g, "E01");
    else if (set)
        send_packet(g, state(g, g->general, &s, true) ? "OK" : "E01");
    else
        send_hex(g, buf, bytes);
}

static void memory(Gdb *g, const char *args, bool write)
{
    CpuState s;
    char *end;
    uint64_t at = strtoull(args, &end, 16), n = *end == ',' ? strtoull(end + 1, &end, 16) : 0;
    uint8_t buf[PACKET_BYTES / 2];
    n = MIN(n, sizeof(buf) - 1);
    bool ok = state(g, g->general, &s, false) && (!write || (*end == ':' && from_hex(end + 1, buf, n) == n));
    if (!ok || !gdb_memory(g->vm->machine, &s, at, buf, n, write))
        send_packet(g, "E14");
    else if (write)
        send_packet(g, "OK");
    else
        send_hex(g, buf, n);
}

static void point(Gdb *g, const char *args, bool add)
{
    char *end;
    Point p = { .type = *args - '0' };
    p.at = args[1] == ',' ? strtoull(args + 2, &end, 16) : 0;
    p.bytes = args[1] == ',' && *end == ',' ? strtoull(end + 1, NULL, 16) : 0;
    if (p.type < POINT_SOFTWARE || p.type > WATCH_ACCESS || p.bytes > sizeof(p.old)) {
        send_packet(g, "E22");
        return;
    }
    if (p.type == WATCH_READ || p.type == WATCH_ACCESS) { /* reads cannot be seen from outside: gdb falls back or says so */
        send_packet(g, "");
        return;
    }
    for (unsigned i = 0; i < g->points->len; i++) {
        const Point *old = &g_array_index(g->points, Point, i);
        if (old->type == p.type && old->at == p.at && old->bytes == p.bytes)
            g_array_remove_index(g->points, i--);
    }
    if (add)
        g_array_append_val(g->points, p);
    send_packet(g, "OK");
}

/* The first action that fits: a step of one thread holds the others back, as gdb's scheduler-locking has it. */
static void resume_by_list(Gdb *g, const char *actions)
{
    for (const char *p = actions; p && *p == ';'; p = strchr(p + 1, ';')) {
        const char *colon = strchr(p, ':'), *next = strchr(p + 1, ';');
        unsigned thread = colon && (!next || colon < next) ? strtoul(colon + 1, NULL, 16) : g->general + 1;
        if (p[1] == 's' || p[1] == 'S') {
            single_step(g, thread && thread != UINT_MAX ? thread - 1 : g->general);
            return;
        }
    }
    go_on(g);
}

static void transfer_target(Gdb *g, const char *range)
{
    g_autofree char *xml = gdb_target_xml(g->target);
    char *end;
    size_t off = strtoul(range, &end, 16), n = *end == ',' ? strtoul(end + 1, NULL, 16) : 0, len = strlen(xml);
    off = MIN(off, len);
    n = MIN(n, len - off);
    g_autofree char *text = g_strdup_printf("%c%.*s", off + n == len ? 'l' : 'm', (int)n, xml + off);
    send_packet(g, text);
}

static void monitor_line(Gdb *g, const char *hex)
{
    char line[1024];
    line[from_hex(hex, (uint8_t *)line, sizeof(line) - 1)] = 0;
    g_autofree char *text = monitor_run_line(g->vm, NULL, line);
    if (*text)
        send_hex(g, (uint8_t *)text, MIN(strlen(text), PACKET_BYTES / 2 - 8));
    else
        send_packet(g, "OK");
}

static void list_threads(Gdb *g)
{
    g_autoptr(GString) s = g_string_new("m");
    for (unsigned i = 0; i < g->vm->machine->vcpus->len; i++)
        g_string_append_printf(s, "%s%x", i ? "," : "", i + 1);
    send_packet(g, s->str);
}

static void query(Gdb *g, const char *text)
{
    if (g_str_has_prefix(text, "Supported")) {
        g_autofree char *answer = g_strdup_printf("PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;hwbreak+;swbreak+", PACKET_BYTES - 16);
        send_packet(g, answer);
    } else if (g_str_has_prefix(text, "Xfer:features:read:target.xml:")) {
        transfer_target(g, text + strlen("Xfer:features:read:target.xml:"));
    } else if (g_str_equal(text, "fThreadInfo")) {
        list_threads(g);
    } else if (g_str_equal(text, "sThreadInfo")) {
        send_packet(g, "l");
    } else if (g_str_equal(text, "C")) {
        g_autofree char *answer = g_strdup_printf("QC%x", g->general + 1);
        send_packet(g, answer);
    } else if (g_str_has_prefix(text, "ThreadExtraInfo,")) {
        g_autofree char *name = g_strdup_printf("CPU#%lu", strtoul(text + strlen("ThreadExtraInfo,"), NULL, 16) - 1);
        send_hex(g, (uint8_t *)name, strlen(name));
    } else if (g_str_has_prefix(text, "Rcmd,")) {
        monitor_line(g, text + strlen("Rcmd,"));
    } else {
        send_packet(g, g_str_has_prefix(text, "Attached") ? "1" : "");
    }
}

static void select_thread(Gdb *g, const char *args)
{
    long thread = strtol(args + 1, NULL, 16);
    if (thread > (long)g->vm->machine->vcpus->len) {
        send_packet(g, "E03");
        return;
    }
    if (thread > 0)
        g->general = thread - 1;
    send_packet(g, "OK");
}

static void detach(Gdb *g)
{
    g_array_set_size(g->points, 0);
    send_packet(g, "OK");
    stop_stepper(g);
    vm_continue(g->vm, NULL);
}

static void execute(Gdb *g, const char *p)
{
    const char *args = p + 1;
    switch (*p) {
    case '?':
        if (g->vm->status == VM_RUNNING || g->stepper)
            stop(g, SIGINT_);
        else
            tell_stop(g, SIGTRAP_);
        break;
    case 'g':
        read_registers(g);
        break;
    case 'G':
        write_registers(g, args);
        break;
    case 'p':
    case 'P':
        one_register(g, args, *p == 'P');
        break;
    case 'm':
    case 'M':
        memory(g, args, *p == 'M');
        break;
    case 'Z':
    case 'z':
        point(g, args, *p == 'Z');
        break;
    case 'c':
        go_on(g);
        break;
    case 's':
        single_step(g, g->general);
        break;
    case 'H':
        select_thread(g, args);
        break;
    case 'T': {
        unsigned long thread = strtoul(args, NULL, 16);
        send_packet(g, thread >= 1 && thread <= g->vm->machine->vcpus->len ? "OK" : "E03");
        break;
    }
    case 'q':
        query(g, args);
        break;
    case 'Q':
        send_packet(g, g_str_equal(args, "StartNoAckMode") ? "OK" : "");
        g->no_ack |= g_str_equal(args, "StartNoAckMode");
        break;
    case 'v':
        if (g_str_equal(args, "Cont?"))
            send_packet(g, "vCont;c;C;s;S");
        else if (g_str_has_prefix(args, "Cont"))
            resume_by_list(g, args + strlen("Cont"));
        else
            send_packet(g, "");
        break;
    case 'D':
        detach(g);
        break;
    case 'k':
        vm_quit(g->vm, 0, "host-signal");
        break;
    default:
        send_packet(g, "");
    }
}

/* ---- bytes */

static void take(Gdb *g, char c)
{
    if (g->state == 0) {
        if (c == '$')
            g->state = 1;
        else if (c == 3 && g->going)
            stop(g, SIGINT_);
        else if (c == '-')
            put(g, g->last->str);
    } else if (g->state == 1 && c != '#') {
        if (c == '$' || g->in->len >= PACKET_BYTES)
            g_string_truncate(g->in, 0);
        else
            g_string_append_c(g->in, c);
    } else if (++g->state == 4) {
        if (!g->no_ack)
            put(g, "+");
        g->state = 0;
        g_autofree char *packet = g_strdup(g->in->str);
        g_string_truncate(g->in, 0);
        execute(g, packet);
    }
}

static size_t can_receive(void *opaque) { return 4096; }

static void receive(void *opaque, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        take(opaque, data[i]);
}

/* Whoever connects finds the machine stopped; when he has gone, points are gone too, and it goes on. */
static void event(void *opaque, ChardevEvent e)
{
    Gdb *g = opaque;
    if (e == CHARDEV_OPENED && g->vm->status == VM_RUNNING) {
        vm_stop(g->vm, VM_DEBUG);
    } else if (e == CHARDEV_CLOSED) {
        bool stepped = g->stepper;
        stop_stepper(g);
        g_array_set_size(g->points, 0);
        if (stepped || g->vm->status == VM_DEBUG)
            vm_continue(g->vm, NULL);
    }
    g->no_ack = g->going = false;
    g->state = 0;
    g_string_truncate(g->in, 0);
}

static const ChardevFrontend frontend = { can_receive, receive, event };

Gdb *gdb_open(Vm *vm, Chardev *chardev)
{
    Gdb *g = g_new0(Gdb, 1);
    g->vm = vm;
    g->chardev = chardev;
    g->target = gdb_target(cpu_has(&vm->machine->config.cpu_model, FEAT_LM));
    g->in = g_string_new(NULL);
    g->last = g_string_new(NULL);
    g->points = g_array_new(FALSE, TRUE, sizeof(Point));
    chardev_attach(chardev, &frontend, g);
    return g;
}

void gdb_close(Gdb *g)
{
    if (!g)
        return;
    stop_stepper(g);
    chardev_attach(g->chardev, NULL, NULL);
    g_string_free(g->in, TRUE);
    g_string_free(g->last, TRUE);
    g_array_unref(g->points);
    g_free(g);
}
