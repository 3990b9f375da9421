/* commands_display.c - VNC servers: who looks, and passwords; pictures of screens. */
#include <string.h>
#include <time.h>

#include "console/screenshot.h"
#include "console/vnc/vnc.h"
#include "vmm/monitor/qom.h"

static JsonObject *client_info(const VncClientInfo *client)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "host", client->host);
    json_object_set_string_member(o, "service", client->service);
    json_object_set_string_member(o, "family", client->family);
    json_object_set_boolean_member(o, "websocket", FALSE);
    if (client->x509_dname)
        json_object_set_string_member(o, "x509_dname", client->x509_dname);
    return o;
}

/* The first server, as QEMU answers. */
static bool query_vnc(MonitorCall *call, GError **err)
{
    const GPtrArray *servers = call->vm->vncs;
    const VncServer *s = servers && servers->len ? servers->pdata[0] : NULL;
    JsonObject *o = json_object_new();
    json_object_set_boolean_member(o, "enabled", s != NULL);
    if (!s)
        return return_object(call, o);
    VncInfo info;
    VncClientInfo client;
    JsonArray *clients = json_array_new();
    vnc_info(s, &info);
    json_object_set_string_member(o, "host", info.host);
    json_object_set_string_member(o, "service", info.service);
    json_object_set_string_member(o, "family", info.family);
    json_object_set_string_member(o, "auth", info.auth);
    for (unsigned n = 0; vnc_client_info(s, n, &client); n++)
        json_array_add_object_element(clients, client_info(&client));
    json_object_set_array_member(o, "clients", clients);
    return return_object(call, o);
}

static bool find_server(MonitorCall *call, VncServer **ret, GError **err)
{
    const GPtrArray *servers = call->vm->vncs;
    if (!g_str_equal(arg_text(call, "protocol"), "vnc"))
        return error_set(err, ERR_UNSUPPORTED, "only VNC has passwords here, not '%s'", arg_text(call, "protocol"));
    if (!servers || !servers->len)
        return error_set(err, ERR_NOT_FOUND, "there is no VNC server: start one with -vnc");
    *ret = servers->pdata[0];
    return true;
}

static bool set_password(MonitorCall *call, GError **err)
{
    VncServer *s;
    if (!find_server(call, &s, err))
        return false;
    vnc_set_password(s, arg_text(call, "password"));
    return true;
}

/* "now", "never", "+SECONDS" or seconds since 1970. */
static bool expire_password(MonitorCall *call, GError **err)
{
    VncServer *s;
    const char *text = arg_text(call, "time");
    char *end = NULL;
    if (!find_server(call, &s, err))
        return false;
    int64_t number = g_ascii_strtoll(text, &end, 10);
    bool word = g_str_equal(text, "now") || g_str_equal(text, "never");
    if (!word && (end == text || *end))
        return error_set(err, ERR_INVALID, "time is now, never, +SECONDS or seconds since 1970, not '%s'", text);
    vnc_expire_password(s, g_str_equal(text, "now") ? INT64_MIN : word ? 0 : *text == '+' ? time(NULL) + number : number);
    return true;
}

/* ---- pictures */

static Display *find_display(MonitorCall *call, GError **err)
{
    const char *device = arg_text(call, "device");
    int64_t head = arg_int(call, "head", 0);
    QomNode node;
    if (head) {
        error_set(err, ERR_NOT_FOUND, "an adapter has one screen here: head is 0, not %" G_GINT64_FORMAT, head);
        return NULL;
    }
    if (device)
        return qom_find(call->vm, device, &node, err) ? screens_find(call->vm->screens, node.device ? node.device->path : device, err) : NULL;
    Display *d = screens_nth(call->vm->screens, 0);
    if (!d)
        error_set(err, ERR_NOT_FOUND, "There is no console to take a screendump from");
    return d;
}

static bool screendump(MonitorCall *call, GError **err)
{
    Display *d = find_display(call, err);
    ScreenshotFormat format = g_strcmp0(arg_text(call, "format"), "png") == 0 ? SCREENSHOT_PNG : SCREENSHOT_PPM;
    return d && display_screenshot(d, arg_text(call, "filename"), format, err);
}

const MonitorCommand display_commands[] = {
    { "query-vnc", "info vnc", .ret = "VncInfo", .doc = "the VNC server and who looks", .run = query_vnc, .early = true },
    { "set_password", "set_password", "protocol: DisplayProtocol, password: str, ?connected: SetPasswordAction", .line_args = "protocol: str, password: str",
      .doc = "the password of the VNC server", .run = set_password },
    { "expire_password", "expire_password", "protocol: DisplayProtocol, time: str", .doc = "when that password ends: now, never, +SECONDS", .run = expire_password },
    { "screendump", "screendump", "filename: str, ?device: str, ?head: int, ?format: ImageFormat", .line_args = "filename: str, ?format: str, ?device: str",
      .doc = "the screen as a picture in a file", .run = screendump },
    { NULL },
};
