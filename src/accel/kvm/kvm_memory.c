/*
 * kvm_memory.c - memory slots follow the flat view.
 *
 * Each RAM or ROM range becomes a slot as far as it is made of whole pages; the rest, like devices, exits to us.  A slot
 * that is the same in both views is left alone, so that moving a BAR does not flush the guest's mappings.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm.h"

static const uint64_t PAGE = 4096;

/* The part of a range that whole pages cover; false if there is none. */
static bool slot_of_range(const FlatRange *r, KvmSlot *ret)
{
    if (r->kind != REGION_RAM && r->kind != REGION_ROM)
        return false;
    uint64_t skip = -r->start & (PAGE - 1);
    if (r->size < skip + PAGE || ((r->offset + skip) & (PAGE - 1)))
        return false;
    uint64_t size = (r->size - skip) & ~(PAGE - 1);
    *ret = (KvmSlot){ .gpa = r->start + skip, .size = size, .host = r->ram->host + r->offset + skip,
                      .ram = r->ram, .offset = r->offset + skip, .readonly = r->kind == REGION_ROM,
                      .log_dirty = r->kind == REGION_RAM && r->ram->logged };
    return true;
}

static bool same_slot(const KvmSlot *a, const KvmSlot *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->host == b->host && a->readonly == b->readonly;
}

/* Tells the kernel; size 0 deletes. */
static bool set_region(KvmAccel *k, unsigned index, const KvmSlot *s, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = index, .guest_phys_addr = s->gpa, .memory_size = size, .userspace_addr = (uintptr_t)s->host,
        .flags = (s->readonly ? KVM_MEM_READONLY : 0) | (s->log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0),
    };
    if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0)
        return true;
    g_free(k->map_error);
    k->map_error = g_strdup_printf("KVM refuses guest memory at %#" G_GINT64_MODIFIER "x, %#" G_GINT64_MODIFIER "x bytes: %s",
                                   s->gpa, size, g_strerror(errno));
    return false;
}

static void mark_dirty(const KvmSlot *s, const uint64_t *bitmap)
{
    for (uint64_t page = 0; page < s->size / PAGE; page++)
        if (bitmap[page / 64] >> (page % 64) & 1)
            atomic_fetch_or(&s->ram->page_flags[s->offset / PAGE + page], PAGE_DIRTY);
}

static bool fetch_slot(KvmAccel *k, unsigned index, GError **err)
{
    const KvmSlot *s = &k->slots[index];
    g_autofree uint64_t *bitmap = g_new0(uint64_t, (s->size / PAGE + 63) / 64);
    struct kvm_dirty_log log = { .slot = index, .dirty_bitmap = bitmap };
    if (ioctl(k->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
        return error_set_errno(err, errno, "cannot read KVM's dirty log");
    mark_dirty(s, bitmap);
    return true;
}

static bool wanted(const KvmSlot *s, const FlatRange *now, size_t n)
{
    KvmSlot want;
    for (size_t i = 0; i < n; i++)
        if (slot_of_range(&now[i], &want) && same_slot(s, &want))
            return true;
    return false;
}

static void drop_unwanted(KvmAccel *k, const FlatRange *now, size_t n)
{
    for (unsigned i = 0; i < KVM_MAX_SLOTS; i++)
        if (k->slots[i].size && !wanted(&k->slots[i], now, n)) {
            if (k->slots[i].log_dirty)
                fetch_slot(k, i, NULL); /* the kernel forgets the log with the slot */
            set_region(k, i, &k->slots[i], 0);
            k->slots[i].size = 0;
        }
}

static int find_slot(const KvmAccel *k, const KvmSlot *want)
{
    for (unsigned i = 0; i < KVM_MAX_SLOTS; i++)
        if (want ? k->slots[i].size && same_slot(&k->slots[i], want) : !k->slots[i].size)
            return i;
    return -1;
}

static void add_slot(KvmAccel *k, const KvmSlot *want)
{
    int i = find_slot(k, NULL);
    if (i >= 0 && set_region(k, i, want, want->size))
        k->slots[i] = *want;
}

void kvm_map_changed(Accel *a, const FlatRange *old, size_t n_old, const FlatRange *now, size_t n_now)
{
    KvmAccel *k = (KvmAccel *)a;
    KvmSlot want;
    (void)old;
    (void)n_old;
    g_mutex_lock(&k->lock);
    drop_unwanted(k, now, n_now);
    for (size_t i = 0; i < n_now; i++)
        if (slot_of_range(&now[i], &want) && find_slot(k, &want) < 0)
            add_slot(k, &want);
    g_mutex_unlock(&k->lock);
}

/* ---- dirty log */

bool kvm_dirty_log(Accel *a, RamBlock *ram, GError **err)
{
    KvmAccel *k = (KvmAccel *)a;
    bool ok = true;
    g_mutex_lock(&k->lock);
    for (unsigned i = 0; ok && i < KVM_MAX_SLOTS; i++)
        if (k->slots[i].size && k->slots[i].ram == ram && !k->slots[i].readonly) {
            k->slots[i].log_dirty = ram->logged;
            ok = set_region(k, i, &k->slots[i], k->slots[i].size);
        }
    if (!ok)
        error_set(err, ERR_INTERNAL, "cannot switch the dirty log: %s", k->map_error);
    g_mutex_unlock(&k->lock);
    return ok;
}

bool kvm_dirty_fetch(Accel *a, RamBlock *ram, GError **err)
{
    KvmAccel *k = (KvmAccel *)a;
    bool ok = true;
    g_mutex_lock(&k->lock);
    for (unsigned i = 0; ok && i < KVM_MAX_SLOTS; i++)
        if (k->slots[i].size && k->slots[i].ram == ram && k->slots[i].log_dirty)
            ok = fetch_slot(k, i, err);
    g_mutex_unlock(&k->lock);
    return ok;
}
