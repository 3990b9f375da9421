/* record_test.c - documents by tables: a small type with every kind of member. */
#include <string.h>

#include "base/error.h"
#include "schema/record.h"

typedef struct Part {
    Record record;
    unsigned kind;
    char *file, *dev, *alias;
    uint64_t slot;
} Part;

typedef struct Thing {
    Record record;
    char *name, *uuid, *mac, *notes, *secret;
    uint64_t memory, cpus, id;
    unsigned on;
    bool acpi;
    GPtrArray *boot, *parts;
    Part *first;
} Thing;

static const char *const part_kinds[] = { "file", "block", NULL };
static const RecordField part_fields[] = {
    { RF(Part, kind, RK_WORD, "@type"), .words = part_kinds, .def = "file", .doc = "what it is" },
    { RF(Part, file, RK_TEXT, "source/@file"), .when = "kind=file", .doc = "path" },
    { RF(Part, dev, RK_TEXT, "source/@dev"), .when = "kind=block", .required = true, .doc = "device" },
    { RF(Part, slot, RK_UINT, "address/@slot"), .hex = 2, .max = 31, .doc = "slot" },
    { RF(Part, alias, RK_TEXT, "alias/@name"), .live = true, .doc = "name" },
    { .name = NULL },
};
static const RecordType part_type = { .element = "part", .size = sizeof(Part), .fields = part_fields };

static const RecordField thing_fields[] = {
    { RF(Thing, id, RK_UINT, "@id"), .live = true, .doc = "number" },
    { RF(Thing, name, RK_TEXT, "name"), .required = true, .doc = "name" },
    { RF(Thing, uuid, RK_UUID, "uuid"), .doc = "UUID" },
    { RF(Thing, mac, RK_MAC, "card/mac/@address"), .doc = "MAC address" },
    { RF(Thing, memory, RK_SIZE, "memory"), .min = 1 << 20, .doc = "memory" },
    { RF(Thing, cpus, RK_UINT, "vcpu"), .min = 1, .max = 255, .def = "1", .doc = "processors" },
    { RF(Thing, on, RK_WORD, "clock/@on"), .words = record_yes_no, .doc = "clock" },
    { RF(Thing, acpi, RK_FLAG, "features/acpi"), .doc = "ACPI" },
    { RF(Thing, boot, RK_TEXTS, "os/boot/@dev"), .doc = "order" },
    { RF(Thing, notes, RK_XML, "metadata"), .doc = "others' notes" },
    { RF(Thing, secret, RK_TEXT, "password"), .secret = true, .doc = "password" },
    { RF(Thing, first, RK_RECORD, "parts/first"), .record = &part_type, .doc = "first" },
    { RF(Thing, parts, RK_LIST, "parts/part"), .record = &part_type, .doc = "parts" },
    { .name = NULL },
};
static const RecordType thing_type = { .element = "thing", .size = sizeof(Thing), .fields = thing_fields };

static const char whole[] =
    "<thing>\n"
    "  <name>a &lt;b&gt;</name>\n"
    "  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\n"
    "  <card>\n"
    "    <mac address='52:54:00:12:34:56'/>\n"
    "  </card>\n"
    "  <memory unit='KiB'>2048</memory>\n"
    "  <vcpu>2</vcpu>\n"
    "  <clock on='yes'/>\n"
    "  <features>\n"
    "    <acpi/>\n"
    "  </features>\n"
    "  <os>\n"
    "    <boot dev='hd'/>\n"
    "    <boot dev='cdrom'/>\n"
    "  </os>\n"
    "  <metadata>\n"
    "    <x:y xmlns:x='http://example.org/x' z='&apos;1&apos;'>text</x:y>\n"
    "  </metadata>\n"
    "  <parts>\n"
    "    <first type='file'>\n"
    "      <source file='/a'/>\n"
    "    </first>\n"
    "    <part type='block'>\n"
    "      <source dev='/dev/b'/>\n"
    "      <address slot='0x03'/>\n"
    "    </part>\n"
    "  </parts>\n"
    "</thing>\n";

static void test_round_trip(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Thing *t = record_read_xml(&thing_type, whole, 0, warnings, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(warnings->len, ==, 0);
    g_assert_cmpuint(t->memory, ==, 2 << 20);
    g_assert_cmpuint(((Part *)t->parts->pdata[0])->slot, ==, 3);
    g_assert_cmpstr(record_word(t->first, "kind"), ==, "file");
    g_autofree char *xml = record_write_xml(t, 0);
    g_assert_cmpstr(xml, ==, whole);

    g_autoptr(JsonNode) json = record_write_json(t, 0);
    Thing *u = record_read_json(&thing_type, json, 0, &err), *copy = record_copy(t);
    g_assert_no_error(err);
    g_assert_true(record_equal(t, u));
    g_assert_true(record_equal(t, copy));
    copy->cpus = 3;
    g_assert_false(record_equal(t, copy));
    record_free(t);
    record_free(u);
    record_free(copy);
}

/* What no row names comes out where it went in, and is said. */
static void test_unknown(void)
{
    static const char text[] =
        "<thing q:z='3' xmlns:q='urn:q' odd='1'>\n<name>n</name>\n<vcpu placement='static'>1</vcpu><!-- gone -->\n"
        "<features><acpi/><pae/></features>\n<parts><part type='file'><source file='/a' index='1'><seclabel model='dac'/></source></part></parts>\n"
        "<q:commandline><q:arg value='-foo'/></q:commandline>\n</thing>\n";
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Thing *t = record_read_xml(&thing_type, text, 0, warnings, &err);
    g_assert_no_error(err);
    g_autofree char *xml = record_write_xml(t, 0);
    for (const char *const *piece = (const char *const[]){ " odd='1'", " q:z='3'", "placement='static'", "<pae/>", "index='1'", "<seclabel model='dac'/>",
                                                          "<q:commandline", "<q:arg value='-foo'/>", NULL }; *piece; piece++)
        if (!strstr(xml, *piece))
            g_error("%s is not in\n%s", *piece, xml);
    g_assert_cmpuint(warnings->len, ==, 7);
    g_assert_nonnull(strstr(warnings->pdata[2], "line 1: "));
    Thing *again = record_read_xml(&thing_type, xml, 0, NULL, &err);
    g_assert_no_error(err);
    g_assert_true(record_equal(t, again));
    record_free(t);
    record_free(again);
}

static void test_live(void)
{
    static const char text[] = "<thing id='7'><name>n</name><password>p</password><parts><part><alias name='x0'/></part></parts></thing>";
    g_autoptr(GError) err = NULL;
    Thing *dropped = record_read_xml(&thing_type, text, 0, NULL, &err), *live = record_read_xml(&thing_type, text, RECORD_LIVE, NULL, &err);
    g_assert_no_error(err);
    g_assert_true(dropped->id == RECORD_NONE && !((Part *)dropped->parts->pdata[0])->alias);
    g_assert_cmpuint(live->id, ==, 7);
    g_autofree char *with = record_write_xml(live, RECORD_LIVE | RECORD_SECRET), *without = record_write_xml(live, 0);
    g_assert_nonnull(strstr(with, "x0"));
    g_assert_nonnull(strstr(with, "<password>p<"));
    g_assert_null(strstr(without, "x0"));
    g_assert_null(strstr(without, "password"));
    record_free(dropped);
    record_free(live);
}

static const struct {
    const char *text, *error;
} wrong[] = {
    { "<thing>", "not well-formed" },
    { "", "not well-formed" },
    { "<other/>", "a <thing> is wanted" },
    { "<thing/>", "needs name" },
    { "<thing>\n<name>n</name>\n<vcpu>0</vcpu></thing>", "line 3: <vcpu>, vcpu: 0 is not between 1 and 255" },
    { "<thing><name>n</name><vcpu>-1</vcpu></thing>", "'-1' is not a number" },
    { "<thing><name>n</name><vcpu>1x</vcpu></thing>", "'1x' is not a number" },
    { "<thing><name>n</name><memory unit='XB'>1</memory></thing>", "unknown unit 'XB'" },
    { "<thing><name>n</name><memory unit='EiB'>99</memory></thing>", "too large" },
    { "<thing><name>n</name><memory unit='b'>1</memory></thing>", "below the least" },
    { "<thing><name>n</name><uuid>c7a5</uuid></thing>", "not a UUID" },
    { "<thing><name>n</name><card><mac address='01:00:00:00:00:00'/></card></thing>", "multicast" },
    { "<thing><name>n</name><card><mac address='5'/></card></thing>", "not a MAC address" },
    { "<thing><name>n</name><clock on='yess'/></thing>", "did you mean 'yes'" },
    { "<thing><name>n</name><parts><part type='block'/></parts></thing>", "needs source/@dev" },
    { "<thing><name>n</name><parts><part><address slot='0x20'/></part></parts></thing>", "not between 0 and 31" },
    { "<!DOCTYPE t [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><thing><name>&b;</name></thing>", "document type" },
    { "<!DOCTYPE t SYSTEM 'file:///etc/passwd'><thing><name>n</name></thing>", "document type" },
};

static void test_wrong(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(record_read_xml(&thing_type, wrong[i].text, 0, NULL, &err));
        if (!err || !strstr(err->message, wrong[i].error))
            g_error("%s: \"%s\", not \"%s\"", wrong[i].text, err ? err->message : "no error", wrong[i].error);
    }
}

static void test_deep(void)
{
    g_autoptr(GString) s = g_string_new("<thing><name>n</name>");
    for (int i = 0; i < 100000; i++)
        g_string_append(s, "<a>");
    g_autoptr(GError) err = NULL;
    g_assert_null(record_read_xml(&thing_type, s->str, 0, NULL, &err));
    g_assert_nonnull(strstr(err->message, "not well-formed"));
}

static void test_json_wrong(void)
{
    static const char *const texts[][2] = {
        { "[]", "an object is wanted" },
        { "{\"name\": \"n\", \"nmae\": 1}", "no member 'nmae'" },
        { "{\"name\": \"n\", \"cpus\": -1}", "not negative" },
        { "{\"name\": \"n\", \"parts\": {}}", "an array is wanted" },
        { "{\"name\": \"n\", \"boot\": [1]}", "strings are wanted" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(JsonNode) node = json_from_string(texts[i][0], NULL);
        g_assert_null(record_read_json(&thing_type, node, 0, &err));
        g_assert_nonnull(strstr(err->message, texts[i][1]));
    }
}

static void test_manual(void)
{
    g_autofree char *text = record_manual(&thing_type);
    g_assert_nonnull(strstr(text, "| `thing/parts/part/source/@dev` | text | required | device; where kind=block |"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/record/round-trip", test_round_trip);
    g_test_add_func("/record/unknown", test_unknown);
    g_test_add_func("/record/live", test_live);
    g_test_add_func("/record/wrong", test_wrong);
    g_test_add_func("/record/deep", test_deep);
    g_test_add_func("/record/json-wrong", test_json_wrong);
    g_test_add_func("/record/manual", test_manual);
    return g_test_run();
}
