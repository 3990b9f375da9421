/*
 * codec.c - one compressed cluster: zlib's raw deflate or one zstd frame ("compression_type").
 *
 * Output is bounded by the cluster, whatever the input says of itself.  QEMU reads deflate data with a window of 4 KiB,
 * so that is what we write.
 */
#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#include "block/format/qcow2/qcow2.h"

enum { WINDOW_BITS = 12, MEM_LEVEL = 9 };

/* What stands behind the end of the data in their last sector belongs to others. */
static bool inflate_zlib(const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes)
{
    z_stream z = { .next_in = (uint8_t *)from, .avail_in = from_bytes, .next_out = to, .avail_out = to_bytes };
    if (inflateInit2(&z, -15) != Z_OK)
        return false;
    int status = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return !z.avail_out && (status == Z_STREAM_END || status == Z_BUF_ERROR);
}

static bool inflate_zstd(const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes)
{
    ZSTD_inBuffer in = { from, from_bytes, 0 };
    ZSTD_outBuffer out = { to, to_bytes, 0 };
    ZSTD_DCtx *z = ZSTD_createDCtx();
    bool more = z;
    while (more && out.pos < out.size) {
        size_t in_before = in.pos, out_before = out.pos;
        more = !ZSTD_isError(ZSTD_decompressStream(z, &out, &in)) && (in.pos > in_before || out.pos > out_before);
    }
    ZSTD_freeDCtx(z);
    return out.pos == out.size;
}

int qcow2_inflate(Qcow2Codec codec, const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes)
{
    bool ok = codec == QCOW2_ZSTD ? inflate_zstd(from, from_bytes, to, to_bytes) : inflate_zlib(from, from_bytes, to, to_bytes);
    return ok ? 0 : -EIO;
}

static size_t deflate_zlib(const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes)
{
    z_stream z = { .next_in = (uint8_t *)from, .avail_in = from_bytes, .next_out = to, .avail_out = to_bytes };
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    int status = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return status == Z_STREAM_END ? to_bytes - z.avail_out : 0;
}

size_t qcow2_deflate(Qcow2Codec codec, const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes)
{
    if (codec == QCOW2_ZLIB)
        return deflate_zlib(from, from_bytes, to, to_bytes);
    size_t bytes = ZSTD_compress(to, to_bytes, from, from_bytes, ZSTD_CLEVEL_DEFAULT);
    return ZSTD_isError(bytes) ? 0 : bytes;
}
