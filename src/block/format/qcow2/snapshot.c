/*
 * snapshot.c - internal snapshots: the table of them, and making, applying and deleting one ("Snapshots").
 *
 * A snapshot is an L1 table that names the same L2 tables and clusters as the disk did then.  Each change goes through
 * rebuild.c, so it happens as a whole or not at all.
 */
#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/checked.h"
#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

enum { ROW_BYTES = 40, EXTRA_BYTES = 24, EXTRA_REQUIRED = 16 };

/* ---- the table */

void qcow2_snapshot_free(void *snapshot)
{
    Qcow2Snapshot *s = snapshot;
    g_free(s->id);
    g_free(s->name);
    g_free(s->l1);
    g_clear_pointer(&s->extra, g_bytes_unref);
    g_free(s);
}

Qcow2Snapshot *qcow2_snapshot_copy(const Qcow2Snapshot *s)
{
    Qcow2Snapshot *copy = g_memdup2(s, sizeof(*s));
    copy->id = g_strdup(s->id);
    copy->name = g_strdup(s->name);
    copy->extra = s->extra ? g_bytes_ref(s->extra) : NULL;
    copy->l1 = NULL;
    return copy;
}

static void encode(const Qcow2Snapshot *s, GByteArray *to)
{
    size_t id = strlen(s->id), name = strlen(s->name), more = s->extra ? g_bytes_get_size(s->extra) : 0;
    be_put(to, s->l1_off, 8);
    be_put(to, s->l1_size, 4);
    be_put(to, id, 2);
    be_put(to, name, 2);
    be_put(to, s->date_s, 4);
    be_put(to, s->date_ns, 4);
    be_put(to, s->clock_ns, 8);
    be_put(to, MIN(s->vm_state_bytes, UINT32_MAX), 4);
    be_put(to, EXTRA_BYTES + more, 4);
    be_put(to, s->vm_state_bytes, 8);
    be_put(to, s->disk_bytes, 8);
    be_put(to, s->icount, 8);
    if (more)
        g_byte_array_append(to, g_bytes_get_data(s->extra, NULL), more);
    g_byte_array_append(to, (const uint8_t *)s->id, id);
    g_byte_array_append(to, (const uint8_t *)s->name, name);
    while (to->len % 8)
        be_put(to, 0, 1);
}

GByteArray *qcow2_encode_snapshots(const GPtrArray *snapshots)
{
    GByteArray *table = g_byte_array_new();
    for (unsigned i = 0; i < snapshots->len; i++)
        encode(g_ptr_array_index(snapshots, i), table);
    return table;
}

/* extra, id and name follow one another in `rest`. */
static Qcow2Snapshot *decode(const Qcow2 *q, const uint8_t *row, const uint8_t *rest)
{
    Qcow2Snapshot *s = g_new0(Qcow2Snapshot, 1);
    uint32_t extra = be_get(row + 36, 4), id = be_get(row + 12, 2), name = be_get(row + 14, 2);
    s->l1_off = be_get(row, 8);
    s->l1_size = be_get(row + 8, 4);
    s->date_s = be_get(row + 16, 4);
    s->date_ns = be_get(row + 20, 4);
    s->clock_ns = be_get(row + 24, 8);
    s->vm_state_bytes = extra >= 8 ? be_get(rest, 8) : be_get(row + 32, 4);
    s->disk_bytes = extra >= EXTRA_REQUIRED ? be_get(rest + 8, 8) : q->h.size;
    s->icount = extra >= EXTRA_BYTES ? be_get(rest + 16, 8) : UINT64_MAX;
    if (extra > EXTRA_BYTES)
        s->extra = g_bytes_new(rest + EXTRA_BYTES, extra - EXTRA_BYTES);
    s->id = g_strndup((const char *)rest + extra, id);
    s->name = g_strndup((const char *)rest + extra + id, name);
    return s;
}

static bool refuse(const BlkNode *n, GError **err, unsigned i, const char *why)
{
    return error_set(err, ERR_INVALID, "cannot open qcow2 image '%s': snapshot %u %s", n->filename, i, why);
}

static bool check_row(const BlkNode *n, unsigned i, const Qcow2Snapshot *s, GError **err)
{
    const Qcow2 *q = n->state;
    uint64_t covered = 1ull << (q->cluster_bits + q->l2_bits);
    if (s->l1_size > QCOW2_MAX_L1_BYTES / 8)
        return refuse(n, err, i, "has an L1 table that is too large");
    if (s->l1_off & (q->cluster_bytes - 1) || !s->l1_off || !range_within(s->l1_off, s->l1_size * 8ull, q->file->size))
        return refuse(n, err, i, "has an L1 table that is not aligned or not within the file");
    if (s->disk_bytes > INT64_MAX || div_up(s->disk_bytes, covered) > s->l1_size)
        return refuse(n, err, i, "has an L1 table that is too small for its disk");
    return true;
}

static bool read_row(BlkNode *n, unsigned i, uint64_t *at, GError **err)
{
    Qcow2 *q = n->state;
    uint8_t row[ROW_BYTES];
    int status = blk_pread(q->file, *at, row, ROW_BYTES);
    uint32_t extra = be_get(row + 36, 4), bytes = be_get(row + 12, 2) + be_get(row + 14, 2) + extra;
    if (!status && extra > QCOW2_MAX_SNAPSHOT_EXTRA)
        return refuse(n, err, i, "has more extra data than 1024 bytes");
    if (!status && !range_within(*at, ROW_BYTES + (uint64_t)bytes, q->file->size))
        return refuse(n, err, i, "is not within the file");
    g_autofree uint8_t *rest = g_malloc0(bytes + 1);
    if (!status && bytes)
        status = blk_pread(q->file, *at + ROW_BYTES, rest, bytes);
    if (status)
        return error_set_errno(err, -status, "cannot read the snapshot table of '%s'", n->filename);
    Qcow2Snapshot *s = decode(q, row, rest);
    g_ptr_array_add(q->snapshots, s);
    *at += (ROW_BYTES + (uint64_t)bytes + 7) & ~7ull;
    return check_row(n, i, s, err);
}

bool qcow2_read_snapshots(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    uint64_t at = q->h.snapshots_off;
    if (q->h.snapshots > QCOW2_MAX_SNAPSHOTS)
        return error_set(err, ERR_INVALID, "cannot open qcow2 image '%s': it says that it holds %u snapshots; at most %d are allowed",
                         n->filename, q->h.snapshots, QCOW2_MAX_SNAPSHOTS);
    if (q->h.snapshots && (!at || at & (q->cluster_bytes - 1) || at >= q->file->size))
        return error_set(err, ERR_INVALID, "cannot open qcow2 image '%s': its snapshot table at 0x%" G_GINT64_MODIFIER "x is not aligned or "
                         "not within the file", n->filename, at);
    for (unsigned i = 0; i < q->h.snapshots; i++) {
        if (!read_row(n, i, &at, err))
            return false;
        if (at - q->h.snapshots_off > QCOW2_MAX_SNAPSHOT_TABLE)
            return refuse(n, err, i, "makes the table longer than 64 MiB");
    }
    q->snapshot_bytes = at - q->h.snapshots_off;
    return true;
}

int qcow2_snapshot_l1(Qcow2 *q, Qcow2Snapshot *s)
{
    return s->l1 ? 0 : qcow2_read_table(q->file, s->l1_off, s->l1_size, &s->l1);
}

/* ---- what the user asks for */

/* The id first: a name may look like the id of another. */
static unsigned find(const GPtrArray *snapshots, const char *id_or_name)
{
    for (unsigned by_name = 0; by_name < 2; by_name++)
        for (unsigned i = 0; i < snapshots->len; i++) {
            const Qcow2Snapshot *s = g_ptr_array_index(snapshots, i);
            if (g_str_equal(by_name ? s->name : s->id, id_or_name))
                return i;
        }
    return snapshots->len;
}

static char *new_id(const GPtrArray *snapshots)
{
    uint64_t max = 0;
    for (unsigned i = 0; i < snapshots->len; i++)
        max = MAX(max, g_ascii_strtoull(((Qcow2Snapshot *)g_ptr_array_index(snapshots, i))->id, NULL, 10));
    return g_strdup_printf("%" G_GUINT64_FORMAT, max + 1);
}

static bool failed(const BlkNode *n, const char *verb, const char *name, int status, GError **err)
{
    if (status == -EUCLEAN)
        return error_set(err, ERR_INVALID, "cannot %s snapshot '%s' of '%s': the image is damaged; check and repair it first", verb, name, n->filename);
    if (status == -ERANGE)
        return error_set(err, ERR_UNSUPPORTED, "cannot %s snapshot '%s' of '%s': a cluster would be used more often than its refcount_bits "
                         "can count; amend the image to wider ones", verb, name, n->filename);
    return error_set_errno(err, -status, "cannot %s snapshot '%s' of '%s'", verb, name, n->filename);
}

static bool not_found(const BlkNode *n, const char *verb, const char *name, GError **err)
{
    return error_set(err, ERR_NOT_FOUND, "cannot %s snapshot '%s' of '%s': it has no snapshot of that id or name", verb, name, n->filename);
}

/* The first L1 entry behind the disk: the machine's state stands from there on. */
static uint64_t vm_state_index(const Qcow2 *q, uint64_t disk_bytes) { return div_up(disk_bytes, 1ull << (q->cluster_bits + q->l2_bits)); }

static Qcow2Snapshot *describe(const Qcow2 *q, const BlkSnapshot *s)
{
    Qcow2Snapshot *new = g_new0(Qcow2Snapshot, 1);
    *new = (Qcow2Snapshot){ .id = s->id ? g_strdup(s->id) : new_id(q->snapshots), .name = g_strdup(s->name ? s->name : ""),
                            .clock_ns = s->vm_clock_ns, .vm_state_bytes = s->vm_state_bytes, .disk_bytes = q->h.size,
                            .icount = s->icount, .l1_size = q->h.l1_size, .date_s = s->date_s, .date_ns = s->date_ns };
    return new;
}

static bool check_new(const BlkNode *n, const Qcow2Snapshot *new, GError **err)
{
    const Qcow2 *q = n->state;
    const char *why = q->snapshots->len >= QCOW2_MAX_SNAPSHOTS ? "it has 65536 of them already, and more are not allowed" :
                      strlen(new->name) > UINT16_MAX || strlen(new->id) > UINT16_MAX ? "its name or id is longer than 65535 bytes" :
                      new->vm_state_bytes && vm_state_index(q, q->h.size) + vm_state_index(q, new->vm_state_bytes) > q->h.l1_size ?
                      "less of the machine's state than it should hold was written" : NULL;
    for (unsigned i = 0; i < q->snapshots->len && !why; i++)
        if (g_str_equal(((Qcow2Snapshot *)g_ptr_array_index(q->snapshots, i))->id, new->id))
            why = "one of that id is there";
    return !why || error_set(err, ERR_INVALID, "cannot create snapshot '%s' of '%s': %s", new->name, n->filename, why);
}

/* One change of the image to what `edit` makes of it. */
typedef bool (*Edit)(BlkNode *n, Rebuild *b, const void *arg, GError **err);

static bool change(BlkNode *n, const char *verb, const char *name, Edit edit, const void *arg, GError **err)
{
    Qcow2 *q = n->state;
    Rebuild b;
    if (q->data != q->file)
        return error_set(err, ERR_UNSUPPORTED, "cannot %s snapshot '%s' of '%s': images with an external data file have none", verb, name, n->filename);
    g_mutex_lock(&q->lock);
    int status = rebuild_begin(&b, q);
    bool ok = status || edit(n, &b, arg, err);
    b.next.h.snapshots_off = 0;
    if (ok && !status)
        status = rebuild_end(&b);
    if (!status && ok)
        n->size = q->h.size;
    g_mutex_unlock(&q->lock);
    rebuild_clear(&b);
    return ok && (!status || failed(n, verb, name, status, err));
}

/* The machine's state goes with the snapshot; the disk keeps none. */
static bool add_snapshot(BlkNode *n, Rebuild *b, const void *arg, GError **err)
{
    const Qcow2 *q = n->state;
    Qcow2Snapshot *new = describe(q, arg);
    g_ptr_array_add(b->next.snapshots, new);
    if (!check_new(n, new, err))
        return false;
    uint64_t behind = vm_state_index(q, q->h.size);
    new->l1 = g_memdup2(b->next.l1, MAX(q->h.l1_size, 1) * 8ull);
    for (uint64_t i = behind; i < q->h.l1_size; i++)
        b->next.l1[i] = 0;
    if (!new->vm_state_bytes)
        new->l1_size = MIN(new->l1_size, behind);
    return true;
}

bool qcow2_snapshot_create(BlkNode *n, const BlkSnapshot *s, GError **err)
{
    return change(n, "create", s->name ? s->name : "", add_snapshot, s, err);
}

/* The disk becomes what it was then, as long as it was then. */
static bool apply_snapshot(BlkNode *n, Rebuild *b, const void *arg, GError **err)
{
    Qcow2 *q = n->state;
    unsigned i = find(q->snapshots, arg);
    if (i == q->snapshots->len)
        return not_found(n, "apply", arg, err);
    Qcow2Snapshot *s = g_ptr_array_index(b->next.snapshots, i);
    int status = qcow2_snapshot_l1(q, s);
    if (status)
        return failed(n, "apply", arg, status, err);
    uint32_t entries = MAX(s->l1_size, 1);
    g_free(b->next.l1);
    b->next.l1 = g_new0(uint64_t, entries);
    memcpy(b->next.l1, s->l1, s->l1_size * 8ull);
    b->next.h.l1_size = entries;
    b->next.h.size = s->disk_bytes;
    return true;
}

bool qcow2_snapshot_apply(BlkNode *n, const char *id_or_name, GError **err)
{
    return change(n, "apply", id_or_name, apply_snapshot, id_or_name, err);
}

bool qcow2_snapshot_load(BlkNode *n, const char *id_or_name, GError **err)
{
    Qcow2 *q = n->state;
    unsigned i = find(q->snapshots, id_or_name);
    if (i == q->snapshots->len)
        return not_found(n, "show", id_or_name, err);
    Qcow2Snapshot *s = g_ptr_array_index(q->snapshots, i);
    int status = qcow2_snapshot_l1(q, s);
    if (status)
        return failed(n, "show", id_or_name, status, err);
    g_free(q->l1);
    q->l1 = g_memdup2(s->l1, MAX(s->l1_size, 1) * 8ull);
    q->h.l1_size = s->l1_size;
    n->size = q->h.size = s->disk_bytes;
    return true;
}

static bool delete_snapshot(BlkNode *n, Rebuild *b, const void *arg, GError **err)
{
    unsigned i = find(b->next.snapshots, arg);
    if (i == b->next.snapshots->len)
        return not_found(n, "delete", arg, err);
    g_ptr_array_remove_index(b->next.snapshots, i);
    return true;
}

bool qcow2_snapshot_delete(BlkNode *n, const char *id_or_name, GError **err)
{
    return change(n, "delete", id_or_name, delete_snapshot, id_or_name, err);
}

bool qcow2_snapshot_list(BlkNode *n, GArray *ret, GError **err)
{
    const Qcow2 *q = n->state;
    for (unsigned i = 0; i < q->snapshots->len; i++) {
        const Qcow2Snapshot *s = g_ptr_array_index(q->snapshots, i);
        BlkSnapshot row = { .id = g_strdup(s->id), .name = g_strdup(s->name), .size = s->disk_bytes, .vm_state_bytes = s->vm_state_bytes,
                            .date_s = s->date_s, .date_ns = s->date_ns, .vm_clock_ns = s->clock_ns, .icount = s->icount };
        g_array_append_val(ret, row);
    }
    return true;
}
