/* commands_input.c - keys and pointers from whoever drives the machine instead of a person at it. */
#include <string.h>

#include "console/input.h"
#include "vmm/monitor/inside.h"

enum { HOLD_MS = 100, HOLD_MOST_MS = 60000, KEYS_AT_ONCE = 16 };

/* ---- keys that are held for a moment */

void monitors_let_go(Monitors *all)
{
    if (all->hold)
        g_source_remove(all->hold);
    all->hold = 0;
    for (unsigned i = all->held->len; i-- > 0;)
        input_key(all->vm->input, all->held->pdata[i], false);
    g_ptr_array_set_size(all->held, 0);
}

static gboolean on_held(void *opaque)
{
    Monitors *all = opaque;
    all->hold = 0;
    monitors_let_go(all);
    return G_SOURCE_REMOVE;
}

static bool press(Vm *vm, const GPtrArray *pressed, int64_t ms, GError **err)
{
    Monitors *all = vm->monitors;
    if (ms < 0 || ms > HOLD_MOST_MS)
        return error_set(err, ERR_INVALID, "keys are held for 0 to %d milliseconds, not %" G_GINT64_FORMAT, HOLD_MOST_MS, ms);
    monitors_let_go(all); /* those before come first */
    for (unsigned i = 0; i < pressed->len; i++) {
        input_key(vm->input, pressed->pdata[i], true);
        g_ptr_array_add(all->held, pressed->pdata[i]);
    }
    all->hold = g_timeout_add(ms ? ms : HOLD_MS, on_held, all);
    return true;
}

/* KeyValue: a name, or a number as RFB's extension has them. */
static const Key *key_of(JsonObject *value, GError **err)
{
    bool number = g_str_equal(json_object_get_string_member(value, "type"), "number");
    int64_t n = number ? json_object_get_int_member(value, "data") : 0;
    const char *name = number ? NULL : json_object_get_string_member(value, "data");
    const Key *k = !number ? key_by_name(name) : n > 0 && n <= UINT16_MAX ? key_by_number(n) : NULL;
    if (!k && number)
        error_set(err, ERR_NOT_FOUND, "no key has the number %" G_GINT64_FORMAT, n);
    else if (!k)
        error_set(err, ERR_NOT_FOUND, "there is no key '%s'", name);
    return k;
}

static bool send_key(MonitorCall *call, GError **err)
{
    JsonArray *a = json_object_get_array_member(call->args, "keys");
    g_autoptr(GPtrArray) pressed = g_ptr_array_new();
    if (json_array_get_length(a) > KEYS_AT_ONCE)
        return error_set(err, ERR_INVALID, "at most %d keys are pressed at once", KEYS_AT_ONCE);
    for (unsigned i = 0; i < json_array_get_length(a); i++) {
        const Key *k = key_of(json_array_get_object_element(a, i), err);
        if (!k)
            return false;
        g_ptr_array_add(pressed, (Key *)k);
    }
    return press(call->vm, pressed, arg_int(call, "hold-time", 0), err);
}

/* "ctrl-alt-delete" */
static bool sendkey(MonitorCall *call, GError **err)
{
    g_auto(GStrv) names = g_strsplit(arg_text(call, "keys"), "-", KEYS_AT_ONCE);
    g_autoptr(GPtrArray) pressed = g_ptr_array_new();
    for (char **name = names; *name; name++) {
        const Key *k = key_by_name(*name);
        if (!k)
            return error_set(err, ERR_NOT_FOUND, "there is no key '%s'", *name);
        g_ptr_array_add(pressed, (Key *)k);
    }
    return press(call->vm, pressed, arg_int(call, "hold-time", 0), err);
}

/* ---- events one by one */

typedef struct ButtonName {
    const char *name;
    InputButton button;
    int wheel, pan;
} ButtonName;
static const ButtonName button_names[] = {
    { "left", BUTTON_LEFT }, { "middle", BUTTON_MIDDLE }, { "right", BUTTON_RIGHT }, { "side", BUTTON_SIDE }, { "extra", BUTTON_EXTRA },
    { "wheel-up", BUTTONS, -1 }, { "wheel-down", BUTTONS, 1 }, { "wheel-left", BUTTONS, 0, -1 }, { "wheel-right", BUTTONS, 0, 1 }, { NULL },
};

static void send_button(InputHub *h, const char *name, bool down)
{
    for (const ButtonName *b = button_names; b->name; b++) {
        if (!g_str_equal(b->name, name))
            continue;
        if (b->button < BUTTONS)
            input_button(h, b->button, down);
        else if (down)
            input_wheel(h, b->wheel, b->pan);
    }
}

/* A position has two axes, which come one by one: the report is complete with the last. */
typedef struct Position {
    int64_t value[2];
    bool given[2];
} Position;

static bool send_event(InputHub *h, JsonObject *event, Position *at, GError **err)
{
    const char *type = json_object_get_string_member(event, "type");
    JsonObject *data = json_object_get_object_member(event, "data");
    if (g_str_equal(type, "key")) {
        const Key *k = key_of(json_object_get_object_member(data, "key"), err);
        if (k)
            input_key(h, k, json_object_get_boolean_member(data, "down"));
        return k;
    }
    if (g_str_equal(type, "btn")) {
        send_button(h, json_object_get_string_member(data, "button"), json_object_get_boolean_member(data, "down"));
        return true;
    }
    bool y = g_str_equal(json_object_get_string_member(data, "axis"), "y");
    int64_t value = CLAMP(json_object_get_int_member(data, "value"), -INPUT_AXIS_MAX, INPUT_AXIS_MAX);
    if (g_str_equal(type, "rel")) {
        input_move(h, y ? 0 : value, y ? value : 0);
        return true;
    }
    at->value[y] = MAX(value, 0);
    at->given[y] = true;
    return true;
}

static bool input_send_event(MonitorCall *call, GError **err)
{
    InputHub *h = call->vm->input;
    JsonArray *events = json_object_get_array_member(call->args, "events");
    Position *at = &(Position){ 0 };
    const int64_t *last = call->vm->monitors->pointer;
    for (unsigned i = 0; i < json_array_get_length(events); i++)
        if (!send_event(h, json_array_get_object_element(events, i), at, err))
            return false;
    for (unsigned i = 0; i < 2; i++)
        call->vm->monitors->pointer[i] = at->given[i] ? at->value[i] : last[i];
    if (at->given[0] || at->given[1])
        input_point(h, last[0], last[1]);
    input_sync(h);
    return true;
}

/* ---- mice */

static bool query_mice(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    InputPointerInfo info;
    for (unsigned n = 0; input_pointer_info(call->vm->input, n, &info); n++) {
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "name", info.name);
        json_object_set_int_member(o, "index", info.index);
        json_object_set_boolean_member(o, "current", info.current);
        json_object_set_boolean_member(o, "absolute", info.absolute);
        json_array_add_object_element(a, o);
    }
    return return_array(call, a);
}

static bool mouse_set(MonitorCall *call, GError **err)
{
    int64_t index = arg_int(call, "index", 0);
    return (index >= 0 && input_select(call->vm->input, index)) || error_set(err, ERR_NOT_FOUND, "there is no pointer %" G_GINT64_FORMAT "; info mice lists them", index);
}

static bool mouse_move(MonitorCall *call, GError **err)
{
    input_move(call->vm->input, CLAMP(arg_int(call, "dx", 0), -INPUT_AXIS_MAX, INPUT_AXIS_MAX), CLAMP(arg_int(call, "dy", 0), -INPUT_AXIS_MAX, INPUT_AXIS_MAX));
    input_sync(call->vm->input);
    return true;
}

static bool mouse_button(MonitorCall *call, GError **err)
{
    static const InputButton bits[] = { BUTTON_LEFT, BUTTON_RIGHT, BUTTON_MIDDLE }; /* of QEMU's number: 1, 2, 4 */
    for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++)
        input_button(call->vm->input, bits[i], arg_int(call, "state", 0) >> i & 1);
    input_sync(call->vm->input);
    return true;
}

const MonitorCommand input_commands[] = {
    { "send-key", NULL, "keys: [KeyValue], ?hold-time: int", .doc = "press keys at once, and let go of them after milliseconds", .run = send_key },
    { NULL, "sendkey", "keys: str, ?hold-time: int", .doc = "press keys: ctrl-alt-delete", .text = sendkey },
    { "input-send-event", NULL, "?device: str, ?head: int, events: [InputEvent]", .doc = "keys, buttons and movement", .run = input_send_event },
    { "query-mice", "info mice", .ret = "[MouseInfo]", .doc = "pointers of the guest", .run = query_mice },
    { NULL, "mouse_set", "index: int", .doc = "which pointer gets what is done", .text = mouse_set },
    { NULL, "mouse_move", "dx: int, dy: int", .doc = "move the pointer", .text = mouse_move },
    { NULL, "mouse_button", "state: int", .doc = "press buttons: 1 left, 2 right, 4 middle", .text = mouse_button },
    { NULL },
};
