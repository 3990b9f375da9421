/* commands_char.c - character devices and descriptors. */
#include <string.h>

#include "console/chardev.h"
#include "vmm/monitor/command.h"

static JsonObject *describe(Chardev *c)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "label", chardev_id(c));
    json_object_set_string_member(o, "filename", chardev_description(c));
    json_object_set_boolean_member(o, "frontend-open", chardev_in_use(c));
    return o;
}

static bool query_chardev(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < call->vm->chardevs->len; i++)
        json_array_add_object_element(a, describe(call->vm->chardevs->pdata[i]));
    return return_array(call, a);
}

static bool info_chardev(MonitorCall *call, GError **err)
{
    for (unsigned i = 0; i < call->vm->chardevs->len; i++)
        g_string_append_printf(call->out, "%s: filename=%s\n", chardev_id(call->vm->chardevs->pdata[i]), chardev_description(call->vm->chardevs->pdata[i]));
    return true;
}

const MonitorCommand char_commands[] = {
    { "query-chardev", NULL, .ret = "[ChardevInfo]", .doc = "character devices", .run = query_chardev, .early = true },
    { NULL, "info chardev", .doc = "character devices", .text = info_chardev, .early = true },
    { NULL },
};
