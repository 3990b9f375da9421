/*
 * throttle.c - at most so many requests and bytes a second, for this image alone, or together with others: of an object
 * (throttle-group=ID) or of a name that they share (group=NAME).
 */
#include "base/error.h"
#include "block/core/throttle_group.h"
#include "block/driver.h"

typedef struct Throttle {
    ThrottleGroup *group;
} Throttle;

static bool find_group(BlkNode *n, KeyVals *kv, GError **err)
{
    Throttle *t = n->state;
    const char *object = keyvals_take(kv, "throttle-group"), *shared = keyvals_take(kv, "group");
    if (object && shared)
        return error_set(err, ERR_INVALID, "throttle: give throttle-group= (an object) or group= (a name), not both");
    t->group = object ? env_throttle_object(n->env, object, err) : shared && n->env ? env_throttle_shared(n->env, shared) : throttle_group_new();
    return t->group;
}

static bool throttle_open(BlkNode *n, KeyVals *kv, GError **err)
{
    n->size = n->file->size;
    return find_group(n, kv, err) && throttle_group_take_limits(((Throttle *)n->state)->group, kv, err);
}

static void throttle_close(BlkNode *n) { throttle_group_unref(((Throttle *)n->state)->group); }

static bool is_limited(BlkOp op) { return op != BLK_FLUSH; }

static int throttle_perform(BlkNode *n, BlkReq *r)
{
    if (is_limited(r->op))
        throttle_group_wait(((Throttle *)n->state)->group, r);
    return blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
}

static bool throttle_submit(BlkNode *n, BlkReq *r)
{
    ThrottleGroup *g = ((Throttle *)n->state)->group;
    BlkReq copy;
    if (!is_limited(r->op))
        return node_submit(n->file, r);
    if (!throttle_group_enter(g, r, &copy))
        return false;
    bool started = node_submit(n->file, r);
    throttle_group_leave(g, &copy, started);
    return started;
}

static const BlkOption throttle_options[] = {
    { "throttle-group", BLK_STRING, .doc = "id of a throttle-group object, whose limits it shares", .open = true },
    { "group", BLK_STRING, .doc = "a name: all images with it share their limits", .open = true },
    { "iops-total", BLK_NUMBER, .doc = "requests a second; also iops-read, iops-write", .open = true },
    { "bps-total", BLK_SIZE, .doc = "bytes a second; also bps-read, bps-write", .open = true },
    { "iops-total-max", BLK_NUMBER, .doc = "in a burst; also of the others", .open = true },
    { "iops-total-max-length", BLK_NUMBER, "1", "seconds that a burst lasts; also of the others", .open = true },
    { "iops-size", BLK_SIZE, .doc = "a larger request counts as several", .open = true },
    { 0 },
};

const BlkDriver throttle_driver = {
    .name = "throttle",
    .summary = "limits requests and bytes a second",
    .kind = BLK_FILTER,
    .state_bytes = sizeof(Throttle),
    .flags = BLK_FUA | BLK_COMPRESS,
    .options = throttle_options,
    .open = throttle_open,
    .close = throttle_close,
    .perform = throttle_perform,
    .submit = throttle_submit,
};

BlkLimits blk_limits(BlkNode *root)
{
    const BlkNode *n = root->root ? root->file : root;
    if (n->driver != &throttle_driver)
        return (BlkLimits){ 0 };
    return throttle_group_limits(((const Throttle *)n->state)->group);
}
