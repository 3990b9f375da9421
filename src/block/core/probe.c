/* probe.c - which format without a driver of its own does the head of an image look like?  Magic numbers of each format's own specification. */
#include <string.h>

#include "block/driver.h"

typedef struct Magic {
    const char *format;
    unsigned off, len;
    const char *bytes;
} Magic;

static const Magic magics[] = {
    { "vmdk", 0, 4, "COWD" },
    { "qed", 0, 4, "QED\0" },
    { "luks (version 2)", 0, 8, "LUKS\xba\xbe\0\2" },
    { "parallels", 0, 16, "WithoutFreeSpace" },
    { "parallels", 0, 16, "WithouFreSpacExt" },
    { "bochs", 0, 22, "Bochs Virtual HD Image" },
    { "gzip (compressed)", 0, 3, "\x1f\x8b\x08" },
    { "xz (compressed)", 0, 6, "\xfd" "7zXZ\0" },
    { "zstd (compressed)", 0, 4, "\x28\xb5\x2f\xfd" },
};

const char *format_guess(const uint8_t *head, size_t n)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(magics); i++) {
        const Magic *m = &magics[i];
        if (m->off + m->len <= n && !memcmp(head + m->off, m->bytes, m->len))
            return m->format;
    }
    return NULL;
}
