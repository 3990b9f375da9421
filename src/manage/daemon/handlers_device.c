/* handlers_device.c - devices that are plugged in, out and changed: of the running machine, of its definition, or of both. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/change.h"
#include "manage/daemon/net.h"
#include "manage/daemon/secret.h"

enum { UPDATE_FORCE = 4 };

typedef enum ChangeKind { CHANGE_ADD, CHANGE_REMOVE, CHANGE_UPDATE } ChangeKind;

typedef struct Change {
    ChangeKind kind;
    unsigned where, flags;
    Record *device;   /* as it was given */
    Record *plugged;  /* what the machine gets, or (remove) has */
    Record *before;   /* update: as it was */
    Controller *controller; /* add: the one that `device` needs and the machine lacked; NULL: none */
    bool has_controller;    /* it is in */
    Domain *live, *config;
    char *alias;      /* remove: instead of `device` */
} Change;

static void change_free(void *data)
{
    Change *c = data;
    record_free(c->device);
    record_free(c->plugged);
    record_free(c->before);
    record_free(c->controller);
    record_free(c->live);
    record_free(c->config);
    g_free(c->alias);
    g_free(c);
}

/* ---- lists of devices */

/* Where a device sits is its definition's: who names one need not say it. */
static bool is_same_elsewhere(const Record *a, const Record *b)
{
    const RecordField *f = record_field(b->type, "address");
    if (!f || *(Address **)((char *)b + f->off))
        return false;
    Record *there = record_copy(a);
    Address **at = (Address **)((char *)there + f->off);
    record_free(*at);
    *at = NULL;
    bool same = record_equal(there, b);
    record_free(there);
    return same;
}

/* What makes two devices the same: a disk's target, a card's MAC address, a controller's number, a screen's protocol; everything for the rest. */
static bool is_same(const Record *a, const Record *b)
{
    if (a->type == &disk_record)
        return !strcmp(((const Disk *)a)->target, ((const Disk *)b)->target);
    if (a->type == &interface_record)
        return !g_strcmp0(((const Interface *)a)->mac, ((const Interface *)b)->mac);
    if (a->type == &graphics_record)
        return ((const Graphics *)a)->type == ((const Graphics *)b)->type;
    if (a->type == &controller_record)
        return ((const Controller *)a)->type == ((const Controller *)b)->type && ((const Controller *)a)->index == ((const Controller *)b)->index;
    return record_equal(a, b) || is_same_elsewhere(a, b);
}

static GPtrArray **list_of(Devices *v, const RecordType *t)
{
    for (const RecordField *f = devices_record.fields; f->name; f++)
        if (f->record == t && f->kind == RK_LIST)
            return (GPtrArray **)((char *)v + f->off);
    return NULL;
}

/* -1: not there */
static int index_of(const GPtrArray *list, const Record *device)
{
    for (guint i = 0; list && i < list->len; i++)
        if (is_same(list->pdata[i], device))
            return i;
    return -1;
}

static char **alias_of(Record *device)
{
    const RecordField *f = record_field(device->type, "alias");
    return f ? (char **)((char *)device + f->off) : NULL;
}

/* The list that holds the device of that alias, or NULL. */
static GPtrArray *list_with_alias(Devices *v, const char *alias, guint *ret_index)
{
    for (const RecordField *f = devices_record.fields; f->name; f++) {
        GPtrArray *list = f->kind == RK_LIST ? *(GPtrArray **)((char *)v + f->off) : NULL;
        for (*ret_index = 0; list && *ret_index < list->len; (*ret_index)++) {
            char **name = alias_of(list->pdata[*ret_index]);
            if (name && !g_strcmp0(*name, alias))
                return list;
        }
    }
    return NULL;
}

Record *device_read(const char *xml, GError **err)
{
    const char *at = strchr(xml, '<');
    while (at && (at[1] == '?' || at[1] == '!'))
        at = strchr(at + 1, '<');
    g_autofree char *name = at ? g_strndup(at + 1, strcspn(at + 1, " \t\r\n/>")) : g_strdup("");
    const RecordType *t = device_record_for(name);
    if (t)
        return record_read_xml(t, xml, RECORD_SECRET, NULL, err);
    error_set(err, ERR_UNSUPPORTED, "<%s> is no device that is known here", name);
    return NULL;
}

/* ---- the definition, or a copy of the running machine's */
static void place(GPtrArray **list, int at, Record *device)
{
    if (!*list)
        *list = g_ptr_array_new_with_free_func(record_free);
    g_ptr_array_insert(*list, at, device);
}

/* ret_at: where it is, or -1 */
static bool may_change(const Domain *d, ChangeKind kind, const Record *device, GPtrArray ***ret_list, int *ret_at, GError **err)
{
    const char *element = device->type->element;
    GPtrArray **list = list_of(d->devices, device->type);
    if (!list)
        return error_set(err, ERR_UNSUPPORTED, "a machine has one <%s> at most: define it anew", element);
    *ret_list = list;
    *ret_at = index_of(*list, device);
    if (kind == CHANGE_ADD && *ret_at >= 0)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' has that <%s> already", d->name, element);
    return kind == CHANGE_ADD || *ret_at >= 0 || rpc_error_set(err, RPC_ERR_DEVICE_MISSING, "domain '%s' has no such <%s>", d->name, element);
}

static bool apply(Domain *d, ChangeKind kind, const Record *device, GError **err)
{
    GPtrArray **list;
    int at;
    if (!may_change(d, kind, device, &list, &at, err))
        return false;
    if (kind != CHANGE_ADD)
        g_ptr_array_remove_index(*list, at);
    if (kind != CHANGE_REMOVE)
        place(list, at, record_copy(device));
    return true;
}

/* ---- the running machine: cards have an end on the host */
typedef struct OneCard {
    Domain domain;
    Devices devices;
    GPtrArray *list;
} OneCard;

static Domain *one_card(OneCard *o, const Domain *live, Interface *card)
{
    o->list = g_ptr_array_new();
    g_ptr_array_add(o->list, card);
    o->devices = (Devices){ .interfaces = o->list };
    o->domain = *live;
    o->domain.devices = &o->devices;
    return &o->domain;
}

static bool prepare_card(Realm *r, const Domain *live, Record *device, GError **err)
{
    OneCard one;
    if (device->type != &interface_record || r->in_memory)
        return true;
    bool ok = network_prepare_cards(r, one_card(&one, live, (Interface *)device), err);
    g_ptr_array_unref(one.list);
    return ok;
}

static bool plug_card(const Realm *r, const Domain *live, Record *device, bool in, GError **err)
{
    OneCard one;
    bool ok = true;
    if (device->type != &interface_record || r->in_memory)
        return true;
    Domain *of = one_card(&one, live, (Interface *)device);
    if (in)
        ok = network_plug_cards(of, err);
    else
        network_unplug_cards(of);
    g_ptr_array_unref(one.list);
    return ok;
}

/* ---- changes of a running machine's device that need no plugging */
static bool card_may_change(const Interface *a, const Interface *b, GError **err)
{
    if (a->type == b->type && !g_strcmp0(a->network, b->network) && (a->type != IF_BRIDGE || !g_strcmp0(a->bridge, b->bridge)) && (!b->model || !g_strcmp0(a->model, b->model)))
        return true;
    return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "of the running machine's card %s only the cable can be pulled and put in: detach it and attach the new one, or say --config", a->mac);
}

static const char *source_of(const Disk *d) { return d->type == DISK_FILE ? d->file : d->type == DISK_BLOCK ? d->dev : d->source_name; }
static bool is_drive(const Disk *d) { return d->device == DISK_CDROM || d->device == DISK_FLOPPY; }

static bool disk_may_change(const Disk *a, const Disk *b, GError **err)
{
    if (a->bus != b->bus || a->device != b->device)
        return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "disk '%s' stays the device that it is while the machine runs: --config changes it", a->target);
    if (is_drive(a) || !g_strcmp0(source_of(a), source_of(b)))
        return true;
    return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "disk '%s' keeps its image while the machine runs: blockcopy moves it, --config changes it for the next start", a->target);
}

static bool run_update(Task *t, Change *c, GError **err)
{
    const HvDriver *v = t->driver;
    const RecordType *type = c->before->type;
    if (type == &interface_record) {
        const Interface *card = (Interface *)c->plugged;
        return v->set_link ? v->set_link(t->hv, card, card->link != 2, err) : task_unsupported(t, "pull a cable", err);
    }
    if (type == &graphics_record)
        return v->set_password ? v->set_password(t->hv, (Graphics *)c->plugged, err) : task_unsupported(t, "change a password", err);
    Disk *before = (Disk *)c->before, *after = (Disk *)c->plugged;
    if (is_drive(before) && g_strcmp0(source_of(before), source_of(after)) &&
        !(v->change_medium ? v->change_medium(t->hv, before, after, c->flags & UPDATE_FORCE, err) : task_unsupported(t, "change a medium", err)))
        return false;
    static const IoTune none = { .total_bytes = RECORD_NONE, .read_bytes = RECORD_NONE, .write_bytes = RECORD_NONE, .total_iops = RECORD_NONE, .read_iops = RECORD_NONE,
                                 .write_iops = RECORD_NONE };
    return (!before->iotune && !after->iotune) || !v->limit || v->limit(t->hv, after, after->iotune ? after->iotune : &none, err);
}

/* What the machine has made of the device stays: its name, its place, the bridge it is in. */
static Record *updated(const Record *before, const Record *given)
{
    Record *after;
    if (before->type == &interface_record) {
        after = record_copy(before);
        ((Interface *)after)->link = ((const Interface *)given)->link;
    } else if (before->type == &graphics_record) {
        after = record_copy(before);
        g_free(((Graphics *)after)->password);
        ((Graphics *)after)->password = g_strdup(((const Graphics *)given)->password);
    } else {
        Disk *disk = record_copy(given);
        const Disk *was = (const Disk *)before;
        disk->alias = g_strdup(was->alias);
        disk->source_index = was->source_index;
        if (!g_strcmp0(source_of(disk), source_of(was)) && !disk->backing && was->backing)
            disk->backing = record_copy(was->backing);
        after = &disk->record;
    }
    return after;
}

static bool begin_update(Change *c, const Record *before, GError **err)
{
    const RecordType *t = before->type;
    if (t == &interface_record ? !card_may_change((const Interface *)before, (const Interface *)c->device, err)
        : t == &disk_record    ? !disk_may_change((const Disk *)before, (const Disk *)c->device, err)
                               : t != &graphics_record)
        return t == &interface_record || t == &disk_record ? false : rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "<%s> of a running machine cannot be changed: --config does it for the next start", t->element);
    c->before = record_copy(before);
    c->plugged = updated(before, c->device);
    return true;
}

/* ---- the job */
static bool hand_out_secrets(const Realm *r, Change *c, GError **err)
{
    return c->plugged->type != &disk_record || secrets_hand_out(r, c->live, (Disk *)c->plugged, err);
}

static bool begin_add(Task *t, Change *c, GError **err)
{
    const Domain *live = t->domain->live;
    const HvDriver *v = t->driver;
    if (v->controller_for && (c->controller = v->controller_for(live, c->plugged)) && !v->name_device(live, c->controller, err))
        return false;
    return !v->name_device || v->name_device(live, c->plugged, err);
}

static bool begin_live(Task *t, Change *c, GError **err)
{
    ManagedDomain *d = t->domain;
    GPtrArray **list;
    int at;
    if (!t->hv || !domain_active(d))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running: --config changes its definition", d->name);
    if (!may_change(d->live, c->kind, c->device, &list, &at, err))
        return false;
    c->live = record_copy(d->live);
    if (c->kind == CHANGE_UPDATE)
        return begin_update(c, (*list)->pdata[at], err);
    c->plugged = record_copy(c->kind == CHANGE_ADD ? c->device : (*list)->pdata[at]);
    if (c->kind == CHANGE_ADD && !begin_add(t, c, err))
        return false;
    return c->kind != CHANGE_ADD || (prepare_card(d->realm, d->live, c->plugged, err) && hand_out_secrets(d->realm, c, err));
}

static bool find_by_alias(ManagedDomain *d, Change *c, GError **err)
{
    guint at;
    GPtrArray *list = d->live ? list_with_alias(d->live->devices, c->alias, &at) : NULL;
    if (!list)
        return rpc_error_set(err, RPC_ERR_DEVICE_MISSING, "domain '%s' has no device with the alias '%s'", d->name, c->alias);
    c->device = record_copy(list->pdata[at]);
    return true;
}

static bool change_begin(Task *t, GError **err)
{
    Change *c = t->data;
    ManagedDomain *d = t->domain;
    if (c->alias && !find_by_alias(d, c, err))
        return false;
    c->where = domain_affected(d, c->flags);
    if ((c->where & AFFECT_CONFIG) && !d->config)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is transient: it has no definition to change", d->name);
    if (c->where & AFFECT_CONFIG) {
        c->config = record_copy(d->config);
        if (!apply(c->config, c->kind, c->device, err) || !domain_settle(d->realm, c->config, err))
            return false;
    }
    return !(c->where & AFFECT_LIVE) || begin_live(t, c, err);
}

static bool run_add(Task *t, Change *c, GError **err)
{
    if (!t->driver->attach)
        return task_unsupported(t, "take a device while they run", err);
    if (c->controller && !(c->has_controller = t->driver->attach(t->hv, c->live, c->controller, err)))
        return false;
    if (!plug_card(t->domain->realm, c->live, c->plugged, true, err))
        return false;
    bool ok = t->driver->attach(t->hv, c->live, c->plugged, err);
    if (c->plugged->type == &disk_record)
        secrets_take_back(&t->domain->realm->daemon->host, c->live, (Disk *)c->plugged);
    if (ok)
        return true;
    plug_card(t->domain->realm, c->live, c->plugged, false, NULL);
    return false;
}

static bool change_run(Task *t, GError **err)
{
    Change *c = t->data;
    if (!(c->where & AFFECT_LIVE))
        return true;
    if (c->kind == CHANGE_ADD)
        return run_add(t, c, err);
    if (c->kind == CHANGE_UPDATE)
        return run_update(t, c, err);
    return t->driver->detach ? t->driver->detach(t->hv, c->plugged, err) : task_unsupported(t, "give a device away while they run", err);
}

/* It stays, also where the device behind it did not come: the next one finds it. */
static void publish_controller(ManagedDomain *d, const Change *c)
{
    if (!c->has_controller || !d->live || !domain_active(d) || !apply(d->live, CHANGE_ADD, &c->controller->record, NULL))
        return;
    domain_write_record(d, d->live, NULL);
    domain_event(d, EVENT_DEVICE_ADDED, "(s)", c->controller->alias);
}

/* One that is removed goes when the guest has let go of it: device_removed(). */
static void publish(ManagedDomain *d, Change *c)
{
    if (!d->live || !domain_active(d) || c->kind == CHANGE_REMOVE || !apply(d->live, c->kind, c->plugged, NULL))
        return;
    domain_write_record(d, d->live, NULL);
    char **alias = alias_of(c->plugged);
    if (c->kind == CHANGE_ADD && alias && *alias)
        domain_event(d, EVENT_DEVICE_ADDED, "(s)", *alias);
    if (c->kind == CHANGE_UPDATE && c->plugged->type == &disk_record && g_strcmp0(source_of((Disk *)c->before), source_of((Disk *)c->plugged)))
        domain_event(d, EVENT_DISK_CHANGE, "(msmssi)", source_of((Disk *)c->before), source_of((Disk *)c->plugged), *alias, 0);
}

static bool change_done(Task *t, GError **err)
{
    Change *c = t->data;
    ManagedDomain *d = t->domain;
    publish_controller(d, c);
    if (c->where & AFFECT_LIVE)
        publish(d, c);
    if (!c->config)
        return true;
    if (d->gone || !domain_write(d->realm, c->config, err))
        return false;
    record_free(d->config);
    d->config = g_steal_pointer(&c->config);
    d->updated = true;
    return true;
}

static void change_failed(Task *t) { publish_controller(t->domain, t->data); }

static const TaskType change_type = { .name = "change-device", .begin = change_begin, .run = change_run, .done = change_done, .failed = change_failed, .free = change_free };

/* ---- what the guest has let go of */
typedef struct Gone {
    Record *device;
    Domain *live;
} Gone;

static void gone_free(void *data)
{
    Gone *g = data;
    record_free(g->device);
    record_free(g->live);
    g_free(g);
}

static bool gone_run(Task *t, GError **err)
{
    Gone *g = t->data;
    if (t->hv && t->driver->detached)
        t->driver->detached(t->hv, g->device);
    return plug_card(t->domain->realm, g->live, g->device, false, err);
}

void device_removed(ManagedDomain *d, const char *alias)
{
    static const TaskType type = { .name = "device-removed", .run = gone_run, .free = gone_free };
    guint at;
    GPtrArray *list = list_with_alias(d->live->devices, alias, &at);
    if (list) {
        Gone *g = g_new0(Gone, 1);
        g->device = g_ptr_array_steal_index(list, at);
        g->live = record_copy(d->live);
        domain_write_record(d, d->live, NULL);
        task_push(d, NULL, &type, g);
    }
    domain_event(d, EVENT_DEVICE_REMOVED, "(s)", alias);
}

/* ---- calls */
static void change_device(Client *client, RpcCall *call, GVariant *args, ChangeKind kind)
{
    const char *xml;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(client, call, args);
    if (!d)
        return;
    Change *c = g_new0(Change, 1);
    c->kind = kind;
    g_variant_get_child(args, 1, "&s", &xml);
    if (g_variant_n_children(args) > 2)
        g_variant_get_child(args, 2, "u", &c->flags);
    c->device = device_read(xml, &err);
    if (!c->device) {
        reply_bad_xml(call, err);
        change_free(c);
        return;
    }
    if (c->device->type == &interface_record && kind == CHANGE_ADD && !((Interface *)c->device)->mac) /* the same in both */
        ((Interface *)c->device)->mac = g_strdup_printf("52:54:00:%02x:%02x:%02x", g_random_int() & 0xff, g_random_int() & 0xff, g_random_int() & 0xff);
    task_push(d, call, &change_type, c);
}

static void attach(Client *c, RpcCall *call, GVariant *args) { change_device(c, call, args, CHANGE_ADD); }
static void detach(Client *c, RpcCall *call, GVariant *args) { change_device(c, call, args, CHANGE_REMOVE); }
static void update(Client *c, RpcCall *call, GVariant *args) { change_device(c, call, args, CHANGE_UPDATE); }

static void detach_alias(Client *client, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(client, call, args);
    if (!d)
        return;
    Change *c = g_new0(Change, 1);
    c->kind = CHANGE_REMOVE;
    g_variant_get(args, "(@(ssi)su)", NULL, &c->alias, &c->flags);
    task_push(d, call, &change_type, c);
}

const Handler device_handlers[] = {
    { "DOMAIN_ATTACH_DEVICE", attach },
    { "DOMAIN_ATTACH_DEVICE_FLAGS", attach },
    { "DOMAIN_DETACH_DEVICE", detach },
    { "DOMAIN_DETACH_DEVICE_FLAGS", detach },
    { "DOMAIN_DETACH_DEVICE_ALIAS", detach_alias },
    { "DOMAIN_UPDATE_DEVICE_FLAGS", update },
    { NULL },
};
