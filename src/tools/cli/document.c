/* document.c - what is wanted of an XML document. */
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <string.h>

#include "tools/cli/cli.h"

Document *document_read(const char *xml, GError **err)
{
    xmlDoc *d = xmlReadMemory(xml, strlen(xml), "document", NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!d)
        cli_error(err, "the document is not well-formed");
    return d;
}

void document_free(Document *d) { xmlFreeDoc(d); }

static xmlXPathObject *select_nodes(Document *d, const char *xpath)
{
    xmlXPathContext *context = xmlXPathNewContext(d);
    xmlXPathObject *o = xmlXPathEval((const xmlChar *)xpath, context);
    xmlXPathFreeContext(context);
    return o;
}

char *document_text(Document *d, const char *xpath)
{
    xmlXPathObject *o = select_nodes(d, xpath);
    char *text = NULL;
    if (o && (o->type != XPATH_NODESET || (o->nodesetval && o->nodesetval->nodeNr))) {
        xmlChar *value = xmlXPathCastToString(o);
        text = g_strdup((char *)value);
        xmlFree(value);
    }
    xmlXPathFreeObject(o);
    return text;
}

int document_count(Document *d, const char *xpath)
{
    g_autoptr(GPtrArray) nodes = document_nodes(d, xpath);
    return nodes->len;
}

GPtrArray *document_nodes(Document *d, const char *xpath)
{
    xmlXPathObject *o = select_nodes(d, xpath);
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; o && o->nodesetval && i < o->nodesetval->nodeNr; i++) {
        xmlBuffer *b = xmlBufferCreate();
        xmlNodeDump(b, d, o->nodesetval->nodeTab[i], 0, 1);
        g_ptr_array_add(list, g_strdup((const char *)xmlBufferContent(b)));
        xmlBufferFree(b);
    }
    xmlXPathFreeObject(o);
    return list;
}

bool out_document(Cli *c, const char *xml, GError **err)
{
    const char *xpath = arg_text(c, "xpath");
    if (!xpath) {
        g_autofree char *text = g_strconcat(xml, g_str_has_suffix(xml, "\n") && !c->json ? "" : "\n", NULL);
        out_text(c, "xml", text);
        return true;
    }
    g_autoptr(Document) d = document_read(xml, err);
    if (!d)
        return false;
    g_autoptr(GPtrArray) nodes = document_nodes(d, xpath);
    g_autoptr(GString) text = g_string_new(arg_given(c, "wrap") ? "<nodes>\n" : NULL);
    for (guint i = 0; i < nodes->len; i++)
        g_string_append_printf(text, "%s\n", (char *)nodes->pdata[i]);
    if (arg_given(c, "wrap"))
        g_string_append(text, "</nodes>\n");
    out_text(c, "xml", text->str);
    return true;
}
