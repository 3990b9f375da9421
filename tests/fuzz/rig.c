/* rig.c - the machine that device fuzzers drive. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static void ignore_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) {}
static void ignore_msi(void *opaque, uint64_t address, uint32_t data) {}
static const PciBusOps bus_ops = { .set_intx = ignore_intx, .msi = ignore_msi };

FuzzRig fuzz_rig_create(void)
{
    MachineConfig config = { .ram_size = FUZZ_RAM_BYTES, .manual_clock = true, .max_cpus = 1 };
    FuzzRig r = { .machine = machine_create(&config, NULL) };
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = FUZZ_RAM_BYTES, .ram = r.machine->ram };
    g_assert_nonnull(region_add(r.machine->memory, &ram, NULL));
    r.bus = pci_bus_create(r.machine, "pci.0", &bus_ops, NULL);
    return r;
}

void fuzz_rig_destroy(FuzzRig *r)
{
    machine_destroy(r->machine);
    pci_bus_destroy(r->bus);
}

uint64_t fuzz_read(AddressSpace *s, uint64_t at, unsigned size)
{
    FlatView *v = space_view(s);
    uint64_t value = view_read(v, at, size);
    view_unref(v);
    return value;
}

void fuzz_write(AddressSpace *s, uint64_t at, unsigned size, uint64_t value)
{
    FlatView *v = space_view(s);
    view_write(v, at, size, value);
    view_unref(v);
}

void fuzz_fill_ram(FuzzRig *r, FuzzInput *in, uint64_t at)
{
    size_t n = fuzz_take(in, 1) + 1;
    n = MIN(n, in->left);
    dma_write(r->machine, at, in->data, n);
    in->data += n;
    in->left -= n;
}

void fuzz_save_load(FuzzRig *r)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    if (!machine_save(r->machine, state, &err) || !machine_load(r->machine, state->data, state->len, &err))
        g_error("a machine's own saved state does not load: %s", err->message);
}

BlkNode *fuzz_add_image(FuzzRig *r, const char *id, unsigned bytes)
{
    int fd = memfd_create(id, MFD_CLOEXEC);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_assert_cmpint(ftruncate(fd, bytes), ==, 0);
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = "raw", .share = true }, NULL);
    close(fd);
    machine_add_backend(r->machine, BACKEND_DRIVE, id, n);
    return n;
}
