/* host_devices.c - the host's devices, from /sys. */
#include "manage/daemon/host_devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR_BYTES = 512 };

/* A file of one line; NULL: there is none. */
static char *line_of(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL) || !g_utf8_validate(text, -1, NULL))
        g_clear_pointer(&text, g_free);
    return text ? g_strstrip(text) : NULL;
}

static uint64_t number_of(const char *folder, const char *name)
{
    g_autofree char *text = line_of(folder, name);
    return text ? g_ascii_strtoull(text, NULL, 10) : RECORD_NONE;
}

/* Where a link of /sys leads. */
static char *target_of(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *real = realpath(path, NULL), *copy = g_strdup(real);
    free(real);
    return copy;
}

static void find_driver(NodeDevice *d, const char *folder)
{
    g_autofree char *link = target_of(folder, "driver");
    d->driver = link ? g_path_get_basename(link) : NULL;
}

/* Names as libvirt makes them: what is no letter or digit is an underscore. */
static char *name_of(const char *kind, const char *a, const char *b)
{
    char *name = g_strjoin("_", kind, a, b && *b ? b : NULL, NULL);
    for (char *c = name; *c; c++)
        *c = g_ascii_isalnum(*c) ? *c : '_';
    return name;
}

static NodeDevice *device_new(NodeDeviceKind kind, const char *folder)
{
    NodeDevice *d = record_new(&node_device_type);
    d->kind = kind;
    d->path = g_strdup(folder);
    return d;
}

static NodeDevice *read_pci(const char *folder, const char *id)
{
    unsigned domain, bus, slot, function;
    if (sscanf(id, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
        return NULL;
    NodeDevice *d = device_new(NODE_PCI, folder);
    d->name = name_of("pci", id, NULL);
    d->domain = domain, d->bus = bus, d->slot = slot, d->function = function;
    d->class = line_of(folder, "class");
    d->product_id = line_of(folder, "device");
    d->vendor_id = line_of(folder, "vendor");
    find_driver(d, folder);
    return d;
}

/* Interfaces of a device have a colon in their names. */
static NodeDevice *read_usb(const char *folder, const char *id)
{
    if (strchr(id, ':'))
        return NULL;
    NodeDevice *d = device_new(NODE_USB, folder);
    g_autofree char *product = line_of(folder, "idProduct"), *vendor = line_of(folder, "idVendor");
    d->name = name_of("usb", id, NULL);
    d->bus = number_of(folder, "busnum");
    d->device = number_of(folder, "devnum");
    d->product_id = product ? g_strconcat("0x", product, NULL) : NULL;
    d->vendor_id = vendor ? g_strconcat("0x", vendor, NULL) : NULL;
    find_driver(d, folder);
    return d;
}

static NodeDevice *read_net(const char *folder, const char *id)
{
    NodeDevice *d = device_new(NODE_NET, folder);
    d->address = line_of(folder, "address");
    d->name = name_of("net", id, d->address);
    d->interface = g_strdup(id);
    d->link = line_of(folder, "operstate");
    return d;
}

/* Whole disks; loops without an image are none. */
static NodeDevice *read_block(const char *folder, const char *id)
{
    uint64_t sectors = number_of(folder, "size");
    g_autofree char *partition = line_of(folder, "partition"), *serial = line_of(folder, "device/serial");
    if (partition || !sectors || sectors == RECORD_NONE)
        return NULL;
    NodeDevice *d = device_new(NODE_STORAGE, folder);
    d->name = name_of("block", id, serial);
    d->block = g_strdup_printf("/dev/%s", id);
    d->drive_type = g_strdup(g_str_has_prefix(id, "sr") ? "cdrom" : g_str_has_prefix(id, "fd") ? "floppy" : "disk");
    d->size = sectors * SECTOR_BYTES;
    return d;
}

static int by_name(gconstpointer a, gconstpointer b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names of a folder, sorted. */
static GPtrArray *names_in(const char *folder)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        if (g_utf8_validate(name, -1, NULL))
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, by_name);
    return names;
}

static const struct {
    const char *folder;
    NodeDevice *(*read)(const char *folder, const char *id);
} sources[] = { { "/sys/bus/pci/devices", read_pci }, { "/sys/bus/usb/devices", read_usb }, { "/sys/class/net", read_net }, { "/sys/class/block", read_block } };

/* The nearest device whose folder holds this one's. */
static void find_parent(const GPtrArray *all, NodeDevice *d)
{
    gsize longest = 0;
    for (guint i = 1; i < all->len; i++) {
        const NodeDevice *p = all->pdata[i];
        gsize length = strlen(p->path);
        if (p != d && length > longest && !strncmp(d->path, p->path, length) && d->path[length] == '/') {
            longest = length;
            g_free(d->parent);
            d->parent = g_strdup(p->name);
        }
    }
    if (!d->parent)
        d->parent = g_strdup(((NodeDevice *)all->pdata[0])->name);
}

static NodeDevice *read_computer(void)
{
    NodeDevice *d = device_new(NODE_SYSTEM, "/sys/devices");
    d->name = g_strdup("computer");
    d->product = line_of("/sys/class/dmi/id", "product_name");
    d->hardware_vendor = line_of("/sys/class/dmi/id", "sys_vendor");
    return d;
}

GPtrArray *host_devices(void)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(record_free);
    g_ptr_array_add(all, read_computer());
    for (unsigned s = 0; s < G_N_ELEMENTS(sources); s++) {
        g_autoptr(GPtrArray) names = names_in(sources[s].folder);
        for (guint i = 0; i < names->len; i++) {
            g_autofree char *real = target_of(sources[s].folder, names->pdata[i]);
            NodeDevice *d = real ? sources[s].read(real, names->pdata[i]) : NULL;
            if (d)
                g_ptr_array_add(all, d);
        }
    }
    for (guint i = 1; i < all->len; i++)
        find_parent(all, all->pdata[i]);
    return all;
}

GPtrArray *host_interfaces(void)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(record_free);
    g_autoptr(GPtrArray) names = names_in("/sys/class/net");
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *folder = g_build_filename("/sys/class/net", names->pdata[i], NULL), *bridge = g_build_filename(folder, "bridge", NULL);
        HostInterface *n = record_new(&host_interface_type);
        n->kind = g_file_test(bridge, G_FILE_TEST_IS_DIR) ? 2 : 1;
        n->name = g_strdup(names->pdata[i]);
        n->mac = line_of(folder, "address");
        n->mtu = number_of(folder, "mtu");
        n->link = line_of(folder, "operstate");
        g_ptr_array_add(all, n);
    }
    return all;
}
