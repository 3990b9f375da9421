#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* fuzz_input.h - a fuzz target and its input, read as numbers. */
typedef struct FuzzInput {
    const uint8_t *data;
    size_t left;
} FuzzInput;

/* The next n bytes as a number; zeros once the input has ended. */
static inline uint64_t fuzz_take(FuzzInput *in, unsigned n)
{
    uint64_t value = 0;
    size_t bytes = n < in->left ? n : in->left;
    memcpy(&value, in->data, bytes);
    in->data += bytes;
    in->left -= bytes;
    return value;
}

/* The next bytes as they are, at most `most` of them; how many says the input. */
static inline const void *fuzz_bytes(FuzzInput *in, size_t most, size_t *ret_bytes)
{
    const uint8_t *at;
    size_t wanted = fuzz_take(in, 2) % (most + 1);
    *ret_bytes = wanted < in->left ? wanted : in->left;
    at = in->data;
    in->data += *ret_bytes;
    in->left -= *ret_bytes;
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
