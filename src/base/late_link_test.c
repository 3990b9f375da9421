/* late_link_test.c - functions that are bound when they are called first get their arguments and return what they should. */
#include <gnutls/crypto.h>
#include <json-glib/json-glib.h>
#include <stdint.h>

#include "base/late_link.h"

/* As the linker names them in atoll-vm; here nothing is wrapped, so both ways can be compared. */
__typeof__(gnutls_pbkdf2) __wrap_gnutls_pbkdf2;
__typeof__(json_object_new) __wrap_json_object_new;
__typeof__(json_object_set_int_member) __wrap_json_object_set_int_member;
__typeof__(json_node_get_double) __wrap_json_node_get_double;

#define KEY_BYTES 32

static void check_pbkdf2(void) /* six arguments, all in registers */
{
    const gnutls_datum_t password = { (unsigned char *)"password", 8 }, salt = { (unsigned char *)"salt", 4 };
    uint8_t direct[KEY_BYTES] = { 0 }, late[KEY_BYTES] = { 0 };
    g_assert_cmpint(gnutls_pbkdf2(GNUTLS_MAC_SHA256, &password, &salt, 7, direct, KEY_BYTES), ==, 0);
    g_assert_cmpint(__wrap_gnutls_pbkdf2(GNUTLS_MAC_SHA256, &password, &salt, 7, late, KEY_BYTES), ==, 0);
    g_assert_cmpmem(direct, KEY_BYTES, late, KEY_BYTES);
}

static void test_arguments(void)
{
    check_pbkdf2(); /* binds */
    check_pbkdf2(); /* is bound */
    g_autoptr(JsonObject) o = __wrap_json_object_new();
    __wrap_json_object_set_int_member(o, "least", G_MININT64);
    g_assert_cmpint(json_object_get_int_member(o, "least"), ==, G_MININT64);
}

static void test_result_in_a_vector_register(void)
{
    g_autoptr(JsonNode) node = json_node_init_double(json_node_alloc(), 0.1);
    g_assert_cmpfloat(__wrap_json_node_get_double(node), ==, 0.1);
    g_assert_cmpfloat(__wrap_json_node_get_double(node), ==, 0.1);
}

static void test_all(void)
{
    late_link_all(); /* each row names a function that its library has, or this ends the program */
    check_pbkdf2();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/late-link/arguments", test_arguments);
    g_test_add_func("/late-link/result-in-a-vector-register", test_result_in_a_vector_register);
    g_test_add_func("/late-link/all", test_all);
    return g_test_run();
}
