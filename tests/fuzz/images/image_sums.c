/* image_sums.c - check sums keep nobody out who makes images on purpose: they are made right again. */
#include <string.h>

#include "block/format/vhdx.h"
#include "image_input.h"

/* ---- vpc: the ones' complement of the sum of all bytes but the field's own */

enum { FOOTER_BYTES = 512, FOOTER_SUM = 64, FOOTER_HEADER = 16, DYNAMIC_BYTES = 1024, DYNAMIC_SUM = 36 };

static void fix_vpc(uint8_t *at, unsigned bytes, unsigned field)
{
    uint32_t sum = 0;
    memset(at + field, 0, 4);
    for (unsigned i = 0; i < bytes; i++)
        sum += at[i];
    sum = GUINT32_TO_BE(~sum);
    memcpy(at + field, &sum, 4);
}

static void fix_vpc_file(uint8_t *data, size_t size)
{
    const size_t footers[] = { 0, size - FOOTER_BYTES };
    for (unsigned i = 0; i < 2; i++) {
        uint64_t header;
        memcpy(&header, data + footers[i] + FOOTER_HEADER, 8);
        header = GUINT64_FROM_BE(header);
        if (memcmp(data + footers[i], "conectix", 8))
            continue;
        fix_vpc(data + footers[i], FOOTER_BYTES, FOOTER_SUM);
        if (size > DYNAMIC_BYTES && header <= size - DYNAMIC_BYTES && !memcmp(data + header, "cxsparse", 8))
            fix_vpc(data + header, DYNAMIC_BYTES, DYNAMIC_SUM);
    }
}

/* ---- vhdx */

enum { HEADERS = 64 << 10, REGIONS = 192 << 10, STEP = 64 << 10, LOG_SECTOR = 4096, MOST_LOG = 1 << 20, LOG_OFF = 72, LOG_BYTES = 68 };

static void seal(uint8_t *data, size_t size, uint64_t off, uint64_t bytes, const char *signature)
{
    if (off > size || bytes > size - off || bytes < 16 || memcmp(data + off, signature, 4))
        return;
    uint32_t crc = GUINT32_TO_LE(vhdx_crc(data + off, bytes));
    memcpy(data + off + VHDX_CRC_OFF, &crc, 4);
}

static void fix_log(uint8_t *data, size_t size, const uint8_t *header)
{
    uint64_t off;
    uint32_t bytes, entry;
    memcpy(&off, header + LOG_OFF, 8);
    memcpy(&bytes, header + LOG_BYTES, 4);
    off = GUINT64_FROM_LE(off);
    bytes = MIN(GUINT32_FROM_LE(bytes), (uint32_t)MOST_LOG);
    if (off > size || bytes > size - off)
        return;
    for (uint32_t at = 0; at + LOG_SECTOR <= bytes; at += LOG_SECTOR) {
        memcpy(&entry, data + off + at + 8, 4);
        if (!memcmp(data + off + at, "loge", 4) && GUINT32_FROM_LE(entry) <= bytes - at)
            seal(data, size, off + at, GUINT32_FROM_LE(entry), "loge");
    }
}

static void fix_vhdx_file(uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t header = HEADERS + i * STEP;
        if (header + VHDX_HEADER_BYTES <= size)
            fix_log(data, size, data + header);
        seal(data, size, header, VHDX_HEADER_BYTES, "head");
        seal(data, size, REGIONS + i * STEP, VHDX_REGION_BYTES, "regi");
    }
}

void image_fix_sums(const char *format, uint8_t *data, size_t size)
{
    if (g_str_equal(format, "vpc") && size >= FOOTER_BYTES)
        fix_vpc_file(data, size);
    else if (g_str_equal(format, "vhdx"))
        fix_vhdx_file(data, size);
}
