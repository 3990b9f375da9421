/* vmm_keys.c - keys as clients name them, as numbers that the monitor takes. */
#include "base/error.h"
#include "manage/hypervisor/vmm_inside.h"

/* virKeycodeSet: only these stand for keys in a way that a PC's keyboard has. */
enum { CODESET_LINUX = 0, CODESET_XT = 1, CODESET_QNUM = 9 };
/* Linux' codes (linux/input-event-codes.h) up to KEY_F12 are those of a PC/XT's keyboard. */
enum { SAME_UP_TO = 83, FIRST_OTHER = 85 };

/* The rest: QNUM is the code of the keyboard's set 1, with 0x80 for those behind 0xe0. */
static const unsigned char others[] = {
    [85] = 0x76, [86] = 0x56, [87] = 0x57, [88] = 0x58, [89] = 0x73, [90] = 0x78, [91] = 0x77, [92] = 0x79, [93] = 0x70, [94] = 0x7b, [95] = 0x5c,
    [96] = 0x9c, [97] = 0x9d, [98] = 0xb5, [99] = 0x54, [100] = 0xb8, [102] = 0xc7, [103] = 0xc8, [104] = 0xc9, [105] = 0xcb, [106] = 0xcd, [107] = 0xcf,
    [108] = 0xd0, [109] = 0xd1, [110] = 0xd2, [111] = 0xd3, [113] = 0xa0, [114] = 0xae, [115] = 0xb0, [116] = 0xde, [117] = 0x59, [119] = 0xc6,
    [121] = 0x7e, [124] = 0x7d, [125] = 0xdb, [126] = 0xdc, [127] = 0xdd,
};

/* 0: there is none. */
static unsigned qnum_of(unsigned codeset, unsigned key)
{
    if (codeset != CODESET_LINUX)
        return key < 0x100 ? key : 0;
    return key <= SAME_UP_TO ? key : key >= FIRST_OTHER && key < G_N_ELEMENTS(others) ? others[key] : 0;
}

bool vmm_send_keys(HvDomain *d, unsigned codeset, unsigned hold_ms, const guint *keys, unsigned n, GError **err)
{
    if (codeset != CODESET_LINUX && codeset != CODESET_XT && codeset != CODESET_QNUM)
        return error_set(err, ERR_UNSUPPORTED, "key codes of set %u are not known here: use linux, xt or qnum", codeset);
    JsonArray *list = json_array_new();
    JsonObject *args = json_object_new();
    json_object_set_array_member(args, "keys", list);
    if (hold_ms)
        json_object_set_int_member(args, "hold-time", hold_ms);
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), args);
    json_object_unref(args);
    for (unsigned i = 0; i < n; i++) {
        JsonObject *key = json_object_new();
        unsigned number = qnum_of(codeset, keys[i]);
        if (!number) {
            json_object_unref(key);
            return error_set(err, ERR_INVALID, "a PC's keyboard has no key %u", keys[i]);
        }
        json_object_set_string_member(key, "type", "number");
        json_object_set_int_member(key, "data", number);
        json_array_add_object_element(list, key);
    }
    return qmp_execute(d->qmp, "send-key", json_node_copy(node), NULL, err);
}
