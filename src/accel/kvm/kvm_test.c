/*
 * kvm_test.c - small real-mode guests under KVM: ports, memory-mapped devices, ROM, stopping, triple fault, state.
 * Skipped, with the reason, where /dev/kvm cannot be used.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "accel/accel.h"
#include "machine/machine.h"

enum { RAM = 1 << 20, CODE = 0x1000, PORT = 0x80 };

/* ---- a device with a port and a memory window that remembers what was written */

typedef struct Probe {
    Device dev;
    uint32_t port, mmio;
    uint8_t port_size, mmio_size;
} Probe;

static const Field probe_fields[] = {
    { F(Probe, port) }, { F(Probe, mmio) }, { F(Probe, port_size) }, { F(Probe, mmio_size) }, DEVICE_FIELDS_END,
};

static uint64_t port_read(Device *d, uint64_t off, unsigned size) { return ((Probe *)d)->port + 1; }
static void port_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    ((Probe *)d)->port = value;
    ((Probe *)d)->port_size = size;
}

static uint64_t mmio_read(Device *d, uint64_t off, unsigned size) { return ((Probe *)d)->mmio ^ 0xff; }
static void mmio_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    ((Probe *)d)->mmio = value;
    ((Probe *)d)->mmio_size = size;
}

static const WindowOps port_ops = { .read = port_read, .write = port_write, .min = 1, .max = 4 };
static const WindowOps mmio_ops = { .read = mmio_read, .write = mmio_write, .min = 1, .max = 4 };
static const WindowDecl probe_windows[] = {
    { "port", SPACE_PIO, 4, &port_ops },
    { "mmio", SPACE_MMIO, 0x1000, &mmio_ops },
    { .name = NULL },
};
static const DeviceType probe_type = { .name = "probe", .summary = "test device", .size = sizeof(Probe), .version = 1,
                                       .fields = probe_fields, .windows = probe_windows };

/* ---- the machine */

typedef struct Rig {
    Machine *machine;
    Probe *probe;
    _Atomic int cause;
} Rig;

static void on_stop(void *opaque, StopCause cause) { atomic_store(&((Rig *)opaque)->cause, cause); }

static void map(Machine *m, RegionKind kind, uint64_t base, uint64_t size, uint64_t offset, int priority)
{
    RegionDecl d = { .name = "piece", .kind = kind, .base = base, .size = size, .ram = m->ram, .offset = offset, .priority = priority };
    g_assert_nonnull(region_add(m->memory, &d, NULL));
}

/* RAM at 0, ROM (a view of RAM 0x50000) at 0x20000, the device at 0x30000. */
static bool rig_create(Rig *r, const uint8_t *code, size_t n)
{
    g_autoptr(GError) err = NULL;
    if (!accel_kvm.probe(&err)) {
        g_test_skip(err->message);
        return false;
    }
    MachineConfig config = { .ram_size = RAM, .cpus = 1, .max_cpus = 1 };
    cpu_model_host(&config.cpu_model);
    r->machine = machine_create(&config, NULL);
    r->machine->listener = (MachineListener){ on_stop, r };
    map(r->machine, REGION_RAM, 0, RAM, 0, 0);
    map(r->machine, REGION_ROM, 0x20000, 0x1000, 0x50000, 1);
    r->probe = (Probe *)device_create(r->machine, &probe_type, NULL, NULL, NULL);
    g_assert_true(device_map(&r->probe->dev, 0, PORT, NULL));
    g_assert_true(device_map(&r->probe->dev, 1, 0x30000, NULL));
    machine_add_accel(r->machine, &accel_kvm, &err);
    g_assert_no_error(err);
    machine_reset(r->machine, RESET_COLD);
    memcpy(r->machine->ram->host + CODE, code, n);
    return true;
}

static void set_start(Rig *r)
{
    CpuState s;
    Vcpu *v = machine_vcpu(r->machine, 0);
    g_assert_true(v->accel->ops->get(v, &s, NULL));
    s.seg[SEG_CS].selector = 0;
    s.seg[SEG_CS].base = 0;
    s.rip = CODE;
    s.gpr[GPR_RSP] = 0x8000;
    g_assert_true(v->accel->ops->set(v, &s, NULL));
}

static void enter_protected_mode(Rig *r)
{
    Vcpu *v = machine_vcpu(r->machine, 0);
    CpuState s;
    g_assert_true(v->accel->ops->get(v, &s, NULL));
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s.seg[i] = (Segment){ .selector = i == SEG_CS ? 8 : 16, .attr = i == SEG_CS ? 0xc09b : 0xc093, .limit = UINT32_MAX };
    s.cr0 |= CR0_PE;
    s.idtr = (DescriptorTable){ 0 };
    g_assert_true(v->accel->ops->set(v, &s, NULL));
}

/* The guest writes `value` to 0xa000 when it is done. */
static void run_until(Rig *r, uint8_t value)
{
    set_start(r);
    machine_start(r->machine);
    volatile uint8_t *mark = r->machine->ram->host + 0xa000;
    for (int i = 0; i < 30000 && *mark != value; i++)
        g_usleep(1000);
    machine_stop(r->machine);
    g_assert_cmphex(*mark, ==, value);
}

static CpuState state(Rig *r)
{
    CpuState s;
    g_autoptr(GError) err = NULL;
    machine_vcpu(r->machine, 0)->accel->ops->get(machine_vcpu(r->machine, 0), &s, &err);
    g_assert_no_error(err);
    return s;
}

/* ---- guests */

static void test_ports_and_mmio(void)
{
    static const uint8_t code[] = {
        0xb8, 0x34, 0x12,             /* mov ax, 1234h */
        0xe7, PORT,                   /* out PORT, ax */
        0xe5, PORT,                   /* in ax, PORT */
        0x89, 0xc3,                   /* mov bx, ax */
        0xb8, 0x00, 0x30, 0x8e, 0xd8, /* mov ds, 3000h */
        0xc7, 0x06, 0x04, 0x00, 0xcd, 0xab, /* mov word [4], abcdh */
        0x8b, 0x0e, 0x04, 0x00,       /* mov cx, [4] */
        0x31, 0xc0, 0x8e, 0xd8,       /* mov ds, 0 */
        0xc6, 0x06, 0x00, 0xa0, 0x77, /* mov byte [a000h], 77h */
        0xeb, 0xfe,                   /* jmp $ */
    };
    Rig r = { 0 };
    if (!rig_create(&r, code, sizeof(code)))
        return;
    run_until(&r, 0x77);
    g_assert_cmphex(r.probe->port, ==, 0x1234);
    g_assert_cmpuint(r.probe->port_size, ==, 2);
    g_assert_cmphex(r.probe->mmio, ==, 0xabcd);
    CpuState s = state(&r);
    g_assert_cmphex(s.gpr[GPR_RBX], ==, 0x1235);
    g_assert_cmphex(s.gpr[GPR_RCX], ==, 0xab32);
    machine_destroy(r.machine);
}

static void test_rom(void)
{
    static const uint8_t code[] = {
        0xb8, 0x00, 0x20, 0x8e, 0xd8,       /* mov ds, 2000h */
        0xc6, 0x06, 0x10, 0x00, 0x99,       /* mov byte [10h], 99h: goes nowhere */
        0xa0, 0x10, 0x00,                   /* mov al, [10h] */
        0x31, 0xdb, 0x8e, 0xdb,             /* mov ds, 0 */
        0xa2, 0x00, 0xa0,                   /* mov [a000h], al */
        0xeb, 0xfe,
    };
    Rig r = { 0 };
    if (!rig_create(&r, code, sizeof(code)))
        return;
    r.machine->ram->host[0x50010] = 0x5a;
    run_until(&r, 0x5a);
    machine_destroy(r.machine);
}

static void test_triple_fault(void)
{
    static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2: the IDT is empty, so neither #UD nor #DF can be delivered */
    Rig r = { 0 };
    if (!rig_create(&r, code, sizeof(code)))
        return;
    set_start(&r);
    enter_protected_mode(&r);
    machine_start(r.machine);
    for (int i = 0; i < 30000 && !atomic_load(&r.cause); i++)
        g_usleep(1000);
    machine_stop(r.machine);
    g_assert_cmpint(atomic_load(&r.cause), ==, CAUSE_TRIPLE_FAULT);
    machine_destroy(r.machine);
}

static void test_state_round_trip(void)
{
    static const uint8_t code[] = { 0xeb, 0xfe };
    Rig r = { 0 };
    if (!rig_create(&r, code, sizeof(code)))
        return;
    CpuState s = state(&r);
    for (unsigned i = 0; i < 16; i++)
        s.gpr[i] = 0x1111111111111111ull * i;
    s.fpu.xmm[3].bytes[5] = 0x42;
    s.star = 0x0018000800000000;
    s.lstar = 0xffffffff81000000;
    s.dr[0] = 0x1234;
    s.seg[SEG_FS].base = 0x123456;
    g_autoptr(GError) err = NULL;
    Vcpu *v = machine_vcpu(r.machine, 0);
    v->accel->ops->set(v, &s, &err);
    g_assert_no_error(err);
    CpuState back = state(&r);
    g_autofree char *diff = cpu_state_diff(&s, &back);
    g_assert_cmpmem(back.gpr, sizeof(back.gpr), s.gpr, sizeof(s.gpr));
    g_assert_cmphex(back.fpu.xmm[3].bytes[5], ==, 0x42);
    g_assert_cmphex(back.star, ==, s.star);
    g_assert_cmphex(back.lstar, ==, s.lstar);
    g_assert_cmphex(back.dr[0], ==, 0x1234);
    g_assert_cmphex(back.seg[SEG_FS].base, ==, 0x123456);
    g_test_message("differences: %s", diff);
    machine_destroy(r.machine);
}

static void test_dirty_log(void)
{
    static const uint8_t code[] = { 0xc6, 0x06, 0x00, 0xa0, 0x21, 0xeb, 0xfe };
    Rig r = { 0 };
    if (!rig_create(&r, code, sizeof(code)))
        return;
    g_autoptr(GError) err = NULL;
    uint64_t bitmap = 0;
    g_assert_true(machine_take_dirty(r.machine, r.machine->ram, 0, 16, &bitmap, &err));
    g_assert_cmphex(bitmap, ==, 0xffff); /* nobody knows what was before */
    run_until(&r, 0x21);
    bitmap = 0;
    g_assert_true(machine_take_dirty(r.machine, r.machine->ram, 0, 16, &bitmap, &err));
    g_assert_no_error(err);
    g_assert_cmphex(bitmap, ==, 1 << 0xa);
    machine_destroy(r.machine);
}

/* ---- ioeventfd */

static unsigned signalled(int fd)
{
    uint64_t count = 0;
    return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* What matches signals and does not come to the device; what does not match comes. */
static void test_ioeventfd(void)
{
    static const uint8_t code[] = {
        0xb8, 0x34, 0x12, 0xe7, PORT,       /* mov ax, 1234h; out PORT, ax: matches */
        0xb8, 0x02, 0x00, 0xe7, PORT,       /* another value */
        0xb8, 0x00, 0x30, 0x8e, 0xd8,       /* mov ds, 3000h */
        0xc7, 0x06, 0x04, 0x00, 0xcd, 0xab, /* mov word [4], abcdh: any value matches */
        0xc7, 0x06, 0x08, 0x00, 0xef, 0xbe, /* mov word [8], beefh */
        0x31, 0xc0, 0x8e, 0xd8,             /* mov ds, 0 */
        0xc6, 0x06, 0x00, 0xa0, 0x77,       /* mov byte [a000h], 77h */
        0xeb, 0xfe,
    };
    static const IoEvent port = { .addr = PORT, .size = 2, .pio = true, .match = 0x1234 };
    static const IoEvent mmio = { .addr = 0x30004, .size = 2, .any_value = true };
    int fd[] = { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    Rig r = { 0 };
    if (rig_create(&r, code, sizeof(code))) {
        g_assert_true(machine_ioeventfd(r.machine, fd[0], &port, true));
        g_assert_true(machine_ioeventfd(r.machine, fd[1], &mmio, true));
        g_assert_false(machine_ioeventfd(r.machine, fd[1], &mmio, true)); /* taken */
        run_until(&r, 0x77);
        g_assert_cmphex(r.probe->port, ==, 2);
        g_assert_cmphex(r.probe->mmio, ==, 0xbeef);
        g_assert_cmpuint(signalled(fd[0]), ==, 1);
        g_assert_cmpuint(signalled(fd[1]), ==, 1);
        g_assert_true(machine_ioeventfd(r.machine, fd[0], &port, false));
        g_assert_true(machine_ioeventfd(r.machine, fd[1], &mmio, false));
        r.machine->ram->host[0xa000] = 0;
        run_until(&r, 0x77);
        g_assert_cmpuint(signalled(fd[0]) + signalled(fd[1]), ==, 0);
        machine_destroy(r.machine);
    }
    close(fd[0]);
    close(fd[1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm/ports-and-mmio", test_ports_and_mmio);
    g_test_add_func("/kvm/ioeventfd", test_ioeventfd);
    g_test_add_func("/kvm/rom", test_rom);
    g_test_add_func("/kvm/triple-fault", test_triple_fault);
    g_test_add_func("/kvm/state", test_state_round_trip);
    g_test_add_func("/kvm/dirty-log", test_dirty_log);
    return g_test_run();
}
