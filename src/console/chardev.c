/* chardev.c - opening a chardev from its spelling, and the way between a front end and its backend. */
#include "console/chardev.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "console/backend.h"

static const ChardevBackend *const backends[] = {
    &chardev_null, &chardev_stdio, &chardev_file, &chardev_pty, &chardev_socket, &chardev_udp, &chardev_memory,
};

static bool null_open(Chardev *c, KeyVals *kv, GError **err)
{
    c->description = g_strdup("null");
    return true;
}

static void null_write(Chardev *c, const uint8_t *data, size_t n) {}

const ChardevBackend chardev_null = {
    .name = "null",
    .doc = "swallows everything",
    .size = sizeof(Chardev),
    .open = null_open,
    .write = null_write,
};

char *chardev_help(void)
{
    GString *text = g_string_new("Backends (-serial takes the short forms too: stdio, mon:stdio, null, pty, file:PATH,\n"
                                 "unix:PATH,..., tcp:HOST:PORT,..., telnet:HOST:PORT,..., udp:HOST:PORT@HOST:PORT, chardev:ID); each also takes\n"
                                 "mux=on, logfile=PATH (what is written, too), logappend=on|off:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++)
        g_string_append_printf(text, "%-8s %s\n", backends[i]->name, backends[i]->doc);
    return g_string_free(text, FALSE);
}

char **chardev_backends(void)
{
    char **names = g_new0(char *, G_N_ELEMENTS(backends) + 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++)
        names[i] = g_strdup(backends[i]->name);
    return names;
}

static const ChardevBackend *backend_find(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(backends) + 1] = { NULL };
    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++) {
        names[i] = backends[i]->name;
        if (g_str_equal(name, backends[i]->name) || g_strcmp0(name, backends[i]->alias) == 0)
            return backends[i];
    }
    const char *near = nearest_name(name, names);
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    if (near)
        error_set(err, ERR_INVALID, "no chardev backend '%s', did you mean '%s'?", name, near);
    else
        error_set(err, ERR_INVALID, "no chardev backend '%s'; there are: %s", name, all);
    return NULL;
}

Chardev *chardev_new(const ChardevBackend *backend, const char *id)
{
    Chardev *c = g_malloc0(backend->size);
    c->backend = backend;
    c->id = g_strdup(id);
    g_mutex_init(&c->lock);
    return c;
}

static Chardev *open_keyvals(const char *id, const char *text, GError **err)
{
    g_autofree char *owner = g_strdup_printf("chardev '%s'", id ? id : text);
    g_autoptr(KeyVals) kv = keyvals_parse(text, "backend", owner, err);
    bool mux = false, append = false;
    if (!kv || !keyvals_take_bool(kv, "mux", &mux, err) || !keyvals_take_bool(kv, "logappend", &append, err))
        return NULL;
    const char *name = keyvals_take(kv, "backend"), *own_id = keyvals_take(kv, "id"), *log = keyvals_take(kv, "logfile");
    const ChardevBackend *backend = backend_find(name ? name : "", err);
    if (!backend)
        return NULL;
    Chardev *c = chardev_new(backend, own_id ? own_id : id);
    if (!backend->open(c, kv, err) || !keyvals_end(kv, err)) {
        chardev_close(c);
        return NULL;
    }
    c = chardev_front_over(c, log, append, err);
    return c && mux ? chardev_mux_over(c) : c;
}

static char *double_commas(const char *text)
{
    g_auto(GStrv) pieces = g_strsplit(text, ",", -1);
    return g_strjoinv(",,", pieces);
}

/* "HOST:PORT" of a length: where its port begins, or NULL. */
static const char *port_in(const char *text, size_t n)
{
    const char *colon = g_strrstr_len(text, n, ":");
    return colon ? colon + 1 : NULL;
}

/* telnet is TCP with more to it; options stand behind the address. */
static char *tcp_form(const char *rest, bool telnet)
{
    const char *port = port_in(rest, strcspn(rest, ","));
    return port ? g_strdup_printf("socket,host=%.*s,port=%s%s", (int)(port - 1 - rest), rest, port, telnet ? ",telnet=on" : "") : NULL;
}

/* HOST:PORT of the other end, and of this one behind an @. */
static char *udp_form(const char *rest)
{
    size_t n = strcspn(rest, "@");
    const char *port = port_in(rest, n), *local = rest[n] ? rest + n + 1 : NULL, *local_port = local ? port_in(local, strlen(local)) : NULL;
    if (!port || (local && !local_port))
        return NULL;
    GString *text = g_string_new(NULL);
    g_string_printf(text, "udp,host=%.*s,port=%.*s", (int)(port - 1 - rest), rest, (int)(rest + n - port), port);
    if (local)
        g_string_append_printf(text, ",localaddr=%.*s,localport=%s", (int)(local_port - 1 - local), local, local_port);
    return g_string_free(text, FALSE);
}

/* The short forms of -serial in -chardev's spelling, or NULL where there is no such form. */
static char *long_form(const char *spec, GError **err)
{
    const char *rest = strchr(spec, ':') + 1;
    if (g_str_has_prefix(spec, "file:")) {
        g_autofree char *path = double_commas(rest);
        return g_strdup_printf("file,path=%s", path);
    }
    if (g_str_has_prefix(spec, "unix:"))
        return g_strdup_printf("socket,path=%s", rest);
    bool telnet = g_str_has_prefix(spec, "telnet:");
    char *text = telnet || g_str_has_prefix(spec, "tcp:") ? tcp_form(rest, telnet) : g_str_has_prefix(spec, "udp:") ? udp_form(rest) : NULL;
    if (text)
        return text;
    error_set(err, ERR_INVALID, "cannot read the chardev '%s'; the forms are: null, none, stdio, mon:stdio, pty, file:PATH, unix:PATH, tcp:HOST:PORT, telnet:HOST:PORT, udp:HOST:PORT", spec);
    return NULL;
}

Chardev *chardev_open(const char *id, const char *spec, GError **err)
{
    if (g_str_equal(spec, "none"))
        return NULL;
    if (g_str_has_prefix(spec, "mon:")) {
        g_autofree char *inner = g_str_equal(spec, "mon:stdio") ? g_strdup("stdio,signal=off") : g_strdup(spec + 4);
        Chardev *c = chardev_open(id, inner, err);
        return c ? chardev_mux_over(c) : NULL;
    }
    size_t word = strcspn(spec, ":,");
    if (*spec == '{' || spec[word] != ':')
        return open_keyvals(id, spec, err);
    g_autofree char *text = long_form(spec, err);
    return text ? open_keyvals(id, text, err) : NULL;
}

void chardev_close(Chardev *c)
{
    if (!c)
        return;
    if (c->backend->close)
        c->backend->close(c);
    chardev_drop_descriptors(c);
    g_mutex_clear(&c->lock);
    g_free(c->id);
    g_free(c->description);
    g_free(c);
}

const char *chardev_id(const Chardev *c) { return c->id; }
const char *chardev_description(const Chardev *c) { return c->description; }

static const ChardevFrontend *frontend_of(Chardev *c, void **ret_opaque)
{
    g_mutex_lock(&c->lock);
    const ChardevFrontend *frontend = c->frontend;
    *ret_opaque = c->opaque;
    g_mutex_unlock(&c->lock);
    return frontend;
}

size_t chardev_room(Chardev *c)
{
    void *opaque;
    const ChardevFrontend *frontend = frontend_of(c, &opaque);
    return frontend ? frontend->can_receive(opaque) : 0;
}

void chardev_deliver(Chardev *c, const uint8_t *data, size_t n)
{
    void *opaque;
    const ChardevFrontend *frontend = frontend_of(c, &opaque);
    if (frontend)
        frontend->receive(opaque, data, n);
}

void chardev_event(Chardev *c, ChardevEvent event)
{
    void *opaque;
    const ChardevFrontend *frontend = frontend_of(c, &opaque);
    if (event != CHARDEV_BREAK)
        c->connected = event == CHARDEV_OPENED;
    if (event == CHARDEV_CLOSED)
        chardev_drop_descriptors(c);
    if (frontend && frontend->event)
        frontend->event(opaque, event);
}

void chardev_writable(Chardev *c)
{
    void *opaque;
    const ChardevFrontend *frontend = frontend_of(c, &opaque);
    if (frontend && frontend->writable)
        frontend->writable(opaque);
}

size_t chardev_write_room(Chardev *c) { return c->backend->write_room ? c->backend->write_room(c) : SIZE_MAX; }

int chardev_take_descriptor(Chardev *c)
{
    c = chardev_behind(c);
    if (!c->n_passed)
        return -1;
    int fd = c->passed[0];
    memmove(c->passed, c->passed + 1, --c->n_passed * sizeof(fd));
    return fd;
}

void chardev_drop_descriptors(Chardev *c)
{
    for (unsigned i = 0; i < c->n_passed; i++)
        close(c->passed[i]);
    c->n_passed = 0;
}

bool chardev_in_use(Chardev *c)
{
    void *opaque;
    return frontend_of(c, &opaque) != NULL;
}

void chardev_set_frontend(Chardev *c, const ChardevFrontend *frontend, void *opaque)
{
    g_mutex_lock(&c->lock);
    c->frontend = frontend;
    c->opaque = opaque;
    g_mutex_unlock(&c->lock);
}

void chardev_send_break(Chardev *c) { chardev_event(c, CHARDEV_BREAK); }

void chardev_attach(Chardev *c, const ChardevFrontend *frontend, void *opaque)
{
    chardev_set_frontend(c, frontend, opaque);
    if (c->backend->attached)
        c->backend->attached(c, frontend);
    if (frontend && c->connected && frontend->event)
        frontend->event(opaque, CHARDEV_OPENED);
    if (frontend)
        chardev_resume(c);
}

void chardev_resume(Chardev *c)
{
    if (c->backend->resume)
        c->backend->resume(c);
}

size_t chardev_write(Chardev *c, const uint8_t *data, size_t n)
{
    c->backend->write(c, data, n);
    return n;
}
