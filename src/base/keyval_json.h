#pragma once
#include <stdbool.h>
#include <glib.h>
/* keyval_json.h - for keyval.c: a JSON object as key and value texts. */
typedef struct JsonPairs {
    const char *owner; /* for messages */
    void (*add)(void *arg, const char *key, char *value); /* takes the value over */
    void *arg;
} JsonPairs;
bool json_pairs(const char *text, const JsonPairs *to, GError **err);
