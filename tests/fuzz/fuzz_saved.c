/*
 * fuzz_saved.c - a saved machine with any bytes changed, its checksums right again: whatever comes, the reader says what is wrong
 * or takes it.
 */
#include <isa-l/crc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/block.h"
#include "devices/storage/ide.h"
#include "fuzz.h"
#include "vmm/migration/contents.h"

enum { HEAD = 16, SECTION_HEAD = 16, DEVFN = 9 };

static FuzzRig make_machine(void)
{
    FuzzRig r = fuzz_rig_create();
    Device *ide = piix3_ide_create(r.machine, r.bus, DEVFN, (IrqLine){ 0 }, (IrqLine){ 0 }, NULL);
    Device *cd = device_new(r.machine, &ide_cd_type, NULL, NULL, NULL);
    g_assert_true(ide_attach(ide, cd, NULL) && device_realize(cd, NULL));
    return r;
}

static GByteArray *bytes_of(int fd)
{
    GByteArray *a = g_byte_array_new();
    g_byte_array_set_size(a, lseek(fd, 0, SEEK_END));
    g_assert_cmpint(pread(fd, a->data, a->len, 0), ==, a->len);
    return a;
}

static GByteArray *save(Machine *m)
{
    Stream s;
    MemoryCount count = { 0 };
    int fd = memfd_create("saved", MFD_CLOEXEC);
    g_autoptr(GByteArray) state = g_byte_array_new();
    stream_init(&s, fd, NULL);
    g_assert_true(machine_save(m, state, NULL) && contents_write(&s, m, "rig", state, &count, NULL));
    stream_clear(&s);
    GByteArray *all = bytes_of(fd);
    close(fd);
    return all;
}

/* Most of the input goes where the most is to be read: the description, and the state of devices. */
static void change(GByteArray *a, FuzzInput *in)
{
    for (unsigned i = fuzz_take(in, 1) % 16 + 1; i && in->left; i--) {
        uint32_t where = fuzz_take(in, 1), at = fuzz_take(in, 2);
        uint32_t from = where & 1 ? a->len - MIN(a->len, 16384) : 0;
        a->data[from + at % MIN(a->len - from, where & 2 ? 512 : 16384)] = fuzz_take(in, 1);
        if (where == 0xff)
            g_byte_array_set_size(a, MAX(at % a->len, 1));
    }
}

/* As far as the lengths lead. */
static void mend_checksums(GByteArray *a)
{
    for (uint64_t at = HEAD; at + SECTION_HEAD <= a->len;) {
        uint64_t bytes;
        memcpy(&bytes, a->data + at + 8, sizeof(bytes));
        if (bytes > a->len - at - SECTION_HEAD)
            return;
        uint32_t crc = bytes ? crc32_iscsi(a->data + at + SECTION_HEAD, bytes, ~0u) : ~0u;
        memcpy(a->data + at + 4, &crc, sizeof(crc));
        at += SECTION_HEAD + bytes;
    }
}

static void load(Machine *m, const GByteArray *a)
{
    Stream s;
    MemoryCount count = { 0 };
    g_autoptr(GByteArray) state = NULL;
    g_autoptr(GError) err = NULL;
    int fd = memfd_create("saved", MFD_CLOEXEC);
    g_assert_cmpint(pwrite(fd, a->data, a->len, 0), ==, a->len);
    stream_init(&s, fd, NULL);
    bool ok = contents_read(&s, m, "rig", &state, &count, &err) && machine_load(m, state->data, state->len, &err);
    g_assert_true(ok == !err);
    stream_clear(&s);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = make_machine();
    bool mend = fuzz_take(&in, 1) & 7;
    g_autoptr(GByteArray) saved = save(r.machine);
    change(saved, &in);
    if (mend)
        mend_checksums(saved);
    load(r.machine, saved);
    for (unsigned i = 0; i < 64 && in.left; i++) /* what was taken is a machine */
        fuzz_read(r.machine->ports, 0x1f0 + fuzz_take(&in, 1) % 8, 1);
    fuzz_rig_destroy(&r);
    return 0;
}
