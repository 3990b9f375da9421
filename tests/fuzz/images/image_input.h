#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/*
 * image_input.h - an image as fuzz input: flags, the file's length, the 512-byte sectors that are not zero, and what to
 * do with it.  tests/fuzz/images/seeds.py writes it; integers are little endian and not aligned.
 */
enum { IMAGE_SECTOR = 512, IMAGE_MOST_SECTORS = 128 << 10 };

enum ImageFlag {
    IMAGE_NAMED = 1 << 0,     /* the format is given, not guessed */
    IMAGE_READ_ONLY = 1 << 1,
    IMAGE_BACKED = 1 << 2,    /* over a disk in memory */
    IMAGE_DATA_FILE = 1 << 3, /* with its data in memory */
    IMAGE_SECRET = 1 << 4,
    IMAGE_REPAIR = 1 << 5,
};

typedef struct __attribute__((packed)) ImageHead {
    uint8_t flags;
    uint32_t sectors; /* the file's length */
    uint16_t records;
} ImageHead;

typedef struct __attribute__((packed)) ImageRecord {
    uint32_t sector;
    uint8_t data[IMAGE_SECTOR];
} ImageRecord;

typedef struct ImageInput {
    ImageHead head;             /* records: as many as there are */
    const ImageRecord *record;
    const uint8_t *rest;
    size_t rest_bytes;
} ImageInput;

ImageInput image_input(const uint8_t *data, size_t size);
/* Corrects what a maker of hostile images would: the check sums of vhdx and vpc.  data: the file, all of it. */
void image_fix_sums(const char *format, uint8_t *data, size_t size);
