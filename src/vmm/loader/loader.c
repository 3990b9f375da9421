/* loader.c - reading kernels, and telling what kind they are. */
#include "vmm/loader/loader.h"

#include <string.h>

#include "vmm/loader/kernel.h"

/* Linux first: newer bzImages are PE programs too, and nothing else has its signature. */
static const KernelKind *const kinds[] = { &kernel_bzimage, &kernel_multiboot, &kernel_elf_pvh };

/* What a file that is no kernel seems to be, for the way out. */
static const char *looks_like(const FileBytes *f)
{
    static const struct {
        size_t off;
        const char *magic;
        size_t n;
        const char *what;
    } rows[] = {
        { 0, "\x1f\x8b", 2, "it is compressed by gzip: unpack it first" },
        { 0, "\xfd" "7zXZ", 5, "it is compressed by xz: unpack it first" },
        { 0, "\x28\xb5\x2f\xfd", 4, "it is compressed by zstd: unpack it first" },
        { 0, "070701", 6, "it is an initramfs: that goes with -initrd" },
        { 0x8001, "CD001", 5, "it is a CD-ROM image: that goes with -cdrom" },
        { 0, "QFI\xfb", 4, "it is a qcow2 disk image" },
        { 510, "\x55\xaa", 2, "it has a boot sector: a disk image goes with -drive" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (f->n >= rows[i].off + rows[i].n && memcmp(f->data + rows[i].off, rows[i].magic, rows[i].n) == 0)
            return rows[i].what;
    return "it is neither a Linux bzImage nor an ELF file with a PVH note nor a multiboot kernel";
}

static bool recognise(Kernel *k, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i]->recognise(&k->file)) {
            k->kind = kinds[i];
            return k->kind->check(&k->file, err);
        }
    return error_set(err, ERR_INVALID, "kernel '%s' cannot be started: %s", k->file.path, looks_like(&k->file));
}

/* "file args,file args", a comma doubled to stand for itself; the command line of a module begins with its name. */
static bool read_modules(Kernel *k, const char *list, GError **err)
{
    g_autofree char *marked = g_strdup(list);
    for (char *p = marked; *p; p++)
        if (p[0] == ',' && p[1] == ',') {
            memmove(p, p + 1, strlen(p));
            *p = '\1';
        }
    g_auto(GStrv) words = g_strsplit(marked, ",", -1);
    for (char **word = words; *word; word++) {
        KernelModule module = { .command_line = g_strdelimit(g_strdup(*word), "\1", ',') };
        g_autofree char *path = g_strndup(module.command_line, strcspn(module.command_line, " "));
        bool ok = file_bytes_open("module", path, &module.file, err);
        g_array_append_val(k->modules, module);
        if (!ok)
            return false;
    }
    return true;
}

static void module_clear(void *data)
{
    KernelModule *module = data;
    file_bytes_clear(&module->file);
    g_free(module->command_line);
}

static bool read_rest(Kernel *k, const char *initrd, GError **err)
{
    if (strlen(k->append) >= LOADER_COMMAND_LINE_MAX - sizeof(((BoardStart *)0)->command_line))
        return error_set(err, ERR_INVALID, "-append: %zu bytes are more than the %d that a kernel takes", strlen(k->append),
                         LOADER_COMMAND_LINE_MAX - (int)sizeof(((BoardStart *)0)->command_line) - 1);
    if (!initrd)
        return true;
    return k->kind->modules ? read_modules(k, initrd, err) : file_bytes_open("initrd", initrd, &k->initrd, err);
}

Kernel *kernel_open(const char *path, const char *initrd, const char *append, GError **err)
{
    Kernel *k = g_new0(Kernel, 1);
    k->append = g_strdup(append ? append : "");
    k->modules = g_array_new(FALSE, TRUE, sizeof(KernelModule));
    g_array_set_clear_func(k->modules, module_clear);
    if (file_bytes_open("kernel", path, &k->file, err) && recognise(k, err) && read_rest(k, initrd, err))
        return k;
    kernel_close(k);
    return NULL;
}

void kernel_close(Kernel *k)
{
    if (!k)
        return;
    file_bytes_clear(&k->file);
    file_bytes_clear(&k->initrd);
    g_array_unref(k->modules);
    g_free(k->append);
    g_free(k);
}

const char *kernel_kind(const Kernel *k) { return k->kind->name; }

/* ---- the bytes, which are there while a kernel is loaded */

/* The files: kernel, initrd, modules, then NULL. */
static FileBytes *file_of(const Kernel *k, unsigned n)
{
    if (n < 2)
        return (FileBytes *)(n ? &k->initrd : &k->file);
    return n - 2 < k->modules->len ? &g_array_index(k->modules, KernelModule, n - 2).file : NULL;
}

bool kernel_reads(const Kernel *k, int fd)
{
    FileBytes *f;
    for (unsigned n = 0; k && (f = file_of(k, n)); n++)
        if (f->path && f->fd == fd)
            return true;
    return false;
}

static bool read_again(Kernel *k, GError **err)
{
    bool changed = false;
    FileBytes *f;
    for (unsigned n = 0; (f = file_of(k, n)); n++)
        if (!file_bytes_again(f, &changed, err))
            return false;
    return !changed || recognise(k, err);
}

static void drop(Kernel *k)
{
    FileBytes *f;
    for (unsigned n = 0; (f = file_of(k, n)); n++)
        file_bytes_drop(f);
}

bool kernel_load(Kernel *k, Machine *m, const BoardStart *start, GError **err)
{
    if (!read_again(k, err))
        return false;
    Kernel with = *k;
    g_autofree char *append = g_strjoin(*k->append && *start->command_line ? " " : "", k->append, start->command_line, NULL);
    with.append = append;
    bool ok = k->kind->load(&with, m, start, err);
    drop(k);
    return ok;
}
