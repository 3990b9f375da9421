/*
 * http.c - an image on a web or FTP server, read-only, by libcurl.
 *
 * What is fetched goes through a few windows, for readers ask for little at a time and each question costs a round trip.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"
#include "block/driver.h"
#include "block/protocol/libcurl.h"

enum { WINDOWS = 16, WINDOW_BYTES = 256 << 10, CONNECT_TIMEOUT_S = 20, LOW_SPEED_S = 60 };

typedef struct Window {
    uint64_t off, used; /* used: when last; 0: empty */
    uint8_t data[WINDOW_BYTES];
} Window;

typedef struct Http {
    GMutex lock; /* of all */
    LibCurl lib;
    CURL *curl;
    char error[CURL_ERROR_SIZE];
    uint64_t clock, size;
    bool ranges;
    Window *window;
} Http;

/* ---- one question */

typedef struct Answer {
    uint8_t *to;
    size_t len, got;
} Answer;

static size_t take_body(char *data, size_t size, size_t n, void *answer)
{
    Answer *a = answer;
    size_t take = MIN(size * n, a->len - a->got);
    memcpy(a->to + a->got, data, take);
    a->got += take;
    return size * n; /* what is too much is let go */
}

static int fetch(Http *h, uint64_t off, uint8_t *to, size_t len)
{
    Answer a = { to, len, 0 };
    g_autofree char *range = g_strdup_printf("%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, off, off + len - 1);
    h->lib.setopt(h->curl, CURLOPT_NOBODY, 0L);
    h->lib.setopt(h->curl, CURLOPT_HTTPGET, 1L);
    h->lib.setopt(h->curl, CURLOPT_RANGE, range);
    h->lib.setopt(h->curl, CURLOPT_WRITEFUNCTION, take_body);
    h->lib.setopt(h->curl, CURLOPT_WRITEDATA, &a);
    CURLcode code = h->lib.perform(h->curl);
    return code == CURLE_OK && a.got == len ? 0 : -EIO;
}

static Window *window_at(Http *h, uint64_t off, int *status)
{
    Window *oldest = &h->window[0];
    for (unsigned i = 0; i < WINDOWS; i++) {
        Window *w = &h->window[i];
        if (w->used && w->off == off) {
            w->used = ++h->clock;
            return w;
        }
        if (w->used < oldest->used)
            oldest = w;
    }
    oldest->used = 0;
    *status = fetch(h, off, oldest->data, MIN(WINDOW_BYTES, h->size - off));
    oldest->off = off;
    oldest->used = *status ? 0 : ++h->clock;
    return oldest;
}

static int http_perform(BlkNode *n, BlkReq *r)
{
    Http *h = n->state;
    int status = r->op == BLK_READ || r->op == BLK_FLUSH ? 0 : -EROFS;
    uint64_t past = r->off >= h->size ? r->len : r->off + r->len - MIN(r->off + r->len, h->size); /* of the last sector */
    g_mutex_lock(&h->lock);
    for (uint64_t done = 0, len; r->op == BLK_READ && done < r->len - past && !status; done += len) {
        uint64_t at = r->off + done, start = at - at % WINDOW_BYTES;
        len = MIN(r->len - past - done, start + WINDOW_BYTES - at);
        Window *w = window_at(h, start, &status);
        if (!status)
            iov_write(r->iov, r->niov, done, w->data + (at - start), len);
    }
    g_mutex_unlock(&h->lock);
    if (r->op == BLK_READ && past)
        iov_fill(r->iov, r->niov, r->len - past, 0, past);
    return status;
}

/* ---- opening */

static size_t take_header(char *line, size_t size, size_t n, void *http)
{
    static const char want[] = "accept-ranges: bytes";
    if (size * n >= strlen(want) && !g_ascii_strncasecmp(line, want, strlen(want)))
        ((Http *)http)->ranges = true;
    return size * n;
}

static bool set_options(BlkNode *n, KeyVals *options, GError **err)
{
    Http *h = n->state;
    bool verify = true;
    const char *url = keyvals_take(options, "url"), *user = keyvals_take(options, "username"), *secret = keyvals_take(options, "password-secret");
    uint64_t timeout = CONNECT_TIMEOUT_S;
    if (!keyvals_take_bool(options, "sslverify", &verify, err) || !keyvals_take_number(options, "timeout", 1, 86400, &timeout, err))
        return false;
    keyvals_take(options, "readahead"); /* ours is fixed */
    h->lib.setopt(h->curl, CURLOPT_URL, url ? url : n->filename);
    h->lib.setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https,ftp,ftps");
    h->lib.setopt(h->curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https,ftp,ftps");
    h->lib.setopt(h->curl, CURLOPT_FOLLOWLOCATION, 1L);
    h->lib.setopt(h->curl, CURLOPT_FAILONERROR, 1L);
    h->lib.setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    h->lib.setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)timeout);
    h->lib.setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    h->lib.setopt(h->curl, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_S);
    h->lib.setopt(h->curl, CURLOPT_ERRORBUFFER, h->error);
    h->lib.setopt(h->curl, CURLOPT_SSL_VERIFYPEER, (long)verify);
    h->lib.setopt(h->curl, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
    if (user)
        h->lib.setopt(h->curl, CURLOPT_USERNAME, user);
    g_autofree uint8_t *password = NULL;
    size_t len;
    if (secret && !env_secret(n->env, secret, &password, &len, err))
        return false;
    if (secret)
        h->lib.setopt(h->curl, CURLOPT_PASSWORD, (char *)password);
    return true;
}

/* What the server tells about the file without sending it. */
static bool ask(BlkNode *n, GError **err)
{
    Http *h = n->state;
    curl_off_t size = -1;
    const char *scheme = NULL;
    h->lib.setopt(h->curl, CURLOPT_NOBODY, 1L);
    h->lib.setopt(h->curl, CURLOPT_HEADERFUNCTION, take_header);
    h->lib.setopt(h->curl, CURLOPT_HEADERDATA, h);
    CURLcode code = h->lib.perform(h->curl);
    if (code != CURLE_OK)
        return error_set(err, ERR_IO, "cannot read '%s': %s", n->filename, *h->error ? h->error : h->lib.strerror(code));
    h->lib.setopt(h->curl, CURLOPT_HEADERFUNCTION, NULL);
    h->lib.setopt(h->curl, CURLOPT_HEADERDATA, NULL);
    h->lib.getinfo(h->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    h->lib.getinfo(h->curl, CURLINFO_SCHEME, &scheme);
    if (size <= 0)
        return error_set(err, ERR_UNSUPPORTED, "cannot use '%s': its server does not say how long it is", n->filename);
    if (scheme && !g_ascii_strncasecmp(scheme, "http", 4) && !h->ranges)
        return error_set(err, ERR_UNSUPPORTED, "cannot use '%s': its server does not give parts of a file (no 'Accept-Ranges: bytes'); download it first", n->filename);
    h->size = size;
    n->size = (h->size + 511) & -512ull;
    return true;
}

static bool http_open(BlkNode *n, KeyVals *options, GError **err)
{
    Http *h = n->state;
    if (!n->read_only && !n->mode.auto_read_only)
        return error_set(err, ERR_DENIED, "cannot open '%s' for writing: web servers only give; open it read-only or with -snapshot", n->filename);
    n->read_only = true;
    g_mutex_init(&h->lock);
    h->window = g_new0(Window, WINDOWS);
    h->curl = libcurl_load(&h->lib, err) ? h->lib.init() : NULL;
    return h->curl && set_options(n, options, err) && ask(n, err);
}

static void http_close(BlkNode *n)
{
    Http *h = n->state;
    if (h->curl) {
        h->lib.cleanup(h->curl);
        g_mutex_clear(&h->lock);
    }
    g_free(h->window);
}

static const char *const schemes[] = { "http", "https", "ftp", "ftps", NULL };
static const BlkOption http_options[] = {
    { "url", BLK_STRING, .doc = "address of the file", .open = true },
    { "sslverify", BLK_BOOL, "on", "check the server's certificate", .open = true },
    { "timeout", BLK_NUMBER, "20", "seconds to wait for a connection", .open = true },
    { "username", BLK_STRING, .doc = "for a server that asks who you are", .open = true },
    { "password-secret", BLK_STRING, .doc = "id of a secret object", .open = true },
    { 0 },
};

const BlkDriver http_driver = {
    .name = "http",
    .summary = "a file on a web or FTP server, read-only",
    .kind = BLK_PROTOCOL,
    .state_bytes = sizeof(Http),
    .schemes = schemes,
    .options = http_options,
    .open = http_open,
    .close = http_close,
    .perform = http_perform,
};
