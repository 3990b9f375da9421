/* handlers_domain.c - what is asked of domains and answered at once. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/daemon/listing.h"
#include "manage/daemon/saved.h"
#include "manage/daemon/snapshot.h"

/* virConnectListAllDomainsFlags, in groups: of each group that is asked for, one must be true. */
enum {
    LIST_ACTIVE = 1, LIST_INACTIVE = 2, LIST_PERSISTENT = 4, LIST_TRANSIENT = 8, LIST_RUNNING = 16, LIST_PAUSED = 32, LIST_SHUTOFF = 64, LIST_OTHER = 128,
    LIST_MANAGEDSAVE = 256, LIST_NO_MANAGEDSAVE = 512, LIST_AUTOSTART = 1024, LIST_NO_AUTOSTART = 2048, LIST_HAS_SNAPSHOT = 4096, LIST_NO_SNAPSHOT = 8192,
    LIST_HAS_CHECKPOINT = 16384, LIST_NO_CHECKPOINT = 32768,
};
enum { XML_SECURE = 1, XML_INACTIVE = 2 };

static unsigned list_flags(const void *object, unsigned wanted)
{
    const ManagedDomain *d = object;
    unsigned bits = domain_active(d) ? LIST_ACTIVE : LIST_INACTIVE;
    bits |= d->config ? LIST_PERSISTENT : LIST_TRANSIENT;
    bits |= d->state == DOMAIN_RUNNING ? LIST_RUNNING : d->state == DOMAIN_PAUSED ? LIST_PAUSED : d->state == DOMAIN_SHUTOFF ? LIST_SHUTOFF : LIST_OTHER;
    bits |= d->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART;
    if (wanted & (LIST_MANAGEDSAVE | LIST_NO_MANAGEDSAVE))
        bits |= managed_save_exists(d) ? LIST_MANAGEDSAVE : LIST_NO_MANAGEDSAVE;
    return bits | (snapshots_count(d) ? LIST_HAS_SNAPSHOT : LIST_NO_SNAPSHOT) | LIST_NO_CHECKPOINT;
}

static GHashTable *all(const Realm *r) { return r->domains; }
static const char *name_of(const void *domain) { return ((const ManagedDomain *)domain)->name; }
static GVariant *handle_of(const void *domain) { return domain_handle(domain); }

static const Listing domains = {
    .handle_type = "(ssi)", .missing = RPC_ERR_NO_DOMAIN, .missing_text = "Domain not found: no domain with matching %s '%s'",
    .groups = (const unsigned[]){ LIST_ACTIVE | LIST_INACTIVE, LIST_PERSISTENT | LIST_TRANSIENT, LIST_RUNNING | LIST_PAUSED | LIST_SHUTOFF | LIST_OTHER,
                                  LIST_MANAGEDSAVE | LIST_NO_MANAGEDSAVE, LIST_AUTOSTART | LIST_NO_AUTOSTART, LIST_HAS_SNAPSHOT | LIST_NO_SNAPSHOT,
                                  LIST_HAS_CHECKPOINT | LIST_NO_CHECKPOINT, 0 },
    .all = all, .flags = list_flags, .key = name_of, .handle = handle_of,
};

GPtrArray *domains_listed(const Realm *r, unsigned flags) { return listing_find(&domains, r, flags); }

static void list_all(Client *c, RpcCall *call, GVariant *args) { listing_reply_all(&domains, c, call, args); }
static void list_defined(Client *c, RpcCall *call, GVariant *args) { listing_reply_keys(&domains, c, call, args, LIST_INACTIVE); }
static void num_active(Client *c, RpcCall *call, GVariant *args) { listing_reply_count(&domains, c, call, LIST_ACTIVE); }
static void num_defined(Client *c, RpcCall *call, GVariant *args) { listing_reply_count(&domains, c, call, LIST_INACTIVE); }

static void list_ids(Client *c, RpcCall *call, GVariant *args)
{
    int most;
    g_variant_get(args, "(i)", &most);
    g_autoptr(GPtrArray) list = domains_listed(c->realm, LIST_ACTIVE);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("ai"));
    for (guint i = 0; i < list->len && (int)i < most; i++)
        g_variant_builder_add(&b, "i", ((ManagedDomain *)list->pdata[i])->id);
    rpc_reply(call, g_variant_new("(ai)", &b));
}

static void lookup_name(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_variant_get(args, "(&s)", &name);
    listing_reply_one(&domains, call, domain_by_name(c->realm, name), "name", name);
}

static void lookup_uuid(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_variant_get(args, "(&s)", &uuid);
    listing_reply_one(&domains, call, domain_by_uuid(c->realm, uuid), "uuid", uuid);
}

static void lookup_id(Client *c, RpcCall *call, GVariant *args)
{
    int id;
    g_variant_get(args, "(i)", &id);
    g_autofree char *text = g_strdup_printf("%d", id);
    listing_reply_one(&domains, call, domain_by_id(c->realm, id), "id", text);
}

static void get_xml(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    if ((flags & XML_SECURE) && rpc_readonly(c->connection)) {
        rpc_fail(call, RPC_ERR_OPERATION_DENIED, "what is secret in a definition is not shown to a read-only connection");
        return;
    }
    const Domain *of = (flags & XML_INACTIVE) && d->config ? d->config : domain_now(d);
    g_autofree char *xml = record_write_xml(of, (of == d->live ? RECORD_LIVE : 0) | (flags & XML_SECURE ? RECORD_SECRET : 0));
    rpc_reply(call, g_variant_new("(s)", xml));
}

static uint64_t cpu_time(const ManagedDomain *d)
{
    HvStats s = { .cpu_ns = 0 };
    if (d->hv)
        d->driver->stats(d->hv, &s, NULL);
    return s.cpu_ns;
}

static void get_info(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    const Domain *of = domain_now(d);
    rpc_reply(call, g_variant_new("(uttut)", d->state, (guint64)of->memory / 1024, (guint64)of->current_memory / 1024, (guint)domain_vcpus(of), cpu_time(d)));
}

static void get_state(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        rpc_reply(call, g_variant_new("(ii)", d->state, d->reason));
}

/* Questions whose answer is one number. */
static void reply_int(Client *c, RpcCall *call, GVariant *args, int (*f)(const ManagedDomain *d))
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        rpc_reply(call, g_variant_new("(i)", f(d)));
}

static int autostart_of(const ManagedDomain *d) { return d->autostart; }
static int active_of(const ManagedDomain *d) { return domain_active(d); }
static int persistent_of(const ManagedDomain *d) { return d->config != NULL; }
static int updated_of(const ManagedDomain *d) { return d->live && d->updated; }
static int vcpus_of(const ManagedDomain *d) { return domain_now(d)->vcpus; }
static void get_autostart(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, autostart_of); }
static void is_active(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, active_of); }
static void is_persistent(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, persistent_of); }
static void is_updated(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, updated_of); }
static void get_max_vcpus(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, vcpus_of); }

static void get_max_memory(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        rpc_reply(call, g_variant_new("(t)", (guint64)domain_now(d)->memory / 1024));
}

static void get_os_type(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        rpc_reply(call, g_variant_new("(s)", domain_now(d)->os_type));
}

/* flags: live 1, config 2, maximum 4, guest 8 */
static void get_vcpus_flags(Client *c, RpcCall *call, GVariant *args)
{
    enum { VCPU_GUEST = 8 };
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    if (flags & VCPU_GUEST) {
        guest_vcpus(d, call, 0);
        return;
    }
    const Domain *of = (flags & AFFECT_CONFIG) ? d->config : (flags & AFFECT_LIVE) ? d->live : domain_now(d);
    if (!of)
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, (flags & AFFECT_CONFIG) ? "domain '%s' is transient: it has no definition" : "domain '%s' is not running", d->name);
    else
        rpc_reply(call, g_variant_new("(i)", (int)(flags & 4 ? of->vcpus : domain_vcpus(of))));
}

static void get_security_label(Client *c, RpcCall *call, GVariant *args)
{
    if (domain_of_call(c, call, args))
        rpc_reply(call, g_variant_new("(@aii)", g_variant_new_array(G_VARIANT_TYPE_INT32, NULL, 0), 0));
}

static void get_messages(Client *c, RpcCall *call, GVariant *args)
{
    if (domain_of_call(c, call, args))
        rpc_reply(call, g_variant_new("(@as)", g_variant_new_strv(NULL, 0)));
}

static void get_control_info(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    const Job *job = lane_current(d->lane);
    if (!domain_active(d))
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    else
        rpc_reply(call, g_variant_new("(uut)", job ? 1 : 0, 0, job ? (guint64)(g_get_monotonic_time() - job->started_us) / 1000 : (guint64)0));
}

const Handler domain_handlers[] = {
    { "CONNECT_LIST_ALL_DOMAINS", list_all },
    { "CONNECT_LIST_DOMAINS", list_ids },
    { "CONNECT_LIST_DEFINED_DOMAINS", list_defined },
    { "CONNECT_NUM_OF_DOMAINS", num_active },
    { "CONNECT_NUM_OF_DEFINED_DOMAINS", num_defined },
    { "DOMAIN_LOOKUP_BY_NAME", lookup_name },
    { "DOMAIN_LOOKUP_BY_UUID", lookup_uuid },
    { "DOMAIN_LOOKUP_BY_ID", lookup_id },
    { "DOMAIN_GET_XML_DESC", get_xml },
    { "DOMAIN_GET_INFO", get_info },
    { "DOMAIN_GET_STATE", get_state },
    { "DOMAIN_GET_AUTOSTART", get_autostart },
    { "DOMAIN_IS_ACTIVE", is_active },
    { "DOMAIN_IS_PERSISTENT", is_persistent },
    { "DOMAIN_IS_UPDATED", is_updated },
    { "DOMAIN_GET_MAX_VCPUS", get_max_vcpus },
    { "DOMAIN_GET_VCPUS_FLAGS", get_vcpus_flags },
    { "DOMAIN_GET_MAX_MEMORY", get_max_memory },
    { "DOMAIN_GET_OS_TYPE", get_os_type },
    { "DOMAIN_GET_SECURITY_LABEL", get_security_label },
    { "DOMAIN_GET_MESSAGES", get_messages },
    { "DOMAIN_GET_CONTROL_INFO", get_control_info },
    { NULL },
};
