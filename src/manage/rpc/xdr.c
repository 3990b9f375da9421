/* xdr.c - XDR to and from GVariant, by letters. */
#include "manage/rpc/xdr.h"

#include <string.h>

#include "base/be.h"
#include "base/error.h"

/* VIR_TYPED_PARAM_*: the numbers of the union's arms. */
enum { PARAM_INT = 1, PARAM_UINT, PARAM_LLONG, PARAM_ULLONG, PARAM_DOUBLE, PARAM_BOOLEAN, PARAM_STRING };
enum { UUID_BYTES = 16, MODEL_CHARACTERS = 32 };

/* Letters that stand for several. */
static const char *expansion(char letter)
{
    switch (letter) {
    case 'D':
        return "(sUi)";
    case 'N':
    case 'P':
        return "(sU)";
    case 'I':
        return "(ss)";
    case 'V':
        return "(sss)";
    case 'T':
        return "(sD)";
    case 'S':
        return "(Uis)";
    default:
        return NULL;
    }
}

/* Behind the item that starts at `at`. */
static const char *item_end(const char *at)
{
    if (*at == '?')
        return item_end(at + 1);
    if (*at != '[' && *at != '(')
        return at + 1;
    for (at++; *at != ']' && *at != ')';)
        at = item_end(at);
    return at + 1;
}

static void append_type(GString *s, const char *from, const char *to)
{
    for (; from < to; from = item_end(from)) {
        const char *whole = expansion(*from), *end = item_end(from);
        if (whole) {
            append_type(s, whole, whole + strlen(whole));
        } else if (*from == '[' || *from == '?') {
            g_string_append_c(s, *from == '[' ? 'a' : 'm');
            append_type(s, from + 1, *from == '[' ? end - 1 : end);
        } else if (*from == '(') {
            g_string_append_c(s, '(');
            append_type(s, from + 1, end - 1);
            g_string_append_c(s, ')');
        } else {
            static const char letters[] = "soUBmiuhHd*", *const types[] = { "s", "ms", "s", "ay", "s", "i", "u", "x", "t", "d", "a(sv)" };
            g_string_append(s, types[strchr(letters, *from) - letters]);
        }
    }
}

char *xdr_type(const char *letters)
{
    GString *s = g_string_new("(");
    append_type(s, letters, letters + strlen(letters));
    g_string_append_c(s, ')');
    return g_string_free(s, FALSE);
}

typedef struct Input {
    const uint8_t *data;
    size_t left;
    GError **err;
} Input;

static const uint8_t *take(Input *in, size_t bytes)
{
    if (bytes > in->left) {
        error_set(in->err, ERR_INVALID, "the message ends in the middle of an argument");
        return NULL;
    }
    const uint8_t *at = in->data;
    in->data += bytes;
    in->left -= bytes;
    return at;
}

static bool take_u32(Input *in, uint32_t *ret)
{
    const uint8_t *at = take(in, 4);
    if (at)
        *ret = be_get(at, 4);
    return at;
}

static bool take_u64(Input *in, uint64_t *ret)
{
    const uint8_t *at = take(in, 8);
    if (at)
        *ret = be_get(at, 8);
    return at;
}

/* A counted run of bytes with its padding. */
static const uint8_t *take_counted(Input *in, uint32_t *ret_bytes)
{
    if (!take_u32(in, ret_bytes))
        return NULL;
    if (*ret_bytes > in->left || ((size_t)*ret_bytes + 3) / 4 * 4 > in->left) {
        error_set(in->err, ERR_INVALID, "an argument says that it has %u bytes; the message has %zu more", *ret_bytes, in->left);
        return NULL;
    }
    return take(in, ((size_t)*ret_bytes + 3) / 4 * 4);
}

static GVariant *take_string(Input *in)
{
    uint32_t bytes;
    const uint8_t *at = take_counted(in, &bytes);
    if (!at)
        return NULL;
    if (bytes > XDR_STRING_MAX || !g_utf8_validate_len((const char *)at, bytes, NULL)) {
        error_set(in->err, ERR_INVALID, "an argument is no text in UTF-8 of at most %d bytes", XDR_STRING_MAX);
        return NULL;
    }
    g_autofree char *text = g_strndup((const char *)at, bytes);
    return g_variant_new_string(text);
}

static GVariant *take_uuid(Input *in)
{
    const uint8_t *b = take(in, UUID_BYTES);
    return b ? g_variant_new_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8],
                                    b[9], b[10], b[11], b[12], b[13], b[14], b[15])
             : NULL;
}

static GVariant *take_model(Input *in)
{
    char text[MODEL_CHARACTERS + 1] = "";
    const uint8_t *at = take(in, 4 * MODEL_CHARACTERS);
    for (unsigned i = 0; at && i < MODEL_CHARACTERS; i++)
        text[i] = at[4 * i + 3] & 0x7f;
    return at ? g_variant_new_string(text) : NULL;
}

static GVariant *take_bytes(Input *in)
{
    uint32_t bytes;
    const uint8_t *at = take_counted(in, &bytes);
    return at ? g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, at, bytes, 1) : NULL;
}

static GVariant *take_number(Input *in, char letter)
{
    uint32_t word = 0;
    uint64_t hyper = 0;
    bool wide = strchr("hHd", letter);
    if (wide ? !take_u64(in, &hyper) : !take_u32(in, &word))
        return NULL;
    double real;
    memcpy(&real, &hyper, sizeof real);
    switch (letter) {
    case 'i':
        return g_variant_new_int32(word);
    case 'u':
        return g_variant_new_uint32(word);
    case 'h':
        return g_variant_new_int64(hyper);
    case 'H':
        return g_variant_new_uint64(hyper);
    default:
        return g_variant_new_double(real);
    }
}

static GVariant *decode_item(Input *in, const char *at);

static GVariant *take_param_value(Input *in)
{
    static const char arms[] = { [PARAM_INT] = 'i', [PARAM_UINT] = 'u', [PARAM_LLONG] = 'h', [PARAM_ULLONG] = 'H', [PARAM_DOUBLE] = 'd', [PARAM_STRING] = 's' };
    uint32_t arm, word;
    if (!take_u32(in, &arm))
        return NULL;
    if (arm == PARAM_BOOLEAN)
        return take_u32(in, &word) ? g_variant_new_boolean(word) : NULL;
    if (arm >= sizeof arms || !arms[arm]) {
        error_set(in->err, ERR_INVALID, "a parameter's type is %u, which there is none of", arm);
        return NULL;
    }
    return decode_item(in, &arms[arm]);
}

/* Every element takes at least four bytes: a count cannot ask for more than the message has. */
static bool take_count(Input *in, uint32_t *ret)
{
    if (!take_u32(in, ret))
        return false;
    return (*ret <= in->left / 4 && *ret <= XDR_COUNT_MAX) || error_set(in->err, ERR_INVALID, "an array says that it has %u elements; the message has %zu more bytes", *ret, in->left);
}

static GVariant *take_params(Input *in)
{
    uint32_t n;
    if (!take_count(in, &n))
        return NULL;
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    for (uint32_t i = 0; i < n; i++) {
        g_autoptr(GVariant) name = take_string(in), value = name ? take_param_value(in) : NULL;
        if (name)
            g_variant_ref_sink(name);
        if (!value) {
            g_variant_builder_clear(&b);
            return NULL;
        }
        g_variant_ref_sink(value);
        g_variant_builder_add(&b, "(sv)", g_variant_get_string(name, NULL), value);
    }
    return g_variant_builder_end(&b);
}

static const GVariantType *type_of(const char *from, const char *to, char **text)
{
    GString *s = g_string_new(NULL);
    append_type(s, from, to);
    return G_VARIANT_TYPE(*text = g_string_free(s, FALSE));
}

static GVariant *take_array(Input *in, const char *inner)
{
    uint32_t n;
    if (!take_count(in, &n))
        return NULL;
    g_autofree char *text = NULL;
    g_autoptr(GVariantType) type = g_variant_type_new_array(type_of(inner, item_end(inner), &text));
    GVariantBuilder b;
    g_variant_builder_init(&b, type);
    for (uint32_t i = 0; i < n; i++) {
        GVariant *value = decode_item(in, inner);
        if (!value) {
            g_variant_builder_clear(&b);
            return NULL;
        }
        g_variant_builder_add_value(&b, value);
    }
    return g_variant_builder_end(&b);
}

static GVariant *take_optional(Input *in, const char *inner)
{
    uint32_t there;
    if (!take_u32(in, &there))
        return NULL;
    if (there > 1) {
        error_set(in->err, ERR_INVALID, "an argument that may be missing begins with %u, neither 0 nor 1", there);
        return NULL;
    }
    g_autofree char *text = NULL;
    GVariant *value = there ? decode_item(in, inner) : NULL;
    return there && !value ? NULL : g_variant_new_maybe(type_of(inner, item_end(inner), &text), value);
}

static GVariant *take_tuple(Input *in, const char *from, const char *to)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE_TUPLE);
    for (; from < to; from = item_end(from)) {
        GVariant *value = decode_item(in, from);
        if (!value) {
            g_variant_builder_clear(&b);
            return NULL;
        }
        g_variant_builder_add_value(&b, value);
    }
    return g_variant_builder_end(&b);
}

static GVariant *decode_item(Input *in, const char *at)
{
    const char *whole = expansion(*at);
    if (whole)
        return take_tuple(in, whole + 1, whole + strlen(whole) - 1);
    switch (*at) {
    case 's':
        return take_string(in);
    case 'o':
        return take_optional(in, "s");
    case 'U':
        return take_uuid(in);
    case 'B':
        return take_bytes(in);
    case 'm':
        return take_model(in);
    case '*':
        return take_params(in);
    case '[':
        return take_array(in, at + 1);
    case '?':
        return take_optional(in, at + 1);
    case '(':
        return take_tuple(in, at + 1, item_end(at) - 1);
    default:
        return take_number(in, *at);
    }
}

GVariant *xdr_decode(const char *letters, const uint8_t *data, size_t bytes, GError **err)
{
    Input in = { data, bytes, err };
    GVariant *tuple = take_tuple(&in, letters, letters + strlen(letters));
    if (tuple && in.left) {
        g_variant_unref(g_variant_ref_sink(tuple));
        error_set(err, ERR_INVALID, "%zu bytes follow the last argument", in.left);
        return NULL;
    }
    return tuple;
}

static void put_u32(GByteArray *out, uint32_t value) { be_put(out, value, 4); }

static void put_u64(GByteArray *out, uint64_t value) { be_put(out, value, 8); }

static void put_counted(GByteArray *out, const void *data, gsize bytes)
{
    static const uint8_t zeros[4];
    put_u32(out, bytes);
    g_byte_array_append(out, data, bytes);
    g_byte_array_append(out, zeros, -bytes & 3);
}

static void put_string(GByteArray *out, GVariant *v)
{
    gsize bytes;
    const char *text = g_variant_get_string(v, &bytes);
    put_counted(out, text, bytes);
}

/* What is no UUID goes out as zeros: none of ours is none. */
static void put_uuid(GByteArray *out, const char *text)
{
    uint8_t b[UUID_BYTES] = { 0 };
    unsigned digits = 0;
    for (; *text && digits < 2 * UUID_BYTES; text++)
        if (g_ascii_isxdigit(*text)) {
            b[digits / 2] |= g_ascii_xdigit_value(*text) << (digits & 1 ? 0 : 4);
            digits++;
        }
    g_byte_array_append(out, b, sizeof b);
}

static void put_model(GByteArray *out, const char *text)
{
    gsize length = strlen(text);
    for (gsize i = 0; i < MODEL_CHARACTERS; i++)
        put_u32(out, i < length && i < MODEL_CHARACTERS - 1 ? (uint8_t)text[i] : 0);
}

static void encode_item(GByteArray *out, const char *at, GVariant *v);

static void encode_children(GByteArray *out, const char *from, const char *to, GVariant *tuple)
{
    for (gsize i = 0; from < to; from = item_end(from), i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(tuple, i);
        encode_item(out, from, child);
    }
}

static void put_param_value(GByteArray *out, GVariant *v)
{
    static const struct {
        char type, letter;
        uint8_t arm;
    } arms[] = { { 'i', 'i', PARAM_INT }, { 'u', 'u', PARAM_UINT }, { 'x', 'h', PARAM_LLONG }, { 't', 'H', PARAM_ULLONG }, { 'd', 'd', PARAM_DOUBLE }, { 's', 's', PARAM_STRING } };
    char type = *g_variant_get_type_string(v);
    if (type == 'b') {
        put_u32(out, PARAM_BOOLEAN);
        put_u32(out, g_variant_get_boolean(v));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(arms); i++)
        if (arms[i].type == type) {
            put_u32(out, arms[i].arm);
            encode_item(out, &arms[i].letter, v);
        }
}

static void put_params(GByteArray *out, GVariant *v)
{
    gsize n = g_variant_n_children(v);
    put_u32(out, n);
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GVariant) name = NULL, value = NULL;
        g_variant_get_child(v, i, "(@sv)", &name, &value);
        put_string(out, name);
        put_param_value(out, value);
    }
}

static void put_optional(GByteArray *out, const char *inner, GVariant *v)
{
    g_autoptr(GVariant) value = g_variant_get_maybe(v);
    put_u32(out, value != NULL);
    if (value)
        encode_item(out, inner, value);
}

static void put_array(GByteArray *out, const char *inner, GVariant *v)
{
    gsize n = g_variant_n_children(v);
    put_u32(out, n);
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(v, i);
        encode_item(out, inner, child);
    }
}

static void put_real(GByteArray *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u64(out, bits);
}

static void encode_item(GByteArray *out, const char *at, GVariant *v)
{
    const char *whole = expansion(*at);
    gsize bytes;
    if (whole) {
        encode_children(out, whole + 1, whole + strlen(whole) - 1, v);
        return;
    }
    switch (*at) {
    case 's':
        put_string(out, v);
        break;
    case 'o':
        put_optional(out, "s", v);
        break;
    case 'U':
        put_uuid(out, g_variant_get_string(v, NULL));
        break;
    case 'B': {
        gconstpointer data = g_variant_get_fixed_array(v, &bytes, 1);
        put_counted(out, data, bytes);
        break;
    }
    case 'm':
        put_model(out, g_variant_get_string(v, NULL));
        break;
    case '*':
        put_params(out, v);
        break;
    case '[':
        put_array(out, at + 1, v);
        break;
    case '?':
        put_optional(out, at + 1, v);
        break;
    case '(':
        encode_children(out, at + 1, item_end(at) - 1, v);
        break;
    case 'i':
        put_u32(out, g_variant_get_int32(v));
        break;
    case 'u':
        put_u32(out, g_variant_get_uint32(v));
        break;
    case 'h':
        put_u64(out, g_variant_get_int64(v));
        break;
    case 'H':
        put_u64(out, g_variant_get_uint64(v));
        break;
    default:
        put_real(out, g_variant_get_double(v));
    }
}

void xdr_encode(GByteArray *out, const char *letters, GVariant *tuple)
{
    g_variant_ref_sink(tuple);
    encode_children(out, letters, letters + strlen(letters), tuple);
    g_variant_unref(tuple);
}
