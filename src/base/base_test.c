/* base_test.c - field tables, errors, log. */
#include <string.h>

#include "base/error.h"
#include "base/field.h"
#include "base/log.h"

typedef struct Thing {
    uint16_t port;
    uint64_t size;
    bool on;
    char *path;
    int8_t balance;
    uint8_t table[4];
} Thing;

static const Field thing_fields[] = {
    { F(Thing, port), .role = FIELD_PROP, .reset = 0x3f8, .min = 1, .max = 0xfff8, .doc = "first port" },
    { F(Thing, size), .role = FIELD_PROP, .doc = "bytes" },
    { F(Thing, on), .role = FIELD_PROP, .reset = 1, .doc = "switch" },
    { F(Thing, path), .role = FIELD_PROP, .def = "/tmp", .doc = "where" },
    { F(Thing, balance), .reset = -3, .keep = true },
    { FA(Thing, table), .reset = 7 },
    { .name = NULL },
};

static bool set(Thing *t, const char *name, const char *text, GError **err)
{
    return field_parse(field_find(thing_fields, name, FIELD_PROP), t, text, "thing", err);
}

static void test_properties(void)
{
    Thing t = { 0 };
    fields_reset(thing_fields, &t, FIELD_PROP, false);
    g_assert_cmphex(t.port, ==, 0x3f8);
    g_assert_cmpstr(t.path, ==, "/tmp");
    g_assert_true(t.on);
    g_assert_true(set(&t, "size", "3G", NULL));
    g_assert_cmpuint(t.size, ==, 3ull << 30);
    g_assert_true(set(&t, "on", "off", NULL));
    g_assert_false(t.on);
    static const char *const bad[][2] = { { "port", "0" }, { "port", "65536" }, { "port", "-1" }, { "port", "" }, { "port", "12x" },
                                          { "size", "99999999999999T" }, { "on", "perhaps" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_false(set(&t, bad[i][0], bad[i][1], &err));
        g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
        g_assert_nonnull(strstr(err->message, bad[i][0]));
    }
    g_assert_cmphex(t.port, ==, 0x3f8);
    fields_clear(thing_fields, &t);
}

static void test_reset(void)
{
    Thing t = { 0 };
    fields_reset(thing_fields, &t, FIELD_STATE, false);
    g_assert_cmpint(t.balance, ==, -3);
    g_assert_cmpuint(t.table[3], ==, 7);
    t.balance = 5;
    t.table[3] = 0;
    fields_reset(thing_fields, &t, FIELD_STATE, true);
    g_assert_cmpint(t.balance, ==, 5); /* keep */
    g_assert_cmpuint(t.table[3], ==, 7);
    g_assert_cmpint((int64_t)field_get(field_find(thing_fields, "balance", FIELD_STATE), &t, 0), ==, 5);
}

static void test_nearest(void)
{
    static const char *const names[] = { "serial", "kernel", "append", NULL };
    g_assert_cmpstr(nearest_name("kernle", names), ==, "kernel");
    g_assert_cmpstr(nearest_name("seral", names), ==, "serial");
    g_assert_null(nearest_name("xyzzy", names));
}

static void test_log(void)
{
    Log *log = log_create();
    g_autoptr(GError) err = NULL;
    g_assert_false(log_enable(log, "guest_error", &err));
    g_assert_nonnull(strstr(err->message, "guest_errors"));
    g_assert_true(log_enable(log, "int,unimp", NULL));
    g_assert_true(log_on(log, LOG_INT));
    g_assert_false(log_on(log, LOG_EXEC));
    log_destroy(log);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/field/properties", test_properties);
    g_test_add_func("/base/field/reset", test_reset);
    g_test_add_func("/base/nearest", test_nearest);
    g_test_add_func("/base/log", test_log);
    return g_test_run();
}
