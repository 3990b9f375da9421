/*
 * debug.c - blkdebug: makes chosen requests fail, for tests.
 *
 *     driver=blkdebug,inject-error.0.iotype=write,inject-error.0.after=7,inject-error.0.errno=28,file.driver=...
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/filter/debug.h"

enum { MAX_RULES = 16, SECTOR = 512 };

typedef struct Debug {
    GMutex lock;
    DebugRule rules[MAX_RULES];
    unsigned count;
    uint64_t seen[5]; /* requests of each BlkOp */
} Debug;

static const char *const io_types[] = { "read", "write", "flush", "write-zeroes", "discard", NULL }; /* as BlkOp */

/* QEMU's names of what drivers do with their files; here only the kind of request counts. */
static const struct {
    const char *event;
    BlkOp op;
} events[] = {
    { "read_aio", BLK_READ }, { "pread", BLK_READ }, { "preadv", BLK_READ }, { "write_aio", BLK_WRITE }, { "pwritev", BLK_WRITE },
    { "pwritev_zero", BLK_ZERO }, { "flush_to_disk", BLK_FLUSH }, { "flush_to_os", BLK_FLUSH },
};

static bool event_op(const char *name, DebugRule *rule, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++)
        if (g_str_equal(events[i].event, name)) {
            rule->ops = 1u << events[i].op;
            return true;
        }
    return error_set(err, ERR_UNSUPPORTED, "blkdebug: event '%s' is not known; say iotype=read, write, write-zeroes, discard or flush", name);
}

static bool parse_rule(const char *text, DebugRule *rule, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(text, NULL, "inject-error", err);
    const char *event = kv ? keyvals_take(kv, "event") : NULL;
    unsigned type = G_N_ELEMENTS(io_types);
    uint64_t sector = UINT64_MAX, error = EIO;
    bool once = false;
    *rule = (DebugRule){ .ops = ~0u, .count = UINT64_MAX, .sector = UINT64_MAX };
    if (!kv || (event && !event_op(event, rule, err)) || !keyvals_take_choice(kv, "iotype", io_types, &type, err) ||
        !keyvals_take_number(kv, "sector", 0, INT64_MAX / SECTOR, &sector, err) || !keyvals_take_number(kv, "errno", 1, 4095, &error, err) ||
        !keyvals_take_number(kv, "after", 0, INT64_MAX, &rule->after, err) || !keyvals_take_number(kv, "count", 1, INT64_MAX, &rule->count, err) ||
        !keyvals_take_bool(kv, "once", &once, err))
        return false;
    if (type < G_N_ELEMENTS(io_types))
        rule->ops = 1u << type;
    rule->count = once ? 1 : rule->count;
    rule->sector = sector;
    rule->error = error;
    return keyvals_end(kv, err);
}

static bool take_rules(Debug *d, KeyVals *kv, GError **err)
{
    for (unsigned i = 0; i < MAX_RULES; i++) {
        g_autofree char *prefix = g_strdup_printf("inject-error.%u", i), *text = keyvals_take_tree(kv, prefix);
        if (text && !parse_rule(text, &d->rules[d->count++], err))
            return false;
    }
    return true;
}

static bool debug_open(BlkNode *n, KeyVals *kv, GError **err)
{
    Debug *d = n->state;
    uint64_t align = 1;
    g_mutex_init(&d->lock);
    n->size = n->file->size;
    if (!take_rules(d, kv, err) || !keyvals_take_number(kv, "align", 1, 1 << 20, &align, err))
        return false;
    n->align = align;
    return !(align & (align - 1)) || error_set(err, ERR_INVALID, "blkdebug: align must be a power of two");
}

static void debug_close(BlkNode *n) { g_mutex_clear(&((Debug *)n->state)->lock); }

void debug_set_rule(BlkNode *n, const DebugRule *rule)
{
    Debug *d = n->state;
    g_mutex_lock(&d->lock);
    memset(d->seen, 0, sizeof(d->seen));
    d->count = rule ? 1 : 0;
    if (rule)
        d->rules[0] = *rule;
    g_mutex_unlock(&d->lock);
}

uint64_t debug_seen(BlkNode *n, BlkOp op)
{
    Debug *d = n->state;
    g_mutex_lock(&d->lock);
    uint64_t seen = d->seen[op];
    g_mutex_unlock(&d->lock);
    return seen;
}

static bool hits(DebugRule *rule, const BlkReq *r)
{
    uint64_t at = rule->sector * SECTOR;
    if (!(rule->ops >> r->op & 1) || (rule->sector != UINT64_MAX && (r->op == BLK_FLUSH || r->off > at || at >= r->off + r->len)))
        return false;
    if (rule->after) {
        rule->after--;
        return false;
    }
    if (!rule->count)
        return false;
    rule->count -= rule->count != UINT64_MAX;
    return true;
}

static int judge(Debug *d, const BlkReq *r)
{
    int status = 0;
    g_mutex_lock(&d->lock);
    d->seen[r->op]++;
    for (unsigned i = 0; i < d->count && !status; i++)
        status = hits(&d->rules[i], r) ? -d->rules[i].error : 0;
    g_mutex_unlock(&d->lock);
    return status;
}

static int debug_perform(BlkNode *n, BlkReq *r)
{
    int status = judge(n->state, r);
    return status ? status : blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
}

static const BlkOption debug_options[] = {
    { "align", BLK_SIZE, "1", "requests must be aligned to that many bytes", .open = true },
    { "inject-error.0.iotype", BLK_CHOICE, .doc = "which requests fail; also .errno, .sector, .once, .after (so many first), .count (so many)", .choices = io_types, .open = true },
    { 0 },
};

const BlkDriver debug_driver = {
    .name = "blkdebug",
    .summary = "makes requests fail, for tests",
    .kind = BLK_FILTER,
    .state_bytes = sizeof(Debug),
    .flags = BLK_COMPRESS,
    .options = debug_options,
    .open = debug_open,
    .close = debug_close,
    .perform = debug_perform,
};
