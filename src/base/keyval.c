/* keyval.c - "word,key=value,..." and the kinds of value in it. */
#include "base/keyval.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/keyval_json.h"

typedef struct Pair {
    char *key, *value;
    bool taken, bare; /* bare: written without '=' */
} Pair;

struct KeyVals {
    char *owner;
    GArray *pairs;    /* Pair */
    GPtrArray *asked; /* keys that were asked for: what the user could have meant */
};

static void pair_clear(void *data)
{
    Pair *p = data;
    g_free(p->key);
    g_free(p->value);
}

void keyvals_free(KeyVals *kv)
{
    if (!kv)
        return;
    g_array_unref(kv->pairs);
    g_ptr_array_unref(kv->asked);
    g_free(kv->owner);
    g_free(kv);
}

/* Cuts one piece off at a single comma, with ",," undone.  *text moves behind it, or becomes NULL at the end. */
static char *cut_piece(const char **text)
{
    GString *piece = g_string_new(NULL);
    const char *p = *text;
    for (; *p; p++) {
        if (*p == ',' && p[1] != ',')
            break;
        g_string_append_c(piece, *p);
        p += *p == ',';
    }
    *text = *p ? p + 1 : NULL;
    return g_string_free(piece, FALSE);
}

static bool key_is_plain(const char *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!g_ascii_isalnum(key[i]) && !strchr("-_.", key[i]))
            return false;
    return n > 0;
}

static Pair pair_of(const char *piece, const char *implied)
{
    const char *equals = strchr(piece, '=');
    if (equals && key_is_plain(piece, equals - piece))
        return (Pair) { .key = g_strndup(piece, equals - piece), .value = g_strdup(equals + 1) };
    if (implied)
        return (Pair) { .key = g_strdup(implied), .value = g_strdup(piece) };
    return (Pair) { .key = g_strdup(piece), .value = g_strdup("on"), .bare = true };
}

static bool parse_words(KeyVals *kv, const char *text, const char *implied, GError **err)
{
    for (const char *rest = *text ? text : NULL; rest; implied = NULL) {
        g_autofree char *piece = cut_piece(&rest);
        if (!*piece)
            return error_set(err, ERR_INVALID, "%s: nothing stands between two commas, or at an end, of '%s' (a comma within a value is written ,,)",
                             kv->owner, text);
        Pair p = pair_of(piece, implied);
        g_array_append_val(kv->pairs, p);
    }
    return true;
}

static void add_pair(void *kv, const char *key, char *value)
{
    Pair p = { .key = g_strdup(key), .value = value };
    g_array_append_val(((KeyVals *)kv)->pairs, p);
}

KeyVals *keyvals_parse(const char *text, const char *implied, const char *owner, GError **err)
{
    g_autoptr(KeyVals) kv = g_new0(KeyVals, 1);
    kv->owner = g_strdup(owner);
    kv->pairs = g_array_new(FALSE, FALSE, sizeof(Pair));
    g_array_set_clear_func(kv->pairs, pair_clear);
    kv->asked = g_ptr_array_new_with_free_func(g_free);
    JsonPairs json = { kv->owner, add_pair, kv };
    bool ok = *text == '{' ? json_pairs(text, &json, err) : parse_words(kv, text, implied, err);
    return ok ? g_steal_pointer(&kv) : NULL;
}

const char *keyvals_take(KeyVals *kv, const char *key)
{
    const char *value = NULL;
    g_ptr_array_add(kv->asked, g_strdup(key));
    for (unsigned i = 0; i < kv->pairs->len; i++) {
        Pair *p = &g_array_index(kv->pairs, Pair, i);
        bool negated = p->bare && g_str_has_prefix(p->key, "no") && g_str_equal(p->key + 2, key);
        if (!g_str_equal(p->key, key) && !negated)
            continue;
        p->taken = true;
        value = negated ? "off" : p->value;
    }
    return value;
}

bool keyvals_take_bool(KeyVals *kv, const char *key, bool *ret, GError **err)
{
    const char *text = keyvals_take(kv, key);
    if (text && !parse_on_off(text, ret))
        return error_set(err, ERR_INVALID, "%s: %s takes on or off, not '%s'", kv->owner, key, text);
    return true;
}

bool keyvals_take_number(KeyVals *kv, const char *key, uint64_t min, uint64_t max, uint64_t *ret, GError **err)
{
    const char *text = keyvals_take(kv, key);
    uint64_t value;
    if (!text)
        return true;
    if (!parse_size(text, 1, &value) || value < min || value > max)
        return error_set(err, ERR_INVALID, "%s: %s is a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ", not '%s'",
                         kv->owner, key, min, max, text);
    *ret = value;
    return true;
}

bool keyvals_take_choice(KeyVals *kv, const char *key, const char *const *words, unsigned *ret, GError **err)
{
    const char *text = keyvals_take(kv, key);
    if (!text)
        return true;
    for (unsigned i = 0; words[i]; i++)
        if (g_str_equal(words[i], text)) {
            *ret = i;
            return true;
        }
    g_autofree char *all = g_strjoinv(", ", (char **)words);
    return error_set(err, ERR_INVALID, "%s: %s is one of %s, not '%s'", kv->owner, key, all, text);
}

const char **keyvals_rest(KeyVals *kv)
{
    GPtrArray *rest = g_ptr_array_new();
    for (unsigned i = 0; i < kv->pairs->len; i++) {
        Pair *p = &g_array_index(kv->pairs, Pair, i);
        if (p->taken)
            continue;
        p->taken = true;
        g_ptr_array_add(rest, p->key);
        g_ptr_array_add(rest, p->value);
    }
    g_ptr_array_add(rest, NULL);
    return (const char **)g_ptr_array_free(rest, FALSE);
}

static void append_escaped(GString *to, const char *text)
{
    for (; *text; text++)
        g_string_append(to, *text == ',' ? ",," : (char[2]){ *text });
}

/* A word without '=' stays one where it may: "noflag", or what is no key. */
static void append_pair(GString *to, const Pair *p, const char *key)
{
    bool bare = p->bare && (to->len || !key_is_plain(key, strlen(key)));
    g_string_append(to, to->len ? "," : "");
    append_escaped(to, key);
    g_string_append(to, bare ? "" : "=");
    append_escaped(to, bare ? "" : p->value);
}

/* Takes the pairs whose keys begin with `dotted`, as text with the rest of their keys. */
static char *take_text(KeyVals *kv, const char *dotted)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < kv->pairs->len; i++) {
        Pair *p = &g_array_index(kv->pairs, Pair, i);
        if (p->taken || !g_str_has_prefix(p->key, dotted))
            continue;
        p->taken = true;
        append_pair(text, p, p->key + strlen(dotted));
    }
    return g_string_free(text, !text->len);
}

char *keyvals_rest_text(KeyVals *kv) { return take_text(kv, ""); }

char *keyvals_take_tree(KeyVals *kv, const char *prefix)
{
    g_autofree char *dotted = g_strconcat(prefix, ".", NULL);
    return take_text(kv, dotted);
}

bool keyvals_end(KeyVals *kv, GError **err)
{
    for (unsigned i = 0; i < kv->pairs->len; i++) {
        Pair *p = &g_array_index(kv->pairs, Pair, i);
        if (p->taken)
            continue;
        g_ptr_array_add(kv->asked, NULL);
        const char *near = nearest_name(p->key, (const char *const *)kv->asked->pdata);
        g_autofree char *known = kv->asked->len > 1 ? g_strjoinv(", ", (char **)kv->asked->pdata) : g_strdup("none");
        return near ? error_set(err, ERR_INVALID, "%s: no property '%s', did you mean '%s'?", kv->owner, p->key, near)
                    : error_set(err, ERR_INVALID, "%s: no property '%s'; there are: %s", kv->owner, p->key, known);
    }
    return true;
}

/* The power of 1024 of a suffix, -1 if it is none. */
static int suffix_power(char c)
{
    static const char suffixes[] = "bkmgtp";
    const char *at = strchr(suffixes, g_ascii_tolower(c));
    return at ? (int)(at - suffixes) : -1;
}

static bool scale(uint64_t whole, double fraction, uint64_t unit, uint64_t *ret)
{
    uint64_t value, part = (uint64_t)(fraction * (double)unit);
    return !__builtin_mul_overflow(whole, unit, &value) && !__builtin_add_overflow(value, part, ret);
}

bool parse_size(const char *text, uint64_t unit, uint64_t *ret)
{
    char *end;
    double fraction = 0;
    if (!g_ascii_isdigit(*text))
        return false;
    errno = 0;
    uint64_t whole = g_ascii_strtoull(text, &end, g_str_has_prefix(text, "0x") ? 16 : 10);
    if (errno || end == text)
        return false;
    if (*end == '.' && g_ascii_isdigit(end[1])) {
        double place = 0.1;
        for (end++; g_ascii_isdigit(*end); end++, place /= 10)
            fraction += (*end - '0') * place;
    }
    if (*end) {
        int power = suffix_power(*end);
        if (power < 0 || end[1])
            return false;
        unit = 1ull << (10 * power);
    }
    return scale(whole, fraction, unit, ret);
}

bool parse_on_off(const char *text, bool *ret)
{
    static const char *const words[] = { "off", "on", "false", "true", "no", "yes", "n", "y" };
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_equal(words[i], text)) {
            *ret = i & 1;
            return true;
        }
    return false;
}
