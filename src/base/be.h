#pragma once
#include <glib.h>
#include <stdint.h>
/* be.h - big-endian numbers of 1 to 8 bytes, wherever they stand. */
static inline uint64_t be_get(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

static inline void be_put(GByteArray *to, uint64_t value, unsigned bytes)
{
    uint64_t raw = GUINT64_TO_BE(value);
    g_byte_array_append(to, (uint8_t *)&raw + 8 - bytes, bytes);
}
