/* qapi_test.c - checks of arguments, and introspection, over a few types of its own and over the real tables. */
#include "schema/qapi.h"
#include "schema/events.h"

static const QapiType types[] = {
    { "Colour", QAPI_ENUM, "red green" },
    { "Point", QAPI_OBJECT, "x: int, ?y: int" },
    { "Shape", QAPI_OBJECT, "kind: Kind, ?points: [Point]", "kind", "line: Line" },
    { "Kind", QAPI_ENUM, "line dot" },
    { "Line", QAPI_OBJECT, "width: number" },
    { "Bag", QAPI_OBJECT, "a: int", .open = true },
    { "IntOrName", QAPI_ALTERNATE, "int str" },
    { .name = NULL },
};

static QapiSchema *schema(void)
{
    QapiSchema *s = qapi_schema_new();
    qapi_schema_add(s, types);
    return s;
}

static void check(const char *members, const char *json, const char *message)
{
    QapiSchema *s = schema();
    g_autoptr(GError) err = NULL;
    JsonNode *node = json_from_string(json, NULL);
    bool ok = qapi_check_arguments(s, members, json_node_get_object(node), &err);
    g_assert_cmpint(ok, ==, !message);
    if (message)
        g_assert_cmpstr(err->message, ==, message);
    json_node_unref(node);
    qapi_schema_free(s);
}

static void test_check(void)
{
    check("a: int, ?b: str", "{\"a\": 1}", NULL);
    check("a: int, ?b: str", "{\"a\": 1, \"b\": \"x\"}", NULL);
    check("a: int", "{}", "Parameter 'a' is missing");
    check("a: int", "{\"a\": \"1\"}", "Invalid parameter type for 'a', expected: integer");
    check("a: int", "{\"a\": 1, \"c\": 2}", "Parameter 'c' is unexpected");
    check(NULL, "{\"c\": 2}", "Parameter 'c' is unexpected");
    check("a: Colour", "{\"a\": \"blue\"}", "Parameter 'a' does not accept value 'blue'; it takes one of: red green");
    check("a: [Point]", "{\"a\": [{\"x\": 1}, {\"y\": 1}]}", "Parameter 'a.x' is missing");
    check("Shape", "{\"kind\": \"line\", \"width\": 1.5}", NULL);
    check("Shape", "{\"kind\": \"line\", \"width\": 2}", NULL);
    check("Shape", "{\"kind\": \"line\"}", "Parameter 'width' is missing");
    check("Shape", "{\"kind\": \"dot\", \"width\": 2}", "Parameter 'width' is unexpected");
    check("Bag", "{\"a\": 1, \"b\": 2}", NULL);
    check("a: IntOrName", "{\"a\": \"x\"}", NULL);
    check("a: IntOrName", "{\"a\": true}", "Invalid parameter type for 'a', expected: int str");
}

static JsonObject *named(JsonArray *a, const char *name)
{
    for (unsigned i = 0; i < json_array_get_length(a); i++)
        if (g_str_equal(json_object_get_string_member(json_array_get_object_element(a, i), "name"), name))
            return json_array_get_object_element(a, i);
    return NULL;
}

static void test_introspection(void)
{
    QapiSchema *s = schema();
    QapiIntrospection *i = qapi_introspect_new(s);
    qapi_introspect_command(i, "draw", "shape: Shape", "[Colour]", NULL);
    JsonNode *node = qapi_introspect_end(i);
    JsonArray *a = json_node_get_array(node);
    JsonObject *draw = named(a, "draw");
    g_assert_cmpstr(json_object_get_string_member(draw, "arg-type"), ==, "q_obj_draw-arg");
    g_assert_cmpstr(json_object_get_string_member(draw, "ret-type"), ==, "[Colour]");
    g_assert_cmpstr(json_object_get_string_member(named(a, "[Colour]"), "element-type"), ==, "Colour");
    JsonArray *variants = json_object_get_array_member(named(a, "Shape"), "variants");
    g_assert_cmpuint(json_array_get_length(variants), ==, 2);
    g_assert_nonnull(named(a, "Line"));
    g_assert_nonnull(named(a, "q_empty"));
    g_assert_null(named(a, "Bag")); /* nobody asks for it */
    json_node_unref(node);
    qapi_schema_free(s);
}

/* Every type that a row or an event names is there. */
static void test_tables(void)
{
    QapiSchema *s = qapi_schema_new();
    qapi_schema_add(s, qapi_types);
    for (const QapiType *t = qapi_types; t->name; t++)
        if (t->meta == QAPI_OBJECT) {
            g_autofree char *missing = t->members && *t->members ? qapi_schema_missing(s, t->members) : NULL;
            g_assert_cmpstr(missing, ==, NULL);
        }
    for (const QapiEvent *e = qapi_events; e->name; e++) {
        g_autofree char *missing = qapi_schema_missing(s, e->members);
        g_assert_cmpstr(missing, ==, NULL);
    }
    qapi_schema_free(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qapi/check", test_check);
    g_test_add_func("/qapi/introspection", test_introspection);
    g_test_add_func("/qapi/tables", test_tables);
    return g_test_run();
}
