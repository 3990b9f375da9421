/*
 * fuzz_image.c - images of one format (FUZZ_FORMAT) that lie: opened as the input says, used in every way, checked, repaired.
 *
 * It works in a folder of its own.  A file that an image names is there or, where the image may name any, in memory: no
 * change can make it open another.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <gnutls/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image_input.h"
#include "image_ops.h"

enum { MOST_ITERATIONS = 5000, QCOW2_INCOMPATIBLE = 72, QCOW2_DATA_FILE = 4, FLAT_BYTES = 256 << 10 };

/* A header may ask for years of work on a passphrase.  Ours is cheap enough for the seeds. */
int gnutls_pbkdf2(gnutls_mac_algorithm_t mac, const gnutls_datum_t *key, const gnutls_datum_t *salt, unsigned iterations, void *output, size_t length)
{
    g_autofree uint8_t *block = g_malloc(salt->size + 4);
    memcpy(block, salt->data, salt->size);
    unsigned step = gnutls_hmac_get_len(mac);
    uint8_t sum[64], out[64];
    for (uint32_t at = 0, n = 1; at < length; at += step, n++) {
        memcpy(block + salt->size, &(uint32_t){ GUINT32_TO_BE(n) }, 4);
        gnutls_hmac_fast(mac, key->data, key->size, block, salt->size + 4, sum);
        memcpy(out, sum, step);
        for (unsigned i = 1; i < MIN(iterations, (unsigned)MOST_ITERATIONS); i++) {
            gnutls_hmac_fast(mac, key->data, key->size, sum, step, sum);
            for (unsigned b = 0; b < step; b++)
                out[b] ^= sum[b];
        }
        memcpy((uint8_t *)output + at, out, MIN(step, length - at));
    }
    return 0;
}

/* In memory where there is such a folder. */
static const char *folder_for_files(void)
{
    static char *folder;
    if (!folder) {
        folder = g_strdup(g_access("/dev/shm", W_OK) ? "/tmp/atoll-fuzz-XXXXXX" : "/dev/shm/atoll-fuzz-XXXXXX");
        g_assert_nonnull(g_mkdtemp(folder));
    }
    return folder;
}

static char *put_file(const char *name, const uint8_t *data, size_t size)
{
    char *path = g_build_filename(folder_for_files(), name, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    for (size_t at = 0; data && at < size; at += IMAGE_SECTOR)
        if (memcmp(data + at, (uint8_t[IMAGE_SECTOR]){ 0 }, IMAGE_SECTOR))
            g_assert_cmpint(pwrite(fd, data + at, IMAGE_SECTOR, at), ==, IMAGE_SECTOR);
    close(fd);
    return path;
}

/* The file itself, with the check sums as its maker would have them. */
static char *put_image(const ImageInput *in, bool *ret_data_file)
{
    size_t size = (size_t)in->head.sectors * IMAGE_SECTOR;
    uint8_t *data = mmap(NULL, size + IMAGE_SECTOR, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(data != MAP_FAILED);
    for (unsigned i = 0; i < in->head.records; i++)
        if (in->record[i].sector < in->head.sectors)
            memcpy(data + (size_t)in->record[i].sector * IMAGE_SECTOR, in->record[i].data, IMAGE_SECTOR);
    image_fix_sums(FUZZ_FORMAT, data, size);
    *ret_data_file = data[QCOW2_INCOMPATIBLE + 7] & QCOW2_DATA_FILE;
    char *path = put_file("image", data, size);
    munmap(data, size + IMAGE_SECTOR);
    return path;
}

static char *options_of(unsigned flags)
{
    GString *s = g_string_new("file.aio=threads");
    if (flags & IMAGE_SECRET && g_str_equal(FUZZ_FORMAT, "luks"))
        g_string_append(s, ",key-secret=s0");
    if (flags & IMAGE_SECRET && g_str_equal(FUZZ_FORMAT, "qcow2"))
        g_string_append(s, ",encrypt.key-secret=s0");
    if (flags & IMAGE_DATA_FILE)
        g_string_append(s, ",data-file.driver=memory,data-file.size=4M");
    if (flags & IMAGE_BACKED)
        g_string_append(s, ",backing.driver=memory,backing.size=256k");
    return g_string_free(s, FALSE);
}

static BlkNode *open_image(const char *path, unsigned flags, bool data_file, const BlkEnv *env)
{
    bool named = flags & IMAGE_NAMED && (!data_file || flags & IMAGE_DATA_FILE);
    g_autofree char *options = options_of(named ? flags : flags & ~(IMAGE_BACKED | IMAGE_DATA_FILE));
    BlkOpenOptions o = { .filename = path, .format = named ? FUZZ_FORMAT : NULL, .options = options, .env = env, .share = true,
                         .read_only = flags & IMAGE_READ_ONLY, .repair = flags & IMAGE_REPAIR, .no_backing = named && !(flags & IMAGE_BACKED) };
    g_autoptr(GError) err = NULL;
    return blk_open(&o, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImageInput in = image_input(data, size);
    FuzzInput rest = { in.rest, in.rest_bytes };
    bool data_file;
    g_autofree char *flat = put_file("image-flat.vmdk", NULL, FLAT_BYTES), *path = put_image(&in, &data_file);
    BlkEnv *env = blk_env_new();
    g_assert_true(blk_env_add_object(env, "secret,id=s0,data=abc", NULL));
    BlkNode *n = open_image(path, in.head.flags, data_file, env);
    if (n)
        image_use(n, &rest);
    blk_close(n);
    blk_env_free(env);
    g_unlink(path);
    g_unlink(flat);
    return 0;
}
