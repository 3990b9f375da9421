/* record_print.c - a tree of XML as text, in libvirt's way: two blanks a level, single quotes, empty elements closed at once. */
#include <string.h>

#include "schema/record_inside.h"

static void append_escaped(GString *s, const char *text, bool attribute)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            g_string_append(s, "&amp;");
            break;
        case '<':
            g_string_append(s, "&lt;");
            break;
        case '>':
            g_string_append(s, "&gt;");
            break;
        case '\'':
            g_string_append(s, attribute ? "&apos;" : "'");
            break;
        case '\n':
        case '\t':
        case '\r':
            if (attribute || *text == '\r')
                g_string_append_printf(s, "&#%d;", *text);
            else
                g_string_append_c(s, *text);
            break;
        default:
            g_string_append_c(s, *text);
        }
    }
}

static void print_name(GString *s, const xmlNs *ns, const xmlChar *name)
{
    if (ns && ns->prefix)
        g_string_append_printf(s, "%s:", ns->prefix);
    g_string_append(s, (const char *)name);
}

static void print_attributes(GString *s, xmlNode *node)
{
    for (const xmlNs *ns = node->nsDef; ns; ns = ns->next) {
        g_string_append_printf(s, " xmlns%s%s='", ns->prefix ? ":" : "", ns->prefix ? (const char *)ns->prefix : "");
        append_escaped(s, ns->href ? (const char *)ns->href : "", true);
        g_string_append_c(s, '\'');
    }
    for (xmlAttr *a = node->properties; a; a = a->next) {
        xmlChar *value = xmlNodeListGetString(node->doc, a->children, 1);
        g_string_append_c(s, ' ');
        print_name(s, a->ns, a->name);
        g_string_append(s, "='");
        append_escaped(s, value ? (const char *)value : "", true);
        g_string_append_c(s, '\'');
        xmlFree(value);
    }
}

static bool is_blank(const xmlNode *n) { return n->type == XML_TEXT_NODE && xmlIsBlankNode(n); }

/* Text among its children that is more than blanks: they stay on one line. */
static bool has_text(const xmlNode *node)
{
    for (const xmlNode *n = node->children; n; n = n->next)
        if ((n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE || n->type == XML_ENTITY_REF_NODE) &&
            (!is_blank(n) || (!n->prev && !n->next)))
            return true;
    return false;
}

static void print_inline(GString *s, xmlNode *node);

static void print_child_inline(GString *s, xmlNode *n)
{
    if (n->type == XML_ELEMENT_NODE) {
        print_inline(s, n);
    } else if (n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE) {
        append_escaped(s, n->content ? (const char *)n->content : "", false);
    } else if (n->type == XML_ENTITY_REF_NODE) {
        g_string_append_printf(s, "&%s;", n->name);
    }
}

static void print_inline(GString *s, xmlNode *node)
{
    g_string_append_c(s, '<');
    print_name(s, node->ns, node->name);
    print_attributes(s, node);
    if (!node->children) {
        g_string_append(s, "/>");
        return;
    }
    g_string_append_c(s, '>');
    for (xmlNode *n = node->children; n; n = n->next)
        print_child_inline(s, n);
    g_string_append(s, "</");
    print_name(s, node->ns, node->name);
    g_string_append_c(s, '>');
}

void record_print_tree(GString *s, xmlNode *node, unsigned level)
{
    g_string_append_printf(s, "%*s", level * 2, "");
    if (!node->children || has_text(node)) {
        print_inline(s, node);
    } else {
        g_string_append_c(s, '<');
        print_name(s, node->ns, node->name);
        print_attributes(s, node);
        g_string_append(s, ">\n");
        for (xmlNode *n = node->children; n; n = n->next)
            if (n->type == XML_ELEMENT_NODE)
                record_print_tree(s, n, level + 1);
        g_string_append_printf(s, "%*s</", level * 2, "");
        print_name(s, node->ns, node->name);
        g_string_append_c(s, '>');
    }
    g_string_append_c(s, '\n');
}
