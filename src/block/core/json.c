/*
 * json.c - options spelt as JSON (RFC 8259), as QEMU's "json:{...}" file names and -blockdev have them, to key=value text.
 *
 *     {"driver": "qcow2", "file": {"filename": "a,b"}, "backing": null}     driver=qcow2,file.filename=a,,b,backing=
 */
#include <string.h>

#include "base/error.h"
#include "block/driver.h"

enum { MAX_DEPTH = 32, MAX_TEXT = 1 << 20 };

typedef struct Json {
    const char *all, *at;
    GString *out;
    unsigned depth;
    GError **err;
} Json;

static bool fail(Json *j, const char *what)
{
    return error_set(j->err, ERR_INVALID, "wrong JSON in '%.200s', byte %zu: %s", j->all, (size_t)(j->at - j->all), what);
}

static void skip_space(Json *j) { j->at += strspn(j->at, " \t\r\n"); }

/* Steps over the character if it is next. */
static bool next_is(Json *j, char c)
{
    skip_space(j);
    bool is = *j->at == c;
    j->at += is;
    return is;
}

static bool take_hex(Json *j, gunichar *ret)
{
    gunichar c = 0;
    for (unsigned i = 0; i < 4; i++, j->at++) {
        int digit = g_ascii_xdigit_value(*j->at);
        if (digit < 0)
            return fail(j, "\\u needs four hexadecimal digits");
        c = c << 4 | digit;
    }
    *ret = c;
    return true;
}

/* Behind "\u"; characters above U+FFFF come as two surrogates. */
static bool take_unicode(Json *j, GString *to)
{
    gunichar c = 0, low = 0;
    if (!take_hex(j, &c))
        return false;
    if (c >= 0xd800 && c < 0xdc00 && j->at[0] == '\\' && j->at[1] == 'u') {
        j->at += 2;
        if (!take_hex(j, &low))
            return false;
        c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0;
    }
    if (!c || !g_unichar_validate(c))
        return fail(j, "this character cannot stand in a string");
    g_string_append_unichar(to, c);
    return true;
}

static bool take_escape(Json *j, GString *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *known = *j->at ? strchr(from, *j->at) : NULL;
    if (*j->at == 'u') {
        j->at++;
        return take_unicode(j, to);
    }
    if (!known)
        return fail(j, "no such escape");
    g_string_append_c(to, into[known - from]);
    j->at++;
    return true;
}

/* NULL: failed.  Caller frees. */
static char *take_string(Json *j)
{
    g_autoptr(GString) s = g_string_new(NULL);
    if (!next_is(j, '"')) {
        fail(j, "a string in double quotes belongs here");
        return NULL;
    }
    while (*j->at != '"') {
        if ((unsigned char)*j->at < ' ') {
            fail(j, "the string does not end");
            return NULL;
        }
        if (*j->at != '\\')
            g_string_append_c(s, *j->at++);
        else if (j->at++, !take_escape(j, s))
            return NULL;
    }
    j->at++;
    return g_strdup(s->str);
}

static void put(Json *j, const char *path, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);
    g_string_append_printf(j->out, "%s%s=%s", j->out->len ? "," : "", path, doubled);
}

/* Numbers and the three words; options know no difference between them and text. */
static bool take_word(Json *j, const char *path)
{
    static const struct { const char *word, *value; } words[] = { { "true", "on" }, { "false", "off" }, { "null", "" } };
    size_t len = strspn(j->at, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
    g_autofree char *word = g_strndup(j->at, len);
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_equal(word, words[i].word)) {
            put(j, path, words[i].value);
            j->at += len;
            return true;
        }
    if (!g_ascii_isdigit(word[word[0] == '-']))
        return fail(j, "no value");
    put(j, path, word);
    j->at += len;
    return true;
}

static bool take_value(Json *j, const char *path);

static bool key_is_plain(const char *key) { return *key && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(key); }

/* Members of an object, or elements of an array, up to its end. */
static bool take_members(Json *j, const char *path, bool array)
{
    char end = array ? ']' : '}';
    if (next_is(j, end))
        return true;
    for (unsigned i = 0;; i++) {
        g_autofree char *key = array ? g_strdup_printf("%u", i) : take_string(j);
        if (!key || (!array && !next_is(j, ':')))
            return key ? fail(j, "a colon belongs behind the key") : false;
        if (!key_is_plain(key))
            return fail(j, "no option has such a name");
        g_autofree char *below = *path ? g_strconcat(path, ".", key, NULL) : g_strdup(key);
        if (!take_value(j, below))
            return false;
        if (next_is(j, end))
            return true;
        if (!next_is(j, ','))
            return fail(j, "a comma or the end belongs here");
    }
}

static bool take_value(Json *j, const char *path)
{
    skip_space(j);
    if (*j->at == '"') {
        g_autofree char *s = take_string(j);
        if (s)
            put(j, path, s);
        return s;
    }
    if (*j->at != '{' && *j->at != '[')
        return take_word(j, path);
    if (j->depth == MAX_DEPTH)
        return fail(j, "too deep");
    j->depth++;
    bool ok = take_members(j, path, *j->at++ == '[');
    j->depth--;
    return ok;
}

char *json_options(const char *json, GError **err)
{
    Json j = { .all = json, .at = json, .out = g_string_new(NULL), .err = err };
    skip_space(&j);
    bool ok = strlen(json) > MAX_TEXT ? fail(&j, "too long") : *j.at != '{' ? fail(&j, "an object in braces belongs here") : take_value(&j, "");
    skip_space(&j);
    if (ok && *j.at)
        ok = fail(&j, "something follows the end");
    return g_string_free(j.out, !ok);
}
