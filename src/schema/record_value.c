/* record_value.c - a scalar member as text: numbers, sizes with units, words, UUIDs, MAC addresses. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "schema/record_inside.h"

/* libvirt's scaled integers: letters alone and -iB are powers of 1024, -B of 1000. */
static const struct Unit {
    const char *name;
    uint64_t bytes;
} units[] = {
    { "b", 1 },           { "bytes", 1 },        { "KB", 1000 },          { "k", 1ULL << 10 },   { "KiB", 1ULL << 10 },
    { "MB", 1000000 },    { "M", 1ULL << 20 },   { "MiB", 1ULL << 20 },   { "GB", 1000000000 },  { "G", 1ULL << 30 },
    { "GiB", 1ULL << 30 }, { "TB", 1000000000000 }, { "T", 1ULL << 40 },  { "TiB", 1ULL << 40 }, { "PB", 1000000000000000 },
    { "P", 1ULL << 50 },  { "PiB", 1ULL << 50 }, { "EB", 1000000000000000000 }, { "E", 1ULL << 60 }, { "EiB", 1ULL << 60 },
};

static const struct Unit *unit_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++)
        if (!g_ascii_strcasecmp(units[i].name, name))
            return &units[i];
    return NULL;
}

bool record_size(uint64_t value, const char *unit, uint64_t *ret_bytes, GError **err)
{
    const struct Unit *u = unit_find(unit ? unit : "b");
    if (!u)
        return error_set(err, ERR_INVALID, "unknown unit '%s': bytes, KiB, MiB, GiB, TiB, PiB, EiB, or KB, MB and so on", unit);
    if (__builtin_mul_overflow(value, u->bytes, ret_bytes) || *ret_bytes == RECORD_NONE)
        return error_set(err, ERR_INVALID, "%" PRIu64 " %s is too large", value, unit);
    return true;
}

static bool parse_number(const char *text, uint64_t *ret, GError **err)
{
    const char *digits = text + strspn(text, " \t\n");
    bool hex = g_str_has_prefix(digits, "0x");
    char *end;
    errno = 0;
    uint64_t value = g_ascii_strtoull(digits, &end, hex ? 16 : 10);
    if (!g_ascii_isdigit(*digits) || errno || end[strspn(end, " \t\n")] || value == RECORD_NONE)
        return error_set(err, ERR_INVALID, "'%s' is not a number", text);
    *ret = value;
    return true;
}

static bool check_range(const RecordField *f, uint64_t value, GError **err)
{
    if (value >= f->min && (!f->max || value <= f->max))
        return true;
    if (!f->max)
        return error_set(err, ERR_INVALID, "%" PRIu64 " is below the least, %" PRIu64, value, f->min);
    return error_set(err, ERR_INVALID, "%" PRIu64 " is not between %" PRIu64 " and %" PRIu64, value, f->min, f->max);
}

static bool parse_uint(void *record, const RecordField *f, const char *text, const char *unit, GError **err)
{
    uint64_t value;
    if (!parse_number(text, &value, err))
        return false;
    if (f->kind == RK_SIZE && !record_size(value, unit ? unit : f->unit ? f->unit : "KiB", &value, err))
        return false;
    if (!check_range(f, value, err))
        return false;
    *record_uint(record, f) = value;
    return true;
}

static bool parse_word(void *record, const RecordField *f, const char *text, GError **err)
{
    unsigned value = record_word_value(f->words, text);
    if (!value) {
        g_autofree char *words = g_strjoinv(", ", (char **)f->words), *near = did_you_mean(text, f->words);
        return error_set(err, ERR_INVALID, "'%s' is not allowed%s: %s", text, near, words);
    }
    *record_word_of(record, f) = value;
    return true;
}

/* 32 hexadecimal digits with dashes anywhere, as libvirt takes them. */
static bool parse_uuid(void *record, const RecordField *f, const char *text, GError **err)
{
    GString *s = g_string_new(NULL);
    unsigned digits = 0;
    for (const char *c = text; *c; c++) {
        if (*c == '-' || g_ascii_isspace(*c))
            continue;
        if (!g_ascii_isxdigit(*c) || digits == 32) {
            digits = 0;
            break;
        }
        if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
            g_string_append_c(s, '-');
        g_string_append_c(s, g_ascii_tolower(*c));
        digits++;
    }
    g_free(*record_text(record, f));
    *record_text(record, f) = g_string_free(s, digits != 32);
    return digits == 32 || error_set(err, ERR_INVALID, "'%s' is not a UUID (32 hexadecimal digits)", text);
}

static bool parse_mac(void *record, const RecordField *f, const char *text, GError **err)
{
    unsigned octets[6];
    char rest;
    if (strspn(text, "0123456789abcdefABCDEF:") != strlen(text) || /* %x takes signs and blanks too */
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &octets[0], &octets[1], &octets[2], &octets[3], &octets[4], &octets[5], &rest) != 6)
        return error_set(err, ERR_INVALID, "'%s' is not a MAC address (52:54:00:12:34:56)", text);
    if (octets[0] & 1)
        return error_set(err, ERR_INVALID, "'%s' is a multicast address; a card's first octet is even", text);
    g_free(*record_text(record, f));
    *record_text(record, f) = g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1], octets[2], octets[3], octets[4], octets[5]);
    return true;
}

static bool parse_text(void *record, const RecordField *f, const char *text, GError **err)
{
    if (f->check && !f->check(text, err))
        return false;
    g_free(*record_text(record, f));
    *record_text(record, f) = g_strdup(text);
    return true;
}

bool record_parse(void *record, const RecordField *f, const char *text, const char *unit, GError **err)
{
    switch (f->kind) {
    case RK_TEXT:
    case RK_XML:
        return parse_text(record, f, text, err);
    case RK_UUID:
        return parse_uuid(record, f, text, err);
    case RK_MAC:
        return parse_mac(record, f, text, err);
    case RK_UINT:
    case RK_SIZE:
        return parse_uint(record, f, text, unit, err);
    case RK_WORD:
        return parse_word(record, f, text, err);
    default:
        return error_set(err, ERR_INTERNAL, "%s is no scalar", f->name);
    }
}

char *record_print(const void *record, const RecordField *f)
{
    if (record_is_absent(record, f))
        return NULL;
    switch (f->kind) {
    case RK_UINT:
        return f->hex ? g_strdup_printf("0x%0*" PRIx64, f->hex, *record_uint(record, f)) : g_strdup_printf("%" PRIu64, *record_uint(record, f));
    case RK_SIZE:
        return g_strdup_printf("%" PRIu64, *record_uint(record, f) / unit_find(f->unit ? f->unit : "KiB")->bytes);
    case RK_WORD:
        return g_strdup(f->words[*record_word_of(record, f) - 1]);
    default:
        return g_strdup(*record_text(record, f));
    }
}
