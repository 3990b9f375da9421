/*
 * fuzz_qtest.c - a whole machine without a processor (-accel qtest), made from a command line as users write it, whose
 * chosen devices get any accesses to ports, registers, configuration and any contents of the memory that they read.
 *
 * One program a row of the table below (tests/fuzz/meson.build).  Input is a sequence of steps, a byte each with what it
 * needs.  Memory is written in forms that devices take for theirs - addresses within a small arena, lengths, links - since
 * random bytes seldom point anywhere.
 */
#include "boards/board.h"
#include "console/display.h"
#include "console/input.h"
#include "devices/devices.h"
#include "fuzz.h"
#include "vmm/options.h"
#include "vmm/vm.h"

typedef struct FuzzMachine {
    const char *name, *devices; /* types that are driven: words of g_pattern_match_simple() */
    const char *options;
} FuzzMachine;

#define DISK_AS(id) "-blockdev driver=memory,size=1M,node-name=" id " "
#define CD_AS(id) "-blockdev driver=memory,size=400k,node-name=" id " "
static const FuzzMachine machines[] = {
    { "ahci", "*ahci*", "-M q35 " DISK_AS("d") CD_AS("c") "-device ide-hd,drive=d,bus=ide.0 -device ide-cd,drive=c,bus=ide.1" },
    { "apic", "apic ioapic i8259", "-smp 2" },
    { "board", "PIIX* i440FX* acpi-* port92 a20-gate i8237 fw_cfg", "" },
    { "bridges", "pci-bridge *-bridge pcie-root-port e1000 virtio-rng*", "-M q35 -device pcie-root-port,id=r,chassis=1 -device virtio-rng-pci,bus=r -device pcie-pci-bridge,id=b -device pci-bridge,id=c,bus=b,addr=1,chassis_nr=2 "
      "-netdev user,id=n,restrict=on -device e1000,netdev=n,bus=c,addr=1" },
    { "e1000", "e1000", "-netdev user,id=n,restrict=on -device e1000,netdev=n" },
    { "e1000e", "e1000e", "-M q35 -netdev user,id=n,restrict=on -device e1000e,netdev=n" },
    { "firmware", "fw_cfg", "-device ramfb" },
    { "floppy", "isa-fdc i8237", "-device isa-fdc,id=f -blockdev driver=memory,size=1440k,node-name=d -device floppy,drive=d,bus=f.0" },
    { "ide", "*ide*", DISK_AS("d") CD_AS("c") "-device ide-hd,drive=d,bus=ide.0 -device ide-cd,drive=c,bus=ide.1" },
    { "microvm", "virtio-* acpi-hw", "-M microvm " DISK_AS("d") CD_AS("c") "-netdev user,id=n,restrict=on -device virtio-blk-device,drive=d -device virtio-net-device,netdev=n "
      "-device virtio-rng-device -device virtio-serial-device -device virtio-balloon-device -device virtio-scsi-device,id=s -device scsi-cd,drive=c,bus=s.0" },
    { "misc", "isa-* ib700 i6300esb pvpanic", "-chardev null,id=c -device isa-debugcon,chardev=c -device isa-post-card -device ib700 -device i6300esb -device pvpanic" },
    { "pflash", "cfi.pflash01", "-M q35,pflash0=f,pflash1=v -blockdev driver=memory,size=256k,node-name=f -blockdev driver=memory,size=128k,node-name=v" },
    { "ps2", "i8042", "" },
    { "q35", "q35-* mch ICH9-* pcie-root-port acpi-*", "-M q35 -device pcie-root-port,id=r,chassis=1" },
    { "serial", "isa-serial", "-serial null -serial null" },
    { "timers", "hpet mc146818rtc i8254", "" },
    { "vga", "VGA", "-device VGA" },
    { "virtio_balloon", "virtio-balloon*", "-device virtio-balloon-pci,free-page-reporting=on" },
    { "virtio_blk", "virtio-blk*", DISK_AS("d") "-device virtio-blk-pci,drive=d" },
    { "virtio_gpu", "virtio-gpu*", "-device virtio-gpu-pci" },
    { "virtio_input", "virtio-*", "-device virtio-keyboard-pci -device virtio-tablet-pci -device virtio-mouse-pci" },
    { "virtio_net", "virtio-net*", "-netdev user,id=n,restrict=on -device virtio-net-pci,netdev=n" },
    { "virtio_rng", "virtio-rng*", "-device virtio-rng-pci" },
    { "virtio_scsi", "virtio-scsi*", DISK_AS("d") CD_AS("c") "-device virtio-scsi-pci,id=s -device scsi-hd,drive=d,bus=s.0 -device scsi-cd,drive=c,bus=s.0" },
    { "virtio_serial", "virtio-serial*", "-chardev null,id=c -device virtio-serial-pci,id=s -device virtserialport,bus=s.0,chardev=c,name=org.qemu.guest_agent.0 -chardev null,id=t -device virtconsole,bus=s.0,chardev=t" },
    { "virtio_vga", "virtio-vga", "-device virtio-vga" },
    { "uhci", "*uhci*", "-device piix3-usb-uhci,id=x -device usb-tablet,bus=x.0 " DISK_AS("d") "-device usb-storage,bus=x.0,drive=d" },
    { "xhci", "*xhci*", "-device qemu-xhci,id=x -device usb-tablet,bus=x.0 -device usb-kbd,bus=x.0 -device usb-mouse,bus=x.0 " DISK_AS("d") "-device usb-storage,bus=x.0,drive=d" },
    { NULL },
};

enum { ARENA = 0x200000, ARENA_BYTES = 0x40000, STEPS = 300, INPUTS = 200, FUNCTIONS = 16 };

typedef struct Fuzz {
    const FuzzMachine *row;
    VmConfig *config;
    Vm *vm;
    Machine *m;
    FuzzRig rig;
    DisplayListener *looker; /* at the first screen, if there is one */
    PciDevice *functions[FUNCTIONS];
    unsigned n_functions, inputs;
} Fuzz;

/* ---- the machine */

static bool is_driven(const Fuzz *f, const Device *d)
{
    g_auto(GStrv) patterns = g_strsplit(f->row->devices, " ", -1);
    for (char **p = patterns; *p; p++)
        if (g_pattern_match_simple(*p, d->type->name))
            return true;
    return false;
}

static void find_functions(Fuzz *f)
{
    for (unsigned i = 0; i < f->m->devices->len && f->n_functions < FUNCTIONS; i++) {
        Device *d = f->m->devices->pdata[i];
        if (!d->type->pci || !is_driven(f, d))
            continue;
        f->functions[f->n_functions++] = (PciDevice *)d;
    }
}

static void enable_functions(Fuzz *f)
{
    for (unsigned i = 0; i < f->n_functions; i++) {
        PciDevice *p = f->functions[i];
        pci_config_write(p->bus, p->devfn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
}

static void build(Fuzz *f)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *line = g_strconcat("atoll-vm -accel qtest -nodefaults -display none -m 16 -sandbox off ", f->row->options, NULL);
    g_auto(GStrv) words = g_strsplit(g_strstrip(line), " ", -1);
    f->config = config_new();
    if (!options_parse(f->config, g_strv_length(words), words, &err) || !config_finish(f->config, &err) || !(f->vm = vm_build(f->config, &err)))
        g_error("%s: %s", line, err->message);
    f->m = f->rig.machine = f->vm->machine;
    Display *screen = screens_nth(f->m->screens, 0);
    f->looker = screen ? display_listen(screen) : NULL;
    find_functions(f);
}

/* ---- where to write */

/* The n-th of the places at which the devices are seen, going round. */
static bool find_window(Fuzz *f, AddressSpace *s, unsigned n, uint64_t *ret_at, uint64_t *ret_size)
{
    FlatView *v = space_view(s);
    unsigned count = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        unsigned k = 0;
        for (size_t i = 0; i < v->n; i++) {
            const FlatRange *r = &v->range[i];
            if (!r->window || !is_driven(f, r->window->device))
                continue;
            if (pass && k == n % count) {
                *ret_at = r->start;
                *ret_size = r->size;
            }
            k++;
        }
        count = k;
        if (!count)
            break;
    }
    view_unref(v);
    return count;
}

/* What registers and descriptors hold: an address in the arena, a small number, or anything. */
static uint64_t value(FuzzInput *in)
{
    uint8_t kind = fuzz_take(in, 1);
    switch (kind & 7) {
    case 0 ... 2:
        return ARENA + (fuzz_take(in, 2) << 2) % ARENA_BYTES;
    case 3:
        return kind >> 3;
    case 4:
        return 1ull << (kind >> 3);
    case 5:
        return fuzz_take(in, 2);
    case 6:
        return ARENA + ((uint64_t)kind << 12) % ARENA_BYTES;
    default:
        return fuzz_take(in, 8);
    }
}

static void access_once(Fuzz *f, FuzzInput *in, AddressSpace *s, bool write)
{
    uint64_t at, size;
    unsigned which = fuzz_take(in, 1), bytes = 1u << which / 64;
    if (!find_window(f, s, which % 64, &at, &size))
        return;
    uint64_t off = fuzz_take(in, 2);
    at += off % size;
    if (s == f->m->ports)
        bytes = MIN(bytes, 4);
    if (write)
        fuzz_write(s, at, bytes, value(in));
    else
        fuzz_read(s, at, bytes);
}

/* The same register again and again: data ports. */
static void access_many(Fuzz *f, FuzzInput *in, AddressSpace *s)
{
    uint64_t at, size;
    unsigned which = fuzz_take(in, 1), n = fuzz_take(in, 2) % 3000, bytes = s == f->m->ports ? 2 : 4;
    if (!find_window(f, s, which % 64, &at, &size))
        return;
    at += fuzz_take(in, 2) % size;
    uint32_t what = fuzz_take(in, 4);
    for (unsigned i = 0; i < n; i++)
        if (which & 64)
            fuzz_write(s, at, bytes, what);
        else
            fuzz_read(s, at, bytes);
}

static void configure(Fuzz *f, FuzzInput *in)
{
    if (!f->n_functions)
        return;
    uint8_t which = fuzz_take(in, 1), bytes = 1 << which / 64 % 3;
    PciDevice *p = f->functions[which % f->n_functions];
    unsigned off = fuzz_take(in, 2) % (p->dev.type->pci->express ? 4096 : 256) & -bytes;
    if (off < 0x40 && off >= PCI_BAR0 && which & 32)
        return; /* BARs mostly stay where they are found */
    pci_config_write(p->bus, p->devfn, off, bytes, value(in));
    pci_config_read(p->bus, p->devfn, off, bytes);
}

/* ---- memory */

/* A line of things that look like descriptors: 16 bytes of address, length, flags and link. */
static void put_descriptors(Fuzz *f, FuzzInput *in)
{
    uint64_t at = ARENA + (fuzz_take(in, 2) << 4) % ARENA_BYTES;
    uint8_t form = fuzz_take(in, 1);
    for (unsigned n = form % 16 + 1; n && in->left; n--, at += 16) {
        uint64_t address = value(in);
        uint32_t length = fuzz_take(in, 2), more = fuzz_take(in, 4);
        uint32_t prd[4] = { address, length | more << 16, address >> 16, more };
        if (form & 0x80)
            dma_write(f->m, at, prd, sizeof(prd)); /* 32 bits: bus master IDE; and commands of other kinds */
        else {
            dma_write(f->m, at, &address, 8);
            dma_write(f->m, at + 8, &length, 4);
            dma_write(f->m, at + 12, &more, 4);
        }
    }
}

static void put_bytes(Fuzz *f, FuzzInput *in)
{
    fuzz_fill_ram(&f->rig, in, ARENA + (fuzz_take(in, 2) << 2) % (ARENA_BYTES - 256));
}

/* ---- virtio: queues where they can be, so that steps go on from a driver's state (virtio 1.1, 3.1.1) */

static uint64_t find_capability(PciDevice *p, unsigned type, uint32_t *ret_more)
{
    for (unsigned at = p->config[PCI_CAPABILITIES], n = 0; at && n < 48; at = p->config[at + 1], n++)
        if (p->config[at] == PCI_CAP_VENDOR && p->config[at + 3] == type) {
            *ret_more = pci_get32(p, at + 16);
            unsigned bar = p->config[at + 4];
            return bar < 6 ? (pci_get32(p, PCI_BAR0 + 4 * bar) & ~15u) + pci_get32(p, at + 8) : 0;
        }
    return 0;
}

static void set_up_virtio(Fuzz *f, FuzzInput *in)
{
    PciDevice *p = f->n_functions ? f->functions[fuzz_take(in, 1) % f->n_functions] : NULL;
    uint32_t unused;
    uint64_t common = p && pci_get16(p, PCI_VENDOR_ID) == 0x1af4 ? find_capability(p, 1, &unused) : 0;
    AddressSpace *s = f->m->memory;
    if (!common)
        return;
    fuzz_write(s, common + 20, 1, 0);
    fuzz_write(s, common + 20, 1, 3);
    for (unsigned half = 0; half < 2; half++) {
        fuzz_write(s, common, 4, half);
        uint32_t offered = fuzz_read(s, common + 4, 4);
        fuzz_write(s, common + 8, 4, half);
        fuzz_write(s, common + 12, 4, half ? offered : offered & fuzz_take(in, 4));
    }
    fuzz_write(s, common + 20, 1, 11);
    for (unsigned q = 0; q < 4; q++) {
        fuzz_write(s, common + 22, 2, q);
        fuzz_write(s, common + 24, 2, 16);
        for (unsigned part = 0; part < 3; part++)
            fuzz_write(s, common + 32 + 8 * part, 8, ARENA + 0x4000 * q + 0x1000 * part);
        fuzz_write(s, common + 28, 2, 1);
    }
    fuzz_write(s, common + 20, 1, 15);
}

/* A chain of descriptors in queue q's table, offered. */
static void offer_virtio(Fuzz *f, FuzzInput *in)
{
    uint8_t which = fuzz_take(in, 1), n = fuzz_take(in, 1) % 5 + 1;
    unsigned q = which % 4;
    PciDevice *p = f->n_functions ? f->functions[which / 4 % f->n_functions] : NULL;
    uint32_t multiplier = 0;
    uint64_t notify = p ? find_capability(p, 2, &multiplier) : 0, base = ARENA + 0x4000 * q;
    uint16_t head, first = fuzz_take(in, 1) % 16, index = first;
    if (!notify || !dma_read(f->m, base + 0x1002, &head, 2))
        return;
    for (unsigned i = 0; i < n; i++, index = (index + 1) % 16) {
        uint64_t at = ARENA + 0x10000 + (fuzz_take(in, 2) << 2) % (ARENA_BYTES - 0x10000);
        uint32_t word = fuzz_take(in, 2), length = word & 0x1fff;
        struct { uint64_t at; uint32_t length; uint16_t flags, next; } d = { at, length, word >> 14 & 2, (index + 1) % 16 };
        d.flags |= i + 1 < n ? 1 : 0;
        d.flags |= (word & 0x6000) == 0x6000 ? 4 : 0;
        dma_write(f->m, base + 16 * index, &d, sizeof(d));
        if (!(d.flags & 2)) /* a header, perhaps */
            fuzz_fill_ram(&f->rig, in, at);
    }
    dma_write(f->m, base + 0x1004 + 2 * (head % 16), &first, 2);
    head++;
    dma_write(f->m, base + 0x1002, &head, 2);
    fuzz_write(f->m->memory, notify + q * multiplier, 2, q);
}

/* ---- the host's side: somebody at the screen, keyboard, pointer and power button */

static void type_and_look(Fuzz *f, FuzzInput *in)
{
    uint8_t what = fuzz_take(in, 1), more = fuzz_take(in, 1);
    const Key *k;
    switch (what % 6) {
    case 0:
        if ((k = key_by_code(more & 0x7f)))
            input_key(f->m->input, k, what & 64);
        break;
    case 1:
        input_move(f->m->input, (int8_t)more, (int8_t)what);
        break;
    case 2:
        input_point(f->m->input, more * INPUT_AXIS_MAX / 255, what * INPUT_AXIS_MAX / 255);
        break;
    case 3:
        input_button(f->m->input, more % 3, what & 64);
        input_wheel(f->m->input, (int8_t)more, 0);
        break;
    case 4:
        if (more < 8)
            machine_powerdown(f->m);
        break;
    default:
        if (f->looker)
            display_fetch(f->looker);
    }
    input_sync(f->m->input);
}

/* ---- steps */

static void let_others_run(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(50);
    }
}

static void step(Fuzz *f, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    switch (op % 32) {
    case 0 ... 5:
        access_once(f, in, f->m->memory, true);
        break;
    case 6 ... 10:
        access_once(f, in, f->m->ports, true);
        break;
    case 11 ... 12:
        access_once(f, in, op & 32 ? f->m->ports : f->m->memory, false);
        break;
    case 13 ... 15:
        configure(f, in);
        break;
    case 16 ... 18:
        put_descriptors(f, in);
        break;
    case 19 ... 20:
        put_bytes(f, in);
        break;
    case 21:
        set_up_virtio(f, in);
        break;
    case 22 ... 26:
        offer_virtio(f, in);
        break;
    case 27:
        clock_advance(f->m->clock, fuzz_take(in, 3));
        break;
    case 28:
        access_many(f, in, op & 32 ? f->m->ports : f->m->memory);
        break;
    case 29:
        if (op == 29) {
            machine_stop(f->m);
            machine_reset(f->m, RESET_WARM);
            machine_start(f->m);
        } else if (op == 61) {
            machine_stop(f->m);
            fuzz_save_load(&f->rig);
            machine_start(f->m);
        }
        break;
    case 30:
        type_and_look(f, in);
        break;
    default:
        let_others_run(op / 32 + 1);
    }
}

static const FuzzMachine *find_row(const char *name)
{
    const FuzzMachine *row = machines;
    while (row->name && !g_str_equal(row->name, name))
        row++;
    if (!row->name)
        g_error("no machine '%s' in fuzz_qtest.c", name);
    return row;
}

/* ---- a machine for many inputs: to make one takes longer than to drive it */

static void begin(Fuzz *f)
{
    f->row = find_row(FUZZ_MACHINE);
    f->inputs = 0;
    build(f);
}

static void end(Fuzz *f)
{
    if (f->looker)
        display_unlisten(f->looker);
    vm_destroy(f->vm);
    config_free(f->config);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    *f = (Fuzz){ 0 };
}

static void start_anew(Fuzz *f)
{
    static const uint8_t zeros[ARENA_BYTES];
    BoardStart start = { 0 };
    machine_stop(f->m);
    machine_reset(f->m, RESET_COLD);
    g_assert_true(board_start_direct(f->vm->board, &start, NULL));
    dma_write(f->m, ARENA, zeros, sizeof(zeros));
    machine_start(f->m);
    enable_functions(f);
    uint64_t at, bytes;
    if (!find_window(f, f->m->memory, 0, &at, &bytes) && !find_window(f, f->m->ports, 0, &at, &bytes))
        g_error("%s: none of '%s' is in the machine", f->row->name, f->row->devices);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Fuzz f;
    FuzzInput in = { data, size };
    if (f.vm && ++f.inputs == INPUTS)
        end(&f);
    if (!f.vm)
        begin(&f);
    start_anew(&f);
    for (unsigned i = 0; i < STEPS && in.left; i++)
        step(&f, &in);
    let_others_run(1);
    return 0;
}
