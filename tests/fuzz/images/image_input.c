/*
 * image_input.c - takes an input apart, and changes one: mostly numbers within sectors, which stay where they are.
 */
#include "image_input.h"

#include <glib.h>
#include <string.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max); /* libFuzzer's, or standalone.c's */

ImageInput image_input(const uint8_t *data, size_t size)
{
    ImageInput in = { 0 };
    memcpy(&in.head, data, MIN(size, sizeof(in.head)));
    data += MIN(size, sizeof(in.head));
    size -= MIN(size, sizeof(in.head));
    in.head.sectors %= IMAGE_MOST_SECTORS;
    in.head.records = MIN(in.head.records, size / sizeof(ImageRecord));
    in.record = (const ImageRecord *)data;
    in.rest = data + in.head.records * sizeof(ImageRecord);
    in.rest_bytes = size - in.head.records * sizeof(ImageRecord);
    return in;
}

static unsigned below(GRand *rand, unsigned n) { return g_rand_int_range(rand, 0, n); }

static uint64_t interesting(GRand *rand)
{
    uint64_t bit = 1ull << below(rand, 64);
    switch (below(rand, 6)) {
    case 0:
        return bit;
    case 1:
        return bit - 1;
    case 2:
        return -bit;
    case 3:
        return below(rand, 256);
    case 4:
        return (uint64_t)below(rand, 256) << 9;
    default:
        return (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    }
}

/* A number of 1, 2, 4 or 8 bytes, of either byte order: another one, or a little more or less. */
static void change_number(GRand *rand, uint8_t *at, unsigned bytes)
{
    bool big = below(rand, 2);
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | at[big ? i : bytes - 1 - i];
    switch (below(rand, 4)) {
    case 0:
        value += below(rand, 17) - 8;
        break;
    case 1:
        value ^= 1ull << below(rand, bytes * 8);
        break;
    default:
        value = interesting(rand);
    }
    for (unsigned i = 0; i < bytes; i++, value >>= 8)
        at[big ? bytes - 1 - i : i] = value;
}

/* Metadata are at the front more often than not. */
static ImageRecord *pick(GRand *rand, ImageRecord *record, unsigned n)
{
    unsigned front = 1 + below(rand, 16); /* a variable: MIN() looks twice */
    return &record[below(rand, below(rand, 2) ? n : MIN(n, front))];
}

static void change_sector(GRand *rand, ImageRecord *record, unsigned n)
{
    ImageRecord *r = pick(rand, record, n), *from = pick(rand, record, n);
    unsigned bytes = 1u << below(rand, 4), at = below(rand, below(rand, 2) ? IMAGE_SECTOR : 128) & -bytes;
    switch (below(rand, 8)) {
    case 0:
        memmove(r->data + at, from->data + (below(rand, IMAGE_SECTOR) & -bytes), bytes);
        break;
    case 1:
        LLVMFuzzerMutate(r->data, IMAGE_SECTOR, IMAGE_SECTOR);
        break;
    case 2:
        r->sector = below(rand, 2) ? from->sector + 1 : from->sector;
        break;
    default:
        change_number(rand, r->data + at, bytes);
    }
}

static size_t change_rest(uint8_t *data, size_t fixed, size_t size, size_t max)
{
    size_t room = MIN(max - fixed, 512);
    return fixed + LLVMFuzzerMutate(data + fixed, MIN(size - fixed, room), room);
}

static void change_head(GRand *rand, ImageHead *head)
{
    if (below(rand, 2))
        head->flags ^= 1u << below(rand, 8);
    else
        head->sectors = below(rand, 2) ? head->sectors + below(rand, 9) - 4 : interesting(rand);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    ImageInput in = image_input(data, size);
    size_t fixed = sizeof(ImageHead) + in.head.records * sizeof(ImageRecord);
    if (size < fixed || max <= fixed)
        return LLVMFuzzerMutate(data, size, max);
    for (unsigned n = 1 + below(rand, 4); n; n--)
        switch (below(rand, 12)) {
        case 0 ... 2:
            size = change_rest(data, fixed, size, max);
            break;
        case 3:
            change_head(rand, (ImageHead *)data);
            break;
        default:
            if (in.head.records)
                change_sector(rand, (ImageRecord *)(data + sizeof(ImageHead)), in.head.records);
        }
    return size;
}
