/* loader_test.c - where kernels are put, what CPU 0 holds when they start, and what a damaged file gives. */
#include <elf.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accel/accel.h"
#include "vmm/loader/kernel.h"

enum { MiB = 1 << 20, RAM_BYTES = 32 * MiB };

typedef struct Bench {
    char *dir;
    Machine *m;
    BoardStart start;
} Bench;

static void bench_init(Bench *b)
{
    MachineConfig config = { .ram_size = RAM_BYTES, .cpus = 1, .sockets = 1, .cores = 1, .threads = 1, .max_cpus = 1, .manual_clock = true };
    CpuModel limit;
    cpu_model_max(&limit);
    g_assert_true(cpu_model_parse("qemu64", &limit, &config.cpu_model, NULL, NULL));
    b->dir = g_dir_make_tmp("loader-XXXXXX", NULL);
    b->m = machine_create(&config, NULL);
    g_assert_nonnull(b->m);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM_BYTES, .ram = b->m->ram };
    g_assert_nonnull(region_add(b->m->memory, &ram, NULL));
    g_assert_true(machine_add_accel(b->m, &accel_interp, NULL));
    machine_reset(b->m, RESET_COLD);
    b->start = (BoardStart) { .n_e820 = 3, .rsdp = 0xe0000, .low_ram = RAM_BYTES };
    b->start.e820[0] = (E820Entry) { 0, 0x9fc00, E820_RAM };
    b->start.e820[1] = (E820Entry) { MiB, RAM_BYTES - MiB - 65536, E820_RAM };
    b->start.e820[2] = (E820Entry) { RAM_BYTES - 65536, 65536, E820_ACPI };
}

static void bench_finish(Bench *b)
{
    machine_destroy(b->m);
    g_rmdir(b->dir);
    g_free(b->dir);
}

static char *write_file(Bench *b, const char *name, const void *data, size_t n)
{
    char *path = g_build_filename(b->dir, name, NULL);
    g_assert_true(g_file_set_contents(path, data, n, NULL));
    return path;
}

/* Opens and loads; the files are gone afterwards, as they may be when a guest reboots. */
static bool start(Bench *b, const void *data, size_t n, const char *initrd, const char *append, GError **err)
{
    g_autofree char *path = write_file(b, "kernel", data, n), *second = initrd ? write_file(b, "initrd", initrd, strlen(initrd)) : NULL;
    Kernel *k = kernel_open(path, second, append, err);
    g_unlink(path);
    if (second)
        g_unlink(second);
    bool ok = k && kernel_load(k, b->m, &b->start, err);
    kernel_close(k);
    return ok;
}

static CpuState cpu(Bench *b)
{
    CpuState s;
    g_assert_true(b->m->accel->ops->get(machine_vcpu(b->m, 0), &s, NULL));
    return s;
}

static void expect_bytes(Bench *b, uint64_t at, const char *text)
{
    char buf[64];
    g_assert_true(dma_read(b->m, at, buf, strlen(text)));
    g_assert_cmpmem(buf, strlen(text), text, strlen(text));
}

static uint32_t word(Bench *b, uint64_t at)
{
    uint8_t buf[4];
    g_assert_true(dma_read(b->m, at, buf, 4));
    return get32(buf);
}

/* ---- Linux */

enum { SETUP = 1024, BODY = 4096 };

static void make_bzimage(uint8_t image[SETUP + BODY], bool kernel64)
{
    memset(image, 0, SETUP + BODY);
    image[0x1f1] = 1;
    put32(image + 0x1f4, BODY / 16);
    put16(image + 0x1fe, 0xaa55);
    image[0x201] = 0x66;
    memcpy(image + 0x202, "HdrS", 4);
    put16(image + 0x206, 0x20f);
    image[0x211] = 1;
    put32(image + 0x22c, 0x7fffffff);
    put16(image + 0x236, kernel64);
    put32(image + 0x238, 2047);
    put64(image + 0x258, 2 * MiB);
    put32(image + 0x260, 4 * MiB);
    memcpy(image + SETUP, "KERNEL", 6);
}

static void test_bzimage64(void)
{
    Bench b;
    uint8_t image[SETUP + BODY];
    bench_init(&b);
    make_bzimage(image, true);
    g_assert_true(start(&b, image, sizeof(image), "RAMDISK", "quiet a=b", NULL));
    CpuState s = cpu(&b);
    g_assert_cmphex(s.rip, ==, MiB + 0x200);
    g_assert_cmphex(s.efer & (EFER_LME | EFER_LMA), ==, EFER_LME | EFER_LMA);
    g_assert_true(s.seg[SEG_CS].attr & SEG_ATTR_L);
    g_assert_cmphex(s.rflags & RFLAGS_IF, ==, 0);
    expect_bytes(&b, MiB, "KERNEL");
    uint64_t zero_page = s.gpr[GPR_RSI];
    expect_bytes(&b, word(&b, zero_page + 0x228), "quiet a=b");
    uint32_t initrd = word(&b, zero_page + 0x218);
    g_assert_cmpuint(word(&b, zero_page + 0x21c), ==, 7);
    g_assert_cmphex(initrd, >=, 6 * MiB); /* behind what the kernel unpacks itself into */
    g_assert_cmphex(initrd + 7, <=, RAM_BYTES - 65536);
    expect_bytes(&b, initrd, "RAMDISK");
    g_assert_cmpuint(word(&b, zero_page + 0x1e8) & 0xff, ==, 3);
    g_assert_cmphex(word(&b, zero_page + 0x2d0 + 20), ==, MiB);
    g_assert_cmphex(word(&b, zero_page + 0x70), ==, 0xe0000);
    /* the page tables map the first 4 GiB to themselves */
    uint32_t pdpt = word(&b, s.cr3) & ~0xfffu, directory = word(&b, pdpt + 3 * 8) & ~0xfffu;
    g_assert_cmphex(word(&b, directory + 511 * 8), ==, 0xffe00000u | 0x83);
    bench_finish(&b);
}

static void test_bzimage32(void)
{
    Bench b;
    uint8_t image[SETUP + BODY];
    bench_init(&b);
    make_bzimage(image, false);
    g_assert_true(start(&b, image, sizeof(image), NULL, NULL, NULL));
    CpuState s = cpu(&b);
    g_assert_cmphex(s.rip, ==, MiB);
    g_assert_cmphex(s.cr0 & (CR0_PE | CR0_PG), ==, CR0_PE);
    g_assert_cmphex(s.seg[SEG_CS].selector, ==, 0x10);
    g_assert_cmphex(s.seg[SEG_DS].limit, ==, 0xffffffff);
    g_assert_cmpuint(word(&b, s.gpr[GPR_RSI] + 0x218), ==, 0);
    bench_finish(&b);
}

/* ---- ELF */

static size_t make_elf(uint8_t image[4096], uint32_t paddr, const uint8_t *note, size_t note_bytes)
{
    Elf64_Ehdr e = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 }, .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_entry = 0x1234,
                     .e_phoff = sizeof(e), .e_phnum = 2, .e_phentsize = sizeof(Elf64_Phdr) };
    Elf64_Phdr p[2] = { { .p_type = PT_LOAD, .p_offset = 1024, .p_paddr = paddr, .p_filesz = 16, .p_memsz = 32 },
                        { .p_type = PT_NOTE, .p_offset = 512, .p_filesz = note_bytes, .p_memsz = note_bytes } };
    memset(image, 0, 4096);
    memcpy(image, &e, sizeof(e));
    memcpy(image + sizeof(e), p, sizeof(p));
    if (note_bytes)
        memcpy(image + 512, note, note_bytes);
    memcpy(image + 1024, "SEGMENT", 7);
    return 2048;
}

static const uint8_t pvh_note[] = { 4, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0, 'X', 'e', 'n', 0, 9, 9, 9, 9, /* another one first */
                                    4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, 'X', 'e', 'n', 0, 0x80, 0, 0x20, 0 };

static void test_pvh(void)
{
    Bench b;
    uint8_t image[4096];
    bench_init(&b);
    dma_write(b.m, 2 * MiB + 16, "DIRT", 4);
    size_t n = make_elf(image, 2 * MiB, pvh_note, sizeof(pvh_note));
    g_assert_true(start(&b, image, n, "RAMDISK", "hello", NULL));
    CpuState s = cpu(&b);
    g_assert_cmphex(s.rip, ==, 0x200080);
    uint64_t info = s.gpr[GPR_RBX];
    g_assert_cmphex(word(&b, info), ==, 0x336ec578);
    g_assert_cmpuint(word(&b, info + 12), ==, 1);
    expect_bytes(&b, word(&b, word(&b, info + 16)), "RAMDISK");
    expect_bytes(&b, word(&b, info + 24), "hello");
    g_assert_cmphex(word(&b, info + 32), ==, 0xe0000);
    g_assert_cmpuint(word(&b, info + 48), ==, 3);
    g_assert_cmphex(word(&b, word(&b, info + 40) + 24), ==, MiB);
    expect_bytes(&b, 2 * MiB, "SEGMENT");
    g_assert_cmphex(word(&b, 2 * MiB + 16), ==, 0);
    bench_finish(&b);
}

static void test_elf_errors(void)
{
    Bench b;
    uint8_t image[4096];
    g_autoptr(GError) err = NULL;
    bench_init(&b);
    size_t n = make_elf(image, 2 * MiB, NULL, 0);
    g_assert_false(start(&b, image, n, NULL, NULL, &err));
    g_assert_nonnull(strstr(err->message, "PVH note"));
    g_clear_error(&err);
    n = make_elf(image, RAM_BYTES, pvh_note, sizeof(pvh_note));
    g_assert_false(start(&b, image, n, NULL, NULL, &err));
    g_assert_nonnull(strstr(err->message, "give it more with -m"));
    bench_finish(&b);
}

/* ---- multiboot */

static void test_multiboot(void)
{
    Bench b;
    uint8_t image[1024] = { 0 };
    bench_init(&b);
    uint32_t flags = 0x10003;
    put32(image + 64, 0x1badb002);
    put32(image + 68, flags);
    put32(image + 72, -(0x1badb002 + flags));
    put32(image + 76, 2 * MiB + 64); /* header_addr */
    put32(image + 80, 2 * MiB);      /* load_addr: the file's start */
    put32(image + 88, 2 * MiB + 5000);
    put32(image + 92, 2 * MiB + 0x100);
    memcpy(image + 256, "ENTRY", 5);
    g_autofree char *one = write_file(&b, "one", "MODULE1", 7), *path = write_file(&b, "kernel", image, sizeof(image));
    g_autofree char *modules = g_strdup_printf("%s first,, arg,%s", one, one);
    Kernel *k = kernel_open(path, modules, "x=y", NULL);
    g_unlink(one);
    g_unlink(path);
    g_assert_nonnull(k);
    g_assert_cmpstr(kernel_kind(k), ==, "multiboot");
    g_assert_true(kernel_load(k, b.m, &b.start, NULL));
    kernel_close(k);
    CpuState s = cpu(&b);
    g_assert_cmphex(s.rip, ==, 2 * MiB + 0x100);
    g_assert_cmphex(s.gpr[GPR_RAX], ==, 0x2badb002);
    expect_bytes(&b, 2 * MiB + 256, "ENTRY");
    uint64_t info = s.gpr[GPR_RBX];
    g_autofree char *command_line = g_strdup_printf("%s x=y", path), *first = g_strdup_printf("%s first, arg", one);
    expect_bytes(&b, word(&b, info + 16), command_line);
    g_assert_cmpuint(word(&b, info + 20), ==, 2);
    uint32_t list = word(&b, info + 24);
    g_assert_cmphex(word(&b, list), ==, 2 * MiB + 0x2000); /* behind the bss, on a page */
    expect_bytes(&b, word(&b, list), "MODULE1");
    expect_bytes(&b, word(&b, list + 8), first);
    g_assert_cmphex(word(&b, list + 16), ==, 2 * MiB + 0x3000);
    g_assert_cmpuint(word(&b, info + 44), ==, 3 * 24);
    bench_finish(&b);
}

/* ---- a guest that reboots */

static void write_in_place(const char *path, const void *data, size_t n)
{
    FILE *file = fopen(path, "wb");
    g_assert_nonnull(file);
    g_assert_cmpuint(fwrite(data, 1, n, file), ==, n);
    g_assert_cmpint(fclose(file), ==, 0);
    g_assert_cmpint(utimensat(AT_FDCWD, path, (struct timespec[]){ { 1 }, { 1 } }, 0), ==, 0); /* another time, however fast this is */
}

static void test_again(void)
{
    Bench b;
    uint8_t image[SETUP + BODY];
    g_autoptr(GError) err = NULL;
    bench_init(&b);
    make_bzimage(image, true);
    g_autofree char *path = write_file(&b, "kernel", image, sizeof(image)), *kept = g_build_filename(b.dir, "kept", NULL);
    Kernel *k = kernel_open(path, NULL, NULL, NULL);
    g_assert_true(kernel_load(k, b.m, &b.start, NULL));
    g_assert_cmpint(link(path, kept), ==, 0);
    memcpy(image + SETUP, "UPDATE", 6);
    g_unlink(path);
    write_in_place(path, image, sizeof(image)); /* another file of that name */
    g_assert_true(kernel_load(k, b.m, &b.start, NULL));
    expect_bytes(&b, MiB, "KERNEL");
    write_in_place(kept, image, sizeof(image));
    g_assert_true(kernel_load(k, b.m, &b.start, NULL));
    expect_bytes(&b, MiB, "UPDATE");
    write_in_place(kept, image, SETUP + 16);
    g_assert_false(kernel_load(k, b.m, &b.start, &err));
    g_assert_nonnull(strstr(err->message, "cut short"));
    kernel_close(k);
    g_unlink(path);
    g_unlink(kept);
    bench_finish(&b);
}

/* ---- damage: any outcome but a crash */

static void test_damaged_files(void)
{
    Bench b;
    uint8_t good[2][SETUP + BODY] = { { 0 } };
    bench_init(&b);
    make_bzimage(good[0], true);
    make_elf(good[1], 2 * MiB, pvh_note, sizeof(pvh_note));
    g_autoptr(GRand) rand = g_rand_new_with_seed(20240229);
    for (unsigned i = 0; i < 600; i++) {
        uint8_t bad[SETUP + BODY];
        memcpy(bad, good[i % 2], sizeof(bad));
        for (unsigned k = g_rand_int_range(rand, 0, 6); k-- > 0;)
            bad[g_rand_int_range(rand, 0, i % 2 ? 560 : 0x2d0)] = g_rand_int(rand);
        g_autoptr(GError) err = NULL;
        size_t n = g_rand_boolean(rand) ? sizeof(bad) : (size_t)g_rand_int_range(rand, 1, sizeof(bad));
        if (!start(&b, bad, n, "R", "c", &err))
            g_assert_nonnull(err);
    }
    bench_finish(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/loader/bzimage-64", test_bzimage64);
    g_test_add_func("/loader/bzimage-32", test_bzimage32);
    g_test_add_func("/loader/pvh", test_pvh);
    g_test_add_func("/loader/elf-errors", test_elf_errors);
    g_test_add_func("/loader/multiboot", test_multiboot);
    g_test_add_func("/loader/again", test_again);
    g_test_add_func("/loader/damaged-files", test_damaged_files);
    return g_test_run();
}
