/* vnc.c - the VNC servers of -vnc. */
#include "console/vnc/vnc.h"

#include <string.h>

#include "block/driver.h"
#include "vmm/monitor/monitor.h"
#include "vmm/vm.h"

/* ---- what the monitor hears */

static JsonObject *basic_info(const char *host, const char *service, const char *family)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "host", host);
    json_object_set_string_member(o, "service", service);
    json_object_set_string_member(o, "family", family);
    json_object_set_boolean_member(o, "websocket", FALSE);
    return o;
}

static void on_event(void *opaque, VncEventKind kind, const VncClientInfo *client)
{
    static const char *const names[] = { "VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED" };
    Vm *vm = opaque;
    JsonObject *data = json_object_new(), *who = basic_info(client->host, client->service, client->family);
    VncInfo server = { .host = "", .service = "", .family = "unknown" };
    if (vm->vncs->len)
        vnc_info(vm->vncs->pdata[0], &server);
    JsonObject *where = basic_info(server.host, server.service, server.family);
    if (server.auth)
        json_object_set_string_member(where, "auth", server.auth);
    if (client->x509_dname && kind != VNC_EVENT_CONNECTED)
        json_object_set_string_member(who, "x509_dname", client->x509_dname);
    json_object_set_object_member(data, "server", where);
    json_object_set_object_member(data, "client", who);
    monitors_event(vm, names[kind], data);
}

/* ---- opening */

static bool find_credentials(Vm *vm, const VncSetup *v, VncConfig *c, GError **err)
{
    const char *verify = NULL;
    const BlkEnv *env = vm->config->env;
    g_autoptr(GError) not_anonymous = NULL;
    if (!v->tls_creds)
        return true;
    const char *ignored;
    if (env_property(env, "tls-creds-anon", v->tls_creds, "dir", &ignored, &not_anonymous)) {
        c->tls_anonymous = true;
        return true;
    }
    if (!env_property(env, "tls-creds-x509", v->tls_creds, "dir", &c->tls_dir, err) ||
        !env_property(env, "tls-creds-x509", v->tls_creds, "verify-peer", &verify, err))
        return false;
    c->verify_peer = !verify || g_str_equal(verify, "on") || g_str_equal(verify, "yes") || g_str_equal(verify, "true");
    return c->tls_dir || error_set(err, ERR_INVALID, "-vnc: TLS credentials '%s' need dir=, the folder with their files", v->tls_creds);
}

static bool set_secret(Vm *vm, VncServer *s, const char *id, GError **err)
{
    g_autofree uint8_t *secret = NULL;
    size_t n;
    if (!env_secret(vm->config->env, id, &secret, &n, err))
        return false;
    vnc_set_password(s, (char *)secret);
    explicit_bzero(secret, n);
    return true;
}

static const DisplaySource no_source;

static bool open_vnc(Vm *vm, const VncSetup *v, GError **err)
{
    VncConfig c = { .id = v->id, .host = v->host, .path = v->path, .display = v->display, .to = v->to, .password = v->password, .share = v->share,
                    .name = vm->config->name ? vm->config->name : "Atoll", .input = vm->input };
    c.screen = v->adapter ? screens_find(vm->screens, v->adapter, err) : screens_nth(vm->screens, 0);
    if (!c.screen && v->adapter)
        return false;
    if (!c.screen)
        c.screen = vm->no_screen = vm->no_screen ? vm->no_screen : display_create(NULL, "none", &no_source, NULL);
    VncServer *s = find_credentials(vm, v, &c, err) ? vnc_open(&c, err) : NULL;
    if (!s)
        return false;
    g_ptr_array_add(vm->vncs, s);
    vnc_set_listener(s, &(VncListener){ on_event, vm });
    return !v->secret || set_secret(vm, s, v->secret, err);
}

bool vm_open_vncs(Vm *vm, GError **err)
{
    vm->vncs = g_ptr_array_new_with_free_func((GDestroyNotify)vnc_close);
    for (unsigned i = 0; i < vm->config->vncs->len; i++)
        if (!open_vnc(vm, &g_array_index(vm->config->vncs, VncSetup, i), err))
            return false;
    return true;
}

void vm_close_vncs(Vm *vm)
{
    for (unsigned i = 0; vm->vncs && i < vm->vncs->len; i++)
        vnc_set_listener(vm->vncs->pdata[i], NULL);
    g_clear_pointer(&vm->vncs, g_ptr_array_unref);
    g_clear_pointer(&vm->no_screen, display_destroy);
}
