/* field.c - what a field table can do without knowing what it describes. */
#include "base/field.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

const Field *field_find(const Field *table, const char *name, FieldRole role)
{
    for (const Field *f = table; f && f->name; f++)
        if (f->role == role && g_str_equal(f->name, name))
            return f;
    return NULL;
}

static void *element(const Field *f, const void *object, unsigned i)
{
    return (char *)object + f->off + (size_t)i * (f->bytes / f->n);
}

uint64_t field_get(const Field *f, const void *object, unsigned i)
{
    const void *p = element(f, object, i);
    switch (f->type) {
    case FT_BOOL:
        return *(const bool *)p;
    case FT_U8:
        return *(const uint8_t *)p;
    case FT_U16:
        return *(const uint16_t *)p;
    case FT_U32:
        return *(const uint32_t *)p;
    case FT_U64:
        return *(const uint64_t *)p;
    case FT_I8:
        return (uint64_t)(int64_t) * (const int8_t *)p;
    case FT_I16:
        return (uint64_t)(int64_t) * (const int16_t *)p;
    case FT_I32:
        return (uint64_t)(int64_t) * (const int32_t *)p;
    case FT_I64:
        return (uint64_t) * (const int64_t *)p;
    case FT_STR:
    case FT_STRUCT:
    case FT_OPAQUE:
        break;
    }
    g_return_val_if_reached(0);
}

void field_set(const Field *f, void *object, unsigned i, uint64_t value)
{
    if (f->type == FT_BOOL)
        *(bool *)element(f, object, i) = value != 0;
    else
        memcpy(element(f, object, i), &value, f->bytes / f->n); /* little-endian host */
}

static void reset_field(const Field *f, void *object, FieldRole role, bool warm)
{
    for (unsigned i = 0; i < f->n; i++) {
        if (f->type == FT_STRUCT) {
            fields_reset(f->sub, element(f, object, i), role, warm);
        } else if (f->type == FT_STR) {
            char **s = element(f, object, i);
            g_free(*s);
            *s = g_strdup(f->def);
        } else if (f->type != FT_OPAQUE) {
            field_set(f, object, i, f->reset);
        }
    }
}

void fields_reset(const Field *table, void *object, FieldRole role, bool warm)
{
    for (const Field *f = table; f && f->name; f++)
        if (f->role == role && !(warm && f->keep))
            reset_field(f, object, role, warm);
}

void fields_clear(const Field *table, void *object)
{
    for (const Field *f = table; f && f->name; f++)
        for (unsigned i = 0; i < f->n; i++) {
            if (f->type == FT_STR)
                g_clear_pointer((char **)element(f, object, i), g_free);
            else if (f->type == FT_STRUCT)
                fields_clear(f->sub, element(f, object, i));
        }
}

static bool parse_bool(const char *text, uint64_t *ret)
{
    static const char *const words[] = { "off", "on", "false", "true", "no", "yes", "0", "1" };
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_equal(text, words[i])) {
            *ret = i & 1;
            return true;
        }
    return false;
}

static bool parse_integer(const char *text, uint64_t *ret)
{
    static const char suffixes[] = "bkmgt";
    char *end;
    errno = 0;
    uint64_t value = g_ascii_strtoull(text, &end, 0);
    if (end == text || errno)
        return false;
    const char *suffix = *end ? strchr(suffixes, g_ascii_tolower(*end)) : suffixes;
    if (!suffix || (*end && end[1]))
        return false;
    unsigned shift = 10 * (suffix - suffixes);
    *ret = value << shift;
    return *ret >> shift == value;
}

/* The range of values: the property's own, else that of its type. */
static void field_range(const Field *f, uint64_t *ret_min, uint64_t *ret_max)
{
    unsigned bits = f->bytes / f->n * 8;
    *ret_min = f->min;
    *ret_max = f->max ? f->max : bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
}

bool field_parse(const Field *f, void *object, const char *text, const char *owner, GError **err)
{
    uint64_t value, min, max;
    if (f->type == FT_STR) {
        char **s = element(f, object, 0);
        g_free(*s);
        *s = g_strdup(text);
        return true;
    }
    if (f->type == FT_BOOL) {
        if (!parse_bool(text, &value))
            return error_set(err, ERR_INVALID, "%s: property '%s' takes on or off, not '%s'", owner, f->name, text);
        field_set(f, object, 0, value);
        return true;
    }
    if (!parse_integer(text, &value))
        return error_set(err, ERR_INVALID, "%s: property '%s' takes a number, not '%s'", owner, f->name, text);
    field_range(f, &min, &max);
    if (value < min || value > max)
        return error_set(err, ERR_INVALID, "%s: property '%s' is %s, but must be %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                         owner, f->name, text, min, max);
    field_set(f, object, 0, value);
    return true;
}

char *field_help(const Field *f)
{
    const char *doc = f->doc ? f->doc : "";
    if (f->type == FT_STR)
        return g_strdup_printf("%s=<str> - %s%s%s%s", f->name, doc, f->def ? " (default " : "", f->def ? f->def : "", f->def ? ")" : "");
    if (f->type == FT_BOOL)
        return g_strdup_printf("%s=<bool> - %s (default %s)", f->name, doc, f->reset ? "on" : "off");
    uint64_t min, max;
    field_range(f, &min, &max);
    return g_strdup_printf("%s=<int> - %s (default %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ")",
                           f->name, doc, f->reset, min, max);
}
