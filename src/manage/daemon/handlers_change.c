/* handlers_change.c - changes to a domain: memory, processors, devices, metadata, name; of the running machine and of its definition. */
#include <libxml/parser.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/daemon/task.h"

enum { VCPU_MAXIMUM = 4, VCPU_GUEST = 8, MEMORY_MAXIMUM = 4 };
enum { METADATA_DESCRIPTION = 0, METADATA_TITLE = 1, METADATA_ELEMENT = 2 };

bool domain_edit_config(ManagedDomain *d, DomainEdit *edit, void *opaque, GError **err)
{
    if (!d->config)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is transient: it has no definition to change", d->name);
    Domain *changed = record_copy(d->config);
    if (!edit(changed, opaque, err) || !domain_settle(d->realm, changed, err) || !domain_write(d->realm, changed, err)) {
        record_free(changed);
        return false;
    }
    record_free(d->config);
    d->config = changed;
    d->updated = true;
    return true;
}

unsigned domain_affected(const ManagedDomain *d, unsigned flags)
{
    unsigned both = flags & (AFFECT_LIVE | AFFECT_CONFIG);
    return both ? both : domain_active(d) ? AFFECT_LIVE : AFFECT_CONFIG;
}

static bool not_live(const ManagedDomain *d, unsigned where, const char *what, GError **err)
{
    if (!(where & AFFECT_LIVE))
        return true;
    if (!domain_active(d))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running: --config changes its definition", d->name);
    return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "%s of a running machine cannot be changed: --config does it for the next start", what);
}

/* ---- memory and processors */
static bool edit_memory(Domain *d, void *opaque, GError **err)
{
    d->current_memory = *(guint64 *)opaque;
    return true;
}

static bool edit_max_memory(Domain *d, void *opaque, GError **err)
{
    d->memory = *(guint64 *)opaque;
    d->current_memory = MIN(d->current_memory, d->memory);
    return true;
}

typedef struct Balloon {
    ManagedDomain *domain;
    RpcCall *call;
    guint64 bytes;
} Balloon;

static bool balloon_run(Job *j, GError **err)
{
    Balloon *b = j->data;
    return b->domain->driver->set_memory(b->domain->hv, b->bytes, err);
}

static bool balloon_begin(Job *j, GError **err)
{
    Balloon *b = j->data;
    if (!b->domain->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", b->domain->name);
    return b->bytes <= b->domain->live->memory || rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no more than %" G_GUINT64_FORMAT " KiB of memory", b->domain->name,
                                                                 b->domain->live->memory / 1024);
}

static void balloon_done(Job *j, GError *err)
{
    Balloon *b = j->data;
    reply_error(b->call, err);
    domain_unref(b->domain);
    g_free(b);
}

static void set_memory(Client *c, RpcCall *call, ManagedDomain *d, guint64 kib, unsigned flags)
{
    static const JobType type = { "balloon", balloon_begin, balloon_run, balloon_done };
    unsigned where = domain_affected(d, flags);
    guint64 bytes = kib > G_MAXUINT64 / 1024 ? G_MAXUINT64 : kib * 1024;
    g_autoptr(GError) err = NULL;
    if (flags & MEMORY_MAXIMUM) {
        if (not_live(d, where, "the most memory", &err))
            domain_edit_config(d, edit_max_memory, &bytes, &err);
        reply_error(call, err);
        return;
    }
    if ((where & AFFECT_CONFIG) && !domain_edit_config(d, edit_memory, &bytes, &err)) {
        reply_error(call, err);
    } else if (where & AFFECT_LIVE) {
        Balloon *b = g_new0(Balloon, 1);
        *b = (Balloon){ domain_ref(d), call, bytes };
        lane_push(d->lane, &type, b);
    } else {
        reply_error(call, NULL);
    }
}

static void memory_flags(Client *c, RpcCall *call, GVariant *args)
{
    guint64 kib;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)tu)", NULL, &kib, &flags);
    set_memory(c, call, d, kib, flags);
}

static void memory_now(Client *c, RpcCall *call, GVariant *args)
{
    guint64 kib;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "t", &kib);
    set_memory(c, call, d, kib, strcmp(rpc_call_procedure(call)->name, "DOMAIN_SET_MAX_MEMORY") ? AFFECT_LIVE : MEMORY_MAXIMUM | AFFECT_CONFIG);
}

typedef struct Vcpus {
    guint n;
    bool maximum;
} Vcpus;

static bool edit_vcpus(Domain *d, void *opaque, GError **err)
{
    const Vcpus *v = opaque;
    if (v->maximum) {
        d->vcpus = v->n;
        if (d->current_vcpus != RECORD_NONE)
            d->current_vcpus = MIN(d->current_vcpus, d->vcpus);
    } else if (v->n > d->vcpus) {
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has at most %" G_GUINT64_FORMAT " processors: --maximum first", d->name, d->vcpus);
    } else {
        d->current_vcpus = v->n == d->vcpus ? RECORD_NONE : v->n;
    }
    return v->n || rpc_error_set(err, RPC_ERR_INVALID_ARG, "a machine needs a processor");
}

static void set_vcpus(Client *c, RpcCall *call, GVariant *args)
{
    guint n, flags = 0;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &n);
    if (g_variant_n_children(args) > 2)
        g_variant_get_child(args, 2, "u", &flags);
    if ((flags & VCPU_GUEST) && n) {
        guest_vcpus(d, call, n);
        return;
    }
    if (not_live(d, domain_affected(d, flags), "the number of processors", &err))
        domain_edit_config(d, edit_vcpus, &(Vcpus){ n, flags & VCPU_MAXIMUM }, &err);
    reply_error(call, err);
}

/* ---- what follows when the guest powers off, reboots or crashes */
typedef struct LifecycleAction {
    guint when, action; /* virDomainLifecycle, virDomainLifecycleAction */
} LifecycleAction;

static bool edit_lifecycle(Domain *d, void *opaque, GError **err)
{
    static const DomainAction actions[] = { ACTION_DESTROY, ACTION_RESTART, ACTION_RENAME_RESTART, ACTION_PRESERVE, ACTION_COREDUMP_DESTROY, ACTION_COREDUMP_RESTART };
    enum { LIFECYCLE_CRASH = 2, FIRST_OF_CRASHES = 4 };
    const LifecycleAction *l = opaque;
    unsigned *const words[] = { &d->on_poweroff, &d->on_reboot, &d->on_crash };
    if (l->when >= G_N_ELEMENTS(words) || l->action >= G_N_ELEMENTS(actions) || (l->action >= FIRST_OF_CRASHES && l->when != LIFECYCLE_CRASH))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "there is no action %u for a guest's end of kind %u", l->action, l->when);
    *words[l->when] = actions[l->action];
    return true;
}

static void set_lifecycle(Client *c, RpcCall *call, GVariant *args)
{
    LifecycleAction l;
    guint flags;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)uuu)", NULL, &l.when, &l.action, &flags);
    if (not_live(d, domain_affected(d, flags), "what follows a guest's end", &err))
        domain_edit_config(d, edit_lifecycle, &l, &err);
    reply_error(call, err);
}

/* ---- metadata */
typedef struct Metadata {
    int type;
    const char *text, *key, *uri; /* text NULL: remove */
} Metadata;

static xmlNode *element_of(xmlDoc *doc, const char *uri)
{
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    for (xmlNode *n = root ? root->children : NULL; n; n = n->next)
        if (n->type == XML_ELEMENT_NODE && n->ns && !g_strcmp0((const char *)n->ns->href, uri))
            return n;
    return NULL;
}

static xmlDoc *metadata_of(const Domain *d)
{
    const char *text = d->metadata ? d->metadata : "<metadata/>";
    return xmlReadMemory(text, strlen(text), "metadata", NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

static char *node_xml(xmlNode *n)
{
    xmlBuffer *b = xmlBufferCreate();
    xmlNodeDump(b, n->doc, n, 0, 0);
    char *text = g_strdup((const char *)xmlBufferContent(b));
    xmlBufferFree(b);
    return text;
}

static bool set_element(Domain *d, const Metadata *m, GError **err)
{
    xmlDoc *doc = metadata_of(d), *given = NULL;
    xmlNode *old = element_of(doc, m->uri), *root = doc ? xmlDocGetRootElement(doc) : NULL;
    bool ok = root;
    if (old) {
        xmlUnlinkNode(old);
        xmlFreeNode(old);
    }
    if (m->text) {
        given = xmlReadMemory(m->text, strlen(m->text), "metadata", NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
        xmlNode *copy = given && !given->intSubset ? xmlDocCopyNode(xmlDocGetRootElement(given), doc, 1) : NULL;
        ok = copy || rpc_error_set(err, RPC_ERR_XML_ERROR, "the metadata is not well-formed XML");
        if (copy) {
            xmlSetNs(copy, xmlNewNs(copy, (const xmlChar *)m->uri, (const xmlChar *)m->key));
            xmlAddChild(root, copy);
        }
    }
    if (ok) {
        g_free(d->metadata);
        d->metadata = root->children ? node_xml(root) : NULL;
    }
    xmlFreeDoc(given);
    xmlFreeDoc(doc);
    return ok;
}

static bool edit_metadata(Domain *d, void *opaque, GError **err)
{
    const Metadata *m = opaque;
    char **text = m->type == METADATA_DESCRIPTION ? &d->description : &d->title;
    if (m->type == METADATA_ELEMENT)
        return set_element(d, m, err);
    if (m->type == METADATA_TITLE && m->text && strchr(m->text, '\n'))
        return rpc_error_set(err, RPC_ERR_XML_ERROR, "a title is one line");
    g_free(*text);
    *text = m->text && *m->text ? g_strdup(m->text) : NULL;
    return true;
}

static void set_metadata(Client *c, RpcCall *call, GVariant *args)
{
    Metadata m;
    guint flags;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)im&sm&sm&su)", NULL, &m.type, &m.text, &m.key, &m.uri, &flags);
    unsigned where = domain_affected(d, flags);
    if (m.type < METADATA_DESCRIPTION || m.type > METADATA_ELEMENT || (m.type == METADATA_ELEMENT && !m.uri))
        rpc_error_set(&err, RPC_ERR_INVALID_ARG, "there is no metadata of type %d", m.type);
    else if (!(where & AFFECT_CONFIG) || domain_edit_config(d, edit_metadata, &m, &err))
        if ((where & AFFECT_LIVE) && d->live)
            edit_metadata(d->live, &m, &err);
    if (!err)
        domain_event(d, EVENT_METADATA, "(ims)", m.type, m.uri);
    reply_error(call, err);
}

static void get_metadata(Client *c, RpcCall *call, GVariant *args)
{
    int type;
    const char *uri;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)im&su)", NULL, &type, &uri, &flags);
    const Domain *of = (flags & AFFECT_CONFIG) && d->config ? d->config : domain_now(d);
    xmlDoc *doc = type == METADATA_ELEMENT ? metadata_of(of) : NULL;
    xmlNode *n = element_of(doc, uri);
    g_autofree char *text = type == METADATA_ELEMENT ? n ? node_xml(n) : NULL : g_strdup(type == METADATA_TITLE ? of->title : of->description);
    xmlFreeDoc(doc);
    if (text)
        rpc_reply(call, g_variant_new("(s)", text));
    else
        rpc_fail(call, RPC_ERR_NO_DOMAIN_METADATA, "domain '%s' has no such metadata", d->name);
}

/* ---- name */
static void rename_domain(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "m&s", &name);
    if (!name || !domain_rename(d, name, &err))
        rpc_fail(call, err ? (RpcError)RPC_ERR_OPERATION_INVALID : RPC_ERR_INVALID_ARG, "%s", err ? err->message : "a name is wanted");
    else
        rpc_reply(call, g_variant_new("(i)", 0));
}

const Handler change_handlers[] = {
    { "DOMAIN_SET_MEMORY_FLAGS", memory_flags },
    { "DOMAIN_SET_MEMORY", memory_now },
    { "DOMAIN_SET_MAX_MEMORY", memory_now },
    { "DOMAIN_SET_VCPUS", set_vcpus },
    { "DOMAIN_SET_VCPUS_FLAGS", set_vcpus },
    { "DOMAIN_SET_METADATA", set_metadata },
    { "DOMAIN_GET_METADATA", get_metadata },
    { "DOMAIN_RENAME", rename_domain },
    { "DOMAIN_SET_LIFECYCLE_ACTION", set_lifecycle },
    { NULL },
};
