/* address.c - places on PCI.  The numbers are those that libvirt gives, so that a guest finds its devices where it would under libvirt. */
#include "manage/hypervisor/address.h"

#include <string.h>

#include "base/error.h"

enum { SLOTS = 32, FUNCTIONS = 8, BUSES = 256, SCREEN_SLOT_PC = 2, SCREEN_SLOT_Q35 = 1 };

/* What a device may sit on. */
typedef enum Seat {
    SEAT_NONE,   /* it is not on PCI */
    SEAT_ANY,    /* a slot of a pc's bus, a port of a q35 */
    SEAT_SCREEN, /* the first graphics card: the root bus */
    SEAT_BRIDGE, /* to another bus: the root bus */
    SEAT_PORT,   /* a root port: a function of the root bus */
    SEAT_BOARD,  /* it is a part of the board */
} Seat;

typedef struct Taken {
    unsigned bus, slot, function;
    const Record *by; /* NULL: the board */
} Taken;

typedef struct Map {
    Domain *domain;
    bool q35, grow; /* grow: ports may be added */
    GArray *taken;  /* Taken */
} Map;

bool address_is_q35(const Domain *d) { return d->machine && strstr(d->machine, "q35"); }
static bool is_pc(const Domain *d) { return !d->machine || !strcmp(d->machine, "pc") || g_str_has_prefix(d->machine, "pc-i440fx"); }
static guint length(const GPtrArray *list) { return list ? list->len : 0; }

/* ---- which devices are on PCI */
static uint64_t function_of(const Controller *c) { return c->address && c->address->function != RECORD_NONE ? c->address->function : 0; }

bool address_is_companion(const Domain *d, const Controller *c)
{
    const GPtrArray *list = d->devices->controllers;
    const Controller *first = NULL;
    for (guint i = 0; i < length(list); i++) {
        const Controller *other = list->pdata[i];
        if (other->type == CONTROLLER_USB && other->index == c->index && (!first || function_of(other) < function_of(first)))
            first = other;
    }
    return c->type == CONTROLLER_USB && first && first != c;
}

static Seat controller_seat(const Domain *d, const void *device)
{
    const Controller *c = device;
    switch (c->type) {
    case CONTROLLER_PCI:
        return controller_is_root(c) ? SEAT_NONE : !g_strcmp0(c->model, "pcie-root-port") ? SEAT_PORT : SEAT_BRIDGE;
    case CONTROLLER_USB:
        return !g_strcmp0(c->model, "none") || address_is_companion(d, c) ? SEAT_NONE : SEAT_ANY;
    case CONTROLLER_IDE:
        return address_is_q35(d) ? SEAT_NONE : SEAT_BOARD;
    case CONTROLLER_SATA:
        return address_is_q35(d) && !c->index ? SEAT_BOARD : SEAT_ANY;
    case CONTROLLER_SCSI:
    case CONTROLLER_VIRTIO_SERIAL:
        return SEAT_ANY;
    default:
        return SEAT_NONE;
    }
}

static Seat card_seat(const Domain *d, const void *device)
{
    const char *model = ((const Interface *)device)->model;
    return model && (g_str_has_prefix(model, "usb") || strstr(model, "isa")) ? SEAT_NONE : SEAT_ANY;
}

static bool video_on_pci(const Video *v) { return strcmp(v->model, "none") && strcmp(v->model, "ramfb"); }

static Seat video_seat(const Domain *d, const void *device)
{
    for (guint i = 0; i < length(d->devices->videos); i++)
        if (video_on_pci(d->devices->videos->pdata[i]))
            return !video_on_pci(device) ? SEAT_NONE : d->devices->videos->pdata[i] == device ? SEAT_SCREEN : SEAT_ANY;
    return SEAT_NONE;
}

static Seat disk_seat(const Domain *d, const void *device) { return ((const Disk *)device)->bus == BUS_VIRTIO ? SEAT_ANY : SEAT_NONE; }
static Seat input_seat(const Domain *d, const void *device) { return g_strcmp0(record_word(device, "bus"), "virtio") ? SEAT_NONE : SEAT_ANY; }
static Seat balloon_seat(const Domain *d, const void *device) { return g_strcmp0(((const Simple *)device)->model, "none") && ((const Simple *)device)->model ? SEAT_ANY : SEAT_NONE; }
static Seat rng_seat(const Domain *d, const void *device) { return SEAT_ANY; }
static Seat watchdog_seat(const Domain *d, const void *device) { return g_strcmp0(((const Simple *)device)->model, "i6300esb") ? SEAT_NONE : SEAT_ANY; }

/* In the order in which they are seated. */
static const struct Kind {
    const RecordType *type;
    size_t list, address;
    Seat (*seat)(const Domain *d, const void *device);
    bool single;
} kinds[] = {
    { &video_record, offsetof(Devices, videos), offsetof(Video, address), video_seat },
    { &interface_record, offsetof(Devices, interfaces), offsetof(Interface, address), card_seat },
    { &controller_record, offsetof(Devices, controllers), offsetof(Controller, address), controller_seat },
    { &disk_record, offsetof(Devices, disks), offsetof(Disk, address), disk_seat },
    { &input_record, offsetof(Devices, inputs), offsetof(Input, address), input_seat },
    { &balloon_record, offsetof(Devices, balloon), offsetof(Simple, address), balloon_seat, true },
    { &rng_record, offsetof(Devices, rngs), offsetof(Simple, address), rng_seat },
    { &watchdog_record, offsetof(Devices, watchdogs), offsetof(Simple, address), watchdog_seat },
};

static const struct Kind *kind_of(const void *device)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i].type == ((const Record *)device)->type)
            return &kinds[i];
    return NULL;
}

static Address **address_of(const struct Kind *k, void *device) { return (Address **)((char *)device + k->address); }

typedef bool Visit(Map *m, const struct Kind *k, void *device, Seat seat, GError **err);

static bool visit_kind(Map *m, const struct Kind *k, Visit *visit, GError **err)
{
    void **at = (void **)((char *)m->domain->devices + k->list);
    const GPtrArray *list = k->single ? NULL : *at;
    guint n = k->single ? *at != NULL : length(list);
    for (guint i = 0; i < n; i++) { /* what is added meanwhile has its place */
        void *device = k->single ? *at : list->pdata[i];
        Seat seat = k->seat(m->domain, device);
        if (seat != SEAT_NONE && !visit(m, k, device, seat, err))
            return false;
    }
    return true;
}

static bool visit_all(Map *m, Visit *visit, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (!visit_kind(m, &kinds[i], visit, err))
            return false;
    return true;
}

static char *describe(const Record *r)
{
    if (!r)
        return g_strdup("the board");
    if (r->type == &disk_record)
        return g_strdup_printf("disk '%s'", ((const Disk *)r)->target);
    if (r->type == &interface_record)
        return g_strdup_printf("interface '%s'", ((const Interface *)r)->mac ? ((const Interface *)r)->mac : "without a MAC address");
    if (r->type == &controller_record)
        return g_strdup_printf("controller '%s' with index %" G_GUINT64_FORMAT, record_word(r, "type"), ((const Controller *)r)->index);
    return g_strdup_printf("<%s>", r->type->element);
}

/* ---- what is taken */
static const Taken *find_taken(const Map *m, unsigned bus, unsigned slot, unsigned function)
{
    for (guint i = 0; i < m->taken->len; i++) {
        const Taken *t = &g_array_index(m->taken, Taken, i);
        if (t->bus == bus && t->slot == slot && t->function == function)
            return t;
    }
    return NULL;
}

static bool slot_is_free(const Map *m, unsigned bus, unsigned slot)
{
    for (unsigned i = 0; i < FUNCTIONS; i++)
        if (find_taken(m, bus, slot, i))
            return false;
    return true;
}

static void mark(Map *m, unsigned bus, unsigned slot, unsigned function, const Record *by)
{
    const Taken t = { bus, slot, function, by };
    g_array_append_val(m->taken, t);
}

/* The host bridge, and the functions of PIIX3 or ICH9. */
static void mark_board(Map *m)
{
    static const unsigned pc[][2] = { { 0, 0 }, { 1, 0 }, { 1, 1 }, { 1, 3 } }, q35[][2] = { { 0, 0 }, { 31, 0 }, { 31, 2 }, { 31, 3 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(pc); i++)
        mark(m, 0, m->q35 ? q35[i][0] : pc[i][0], m->q35 ? q35[i][1] : pc[i][1], NULL);
}

static Controller *controller_find(const Domain *d, unsigned type, uint64_t index)
{
    for (guint i = 0; i < length(d->devices->controllers); i++) {
        Controller *c = d->devices->controllers->pdata[i];
        if (c->type == type && c->index == index)
            return c;
    }
    return NULL;
}

/* Slots of a bus: the first and the number behind the last; equal ones: there is no such bus. */
static void slots_of(const Map *m, unsigned bus, unsigned *ret_first, unsigned *ret_end)
{
    const Controller *c = controller_find(m->domain, CONTROLLER_PCI, bus);
    bool port = c && c->model && (g_str_has_suffix(c->model, "-root-port") || g_str_has_suffix(c->model, "-downstream-port"));
    *ret_first = port ? 0 : 1;
    *ret_end = port ? 1 : bus && !c ? 1 : SLOTS;
}

static Address *address_set(Address **at, unsigned bus, unsigned slot, unsigned function)
{
    Address *a = *at ? *at : record_new(&address_record);
    a->type = ADDRESS_PCI;
    a->domain = 0;
    a->bus = bus;
    a->slot = slot;
    a->function = function;
    return *at = a;
}

static bool is_told(const Address *a) { return a && (a->type != ADDRESS_PCI || a->slot != RECORD_NONE); }

static bool seat_board(Map *m, Address **at, const void *device, GError **err)
{
    unsigned slot = m->q35 ? 31 : 1, function = m->q35 ? 2 : 1;
    const Address *a = *at;
    if (is_told(a) && (a->type != ADDRESS_PCI || a->slot != slot || a->function != function || (a->bus != RECORD_NONE && a->bus))) {
        g_autofree char *who = describe(device);
        return error_set(err, ERR_INVALID, "%s is a part of the board at PCI address 0000:00:%02x.%u: leave its <address> out", who, slot, function);
    }
    address_set(at, 0, slot, function);
    return true;
}

/* ---- addresses that the definition says */
static bool grow_to(Map *m, uint64_t bus, GError **err);

static bool take_told(Map *m, const struct Kind *k, void *device, Seat seat, GError **err)
{
    Address **at = address_of(k, device), *a = *at;
    g_autofree char *who = describe(device);
    if (seat == SEAT_BOARD)
        return seat_board(m, at, device, err);
    if (!is_told(a))
        return true;
    if (a->type != ADDRESS_PCI)
        return error_set(err, ERR_UNSUPPORTED, "%s sits on PCI, and its address is of type '%s': leave it out, and a free one is taken", who, record_word(a, "type"));
    if (a->domain != RECORD_NONE && a->domain)
        return error_set(err, ERR_UNSUPPORTED, "%s: only PCI domain 0 is there, not %" G_GUINT64_FORMAT, who, a->domain);
    address_set(at, a->bus == RECORD_NONE ? 0 : a->bus, a->slot, a->function == RECORD_NONE ? 0 : a->function);
    const Taken *t = find_taken(m, a->bus, a->slot, a->function);
    g_autofree char *other = t ? describe(t->by) : NULL;
    if (t)
        return error_set(err, ERR_INVALID, "Attempted double use of PCI Address 0000:%02x:%02x.%u: %s and %s both have it; leave <address> out of one, and a free one is taken", (unsigned)a->bus,
                         (unsigned)a->slot, (unsigned)a->function, other, who);
    mark(m, a->bus, a->slot, a->function, device);
    return true;
}

static bool check_told(Map *m, const struct Kind *k, void *device, Seat seat, GError **err)
{
    const Address *a = *address_of(k, device);
    unsigned first, end;
    if (!is_told(a))
        return true;
    if (m->grow && !grow_to(m, a->bus, err))
        return false;
    slots_of(m, a->bus, &first, &end);
    if (a->slot >= first && a->slot < end)
        return true;
    g_autofree char *who = describe(device);
    return error_set(err, ERR_INVALID, first == end ? "%s: PCI address 0000:%02x:%02x.%u is on a bus without a <controller type='pci'>"
                                                    : "%s: PCI address 0000:%02x:%02x.%u names a slot that its bus does not have", who, (unsigned)a->bus, (unsigned)a->slot, (unsigned)a->function);
}

/* ---- and the others */
static bool is_port_slot(const Map *m, unsigned slot)
{
    const Taken *t = find_taken(m, 0, slot, 0);
    return t && t->by && t->by->type == &controller_record && ((const Controller *)t->by)->type == CONTROLLER_PCI && ((const Controller *)t->by)->address->multifunction == 1;
}

/* Eight root ports share a slot. */
static bool seat_port(Map *m, Controller *c, GError **err)
{
    for (unsigned slot = SCREEN_SLOT_Q35 + 1; slot < SLOTS - 1; slot++)
        for (unsigned function = 0; function < FUNCTIONS; function++)
            if (function ? is_port_slot(m, slot) && !find_taken(m, 0, slot, function) : slot_is_free(m, 0, slot)) {
                address_set(&c->address, 0, slot, function)->multifunction = function ? 0 : 1;
                mark(m, 0, slot, function, &c->record);
                return true;
            }
    return error_set(err, ERR_NO_SPACE, "No more available PCI slots: the q35's root bus is full");
}

/* What a root port says of itself follows from its place. */
static void name_port(Controller *c)
{
    if (!c->model_name)
        c->model_name = g_strdup("pcie-root-port");
    if (c->chassis == RECORD_NONE)
        c->chassis = c->index;
    if (c->chassis_port == RECORD_NONE && c->address)
        c->chassis_port = c->address->slot << 3 | c->address->function;
}

static Controller *add_controller(Domain *d, unsigned type, uint64_t index, const char *model)
{
    Controller *c = record_new(&controller_record);
    c->type = type;
    c->index = index;
    c->model = g_strdup(model);
    if (!d->devices->controllers)
        d->devices->controllers = g_ptr_array_new_with_free_func(record_free);
    g_ptr_array_add(d->devices->controllers, c);
    return c;
}

static bool add_port(Map *m, unsigned *ret_bus, GError **err)
{
    unsigned index = 1;
    while (index < BUSES && controller_find(m->domain, CONTROLLER_PCI, index))
        index++;
    if (index == BUSES)
        return error_set(err, ERR_NO_SPACE, "No more available PCI slots: there are 255 PCI controllers already");
    Controller *c = add_controller(m->domain, CONTROLLER_PCI, index, "pcie-root-port");
    *ret_bus = index;
    if (!seat_port(m, c, err))
        return false;
    name_port(c);
    return true;
}

/* The ports up to one that an address names. */
static bool grow_to(Map *m, uint64_t bus, GError **err)
{
    for (unsigned made = 0; m->q35 && bus && !controller_find(m->domain, CONTROLLER_PCI, bus) && made < bus;)
        if (!add_port(m, &made, err))
            return false;
    return true;
}

static bool seat_on(Map *m, unsigned bus, Address **at, const Record *device)
{
    unsigned first, end;
    slots_of(m, bus, &first, &end);
    if (!bus) /* the screen's, whether there is one or not */
        first = (m->q35 ? SCREEN_SLOT_Q35 : SCREEN_SLOT_PC) + 1;
    for (unsigned slot = first; slot < end; slot++)
        if (slot_is_free(m, bus, slot)) {
            address_set(at, bus, slot, 0);
            mark(m, bus, slot, 0, device);
            return true;
        }
    return false;
}

static bool is_full(const char *who, const char *way, GError **err) { return error_set(err, ERR_NO_SPACE, "No more available PCI slots for %s: %s", who, way); }

static bool seat_root(Map *m, Address **at, const Record *device, GError **err)
{
    g_autofree char *who = describe(device);
    return seat_on(m, 0, at, device) || is_full(who, "all slots of the root bus have devices", err);
}

/* On a q35 only ports: a bus of many slots is PCI, whose devices do not come and go. */
static bool may_seat(const Map *m, unsigned bus)
{
    unsigned first, end;
    slots_of(m, bus, &first, &end);
    return m->q35 ? end == 1 && !first : !bus || controller_find(m->domain, CONTROLLER_PCI, bus);
}

static bool seat_any(Map *m, Address **at, const Record *device, GError **err)
{
    unsigned bus = 0;
    for (; bus < BUSES; bus++)
        if (may_seat(m, bus) && seat_on(m, bus, at, device))
            return true;
    g_autofree char *who = describe(device);
    if (!m->q35)
        return is_full(who, "a <controller type='pci' model='pci-bridge'/> in the definition has 31 more", err);
    if (!m->grow)
        return is_full(who, "each device of a q35 needs a free pcie-root-port; a <controller type='pci' model='pcie-root-port'/> in the definition is one from the next start on", err);
    return add_port(m, &bus, err) && seat_on(m, bus, at, device);
}

static bool seat_screen(Map *m, Address **at, const Record *device, GError **err)
{
    unsigned slot = m->q35 ? SCREEN_SLOT_Q35 : SCREEN_SLOT_PC;
    if (!slot_is_free(m, 0, slot))
        return seat_root(m, at, device, err);
    address_set(at, 0, slot, 0);
    mark(m, 0, slot, 0, device);
    return true;
}

static bool seat_ports(Map *m, const struct Kind *k, void *device, Seat seat, GError **err)
{
    if (seat != SEAT_PORT)
        return true;
    if (!is_told(*address_of(k, device)) && !seat_port(m, device, err))
        return false;
    name_port(device);
    return true;
}

static bool seat_rest(Map *m, const struct Kind *k, void *device, Seat seat, GError **err)
{
    Address **at = address_of(k, device);
    if (is_told(*at))
        return true;
    if (seat == SEAT_SCREEN)
        return seat_screen(m, at, device, err);
    return seat == SEAT_BRIDGE ? seat_root(m, at, device, err) : seat_any(m, at, device, err);
}

/* ---- controllers that nobody named */
static bool has_disk(const Domain *d, unsigned bus)
{
    for (guint i = 0; i < length(d->devices->disks); i++)
        if (((Disk *)d->devices->disks->pdata[i])->bus == bus)
            return true;
    return false;
}

static bool has_virtio_console(const Domain *d)
{
    for (guint i = 0; i < length(d->devices->consoles); i++)
        if (!g_strcmp0(((Character *)d->devices->consoles->pdata[i])->target_type, "virtio"))
            return true;
    return false;
}

static bool has_usb_input(const Domain *d)
{
    for (guint i = 0; i < length(d->devices->inputs); i++)
        if (!g_strcmp0(record_word(d->devices->inputs->pdata[i], "bus"), "usb"))
            return true;
    return false;
}

static void add_missing(Domain *d)
{
    const struct {
        bool wanted;
        unsigned type;
        const char *model;
    } needs[] = {
        { true, CONTROLLER_PCI, address_is_q35(d) ? "pcie-root" : "pci-root" },
        { has_disk(d, BUS_IDE) && !address_is_q35(d), CONTROLLER_IDE, NULL },
        { has_disk(d, BUS_SATA) || address_is_q35(d), CONTROLLER_SATA, NULL },
        { has_disk(d, BUS_SCSI), CONTROLLER_SCSI, "virtio-scsi" },
        { has_usb_input(d), CONTROLLER_USB, "qemu-xhci" },
        { length(d->devices->channels) || has_virtio_console(d), CONTROLLER_VIRTIO_SERIAL, NULL },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++)
        if (needs[i].wanted && !controller_find(d, needs[i].type, 0))
            add_controller(d, needs[i].type, 0, needs[i].model);
}

static void map_begin(Map *m, Domain *d, bool grow)
{
    *m = (Map){ d, address_is_q35(d), grow, g_array_new(FALSE, FALSE, sizeof(Taken)) };
    mark_board(m);
}

bool address_assign(Domain *d, GError **err)
{
    Map m;
    if (!is_pc(d) && !address_is_q35(d))
        return true;
    add_missing(d);
    map_begin(&m, d, true);
    bool ok = visit_all(&m, take_told, err) && visit_all(&m, seat_ports, err) && visit_all(&m, check_told, err) && visit_all(&m, seat_rest, err);
    g_array_unref(m.taken);
    return ok;
}

bool address_place(const Domain *live, void *device, GError **err)
{
    const struct Kind *k = kind_of(device);
    Domain *d = record_copy(live);
    Seat seat = k && (is_pc(d) || address_is_q35(d)) ? k->seat(d, device) : SEAT_NONE;
    Map m;
    map_begin(&m, d, false);
    bool ok = seat == SEAT_NONE || (visit_all(&m, take_told, err) && take_told(&m, k, device, seat, err) && check_told(&m, k, device, seat, err) && seat_rest(&m, k, device, seat, err));
    g_array_unref(m.taken);
    record_free(d);
    return ok;
}

Controller *address_controller_for(const Domain *live, const void *device)
{
    const Disk *disk = device;
    if (disk->record.type != &disk_record || disk->bus != BUS_SCSI || controller_find(live, CONTROLLER_SCSI, 0))
        return NULL;
    Controller *c = record_new(&controller_record);
    c->type = CONTROLLER_SCSI;
    c->index = 0;
    c->model = g_strdup("virtio-scsi");
    return c;
}
