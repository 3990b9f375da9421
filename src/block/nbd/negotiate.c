/* negotiate.c - the options phase of the NBD protocol, fixed newstyle. */
#include <string.h>

#include "base/error.h"
#include "block/nbd/server.h"

enum { MOST_OPTIONS = 512, MOST_OPTION_BYTES = 64 << 10, REFUSED = 1u << 31 };
typedef enum Step { NEXT, GONE, CHOSEN } Step;

/* The data of an option, taken from the front. */
typedef struct Words {
    const uint8_t *at;
    size_t left;
} Words;

static bool take(Words *w, void *to, size_t bytes)
{
    if (bytes > w->left)
        return false;
    memcpy(to, w->at, bytes);
    w->at += bytes;
    w->left -= bytes;
    return true;
}

static bool take32(Words *w, uint32_t *ret)
{
    bool ok = take(w, ret, 4);
    *ret = ok ? GUINT32_FROM_BE(*ret) : 0;
    return ok;
}

/* A length and as many bytes, without a NUL among them.  Caller frees. */
static char *take_string(Words *w)
{
    uint32_t len;
    if (!take32(w, &len) || len > NBD_MAX_STRING || len > w->left || memchr(w->at, 0, len))
        return NULL;
    char *text = g_strndup((const char *)w->at, len);
    w->at += len;
    w->left -= len;
    return text;
}

/* ---- answers */

static Step reply(Client *c, uint32_t option, uint32_t type, const void *data, size_t len)
{
    NbdOptionReply head = { GUINT64_TO_BE(NBD_REPLY_MAGIC), GUINT32_TO_BE(option), GUINT32_TO_BE(type), GUINT32_TO_BE((uint32_t)len) };
    return link_write(c->link, &head, sizeof(head)) && (!len || link_write(c->link, data, len)) ? NEXT : GONE;
}

static Step refuse(Client *c, uint32_t option, enum NbdRefusal why, const char *text)
{
    return reply(c, option, REFUSED | why, text, strlen(text));
}

uint16_t nbd_export_flags(const Client *c, const Export *e)
{
    uint16_t flags = NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_CACHE;
    flags |= c->server->max_clients == 1 ? 0 : NBD_CAN_MULTI_CONN; /* a client must not wait for itself */
    flags |= e->read_only ? NBD_READ_ONLY : NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES | NBD_SEND_FAST_ZERO;
    return flags | (c->structured ? NBD_SEND_DF : 0);
}

/* ---- options */

static Step do_export_name(Client *c, Words *w)
{
    g_autofree char *name = g_strndup((const char *)w->at, w->left);
    struct __attribute__((packed)) { uint64_t size; uint16_t flags; uint8_t zeros[124]; } answer = { 0 };
    if (!nbd_hold_export(c, name))
        return GONE; /* this old option has no way to say no */
    nbd_keep_export(c, &c->export);
    answer.size = GUINT64_TO_BE(c->export->len);
    answer.flags = GUINT16_TO_BE(nbd_export_flags(c, c->export));
    return link_write(c->link, &answer, c->no_zeroes ? 10 : sizeof(answer)) ? CHOSEN : GONE;
}

static GByteArray *list_entry(const Export *e)
{
    GByteArray *data = g_byte_array_new();
    g_byte_array_append(data, (uint8_t *)&(uint32_t){ GUINT32_TO_BE((uint32_t)strlen(e->name)) }, 4);
    g_byte_array_append(data, (uint8_t *)e->name, strlen(e->name));
    g_byte_array_append(data, (uint8_t *)e->description, strlen(e->description));
    return data;
}

static GPtrArray *list_entries(NbdServer *s)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    g_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->exports->len; i++)
        g_ptr_array_add(entries, list_entry(s->exports->pdata[i]));
    g_mutex_unlock(&s->lock);
    return entries;
}

static Step do_list(Client *c, Words *w)
{
    if (w->left)
        return refuse(c, NBD_OPT_LIST, NBD_ERR_INVALID, "LIST has no data");
    g_autoptr(GPtrArray) entries = list_entries(c->server);
    for (unsigned i = 0; i < entries->len; i++) {
        const GByteArray *data = entries->pdata[i];
        if (reply(c, NBD_OPT_LIST, NBD_REP_SERVER, data->data, data->len) == GONE)
            return GONE;
    }
    return reply(c, NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
}

static Step send_info(Client *c, uint32_t option, enum NbdInfo type, const void *data, size_t len)
{
    g_autofree uint8_t *raw = g_malloc(2 + len);
    memcpy(raw, &(uint16_t){ GUINT16_TO_BE((uint16_t)type) }, 2);
    memcpy(raw + 2, data, len);
    return reply(c, option, NBD_REP_INFO, raw, 2 + len);
}

static Step send_block_size(Client *c, uint32_t option)
{
    const uint32_t sizes[3] = { GUINT32_TO_BE(1), GUINT32_TO_BE(65536), GUINT32_TO_BE(NBD_MAX_REQUEST) };
    return send_info(c, option, NBD_INFO_BLOCK_SIZE, sizes, sizeof(sizes));
}

static Step send_wanted(Client *c, uint32_t option, const Export *e, Words *w, unsigned n)
{
    Step step = NEXT;
    for (uint16_t type; n && step == NEXT && take(w, &type, 2); n--)
        switch (GUINT16_FROM_BE(type)) {
        case NBD_INFO_NAME:
            step = send_info(c, option, NBD_INFO_NAME, e->name, strlen(e->name));
            break;
        case NBD_INFO_DESCRIPTION:
            step = *e->description ? send_info(c, option, NBD_INFO_DESCRIPTION, e->description, strlen(e->description)) : NEXT;
            break;
        case NBD_INFO_BLOCK_SIZE:
            step = send_block_size(c, option);
            break;
        }
    return step;
}

static Step do_go(Client *c, uint32_t option, Words *w)
{
    uint16_t n;
    g_autofree char *name = take_string(w);
    if (!name || !take(w, &n, 2) || w->left != GUINT16_FROM_BE(n) * 2u)
        return refuse(c, option, NBD_ERR_INVALID, "the data are not a name and a list");
    const Export *e = nbd_hold_export(c, name);
    if (!e)
        return refuse(c, option, NBD_ERR_UNKNOWN, "there is no export of that name");
    if (send_wanted(c, option, e, w, GUINT16_FROM_BE(n)) == GONE)
        return GONE;
    struct __attribute__((packed)) { uint64_t size; uint16_t flags; } answer = { GUINT64_TO_BE(e->len), GUINT16_TO_BE(nbd_export_flags(c, e)) };
    if (send_info(c, option, NBD_INFO_EXPORT, &answer, sizeof(answer)) == GONE || reply(c, option, NBD_REP_ACK, NULL, 0) == GONE)
        return GONE;
    if (option == NBD_OPT_INFO)
        return NEXT;
    nbd_keep_export(c, &c->export);
    if (c->contexts_of != e)
        c->n_contexts = 0;
    return CHOSEN;
}

static Step do_starttls(Client *c, Words *w)
{
    g_autoptr(GError) err = NULL;
    if (!c->server->creds)
        return refuse(c, NBD_OPT_STARTTLS, NBD_ERR_POLICY, "this server has no TLS credentials");
    if (link_is_tls(c->link) || w->left)
        return refuse(c, NBD_OPT_STARTTLS, NBD_ERR_INVALID, "TLS runs already, or STARTTLS has data");
    if (reply(c, NBD_OPT_STARTTLS, NBD_REP_ACK, NULL, 0) == GONE)
        return GONE;
    c->structured = false; /* what was said in the clear does not count */
    c->n_contexts = 0;
    return link_start_tls(c->link, c->server->creds, &err) ? NEXT : GONE;
}

/* ---- metadata contexts */

typedef Step ContextFn(Client *c, uint32_t option, ContextKind kind, BlkBitmap *bitmap, const char *name);

/* Calls fn for each context of e that the query means; all of a namespace, or of all, when listing. */
static Step each_context(Client *c, uint32_t option, const Export *e, const char *query, ContextFn *fn)
{
    bool list = option == NBD_OPT_LIST_META_CONTEXT, all_qemu = list && (!query || g_str_equal(query, "qemu:"));
    bool all_bitmaps = all_qemu || (list && g_str_equal(query, "qemu:dirty-bitmap:"));
    Step step = NEXT;
    if (!query || g_str_equal(query, "base:allocation") || (list && g_str_equal(query, "base:")))
        step = fn(c, option, CONTEXT_ALLOCATION, NULL, "base:allocation");
    if (step == NEXT && e->allocation_depth && (all_qemu || g_strcmp0(query, "qemu:allocation-depth") == 0))
        step = fn(c, option, CONTEXT_DEPTH, NULL, "qemu:allocation-depth");
    for (char **b = e->bitmaps; b && *b && step == NEXT; b++) {
        g_autofree char *name = g_strconcat("qemu:dirty-bitmap:", *b, NULL);
        if (all_bitmaps || g_strcmp0(query, name) == 0)
            step = fn(c, option, CONTEXT_BITMAP, blk_bitmap_find(e->node, *b), name);
    }
    return step;
}

static Step tell_context(Client *c, uint32_t option, uint32_t id, const char *name)
{
    g_autofree uint8_t *raw = g_malloc(4 + strlen(name));
    memcpy(raw, &(uint32_t){ GUINT32_TO_BE(id) }, 4);
    memcpy(raw + 4, name, strlen(name));
    return reply(c, option, NBD_REP_META_CONTEXT, raw, 4 + strlen(name));
}

static Step list_context(Client *c, uint32_t option, ContextKind kind, BlkBitmap *bitmap, const char *name)
{
    (void)kind, (void)bitmap;
    return tell_context(c, option, 0, name);
}

static Step choose_context(Client *c, uint32_t option, ContextKind kind, BlkBitmap *bitmap, const char *name)
{
    for (unsigned i = 0; i < c->n_contexts; i++)
        if (c->context[i].kind == kind && c->context[i].bitmap == bitmap)
            return NEXT;
    if (c->n_contexts == MOST_CONTEXTS || (kind == CONTEXT_BITMAP && !bitmap))
        return NEXT;
    c->context[c->n_contexts] = (Context){ c->n_contexts + 1, kind, bitmap };
    c->n_contexts++;
    return tell_context(c, option, c->n_contexts, name);
}

static Step do_meta_context(Client *c, uint32_t option, Words *w)
{
    bool list = option == NBD_OPT_LIST_META_CONTEXT;
    uint32_t n;
    g_autofree char *name = take_string(w);
    const Export *e = name ? nbd_hold_export(c, name) : NULL;
    if (!c->structured)
        return refuse(c, option, NBD_ERR_INVALID, "ask for structured replies first");
    if (!name || !take32(w, &n) || n > w->left / 4)
        return refuse(c, option, NBD_ERR_INVALID, "the data are not a name and a list of queries");
    if (!e)
        return refuse(c, option, NBD_ERR_UNKNOWN, "there is no export of that name");
    if (!list) {
        c->n_contexts = 0;
        nbd_keep_export(c, &c->contexts_of);
    }
    Step step = list && !n ? each_context(c, option, e, NULL, list_context) : NEXT;
    for (; n && step == NEXT; n--) {
        g_autofree char *query = take_string(w);
        if (!query)
            return refuse(c, option, NBD_ERR_INVALID, "a query is not a string");
        step = each_context(c, option, e, query, list ? list_context : choose_context);
    }
    return step == NEXT ? reply(c, option, NBD_REP_ACK, NULL, 0) : step;
}

/* ---- the phase */

static Step do_option(Client *c, uint32_t option, Words *w)
{
    if (c->server->creds && !link_is_tls(c->link) && option != NBD_OPT_STARTTLS && option != NBD_OPT_ABORT)
        return option == NBD_OPT_EXPORT_NAME ? GONE : refuse(c, option, NBD_ERR_TLS_REQD, "this server speaks TLS only");
    switch (option) {
    case NBD_OPT_EXPORT_NAME:
        return do_export_name(c, w);
    case NBD_OPT_ABORT:
        reply(c, option, NBD_REP_ACK, NULL, 0);
        return GONE;
    case NBD_OPT_LIST:
        return do_list(c, w);
    case NBD_OPT_STARTTLS:
        return do_starttls(c, w);
    case NBD_OPT_INFO: case NBD_OPT_GO:
        return do_go(c, option, w);
    case NBD_OPT_STRUCTURED_REPLY:
        if (w->left)
            return refuse(c, option, NBD_ERR_INVALID, "STRUCTURED_REPLY has no data");
        c->structured = true;
        return reply(c, option, NBD_REP_ACK, NULL, 0);
    case NBD_OPT_LIST_META_CONTEXT: case NBD_OPT_SET_META_CONTEXT:
        return do_meta_context(c, option, w);
    default:
        return refuse(c, option, NBD_ERR_UNSUP, "this server does not know that option");
    }
}

static Step read_option(Client *c)
{
    NbdOptionHead head;
    if (!link_read(c->link, &head, sizeof(head)) || GUINT64_FROM_BE(head.magic) != NBD_OPTION_MAGIC)
        return GONE;
    uint32_t len = GUINT32_FROM_BE(head.len), option = GUINT32_FROM_BE(head.option);
    if (len > MOST_OPTION_BYTES)
        return link_skip(c->link, len) ? refuse(c, option, NBD_ERR_TOO_BIG, "that option is too long") : GONE;
    g_autofree uint8_t *data = g_malloc(len + 1);
    Step step = link_read(c->link, data, len) ? do_option(c, option, &(Words){ data, len }) : GONE;
    nbd_let_export_go(c);
    return step;
}

bool nbd_negotiate(Client *c)
{
    struct __attribute__((packed)) { uint64_t greeting, magic; uint16_t flags; } hello = { GUINT64_TO_BE(NBD_GREETING), GUINT64_TO_BE(NBD_OPTION_MAGIC),
                                                                                           GUINT16_TO_BE(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES) };
    uint32_t flags;
    if (!link_write(c->link, &hello, sizeof(hello)) || !link_read(c->link, &flags, 4))
        return false;
    flags = GUINT32_FROM_BE(flags);
    c->no_zeroes = flags & NBD_NO_ZEROES;
    if (!(flags & NBD_FIXED_NEWSTYLE) || flags & ~(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES))
        return false;
    Step step = NEXT;
    for (unsigned n = 0; n < MOST_OPTIONS && step == NEXT; n++)
        step = read_option(c);
    return step == CHOSEN;
}
