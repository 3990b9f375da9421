/* plan_devices.c - devices as options. */
#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/address.h"
#include "manage/hypervisor/plan_inside.h"

Json *json_with(const char *name, const char *value)
{
    Json *o = json_object_new();
    json_object_set_string_member(o, name, value);
    return o;
}

void json_text(Json *o, const char *name, const char *value)
{
    if (value)
        json_object_set_string_member(o, name, value);
}

void json_number(Json *o, const char *name, uint64_t value)
{
    if (value != RECORD_NONE)
        json_object_set_int_member(o, name, value);
}

char *json_end(Json *o)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    return json_to_string(node, FALSE);
}

/* The root bus is where a device comes anyway; its name is the board's. */
void json_address(Json *o, const Address *a)
{
    if (!a || a->type != ADDRESS_PCI || a->slot == RECORD_NONE)
        return;
    uint64_t function = a->function == RECORD_NONE ? 0 : a->function;
    g_autofree char *addr = function ? g_strdup_printf("0x%x.0x%x", (unsigned)a->slot, (unsigned)function) : g_strdup_printf("0x%x", (unsigned)a->slot);
    g_autofree char *bus = a->bus && a->bus != RECORD_NONE ? g_strdup_printf("pci.%u", (unsigned)a->bus) : NULL;
    json_text(o, "bus", bus);
    if (a->multifunction == 1)
        json_object_set_boolean_member(o, "multifunction", TRUE);
    json_text(o, "addr", addr);
}

static void add_json(LaunchPlan *p, const char *option, char *json)
{
    launch_plan_add(p, option, json, NULL);
    g_free(json);
}

/* ---- names */
static void set_alias(char **alias, const char *prefix, guint n)
{
    if (!*alias)
        *alias = g_strdup_printf("%s%u", prefix, n);
}

/* vda is 0, sdb 1, hdab 27. */
static unsigned target_index(const char *target)
{
    const char *digits = target + strlen(target);
    while (digits > target && g_ascii_islower(digits[-1]))
        digits--;
    digits = g_str_has_prefix(target, "xvd") ? target + 3 : strlen(target) > 2 ? target + 2 : digits;
    unsigned n = 0;
    for (; g_ascii_islower(*digits); digits++)
        n = n * 26 + *digits - 'a' + 1;
    return n ? n - 1 : 0;
}

static void disk_alias(Disk *d)
{
    unsigned n = target_index(d->target);
    if (d->alias) /* of a saved machine, whose state names it */
        return;
    switch (d->bus) {
    case BUS_IDE:
        d->alias = g_strdup_printf("ide0-%u-%u", n / 2, n % 2);
        break;
    case BUS_SATA:
        d->alias = g_strdup_printf("sata0-0-%u", n);
        break;
    case BUS_SCSI:
        d->alias = g_strdup_printf("scsi0-0-0-%u", n);
        break;
    case BUS_FDC:
        d->alias = g_strdup_printf("fdc0-0-%u", n);
        break;
    default:
        d->alias = g_strdup_printf("virtio-disk%u", n);
    }
}

#define FOR_EACH(T, item, list) for (guint item##_n = 0; (list) && item##_n < (list)->len; item##_n++) for (T *item = (list)->pdata[item##_n]; item; item = NULL)

void plan_aliases(Domain *d)
{
    Devices *v = d->devices;
    FOR_EACH(Disk, disk, v->disks)
        disk_alias(disk);
    FOR_EACH(Interface, i, v->interfaces)
        set_alias(&i->alias, "net", i_n);
    FOR_EACH(Character, s, v->serials)
        set_alias(&s->alias, "serial", s_n);
    FOR_EACH(Character, c, v->consoles)
        set_alias(&c->alias, c_n || !v->serials ? "console" : "serial", c_n);
    FOR_EACH(Character, c, v->channels)
        set_alias(&c->alias, "channel", c_n);
    FOR_EACH(Input, i, v->inputs)
        set_alias(&i->alias, "input", i_n);
    FOR_EACH(Video, i, v->videos)
        set_alias(&i->alias, "video", i_n);
    FOR_EACH(Simple, r, v->rngs)
        set_alias(&r->alias, "rng", r_n);
    FOR_EACH(Simple, w, v->watchdogs)
        set_alias(&w->alias, "watchdog", w_n);
    FOR_EACH(Controller, c, v->controllers)
        plan_controller_alias(d, c);
    if (v->balloon)
        set_alias(&v->balloon->alias, "balloon", 0);
}

static void name_controller(const Domain *live, Controller *c)
{
    for (uint64_t n = 0; c->index == RECORD_NONE; n++) {
        bool taken = false;
        FOR_EACH(Controller, other, live->devices->controllers)
            taken |= other->type == c->type && other->index == n;
        if (!taken)
            c->index = n;
    }
    plan_controller_alias(live, c);
}

/* Only cards are numbered in their order: a gap may be there, of one that has gone. */
bool plan_name_device(const Domain *live, void *device, GError **err)
{
    const RecordType *t = ((Record *)device)->type;
    if (t == &disk_record)
        disk_alias(device);
    if (t == &controller_record)
        name_controller(live, device);
    for (guint n = 0; t == &interface_record; n++) {
        bool taken = false;
        set_alias(&((Interface *)device)->alias, "net", n);
        FOR_EACH(Interface, i, live->devices->interfaces)
            taken |= !g_strcmp0(i->alias, ((Interface *)device)->alias);
        if (!taken)
            break;
    }
    return true;
}

/* ---- disks */
static void cache_options(Json *o, const Disk *d)
{
    bool direct = d->cache && (!strcmp(d->cache, "none") || !strcmp(d->cache, "directsync"));
    bool no_flush = d->cache && !strcmp(d->cache, "unsafe");
    if (!direct && !no_flush)
        return;
    Json *cache = json_object_new();
    json_object_set_boolean_member(cache, "direct", direct);
    json_object_set_boolean_member(cache, "no-flush", no_flush);
    json_object_set_object_member(o, "cache", cache);
}

static Json *nbd_storage(const Disk *d)
{
    const Host *h = d->hosts && d->hosts->len ? d->hosts->pdata[0] : NULL;
    Json *o = json_with("driver", "nbd"), *server = json_with("type", h && h->socket ? "unix" : "inet");
    if (h && h->socket) {
        json_text(server, "path", h->socket);
    } else {
        json_text(server, "host", h && h->name ? h->name : "localhost");
        json_text(server, "port", h && h->port ? h->port : "10809");
    }
    json_object_set_object_member(o, "server", server);
    json_text(o, "export", d->source_name);
    return o;
}

static Json *url_storage(const Disk *d)
{
    const Host *h = d->hosts && d->hosts->len ? d->hosts->pdata[0] : NULL;
    const char *name = d->source_name ? d->source_name : "";
    g_autofree char *url = g_strdup_printf("%s://%s%s%s/%s", d->protocol, h && h->name ? h->name : "localhost", h && h->port ? ":" : "", h && h->port ? h->port : "",
                                           *name == '/' ? name + 1 : name);
    Json *o = json_with("driver", d->protocol);
    json_text(o, "url", url);
    return o;
}

static Json *file_storage(unsigned type, const char *path)
{
    Json *o = path ? json_with("driver", type == DISK_BLOCK ? "host_device" : "file") : NULL;
    if (path)
        json_text(o, "filename", path);
    return o;
}

static Json *storage(const Disk *d)
{
    if (d->type == DISK_NETWORK)
        return !strcmp(d->protocol, "nbd") ? nbd_storage(d) : url_storage(d);
    Json *o = file_storage(d->type, d->type == DISK_FILE ? d->file : d->type == DISK_BLOCK ? d->dev : NULL);
    if (o && d->io && !strcmp(d->io, "io_uring"))
        json_text(o, "aio", "io_uring");
    return o;
}

char *plan_node_name(const char *alias, uint64_t index, bool storage)
{
    const char *kind = storage ? "storage" : "format";
    return index == RECORD_NONE ? g_strdup_printf("%s-%s", alias, kind) : g_strdup_printf("%s.%" G_GUINT64_FORMAT "-%s", alias, index, kind);
}

char *plan_secret_name(const char *alias, uint64_t index)
{
    return index == RECORD_NONE ? g_strdup_printf("%s-luks-secret0", alias) : g_strdup_printf("%s.%" G_GUINT64_FORMAT "-luks-secret0", alias, index);
}

/* raw: a format of its own. */
static Json *format_node(const char *format, const Encryption *e, const char *secret)
{
    bool raw = !format || !strcmp(format, "raw");
    Json *o = json_with("driver", e && raw ? "luks" : raw ? "raw" : format);
    if (e && raw)
        json_text(o, "key-secret", secret);
    if (e && !raw) {
        Json *encrypt = json_with("format", e->format);
        json_text(encrypt, "key-secret", secret);
        json_object_set_object_member(o, "encrypt", encrypt);
    }
    return o;
}

/* Its format above its data; `below` NULL: as the image's header says. */
static void add_node(GPtrArray *to, const Disk *d, Json *data, const char *format, const Encryption *e, uint64_t index, bool readonly, const char *below, bool alone)
{
    g_autofree char *data_name = plan_node_name(d->alias, index, true), *format_name = plan_node_name(d->alias, index, false), *secret = plan_secret_name(d->alias, index);
    json_text(data, "node-name", data_name);
    json_text(data, "discard", d->discard);
    cache_options(data, d);
    Json *above = format_node(format, e, secret);
    json_text(above, "node-name", format_name);
    json_text(above, "file", data_name);
    json_object_set_boolean_member(above, "read-only", readonly);
    json_text(above, "discard", d->discard);
    json_text(above, "backing", below);
    if (alone && format && !strcmp(format, "qcow2"))
        json_object_set_null_member(above, "backing");
    g_ptr_array_add(to, json_end(data));
    g_ptr_array_add(to, json_end(above));
}

/* Returns the node's name, which the caller frees, or NULL: the chain ends above. */
static char *add_layers(GPtrArray *to, const Disk *d, const Layer *l)
{
    Json *data = l && l->type ? file_storage(l->type, l->type == DISK_BLOCK ? l->dev : l->file) : NULL;
    if (!data)
        return NULL;
    g_autofree char *below = add_layers(to, d, l->backing);
    json_object_set_boolean_member(data, "auto-read-only", TRUE);
    add_node(to, d, data, l->format, l->encryption, l->source_index, true, below, l->backing && !below);
    return plan_node_name(d->alias, l->source_index, false);
}

GPtrArray *plan_disk_nodes(const Disk *d)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    Json *data = storage(d);
    bool readonly = d->readonly || d->device == DISK_CDROM;
    if (!data)
        return list;
    g_autofree char *below = add_layers(list, d, d->backing);
    json_object_set_boolean_member(data, "read-only", readonly);
    add_node(list, d, data, d->format, d->encryption, d->source_index, readonly, below, d->backing && !below);
    return list;
}

GPtrArray *plan_image_nodes(const Disk *d, const Layer *image, const char *below)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    add_node(list, d, file_storage(image->type, image->type == DISK_BLOCK ? image->dev : image->file), image->format, image->encryption, image->source_index, false, below, !below);
    return list;
}

/* A row is a bus: the devices of disk and CD-ROM drive; bus NULL: PCI. */
static const struct DiskPlace {
    DiskBus bus;
    const char *disk, *cdrom, *name;
} places[] = {
    { BUS_VIRTIO, "virtio-blk-pci", NULL, NULL }, { BUS_IDE, "ide-hd", "ide-cd", "ide" }, { BUS_SATA, "ide-hd", "ide-cd", "sata" },
    { BUS_SCSI, "scsi-hd", "scsi-cd", "scsi0.0" }, { BUS_FDC, "floppy", NULL, NULL },
};

static void place_disk(Json *o, const Domain *d, const Disk *disk)
{
    unsigned n = target_index(disk->target);
    g_autofree char *bus = NULL;
    if (disk->bus == BUS_IDE) {
        bus = g_strdup_printf("ide.%u", n / 2);
        json_number(o, "unit", n % 2);
    } else if (disk->bus == BUS_SATA) {
        bus = g_strdup_printf(address_is_q35(d) ? "ide.%u" : "sata0.%u", n);
    } else if (disk->bus == BUS_SCSI) {
        bus = g_strdup("scsi0.0");
        json_number(o, "scsi-id", n);
    }
    json_text(o, "bus", bus);
}

char *plan_disk_device(const Domain *d, const Disk *disk, GError **err)
{
    const struct DiskPlace *place = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++)
        if (places[i].bus == (DiskBus)disk->bus)
            place = &places[i];
    const char *driver = place ? disk->device == DISK_CDROM ? place->cdrom : place->disk : NULL;
    if (!driver) {
        error_set(err, ERR_UNSUPPORTED, "disk '%s': there is no %s on bus '%s' here", disk->target, disk_devices[disk->device - 1], disk_buses[disk->bus - 1]);
        return NULL;
    }
    Json *o = json_with("driver", driver);
    json_text(o, "id", disk->alias);
    if (disk->file || disk->dev || disk->type == DISK_NETWORK) {
        g_autofree char *node = plan_node_name(disk->alias, disk->source_index, false);
        json_text(o, "drive", node);
    }
    place_disk(o, d, disk);
    if (disk->bus == BUS_VIRTIO)
        json_address(o, disk->address);
    if (disk->bus == BUS_VIRTIO && disk->iothread != RECORD_NONE) {
        g_autofree char *thread = g_strdup_printf("iothread%" G_GUINT64_FORMAT, disk->iothread);
        json_text(o, "iothread", thread);
    }
    json_text(o, "serial", disk->serial);
    json_number(o, "bootindex", plan_boot_index(d, disk));
    if (disk->queues != RECORD_NONE)
        json_number(o, "num-queues", disk->queues);
    return json_end(o);
}

/* The values are in files: a command line can be read by everybody. */
static void add_secret(const HvHost *h, const Domain *d, const char *alias, uint64_t index, const Encryption *e, LaunchPlan *p)
{
    if (!e || !e->uuid)
        return;
    Json *o = json_with("qom-type", "secret");
    g_autofree char *id = plan_secret_name(alias, index), *path = plan_secret_path(h, d, e);
    json_text(o, "id", id);
    json_text(o, "file", path);
    add_json(p, "-object", json_end(o));
}

static void add_secrets(const HvHost *h, const Domain *d, const Disk *disk, LaunchPlan *p)
{
    add_secret(h, d, disk->alias, disk->source_index, disk->encryption, p);
    for (const Layer *l = disk->backing; l; l = l->backing)
        add_secret(h, d, disk->alias, l->source_index, l->encryption, p);
}

static bool add_disks(const HvHost *h, const Domain *d, LaunchPlan *p, GError **err)
{
    FOR_EACH(Disk, disk, d->devices->disks) {
        char *device = plan_disk_device(d, disk, err);
        if (!device)
            return false;
        g_autoptr(GPtrArray) nodes = plan_disk_nodes(disk);
        add_secrets(h, d, disk, p);
        FOR_EACH(char, node, nodes)
            launch_plan_add(p, "-blockdev", node, NULL);
        add_json(p, "-device", device);
    }
    return true;
}

/* ---- network cards */
char *plan_interface_device(const Domain *d, const Interface *i, GError **err)
{
    const char *model = i->model ? i->model : "virtio";
    Json *o = json_with("driver", !strcmp(model, "virtio") ? "virtio-net-pci" : model);
    g_autofree char *netdev = g_strconcat("host", i->alias, NULL);
    json_text(o, "netdev", netdev);
    json_text(o, "id", i->alias);
    json_text(o, "mac", i->mac);
    json_number(o, "bootindex", plan_boot_index(d, i));
    json_address(o, i->address);
    return json_end(o);
}

char *plan_interface_backend(const Interface *i, GError **err)
{
    bool tap = i->bridge && i->target;
    g_autofree char *id = g_strconcat("host", i->alias, NULL);
    if (i->type != IF_USER && !tap) {
        error_set(err, ERR_UNSUPPORTED, "interface '%s': type '%s' is not built; user, network and bridge are", i->alias, interface_types[i->type - 1]);
        return NULL;
    }
    Json *o = json_with("type", tap ? "tap" : "user");
    json_text(o, "id", id);
    if (tap) { /* the daemon has made it and put it into its bridge */
        json_text(o, "ifname", i->target);
        json_text(o, "script", "no");
        json_text(o, "downscript", "no");
    }
    return json_end(o);
}

static bool add_interfaces(const Domain *d, LaunchPlan *p, GError **err)
{
    FOR_EACH(Interface, i, d->devices->interfaces) {
        char *backend = plan_interface_backend(i, err);
        if (!backend)
            return false;
        add_json(p, "-netdev", backend);
        add_json(p, "-device", plan_interface_device(d, i, err));
    }
    return true;
}

/* ---- lines */
static char *chardev(const Character *c, GError **err)
{
    bool listens = !c->mode || strcmp(c->mode, "connect");
    switch (c->type) {
    case CHAR_PTY:
    case CHAR_NULL:
        return g_strdup_printf("%s,id=char%s", c->type == CHAR_PTY ? "pty" : "null", c->alias);
    case CHAR_FILE:
        return g_strdup_printf("file,id=char%s,path=%s%s", c->alias, c->path ? c->path : "/dev/null", c->append && !strcmp(c->append, "on") ? ",append=on" : "");
    case CHAR_UNIX:
        return g_strdup_printf("socket,id=char%s,path=%s%s", c->alias, c->path ? c->path : "", listens ? ",server=on,wait=off" : "");
    case CHAR_TCP:
        return g_strdup_printf("socket,id=char%s,host=%s,port=%s%s", c->alias, c->host ? c->host : "127.0.0.1", c->service ? c->service : "0", listens ? ",server=on,wait=off" : "");
    default:
        error_set(err, ERR_UNSUPPORTED, "%s: type '%s' is not built; pty, file, unix, tcp, null are", c->alias, char_types[c->type - 1]);
        return NULL;
    }
}

static bool add_line(const Character *c, const char *driver, guint n, LaunchPlan *p, GError **err)
{
    char *host = chardev(c, err);
    if (!host)
        return false;
    g_autofree char *id = g_strconcat("char", c->alias, NULL);
    Json *o = json_with("driver", driver);
    json_text(o, "chardev", id);
    json_text(o, "id", c->alias);
    if (!strcmp(driver, "isa-serial"))
        json_number(o, "index", n);
    else
        json_text(o, "name", c->target_name);
    add_json(p, "-chardev", host);
    add_json(p, "-device", json_end(o));
    return true;
}

static bool is_virtio(const Character *c) { return c->target_type && !strcmp(c->target_type, "virtio"); }

/* The first console is the first serial line, unless it is virtio's. */
static bool add_lines(const Domain *d, LaunchPlan *p, GError **err)
{
    const Devices *v = d->devices;
    FOR_EACH(Character, s, v->serials)
        if (!add_line(s, "isa-serial", s_n, p, err))
            return false;
    FOR_EACH(Character, c, v->consoles) {
        bool same = !is_virtio(c) && v->serials && v->serials->len;
        if (!same && !add_line(c, is_virtio(c) ? "virtconsole" : "isa-serial", c_n, p, err))
            return false;
    }
    FOR_EACH(Character, c, v->channels)
        if (!add_line(c, "virtserialport", c_n, p, err))
            return false;
    return true;
}

/* ---- screen and input */
static const struct {
    const char *model, *driver;
} videos[] = { { "vga", "VGA" }, { "cirrus", "VGA" }, { "qxl", "VGA" }, { "bochs", "VGA" }, { "virtio", "virtio-vga" }, { "ramfb", "ramfb" } };

static void add_videos(const Domain *d, LaunchPlan *p)
{
    FOR_EACH(Video, v, d->devices->videos)
        for (unsigned i = 0; i < G_N_ELEMENTS(videos); i++)
            if (!strcmp(videos[i].model, v->model)) {
                Json *o = json_with("driver", videos[i].driver);
                json_text(o, "id", v->alias);
                json_address(o, v->address);
                add_json(p, "-device", json_end(o));
            }
}

static const char *listens_on(const Graphics *g)
{
    FOR_EACH(Listen, l, g->listens)
        if (l->type == 1 && l->address)
            return l->address;
    return g->listen ? g->listen : "127.0.0.1";
}

static bool add_graphics(const Domain *d, LaunchPlan *p, GError **err)
{
    FOR_EACH(Graphics, g, d->devices->graphics) {
        if (g->type != GRAPHICS_VNC)
            return error_set(err, ERR_UNSUPPORTED, "graphics of type '%s' are not built: use type='vnc'", graphics_types[g->type - 1]);
        int port = g->port ? atoi(g->port) : -1;
        const char *password = g->password ? ",password=on" : "";
        g_autofree char *where = g->socket ? g_strdup_printf("unix:%s%s", g->socket, password)
                                 : port >= 5900 ? g_strdup_printf("%s:%d%s", listens_on(g), port - 5900, password)
                                                : g_strdup_printf("%s:0,to=999%s", listens_on(g), password);
        launch_plan_add(p, "-vnc", where, NULL);
    }
    return true;
}

/* PS/2 is there anyway. */
static void add_inputs(const Domain *d, LaunchPlan *p)
{
    FOR_EACH(Input, i, d->devices->inputs) {
        const char *type = record_word(i, "type"), *bus = record_word(i, "bus");
        if (!bus || strcmp(bus, "ps2") == 0 || strcmp(bus, "xen") == 0)
            continue;
        bool is_usb = !strcmp(bus, "usb");
        g_autofree char *driver = is_usb ? g_strdup_printf("usb-%s", strcmp(type, "keyboard") ? type : "kbd") : g_strdup_printf("virtio-%s-pci", type);
        Json *o = json_with("driver", driver);
        json_text(o, "id", i->alias);
        if (!is_usb)
            json_address(o, i->address);
        add_json(p, "-device", json_end(o));
    }
}

static void add_rest(const Domain *d, LaunchPlan *p)
{
    FOR_EACH(Simple, r, d->devices->rngs) {
        g_autofree char *object = g_strdup_printf("rng-%s,id=obj%s%s%s", r->backend_model ? r->backend_model : "random", r->alias,
                                                  r->backend && r->backend_model && !strcmp(r->backend_model, "random") ? ",filename=" : "",
                                                  r->backend && r->backend_model && !strcmp(r->backend_model, "random") ? r->backend : "");
        g_autofree char *id = g_strconcat("obj", r->alias, NULL);
        Json *o = json_with("driver", "virtio-rng-pci");
        json_text(o, "rng", id);
        json_text(o, "id", r->alias);
        json_address(o, r->address);
        launch_plan_add(p, "-object", object, NULL);
        add_json(p, "-device", json_end(o));
    }
    FOR_EACH(Simple, w, d->devices->watchdogs) {
        Json *o = json_with("driver", w->model ? w->model : "ib700");
        json_text(o, "id", w->alias);
        json_address(o, w->address);
        add_json(p, "-device", json_end(o));
    }
    const Simple *b = d->devices->balloon;
    if (b && b->model && strcmp(b->model, "none")) {
        Json *o = json_with("driver", "virtio-balloon-pci");
        json_text(o, "id", b->alias);
        json_address(o, b->address);
        add_json(p, "-device", json_end(o));
    }
}

static void add_iothreads(const Domain *d, LaunchPlan *p)
{
    FOR_EACH(IoThreadConfig, t, d->iothread_ids) {
        Json *o = json_with("qom-type", "iothread");
        g_autofree char *id = g_strdup_printf("iothread%" G_GUINT64_FORMAT, t->id);
        json_text(o, "id", id);
        add_json(p, "-object", json_end(o));
    }
}

bool plan_devices(const HvHost *h, const Domain *d, LaunchPlan *p, GError **err)
{
    add_iothreads(d, p);
    if (!plan_controllers(d, p, err) || !add_disks(h, d, p, err) || !add_interfaces(d, p, err) || !add_lines(d, p, err) || !add_graphics(d, p, err))
        return false;
    add_videos(d, p);
    add_inputs(d, p);
    add_rest(d, p);
    return true;
}
