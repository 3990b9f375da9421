#pragma once
#include "base/keyval.h"
#include "block/driver.h"
#include "block/protocol/memory.h"
/* testing.h - for tests: qcow2 images in memory. */
static inline BlkNode *stack(const BlkDriver *driver, BlkNode *file)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_stack(driver, file, NULL, &err);
    g_assert_no_error(err);
    return n;
}

/* The bytes of a new one; options as for blk_create(). */
static inline GByteArray *new_image(const char *options)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(KeyVals) kv = keyvals_parse(options, NULL, "qcow2", &err);
    BlkNode *n = memory_disk(NULL);
    n->grows = true;
    g_assert_true(qcow2_driver.create(n, kv, &err));
    g_assert_no_error(err);
    GByteArray *bytes = memory_bytes(n);
    blk_close(n);
    return bytes;
}

static inline GByteArray *copy_of(const GByteArray *b) { return g_byte_array_append(g_byte_array_new(), b->data, b->len); }
