/* loader.c - reading kernels, and telling what kind they are. */
#include "vmm/loader/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/loader/kernel.h"

/* Linux first: newer bzImages are PE programs too, and nothing else has its signature. */
static const KernelKind *const kinds[] = { &kernel_bzimage, &kernel_multiboot, &kernel_elf_pvh };

void file_bytes_clear(FileBytes *f)
{
    g_clear_pointer(&f->path, g_free);
    g_clear_pointer(&f->data, g_free);
    f->n = 0;
}

static bool check_regular(const char *what, const char *path, const struct stat *st, GError **err)
{
    if (S_ISDIR(st->st_mode))
        return error_set(err, ERR_INVALID, "%s '%s' is a directory; give a file", what, path);
    if (!S_ISREG(st->st_mode))
        return error_set(err, ERR_INVALID, "%s '%s' is not a plain file", what, path);
    if (st->st_size == 0)
        return error_set(err, ERR_INVALID, "%s '%s' is empty", what, path);
    if (st->st_size > UINT32_MAX)
        return error_set(err, ERR_INVALID, "%s '%s' has %" G_GINT64_FORMAT " bytes; it is to stand below 4 GiB in the guest's memory",
                         what, path, (gint64)st->st_size);
    return true;
}

static bool read_all(int fd, uint8_t *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, data + done, n - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return false;
        }
        done += got;
    }
    return true;
}

bool file_bytes_read(const char *what, const char *path, FileBytes *ret, GError **err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open %s '%s'", what, path);
    FileBytes f = { 0 };
    bool ok = fstat(fd, &st) == 0 && check_regular(what, path, &st, err);
    if (ok) {
        f = (FileBytes) { .path = g_strdup(path), .data = g_try_malloc(st.st_size), .n = st.st_size };
        ok = f.data && read_all(fd, f.data, f.n);
        if (!ok)
            error_set_errno(err, f.data ? errno : ENOMEM, "cannot read %s '%s'", what, path);
    }
    close(fd);
    if (ok)
        *ret = f;
    else
        file_bytes_clear(&f);
    return ok;
}

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
        bool ok = file_bytes_read("module", path, &module.file, err);
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
    return k->kind->modules ? read_modules(k, initrd, err) : file_bytes_read("initrd", initrd, &k->initrd, err);
}

Kernel *kernel_open(const char *path, const char *initrd, const char *append, GError **err)
{
    Kernel *k = g_new0(Kernel, 1);
    k->append = g_strdup(append ? append : "");
    k->modules = g_array_new(FALSE, TRUE, sizeof(KernelModule));
    g_array_set_clear_func(k->modules, module_clear);
    if (file_bytes_read("kernel", path, &k->file, err) && recognise(k, err) && read_rest(k, initrd, err))
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

bool kernel_load(const Kernel *k, Machine *m, const BoardStart *start, GError **err)
{
    Kernel with = *k;
    g_autofree char *append = g_strjoin(*k->append && *start->command_line ? " " : "", k->append, start->command_line, NULL);
    with.append = append;
    return k->kind->load(&with, m, start, err);
}
