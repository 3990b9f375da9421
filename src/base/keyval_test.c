/* keyval_test.c - what option text means. */
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"

static void test_escapes_and_implied(void)
{
    g_autoptr(KeyVals) kv = keyvals_parse("file,path=/a,,b=c,server,nowait,id=x,id=y", "backend", "-chardev", NULL);
    bool server = false, wait = true;
    g_assert_cmpstr(keyvals_take(kv, "backend"), ==, "file");
    g_assert_cmpstr(keyvals_take(kv, "path"), ==, "/a,b=c");
    g_assert_true(keyvals_take_bool(kv, "server", &server, NULL) && server);
    g_assert_true(keyvals_take_bool(kv, "wait", &wait, NULL) && !wait);
    g_assert_cmpstr(keyvals_take(kv, "id"), ==, "y"); /* the last one counts */
    g_assert_null(keyvals_take(kv, "absent"));
    g_assert_true(keyvals_end(kv, NULL));
}

static void expect_end_error(const char *text, const char *pattern)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(KeyVals) kv = keyvals_parse(text, NULL, "-drive", &err);
    keyvals_take(kv, "file");
    keyvals_take(kv, "readonly");
    g_assert_false(keyvals_end(kv, &err));
    if (!g_pattern_match_simple(pattern, err->message))
        g_error("'%s' gave: %s", text, err->message);
}

static void test_unknown_key(void)
{
    expect_end_error("fiel=a", "-drive: no property 'fiel', did you mean 'file'?");
    expect_end_error("readnoly", "*did you mean 'readonly'?");
    expect_end_error("zzzzzzzz=1", "*there are: file, readonly");
}

static void test_empty_piece(void)
{
    g_autoptr(GError) err = NULL;
    g_assert_null(keyvals_parse("a=1,", NULL, "-m", &err));
    g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } rows[] = {
        { "128", true, 128ull << 20 }, { "1G", true, 1ull << 30 }, { "1.5g", true, 3ull << 29 }, { "64k", true, 65536 },
        { "0x10", true, 16ull << 20 }, { "512b", true, 512 },      { "", false, 0 },             { "-1", false, 0 },
        { "1GG", false, 0 },           { "x", false, 0 },          { "99999999999P", false, 0 }, { "18446744073709551616", false, 0 },
        { "1.", false, 0 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t value = 0;
        g_assert_true(parse_size(rows[i].text, 1 << 20, &value) == rows[i].ok);
        g_assert_cmpuint(value, ==, rows[i].value);
    }
}

static void test_typed_values(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(KeyVals) kv = keyvals_parse("a=maybe,n=300,c=three,x=1,y", NULL, "-o", NULL);
    bool flag = true;
    uint64_t n = 7;
    unsigned choice = 9;
    g_assert_false(keyvals_take_bool(kv, "a", &flag, &err) || !flag);
    g_clear_error(&err);
    g_assert_false(keyvals_take_number(kv, "n", 1, 255, &n, &err));
    g_clear_error(&err);
    g_assert_false(keyvals_take_choice(kv, "c", (const char *const[]) { "one", "two", NULL }, &choice, &err));
    g_assert_cmpuint(n, ==, 7);
    g_assert_cmpuint(choice, ==, 9);
    g_autofree const char **rest = keyvals_rest(kv);
    g_assert_cmpstr(rest[0], ==, "x");
    g_assert_cmpstr(rest[3], ==, "on");
    g_assert_null(rest[4]);
    g_assert_true(keyvals_end(kv, NULL));
}

static void test_json(void)
{
    static const struct { const char *json, *text; } cases[] = {
        { "{}", NULL },
        { "{\"driver\" : \"raw\",\n\"file\":{\"filename\":\"a,b\",\"n\":[1,-2.5,{\"x\":true}]},\"backing\":null} ",
          "driver=raw,file.filename=a,,b,file.n.0=1,file.n.1=-2.5,file.n.2.x=on,backing=" },
        { "{\"a\":\"\\\"\\\\\\/\\n\\u00e4[[{\"}", "a=\"\\/\n\xc3\xa4[[{" },
    };
    static const char *const bad[] = { "{", "{\"a\"}", "{\"a\":}", "{\"a\":1} x", "{}{}", "{\"a\":1}[]", "{\"a=b\":1}", "{\"\":1}", "{\"a\":\"x", "{\"a\":tru}", "{\"a\":[1 2]}" };
    GError *err = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(KeyVals) kv = keyvals_parse(cases[i].json, NULL, "json", &err);
        g_assert_no_error(err);
        g_autofree char *text = keyvals_rest_text(kv);
        g_assert_cmpstr(text, ==, cases[i].text);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_null(keyvals_parse(bad[i], NULL, "json", NULL));
    g_autofree char *deep = g_strnfill(100000, '['), *object = g_strconcat("{\"a\":", deep, NULL);
    g_assert_null(keyvals_parse(object, NULL, "json", NULL));
}

/* What is handed on as text means the same there. */
static void test_rest_text(void)
{
    g_autoptr(KeyVals) kv = keyvals_parse("x=1,file.a=b,,c,file.noflag,a b,,c,file.last", NULL, "test", NULL);
    g_autofree char *file = keyvals_take_tree(kv, "file"), *rest = keyvals_rest_text(kv);
    g_assert_cmpstr(file, ==, "a=b,,c,noflag,last");
    g_assert_cmpstr(rest, ==, "x=1,a b,,c");
    g_autoptr(KeyVals) below = keyvals_parse(file, NULL, "test", NULL);
    bool flag = true;
    g_assert_true(keyvals_take_bool(below, "flag", &flag, NULL));
    g_assert_false(flag);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keyval/escapes-and-implied", test_escapes_and_implied);
    g_test_add_func("/keyval/unknown-key", test_unknown_key);
    g_test_add_func("/keyval/empty-piece", test_empty_piece);
    g_test_add_func("/keyval/sizes", test_sizes);
    g_test_add_func("/keyval/typed-values", test_typed_values);
    g_test_add_func("/keyval/json", test_json);
    g_test_add_func("/base/keyval/rest-text", test_rest_text);
    return g_test_run();
}
