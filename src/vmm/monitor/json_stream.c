/* json_stream.c - cutting a stream into JSON texts. */
#include "vmm/monitor/json_stream.h"

#include <string.h>

void json_stream_init(JsonStream *s, void (*got)(void *, const char *, const char *), void *arg)
{
    *s = (JsonStream){ .text = g_string_new(NULL), .got = got, .arg = arg };
}

void json_stream_clear(JsonStream *s)
{
    g_string_free(s->text, TRUE);
    s->text = NULL;
}

void json_stream_restart(JsonStream *s)
{
    g_string_truncate(s->text, 0);
    s->depth = 0;
    s->string = s->escaped = s->rubbish = false;
}

static void end_text(JsonStream *s)
{
    g_autofree char *text = g_strndup(s->text->str, s->text->len);
    json_stream_restart(s);
    s->got(s->arg, text, NULL);
}

static void refuse(JsonStream *s, const char *problem)
{
    json_stream_restart(s);
    s->rubbish = true; /* nothing of this line */
    s->got(s->arg, NULL, problem);
}

static void within_string(JsonStream *s, char c)
{
    if (s->escaped)
        s->escaped = false;
    else if (c == '\\')
        s->escaped = true;
    else if (c == '"')
        s->string = false;
}

static void within_text(JsonStream *s, char c)
{
    if (c == '"')
        s->string = true;
    else if (c == '{' || c == '[')
        s->depth++;
    else if ((c == '}' || c == ']') && --s->depth == 0)
        end_text(s);
}

static void take(JsonStream *s, char c)
{
    if ((unsigned char)c == 0xff) {
        json_stream_restart(s);
        return;
    }
    if (s->rubbish) {
        s->rubbish = c != '\n';
        return;
    }
    if (!s->depth && strchr(" \t\r\n", c)) /* and NUL */
        return;
    if (!s->depth && c != '{' && c != '[') {
        refuse(s, "expected an object");
        return;
    }
    g_string_append_c(s->text, c);
    if (s->text->len > JSON_STREAM_BYTES || s->depth > JSON_STREAM_DEPTH)
        refuse(s, s->depth > JSON_STREAM_DEPTH ? "too deep" : "too long");
    else if (s->string)
        within_string(s, c);
    else
        within_text(s, c);
}

void json_stream_feed(JsonStream *s, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        take(s, data[i]);
}
