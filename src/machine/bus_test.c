/* bus_test.c - finding buses, and devices that come and go while the machine runs. */
#include "machine/bus.h"

#include <string.h>

#include "machine/machine.h"

typedef struct Socket {
    Bus bus;
    Device *in; /* one place */
    unsigned told, asked;
} Socket;

typedef struct Peg {
    Device dev;
    uint32_t depth;
    Socket *below; /* a peg is a bus itself */
} Peg;

static unsigned alive;

static bool socket_plug(Bus *b, Device *d, const char *addr, GError **err)
{
    Socket *s = (Socket *)b;
    if (addr && strcmp(addr, "0"))
        return error_set(err, ERR_INVALID, "%s: bus '%s' has address 0 only", d->path, b->name);
    if (s->in)
        return error_set(err, ERR_BUSY, "%s: bus '%s' is taken by '%s'", d->path, b->name, s->in->path);
    s->in = d;
    return true;
}

static bool socket_full(const Bus *b) { return ((const Socket *)b)->in; }
static void socket_plugged(Bus *b, Device *d) { ((Socket *)b)->told++; }

static bool socket_ask(Bus *b, Device *d, GError **err)
{
    ((Socket *)b)->asked++;
    device_let_go(d); /* a guest that agrees at once */
    return true;
}

static const BusType socket_type = { .kind = "SOCKET", .plug = socket_plug, .full = socket_full, .plugged = socket_plugged, .unplug_request = socket_ask };
static const BusType cold_type = { .kind = "COLD", .plug = socket_plug };

static bool peg_realize(Device *d, GError **err)
{
    Peg *p = (Peg *)d;
    p->below = g_new0(Socket, 1);
    bus_init_for(&p->below->bus, d, &socket_type);
    alive++;
    return true;
}

static void peg_unrealize(Device *d)
{
    Peg *p = (Peg *)d;
    g_assert_null(p->below->in); /* children go first */
    bus_clear(&p->below->bus);
    g_free(p->below);
    ((Socket *)d->bus)->in = NULL;
    alive--;
}

static const Field peg_fields[] = { { F(Peg, depth), .doc = "state" }, { FO(Peg, below), .role = FIELD_HOST }, DEVICE_FIELDS_END };
static const DeviceType peg_type = { .name = "peg", .summary = "a test's", .size = sizeof(Peg), .version = 1, .fields = peg_fields, .bus = "SOCKET", .realize = peg_realize, .unrealize = peg_unrealize };

static void remember(void *opaque, Device *d) { *(Device **)opaque = d; }
static void ignore(void *opaque, StopCause cause) {}

static Device *peg(Machine *m, const char *id) { return device_new(m, &peg_type, id, NULL, NULL); }

static void test_find(void)
{
    Machine *m = machine_create(&(MachineConfig){ .manual_clock = true }, NULL);
    Socket a = { 0 }, b = { 0 };
    g_autoptr(GError) none = NULL, missing = NULL, wrong = NULL, full = NULL;
    g_assert_null(bus_find(m, "SOCKET", NULL, &none));
    g_assert_nonnull(strstr(none->message, "add a controller"));
    bus_init(&a.bus, m, &socket_type, "socket.0", NULL);
    bus_init(&b.bus, m, &cold_type, "cold.0", NULL);
    g_assert_null(bus_find(m, "SOCKET", "socket.7", &missing));
    g_assert_nonnull(strstr(missing->message, "socket.0"));
    g_assert_null(bus_find(m, "SOCKET", "cold.0", &wrong));
    g_assert_nonnull(strstr(wrong->message, "COLD"));
    g_assert_true(bus_find(m, "SOCKET", NULL, NULL) == &a.bus);
    a.in = (Device *)&a;
    g_assert_null(bus_find(m, "SOCKET", NULL, &full));
    g_assert_nonnull(strstr(full->message, "full"));
    machine_destroy(m);
    bus_clear(&a.bus); /* after the machine, as a board does */
    bus_clear(&b.bus);
}

static void test_come_and_go(void)
{
    Machine *m = machine_create(&(MachineConfig){ .manual_clock = true }, NULL);
    Socket a = { 0 };
    Device *gone = NULL, *one = peg(m, "one"), *two = peg(m, "two"), *third = peg(m, NULL);
    g_autoptr(GError) err = NULL;
    m->listener = (MachineListener){ .stop_requested = ignore, .opaque = &gone, .unplugged = remember };
    bus_init(&a.bus, m, &socket_type, "socket.0", NULL);
    g_assert_true(device_hotplug(one, NULL, NULL, NULL) && a.told == 1);
    g_assert_true(device_hotplug(two, NULL, "0", NULL)); /* socket.0 is full: the bus that one brought */
    g_assert_cmpstr(two->bus->name, ==, "one.0");
    g_assert_false(device_hotplug(third, "socket.0", NULL, &err));
    g_assert_nonnull(strstr(err->message, "one"));
    device_destroy(third);
    g_assert_true(device_unplug_request(one, NULL) && a.asked == 1 && gone == one);
    device_unplug(one);
    g_assert_cmpuint(alive, ==, 0);
    g_assert_cmpuint(m->devices->len, ==, 0);
    bus_clear(&a.bus);
    machine_destroy(m);
}

static const DeviceType cold_peg_type = { .name = "cold-peg", .summary = "a test's", .size = sizeof(Peg), .version = 1, .fields = peg_fields, .bus = "COLD" };

static void test_cold(void)
{
    Machine *m = machine_create(&(MachineConfig){ .manual_clock = true }, NULL);
    Socket a = { 0 };
    bus_init(&a.bus, m, &cold_type, "cold.0", NULL);
    Device *d = device_new(m, &cold_peg_type, NULL, NULL, NULL);
    g_autoptr(GError) hot = NULL, out = NULL;
    g_assert_false(device_hotplug(d, NULL, NULL, &hot));
    g_assert_nonnull(strstr(hot->message, "machine is off"));
    g_assert_true(device_plug(d, NULL, NULL, NULL));
    g_assert_false(device_unplug_request(d, &out));
    g_assert_nonnull(strstr(out->message, "cold.0"));
    machine_destroy(m);
    bus_clear(&a.bus);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bus/find", test_find);
    g_test_add_func("/bus/come-and-go", test_come_and_go);
    g_test_add_func("/bus/cold", test_cold);
    return g_test_run();
}
