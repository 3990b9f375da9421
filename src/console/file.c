/* file.c - output to a file; input, if wanted, from another. */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct FileChardev {
    Chardev chardev;
    FdPort port;
} FileChardev;

static int open_input(const char *path, GError **err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        error_set_errno(err, errno, "cannot open '%s' as the input of a chardev", path);
    return fd;
}

static bool file_open(Chardev *c, KeyVals *kv, GError **err)
{
    FileChardev *f = (FileChardev *)c;
    bool append = false;
    const char *path = keyvals_take(kv, "path"), *input = keyvals_take(kv, "input-path");
    if (!keyvals_take_bool(kv, "append", &append, err) || !keyvals_end(kv, err))
        return false;
    if (!path || !*path)
        return error_set(err, ERR_INVALID, "chardev '%s': a file needs a name, as in file:/tmp/serial.log", c->id);
    int in = input ? open_input(input, err) : -1;
    if (input && in < 0)
        return false;
    int out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    int errnum = errno;
    fd_port_open(&f->port, c, in, out, NULL);
    if (out < 0)
        return error_set_errno(err, errnum, "cannot write to '%s' for chardev '%s'", path, c->id);
    c->description = g_strdup_printf("file:%s", path);
    c->connected = true;
    return true;
}

static void file_close(Chardev *c) { fd_port_close(&((FileChardev *)c)->port, 0); }
static void file_write(Chardev *c, const uint8_t *data, size_t n) { fd_port_write(&((FileChardev *)c)->port, data, n); }
static void file_resume(Chardev *c) { fd_port_resume(&((FileChardev *)c)->port); }

const ChardevBackend chardev_file = {
    .name = "file",
    .doc = "path=PATH, append=on|off, input-path=PATH",
    .size = sizeof(FileChardev),
    .open = file_open,
    .close = file_close,
    .write = file_write,
    .resume = file_resume,
};
