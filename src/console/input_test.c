/* input_test.c - who gets an event, and what becomes of positions and movement. */
#include "console/input.h"

typedef struct Toy {
    PointerEvent last;
    unsigned events;
    int down; /* keys */
    bool listens;
} Toy;

static void key(void *opaque, const Key *k, bool down) { ((Toy *)opaque)->down += down ? 1 : -1; }
static void pointer(void *opaque, const PointerEvent *e)
{
    ((Toy *)opaque)->last = *e;
    ((Toy *)opaque)->events++;
}
static bool ready(void *opaque) { return ((Toy *)opaque)->listens; }

static const InputDeviceOps mouse = { .kinds = INPUT_RELATIVE, .pointer = pointer };
static const InputDeviceOps tablet = { .kinds = INPUT_ABSOLUTE, .pointer = pointer, .ready = ready };
static const InputDeviceOps keyboard = { .kinds = INPUT_KEYBOARD, .key = key, .ready = ready };

static void test_pointers(void)
{
    InputHub *h = input_hub_create();
    Toy m = { 0 }, t = { 0 };
    InputDevice *a = input_add(h, "mouse", &mouse, &m), *b = input_add(h, "tablet", &tablet, &t);
    g_assert_false(input_is_absolute(h)); /* nobody listens to the tablet */
    input_point(h, 0, 0);
    input_sync(h);
    input_point(h, 0x7fff, 0x7fff);
    input_sync(h);
    g_assert_cmpuint(m.events, ==, 2);
    g_assert_cmpint(m.last.dx, ==, 1024);
    g_assert_cmpint(m.last.dy, ==, 768);
    t.listens = true;
    g_assert_true(input_is_absolute(h));
    input_point(h, 5, 40000);
    input_button(h, BUTTON_MIDDLE, true);
    input_wheel(h, -1, 0);
    input_sync(h);
    g_assert_cmpuint(t.events, ==, 1);
    g_assert_cmpint(t.last.x, ==, 5);
    g_assert_cmpint(t.last.y, ==, 0x7fff);
    g_assert_cmphex(t.last.buttons, ==, 4);
    g_assert_cmpint(t.last.wheel, ==, -1);
    input_sync(h); /* nothing new */
    g_assert_cmpuint(t.events, ==, 1);
    InputPointerInfo info;
    g_assert_true(input_pointer_info(h, 0, &info) && info.current && info.absolute && info.index == 1);
    g_assert_true(input_select(h, 0));
    input_move(h, 3, 4);
    input_sync(h);
    g_assert_cmpuint(m.events, ==, 3);
    g_assert_false(input_select(h, 7));
    input_remove(a);
    input_remove(b);
    input_move(h, 1, 1);
    input_sync(h);
    input_hub_destroy(h);
}

static void test_keys(void)
{
    InputHub *h = input_hub_create();
    Toy first = { .listens = true }, second = { .listens = true };
    InputDevice *a = input_add(h, "one", &keyboard, &first);
    input_key(h, key_by_name("a"), true);
    InputDevice *b = input_add(h, "two", &keyboard, &second);
    input_key(h, key_by_name("a"), false); /* comes up where it went down */
    g_assert_cmpint(first.down, ==, 0);
    g_assert_cmpint(second.down, ==, 0);
    input_key(h, key_by_name("shift"), true);
    input_key(h, key_by_name("ret"), true);
    g_assert_cmpint(second.down, ==, 2);
    input_release_keys(h);
    g_assert_cmpint(second.down, ==, 0);
    input_remove(b);
    input_remove(a);
    input_key(h, key_by_name("ret"), true);
    input_key(NULL, key_by_name("ret"), true);
    input_hub_destroy(h);
}

static void test_names(void)
{
    g_assert_cmpuint(key_by_name("kp_enter")->set1, ==, 0xe01c);
    g_assert_cmpuint(key_by_keysym('!')->code, ==, 2);
    g_assert_cmpuint(key_by_keysym('A')->code, ==, 30);
    g_assert_cmpuint(key_by_keysym(0xffe8)->code, ==, 56);
    g_assert_cmpuint(key_by_number(0x9c)->code, ==, 96);
    g_assert_null(key_by_name("nonesuch"));
    g_assert_null(key_by_keysym(0));
    g_assert_null(key_by_number(0));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/input/pointers", test_pointers);
    g_test_add_func("/input/keys", test_keys);
    g_test_add_func("/input/names", test_names);
    return g_test_run();
}
