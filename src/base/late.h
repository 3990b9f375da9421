#pragma once
#include <glib.h>
#include <stdbool.h>
/*
 * late.h - a library of the system that is loaded when somebody needs it: most runs never do, and it would cost each of
 * them its memory and its time to start.
 */
typedef struct LateSymbol {
    const char *name;
    size_t off; /* of the pointer to it in a structure */
} LateSymbol;

/* Loads the first of `libraries` (sonames, NULL-terminated) that is there, for good, and fills `ret`.  symbols end with
 * a row without a name.  The error names the library and what it is for. */
bool late_load(const char *const *libraries, const LateSymbol *symbols, const char *purpose, void *ret, GError **err);
