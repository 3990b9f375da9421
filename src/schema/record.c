/* record.c - records as structs: making, freeing, copying, defaults and checks. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "schema/record_inside.h"

const char *const record_yes_no[] = { "yes", "no", NULL };
const char *const record_on_off[] = { "on", "off", NULL };

static void unknown_free(gpointer data)
{
    RecordUnknown *u = data;
    if (u->node)
        xmlFreeNode(u->node);
    g_free(u->parent);
    g_free(u->attribute);
    g_free(u->value);
    g_free(u->prefix);
    g_free(u->href);
    g_free(u);
}

void record_unknown_add(Record *r, RecordUnknown *u)
{
    if (!r->unknown)
        r->unknown = g_ptr_array_new_with_free_func(unknown_free);
    g_ptr_array_add(r->unknown, u);
}

RecordUnknown *record_unknown_copy(const RecordUnknown *u)
{
    RecordUnknown *copy = g_new0(RecordUnknown, 1);
    copy->parent = g_strdup(u->parent);
    copy->attribute = g_strdup(u->attribute);
    copy->value = g_strdup(u->value);
    copy->prefix = g_strdup(u->prefix);
    copy->href = g_strdup(u->href);
    copy->node = u->node ? xmlCopyNode(u->node, 1) : NULL;
    return copy;
}

void *record_new(const RecordType *t)
{
    Record *r = g_malloc0(t->size);
    r->type = t;
    for (const RecordField *f = t->fields; f->name; f++)
        if (f->kind == RK_UINT || f->kind == RK_SIZE)
            *record_uint(r, f) = RECORD_NONE;
    return r;
}

static void member_clear(void *record, const RecordField *f)
{
    switch (f->kind) {
    case RK_TEXT:
    case RK_UUID:
    case RK_MAC:
    case RK_XML:
        g_clear_pointer(record_text(record, f), g_free);
        break;
    case RK_TEXTS:
    case RK_LIST:
        g_clear_pointer(record_array(record, f), g_ptr_array_unref);
        break;
    case RK_RECORD:
        g_clear_pointer(record_inner(record, f), record_free);
        break;
    default:
        break;
    }
}

void record_free(void *record)
{
    Record *r = record;
    if (!r)
        return;
    for (const RecordField *f = r->type->fields; f->name; f++)
        member_clear(r, f);
    g_clear_pointer(&r->unknown, g_ptr_array_unref);
    g_free(r);
}

void record_list_add(void *record, const RecordField *f, void *element)
{
    GPtrArray **list = record_array(record, f);
    if (!*list)
        *list = g_ptr_array_new_with_free_func(record_free);
    g_ptr_array_add(*list, element);
}

void record_texts_add(void *record, const RecordField *f, const char *text)
{
    GPtrArray **list = record_array(record, f);
    if (!*list)
        *list = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(*list, g_strdup(text));
}

static void copy_array(void *to, const RecordField *f, const GPtrArray *from)
{
    for (guint i = 0; from && i < from->len; i++)
        if (f->kind == RK_LIST)
            record_list_add(to, f, record_copy(from->pdata[i]));
        else
            record_texts_add(to, f, from->pdata[i]);
}

static void copy_member(void *to, const void *from, const RecordField *f)
{
    switch (f->kind) {
    case RK_TEXT:
    case RK_UUID:
    case RK_MAC:
    case RK_XML:
        *record_text(to, f) = g_strdup(*record_text(from, f));
        break;
    case RK_UINT:
    case RK_SIZE:
        *record_uint(to, f) = *record_uint(from, f);
        break;
    case RK_WORD:
        *record_word_of(to, f) = *record_word_of(from, f);
        break;
    case RK_FLAG:
        *(bool *)record_member(to, f) = *(bool *)record_member(from, f);
        break;
    case RK_TEXTS:
    case RK_LIST:
        copy_array(to, f, *record_array(from, f));
        break;
    case RK_RECORD:
        *record_inner(to, f) = *record_inner(from, f) ? record_copy(*record_inner(from, f)) : NULL;
        break;
    }
}

void *record_copy(const void *record)
{
    const Record *from = record;
    Record *to = record_new(from->type);
    to->line = from->line;
    for (const RecordField *f = from->type->fields; f->name; f++)
        copy_member(to, from, f);
    for (guint i = 0; from->unknown && i < from->unknown->len; i++)
        record_unknown_add(to, record_unknown_copy(from->unknown->pdata[i]));
    return to;
}

bool record_equal(const void *a, const void *b)
{
    const RecordFlags all = RECORD_LIVE | RECORD_SECRET;
    g_autofree char *left = record_write_xml(a, all), *right = record_write_xml(b, all);
    return !strcmp(left, right);
}

const RecordField *record_field(const RecordType *t, const char *name)
{
    for (const RecordField *f = t->fields; f->name; f++)
        if (!strcmp(f->name, name))
            return f;
    return NULL;
}

const char *record_word(const void *record, const char *name)
{
    const RecordField *f = record_field(((const Record *)record)->type, name);
    unsigned value = f && f->kind == RK_WORD ? *record_word_of(record, f) : 0;
    return value ? f->words[value - 1] : NULL;
}

unsigned record_word_value(const char *const *words, const char *word)
{
    for (unsigned i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return i + 1;
    return 0;
}

bool record_applies(const void *record, const RecordField *f)
{
    if (!f->when)
        return true;
    const char *is = strchr(f->when, '=');
    g_autofree char *name = g_strndup(f->when, is - f->when);
    const char *word = record_word(record, name);
    g_auto(GStrv) words = g_strsplit(is + 1, ",", -1);
    return word && g_strv_contains((const char *const *)words, word);
}

bool record_is_absent(const void *record, const RecordField *f)
{
    switch (f->kind) {
    case RK_UINT:
    case RK_SIZE:
        return *record_uint(record, f) == RECORD_NONE;
    case RK_WORD:
        return !*record_word_of(record, f);
    case RK_FLAG:
        return !*(bool *)record_member(record, f);
    case RK_TEXTS:
    case RK_LIST:
        return !*record_array(record, f) || !(*record_array(record, f))->len;
    default:
        return !*record_text(record, f);
    }
}

bool record_settle_one(void *record, GError **err)
{
    const RecordType *t = ((Record *)record)->type;
    for (const RecordField *f = t->fields; f->name; f++) {
        if (!record_applies(record, f) || !record_is_absent(record, f))
            continue;
        if (f->required)
            return error_set(err, ERR_INVALID, "<%s> needs %s (%s)", t->element, f->path, f->doc);
        if (f->def && !record_parse(record, f, f->def, NULL, err))
            return false;
    }
    return !t->check || t->check(record, err);
}

static bool settle_list(const GPtrArray *list, GError **err)
{
    for (guint i = 0; list && i < list->len; i++)
        if (!record_settle(list->pdata[i], err))
            return false;
    return true;
}

bool record_settle(void *record, GError **err)
{
    for (const RecordField *f = ((Record *)record)->type->fields; f->name; f++) {
        if (f->kind == RK_LIST && !settle_list(*record_array(record, f), err))
            return false;
        if (f->kind == RK_RECORD && *record_inner(record, f) && !record_settle(*record_inner(record, f), err))
            return false;
    }
    return record_settle_one(record, err);
}
