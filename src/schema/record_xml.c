/* record_xml.c - records from XML and to XML. */
#include <libxml/parser.h>
#include <string.h>

#include "base/error.h"
#include "schema/record_inside.h"

typedef struct Reader {
    RecordFlags flags;
    GPtrArray *warnings; /* or NULL */
} Reader;

/* What a row has read is marked, so that the rest can be kept. */
static void mark_node(xmlNode *n) { n->_private = n; }
static void mark_attribute(xmlAttr *a) { a->_private = a; }

static xmlNode *child_named(const xmlNode *parent, const char *name)
{
    for (xmlNode *n = parent->children; n; n = n->next)
        if (n->type == XML_ELEMENT_NODE && !n->ns && !strcmp((const char *)n->name, name))
            return n;
    return NULL;
}

static xmlAttr *attribute_named(const xmlNode *n, const char *name)
{
    for (xmlAttr *a = n->properties; a; a = a->next)
        if (!a->ns && !strcmp((const char *)a->name, name))
            return a;
    return NULL;
}

static char *take(xmlChar *text)
{
    char *copy = g_strdup(text ? (const char *)text : "");
    xmlFree(text);
    return copy;
}

static char *attribute_text(xmlAttr *a) { return take(xmlNodeListGetString(a->doc, a->children, 1)); }

/* Its own, not that of elements inside: those are kept beside it. */
static char *node_text(xmlNode *n)
{
    GString *s = g_string_new(NULL);
    for (xmlNode *c = n->children; c; c = c->next)
        if ((c->type == XML_TEXT_NODE || c->type == XML_CDATA_SECTION_NODE) && c->content)
            g_string_append(s, (const char *)c->content);
    return g_string_free(s, FALSE);
}

/* A path's elements but the last part, and that part: "os/type/@arch" leads to <type> and "@arch". */
static xmlNode *path_parent(xmlNode *at, const char *path, const char **ret_last)
{
    const char *slash;
    for (; at && (slash = strchr(path, '/')); path = slash + 1) {
        g_autofree char *name = g_strndup(path, slash - path);
        at = child_named(at, name);
        if (at)
            mark_node(at);
    }
    *ret_last = path;
    return at;
}

static bool fail_at(const xmlNode *n, const char *path, GError **err)
{
    g_prefix_error(err, "line %ld: <%s>, %s: ", xmlGetLineNo((xmlNode *)n), n->name, path);
    return false;
}

static bool read_scalar(void *record, const RecordField *f, xmlNode *at, const char *last, GError **err)
{
    g_autofree char *text = NULL, *unit = NULL;
    xmlNode *holder = at;
    if (*last == '@') {
        xmlAttr *a = attribute_named(at, last + 1);
        if (!a)
            return true;
        mark_attribute(a);
        text = attribute_text(a);
    } else {
        holder = strcmp(last, ".") ? child_named(at, last) : at;
        if (!holder)
            return true;
        mark_node(holder);
        text = node_text(holder);
        if (!strcmp(last, ".") && !*text)
            return true;
    }
    xmlAttr *u = f->kind == RK_SIZE ? attribute_named(holder, "unit") : NULL;
    if (u) {
        mark_attribute(u);
        unit = attribute_text(u);
    }
    return record_parse(record, f, text, unit, err) || fail_at(holder, f->path, err);
}

static void *read_record(Reader *r, const RecordType *t, xmlNode *n, GError **err);

static bool read_list(Reader *r, void *record, const RecordField *f, xmlNode *at, const char *last, GError **err)
{
    for (xmlNode *n = at->children; n; n = n->next) {
        if (n->type != XML_ELEMENT_NODE || n->ns || strcmp((const char *)n->name, last))
            continue;
        if (f->kind == RK_RECORD && *record_inner(record, f))
            return true; /* the second is kept as unknown */
        void *inner = read_record(r, f->record, n, err);
        if (!inner)
            return false;
        mark_node(n);
        if (f->kind == RK_LIST)
            record_list_add(record, f, inner);
        else
            *record_inner(record, f) = inner;
    }
    return true;
}

/* "boot/@dev" takes the attribute of each <boot>; "alias" each element's text. */
static void read_texts(void *record, const RecordField *f, xmlNode *at)
{
    const char *slash = strrchr(f->path, '/');
    bool attribute = slash && slash[1] == '@';
    g_autofree char *head = attribute ? g_strndup(f->path, slash - f->path) : g_strdup(f->path);
    const char *name;
    at = path_parent(at, head, &name);
    for (xmlNode *n = at ? at->children : NULL; n; n = n->next) {
        if (n->type != XML_ELEMENT_NODE || n->ns || strcmp((const char *)n->name, name))
            continue;
        xmlAttr *a = attribute ? attribute_named(n, slash + 2) : NULL;
        g_autofree char *text = a ? attribute_text(a) : attribute ? NULL : node_text(n);
        mark_node(n);
        if (a)
            mark_attribute(a);
        if (text)
            record_texts_add(record, f, text);
    }
}

static bool read_field(Reader *r, void *record, const RecordField *f, xmlNode *n, GError **err)
{
    if (f->kind == RK_TEXTS) {
        read_texts(record, f, n);
        return true;
    }
    const char *last;
    xmlNode *at = path_parent(n, f->path, &last), *child;
    if (!at)
        return true;
    switch (f->kind) {
    case RK_RECORD:
    case RK_LIST:
        return read_list(r, record, f, at, last, err);
    case RK_FLAG:
    case RK_XML:
        if (!(child = child_named(at, last)))
            return true;
        mark_node(child);
        if (f->kind == RK_FLAG) {
            *(bool *)record_member(record, f) = true;
        } else {
            g_autoptr(GString) s = g_string_new(NULL);
            record_print_tree(s, child, 0);
            *record_text(record, f) = g_strdup(s->str);
        }
        return true;
    default:
        return read_scalar(record, f, at, last, err);
    }
}

static void keep(Reader *r, Record *record, xmlNode *parent, const char *path, xmlAttr *a, xmlNode *n)
{
    RecordUnknown *u = g_new0(RecordUnknown, 1);
    u->parent = g_strdup(path);
    if (a) {
        u->attribute = g_strdup((const char *)a->name);
        u->value = attribute_text(a);
        u->prefix = a->ns ? g_strdup((const char *)a->ns->prefix) : NULL;
        u->href = a->ns ? g_strdup((const char *)a->ns->href) : NULL;
    } else {
        u->node = xmlCopyNode(n, 1);
    }
    record_unknown_add(record, u);
    if (r->warnings)
        g_ptr_array_add(r->warnings, g_strdup_printf("line %ld: %s '%s' of <%s> is unknown here: kept, without effect", xmlGetLineNo(n ? n : parent),
                                                     a ? "attribute" : "element", (const char *)(a ? a->name : n->name), parent->name));
}

/* An element whose kind is RK_XML or a record's is whole: only those that rows have led through are looked into. */
static bool led_through(const RecordType *t, const char *path)
{
    gsize length = strlen(path);
    for (const RecordField *f = t->fields; f->name; f++)
        if (!strncmp(f->path, path, length) && (f->path[length] == '/' || (!f->path[length] && f->kind != RK_XML && f->kind != RK_RECORD && f->kind != RK_LIST)))
            return true;
    return false;
}

static void keep_unknown(Reader *r, Record *record, xmlNode *at, const char *path)
{
    for (xmlAttr *a = at->properties; a; a = a->next)
        if (!a->_private)
            keep(r, record, at, path, a, NULL);
    for (xmlNode *n = at->children; n; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        g_autofree char *inner = g_strdup_printf("%s%s%s", path, *path ? "/" : "", n->name);
        if (!n->_private)
            keep(r, record, at, path, NULL, n);
        else if (led_through(record->type, inner))
            keep_unknown(r, record, n, inner);
    }
}

static void drop(void *record, const RecordField *f)
{
    if (f->kind == RK_UINT || f->kind == RK_SIZE)
        *record_uint(record, f) = RECORD_NONE;
    else if (f->kind == RK_WORD)
        *record_word_of(record, f) = 0;
    else if (f->kind == RK_TEXT)
        g_clear_pointer(record_text(record, f), g_free);
}

static void *read_record(Reader *r, const RecordType *t, xmlNode *n, GError **err)
{
    Record *record = record_new(t);
    record->line = xmlGetLineNo(n);
    bool ok = true;
    for (const RecordField *f = t->fields; ok && f->name; f++) {
        if (!record_applies(record, f))
            continue;
        ok = read_field(r, record, f, n, err);
        if (f->live && !(r->flags & RECORD_LIVE))
            drop(record, f);
    }
    if (ok)
        keep_unknown(r, record, n, "");
    if (ok && !record_settle_one(record, err)) {
        g_prefix_error(err, "line %ld: ", xmlGetLineNo(n));
        ok = false;
    }
    if (!ok)
        g_clear_pointer(&record, record_free);
    return record;
}

static void no_message(void *context, xmlErrorPtr error) {}

static xmlDoc *parse(const char *text, GError **err)
{
    gsize length = strlen(text);
    if (length > RECORD_TEXT_MAX) {
        error_set(err, ERR_INVALID, "the document has %zu bytes; at most %d are taken", length, RECORD_TEXT_MAX);
        return NULL;
    }
    xmlParserCtxt *context = xmlNewParserCtxt();
    context->sax->serror = no_message;
    /* No network, no entities of its own (XML_PARSE_NOENT is not given, and a document type is refused below). */
    xmlDoc *doc = xmlCtxtReadMemory(context, text, length, "document", NULL, XML_PARSE_NONET | XML_PARSE_NOCDATA);
    if (!doc) {
        g_autofree char *why = g_strdup(context->lastError.message ? context->lastError.message : "not XML");
        error_set(err, ERR_INVALID, "line %d: not well-formed XML: %s", context->lastError.line, g_strchomp(why));
    } else if (doc->intSubset) {
        error_set(err, ERR_INVALID, "the document has a document type (<!DOCTYPE>): leave it out; entities of its own are not taken");
        g_clear_pointer(&doc, xmlFreeDoc);
    }
    xmlFreeParserCtxt(context);
    return doc;
}

void *record_read_xml(const RecordType *t, const char *text, RecordFlags flags, GPtrArray *ret_warnings, GError **err)
{
    xmlDoc *doc = parse(text, err);
    if (!doc)
        return NULL;
    Reader r = { .flags = flags, .warnings = ret_warnings };
    xmlNode *root = xmlDocGetRootElement(doc);
    void *record = NULL;
    if (!root || strcmp((const char *)root->name, t->element))
        error_set(err, ERR_INVALID, "the document is a <%s>; a <%s> is wanted", root ? (const char *)root->name : "", t->element);
    else
        record = read_record(&r, t, root, err);
    xmlFreeDoc(doc);
    return record;
}

/* Writing: a tree of libxml2's, printed by record_print_tree(). */
static xmlNode *make_path(xmlNode *at, const char *path, const char **ret_last)
{
    const char *slash;
    for (; (slash = strchr(path, '/')); path = slash + 1) {
        g_autofree char *name = g_strndup(path, slash - path);
        xmlNode *child = child_named(at, name);
        at = child ? child : xmlNewChild(at, NULL, (const xmlChar *)name, NULL);
    }
    *ret_last = path;
    return at;
}

static void write_scalar(xmlNode *at, const char *last, const RecordField *f, const char *text)
{
    xmlNode *holder = at;
    if (*last == '@') {
        xmlNewProp(at, (const xmlChar *)last + 1, (const xmlChar *)text);
    } else if (!strcmp(last, ".")) {
        xmlNodeAddContent(at, (const xmlChar *)text);
    } else {
        holder = child_named(at, last); /* a row of its attribute may have made it */
        if (!holder)
            holder = xmlNewChild(at, NULL, (const xmlChar *)last, NULL);
        xmlNodeAddContent(holder, (const xmlChar *)text);
    }
    if (f->kind == RK_SIZE)
        xmlNewProp(holder, (const xmlChar *)"unit", (const xmlChar *)(f->unit ? f->unit : "KiB"));
}

static void write_texts(xmlNode *n, const RecordField *f, const GPtrArray *list)
{
    const char *slash = strrchr(f->path, '/'), *name;
    bool attribute = slash && slash[1] == '@';
    g_autofree char *head = attribute ? g_strndup(f->path, slash - f->path) : g_strdup(f->path);
    xmlNode *at = make_path(n, head, &name);
    for (guint i = 0; i < list->len; i++)
        if (attribute)
            xmlNewProp(xmlNewChild(at, NULL, (const xmlChar *)name, NULL), (const xmlChar *)slash + 2, list->pdata[i]);
        else
            xmlNewTextChild(at, NULL, (const xmlChar *)name, list->pdata[i]);
}

static void add_verbatim(xmlNode *at, const char *text)
{
    xmlNode *list = NULL;
    if (!xmlParseBalancedChunkMemory(NULL, NULL, NULL, 0, (const xmlChar *)text, &list) && list)
        xmlAddChildList(at, list);
    else
        xmlFreeNodeList(list);
}

static void write_record(xmlNode *n, const Record *record, RecordFlags flags);

static void write_field(xmlNode *n, const Record *record, const RecordField *f, RecordFlags flags)
{
    const char *last;
    if (f->kind == RK_TEXTS) {
        write_texts(n, f, *record_array(record, f));
        return;
    }
    xmlNode *at = make_path(n, f->path, &last);
    switch (f->kind) {
    case RK_RECORD:
        write_record(xmlNewChild(at, NULL, (const xmlChar *)last, NULL), *record_inner(record, f), flags);
        return;
    case RK_LIST:
        for (guint i = 0; i < (*record_array(record, f))->len; i++)
            write_record(xmlNewChild(at, NULL, (const xmlChar *)last, NULL), (*record_array(record, f))->pdata[i], flags);
        return;
    case RK_FLAG:
        if (!child_named(at, last))
            xmlNewChild(at, NULL, (const xmlChar *)last, NULL);
        return;
    case RK_XML:
        add_verbatim(at, *record_text(record, f));
        return;
    default: {
        g_autofree char *text = record_print(record, f);
        write_scalar(at, last, f, text);
    }
    }
}

static void write_unknown(xmlNode *n, const RecordUnknown *u)
{
    g_autofree char *path = g_strconcat(u->parent, *u->parent ? "/" : "", NULL);
    const char *last;
    xmlNode *at = make_path(n, path, &last);
    if (u->node) {
        xmlAddChild(at, xmlCopyNode(u->node, 1));
    } else {
        xmlNs *ns = u->href ? xmlSearchNsByHref(at->doc, at, (const xmlChar *)u->href) : NULL;
        if (u->href && !ns)
            ns = xmlNewNs(at, (const xmlChar *)u->href, (const xmlChar *)u->prefix);
        xmlNewNsProp(at, ns, (const xmlChar *)u->attribute, (const xmlChar *)u->value);
    }
}

static void write_record(xmlNode *n, const Record *record, RecordFlags flags)
{
    for (const RecordField *f = record->type->fields; f->name; f++) {
        if ((f->live && !(flags & RECORD_LIVE)) || (f->secret && !(flags & RECORD_SECRET)))
            continue;
        if (record_applies(record, f) && !record_is_absent(record, f))
            write_field(n, record, f, flags);
    }
    for (guint i = 0; record->unknown && i < record->unknown->len; i++)
        write_unknown(n, record->unknown->pdata[i]);
}

char *record_write_xml(const void *record, RecordFlags flags)
{
    xmlDoc *doc = xmlNewDoc((const xmlChar *)"1.0");
    xmlNode *root = xmlNewDocNode(doc, NULL, (const xmlChar *)((const Record *)record)->type->element, NULL);
    xmlDocSetRootElement(doc, root);
    write_record(root, record, flags);
    GString *s = g_string_new(NULL);
    record_print_tree(s, root, 0);
    xmlFreeDoc(doc);
    return g_string_free(s, FALSE);
}
