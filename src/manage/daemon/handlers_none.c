/* handlers_none.c - what there is none of: nobody can make one, and who looks finds none. */
#include "manage/daemon/daemon_inside.h"

static void no_number(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(i)", 0)); }
static void no_names(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(@as)", g_variant_new_strv(NULL, 0))); }
static void no_pairs(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(@a(ss)u)", g_variant_new_array(G_VARIANT_TYPE("(ss)"), NULL, 0), 0)); }

static void no_filter(Client *c, RpcCall *call, GVariant *args)
{
    rpc_fail(call, RPC_ERR_NO_NWFILTER, "there are no network filters here: rules are those of networks");
}

/* ---- jobs of a domain as a whole: block jobs are its disks' own */
static void no_job_info(Client *c, RpcCall *call, GVariant *args)
{
    const guint64 z = 0;
    if (domain_of_call(c, call, args))
        rpc_reply(call, g_variant_new("(ittttttttttt)", 0, z, z, z, z, z, z, z, z, z, z, z));
}

static void no_job_stats(Client *c, RpcCall *call, GVariant *args)
{
    if (domain_of_call(c, call, args))
        rpc_reply(call, g_variant_new("(i@a(sv))", 0, g_variant_new_array(G_VARIANT_TYPE("(sv)"), NULL, 0)));
}

static void no_job(Client *c, RpcCall *call, GVariant *args)
{
    const ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "no job is active on domain '%s': blockjob --abort ends one of a disk", d->name);
}

static void no_labels(Client *c, RpcCall *call, GVariant *args)
{
    if (domain_of_call(c, call, args))
        rpc_reply(call, g_variant_new("(@a(aii)i)", g_variant_new_array(G_VARIANT_TYPE("(aii)"), NULL, 0), 0));
}

const Handler none_handlers[] = {
    { "CONNECT_NUM_OF_DEFINED_INTERFACES", no_number },
    { "CONNECT_LIST_DEFINED_INTERFACES", no_names },
    { "CONNECT_NUM_OF_NWFILTERS", no_number },
    { "CONNECT_LIST_NWFILTERS", no_names },
    { "CONNECT_LIST_ALL_NWFILTERS", no_pairs },
    { "CONNECT_LIST_ALL_NWFILTER_BINDINGS", no_pairs },
    { "NWFILTER_LOOKUP_BY_NAME", no_filter },
    { "NWFILTER_LOOKUP_BY_UUID", no_filter },
    { "NWFILTER_GET_XML_DESC", no_filter },
    { "NWFILTER_BINDING_LOOKUP_BY_PORT_DEV", no_filter },
    { "NWFILTER_BINDING_GET_XML_DESC", no_filter },
    { "DOMAIN_GET_JOB_INFO", no_job_info },
    { "DOMAIN_GET_JOB_STATS", no_job_stats },
    { "DOMAIN_ABORT_JOB", no_job },
    { "DOMAIN_ABORT_JOB_FLAGS", no_job },
    { "DOMAIN_GET_SECURITY_LABEL_LIST", no_labels },
    { NULL },
};
