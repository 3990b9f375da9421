#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
/*
 * json_stream.h - where one JSON text ends and the next begins, in bytes that come in pieces.
 *
 * Blanks between texts are nothing.  What begins with neither { nor [ is rubbish up to the end of its line and comes out
 * like a text, for the parser to refuse; a byte ff (as clients send to get into step) begins anew.
 */
enum { JSON_STREAM_BYTES = 4 << 20, JSON_STREAM_DEPTH = 256 };

typedef struct JsonStream {
    GString *text;
    unsigned depth;
    bool string, escaped, rubbish;
    void (*got)(void *arg, const char *text, const char *problem); /* problem: what it is instead of JSON; then text is NULL */
    void *arg;
} JsonStream;

void json_stream_init(JsonStream *s, void (*got)(void *, const char *, const char *), void *arg);
void json_stream_clear(JsonStream *s);
void json_stream_restart(JsonStream *s);
void json_stream_feed(JsonStream *s, const char *data, size_t n);
