/*
 * fuzz_document.c - one kind of the manager's documents (FUZZ_DOCUMENT): text as it comes, or a document made of the rows of its
 * table.  What is read can be written, read again to the same record, copied, and taken through JSON.
 */
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_input.h"
#include "schema/domain.h"
#include "schema/network.h"
#include "schema/storage.h"

enum { DEPTH_MAX = 5 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_same(const char *a, const char *b)
{
    if (!strcmp(a, b))
        return;
    fprintf(stderr, "%s\nis not\n%s\n", a, b);
    abort();
}

/* ---- a document from the rows */
static const char *const texts[] = { "a", "0", "1", "7", "4096", "-1", "", "vda", "/a/b", "52:54:00:12:34:56", "5ed9631a-e07a-47ed-9140-631a3979af6b", "10.0.0.1",
                                     "255.255.255.0", "fe80::1", "64", "yes", "no", "on", "off", "KiB", "0x1f", "18446744073709551615", "99999999999999999999", "0644",
                                     "raw", "network", "&<", "\xc3\xa4", "../x", "a,b", "a\nb", "%s", "vnet0", "auto" };

static const char *pick_text(FuzzInput *in, const RecordField *f)
{
    unsigned n = fuzz_take(in, 1), words = 0;
    while (f->words && f->words[words])
        words++;
    return words && n < 230 ? f->words[n % words] : texts[n % G_N_ELEMENTS(texts)];
}

static xmlNode *child_of(FuzzInput *in, xmlNode *at, const char *name)
{
    for (xmlNode *n = at->children; n; n = n->next)
        if (!strcmp((const char *)n->name, name) && fuzz_take(in, 1) < 240) /* else there are two of them */
            return n;
    return xmlNewChild(at, NULL, BAD_CAST name, NULL);
}

static void put_record(FuzzInput *in, xmlNode *at, const RecordType *t, unsigned depth);

static void put_leaf(FuzzInput *in, xmlNode *at, const char *name, const RecordField *f, unsigned depth)
{
    if (*name == '@') {
        xmlSetProp(at, BAD_CAST name + 1, BAD_CAST pick_text(in, f));
    } else if (f->record) {
        for (unsigned n = 1 + (f->kind == RK_LIST ? fuzz_take(in, 1) % 3 : 0); n && depth < DEPTH_MAX; n--)
            put_record(in, xmlNewChild(at, NULL, BAD_CAST name, NULL), f->record, depth + 1);
    } else {
        xmlNode *n = strcmp(name, ".") ? child_of(in, at, name) : at;
        if (f->kind == RK_SIZE && fuzz_take(in, 1) & 1)
            xmlSetProp(n, BAD_CAST "unit", BAD_CAST pick_text(in, f));
        if (f->kind == RK_XML)
            xmlNewChild(n, NULL, BAD_CAST "x", NULL);
        xmlNodeAddContent(n, BAD_CAST pick_text(in, f));
    }
}

static void put_row(FuzzInput *in, xmlNode *at, const RecordField *f, unsigned depth)
{
    g_auto(GStrv) parts = g_strsplit(f->path, "/", -1);
    unsigned last = g_strv_length(parts) - 1;
    for (unsigned i = 0; i < last; i++)
        at = child_of(in, at, parts[i]);
    put_leaf(in, at, parts[last], f, depth);
}

static void put_record(FuzzInput *in, xmlNode *at, const RecordType *t, unsigned depth)
{
    for (const RecordField *f = t->fields; f->name; f++) {
        unsigned whim = fuzz_take(in, 1);
        if (f->required ? whim < 250 : whim % 4 == 3)
            put_row(in, at, f, depth);
    }
    if (fuzz_take(in, 1) > 200)
        xmlSetProp(xmlNewChild(at, NULL, BAD_CAST "strange", BAD_CAST "t"), BAD_CAST "a", BAD_CAST "b");
}

static char *make_document(FuzzInput *in, const RecordType *t)
{
    xmlDoc *doc = xmlNewDoc(BAD_CAST "1.0");
    xmlChar *dumped;
    int bytes;
    xmlDocSetRootElement(doc, xmlNewDocNode(doc, NULL, BAD_CAST t->element, NULL));
    put_record(in, xmlDocGetRootElement(doc), t, 0);
    xmlDocDumpMemory(doc, &dumped, &bytes);
    char *text = g_strndup((const char *)dumped, bytes);
    xmlFree(dumped);
    xmlFreeDoc(doc);
    return text;
}

/* ---- through it and back */
static void check_json(const void *record, RecordFlags flags)
{
    g_autoptr(JsonNode) json = record_write_json(record, flags);
    void *back = record_read_json(((const Record *)record)->type, json, flags, NULL);
    record_free(back);
}

static char *read_and_write(const RecordType *t, const char *text, RecordFlags flags)
{
    g_autoptr(GError) err = NULL;
    void *record = record_read_xml(t, text, flags, NULL, &err);
    if (err)
        fprintf(stderr, "%s\ncannot be read: %s\n", text, err->message);
    require(record);
    char *xml = record_write_xml(record, flags);
    record_free(record);
    return xml;
}

/* What is twice in a text may change its place once: then it stays. */
static void check(const RecordType *t, const char *text, RecordFlags flags)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;
    void *record = record_read_xml(t, text, flags, warnings, &err);
    require(!record == !!err);
    if (!record)
        return;
    void *copy = record_copy(record);
    require(record_equal(record, copy));
    g_autofree char *xml = record_write_xml(record, flags), *copied = record_write_xml(copy, flags);
    require_same(xml, copied);
    check_json(record, flags);
    record_free(copy);
    record_free(record);
    g_autofree char *again = read_and_write(t, xml, flags), *third = read_and_write(t, again, flags);
    require_same(again, third);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    FuzzInput in = { data, size };
    const RecordType *t = &FUZZ_DOCUMENT;
    unsigned how = fuzz_take(&in, 1);
    if (how == '<' || how & 1) { /* a seed is a document as it is */
        g_autofree char *text = how == '<' ? g_strndup((const char *)data, size) : g_strndup((const char *)in.data, in.left);
        check(t, text, how & 2 ? RECORD_LIVE | RECORD_SECRET : 0);
        return 0;
    }
    g_autofree char *text = make_document(&in, t);
    check(t, text, how & 2 ? RECORD_LIVE | RECORD_SECRET : 0);
    return 0;
}
