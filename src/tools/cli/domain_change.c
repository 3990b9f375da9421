/* domain_change.c - commands: devices, memory, vCPUs, descriptions of a domain. */
#include <stdio.h>
#include <string.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* virDomainModificationImpact; --persistent: the definition, and the running machine if it runs. */
static bool affected(Cli *c, AtollDomain *d, guint *ret, GError **err)
{
    gboolean active = FALSE;
    *ret = arg_affect(c);
    if (!arg_given(c, "persistent"))
        return true;
    if (!atoll_domain_is_active_sync(d, &active, NULL, err))
        return false;
    *ret |= 2 | (active ? 1 : 0);
    return true;
}

static bool change(Cli *c, const char *procedure, const char *xml, const char *done, const char *failed, GError **err)
{
    guint flags;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || !affected(c, d, &flags, err))
        return false;
    g_autoptr(GVariant) v = object_call(d, procedure, g_variant_new("(su)", xml, flags), err);
    if (v)
        out_message(c, "%s", done);
    else
        cli_headline(c, "%s", failed);
    return v;
}

static bool run_device(Cli *c, GError **err)
{
    static const struct {
        const char *command, *procedure, *done, *failed;
    } kinds[] = { { "attach-device", "DOMAIN_ATTACH_DEVICE_FLAGS", "Device attached successfully", "Failed to attach device from %s" },
                  { "detach-device", "DOMAIN_DETACH_DEVICE_FLAGS", "Device detached successfully", "Failed to detach device from %s" },
                  { "update-device", "DOMAIN_UPDATE_DEVICE_FLAGS", "Device updated successfully", "Failed to update device from %s" } };
    unsigned k = 0;
    while (strcmp(kinds[k].command, c->command->name))
        k++;
    g_autofree char *xml = NULL;
    if (!arg_file(c, "file", &xml, err))
        return false;
    g_autoptr(GString) failed = g_string_new(kinds[k].failed);
    g_string_replace(failed, "%s", arg_text(c, "file"), 1);
    return change(c, kinds[k].procedure, xml, kinds[k].done, failed->str, err);
}

static void element(GString *s, const char *format, const char *value)
{
    g_autofree char *safe = value ? g_markup_escape_text(value, -1) : NULL;
    if (safe)
        g_string_append_printf(s, format, safe);
}

static bool run_attach_disk(Cli *c, GError **err)
{
    const char *source = arg_text(c, "source"), *target = arg_text(c, "target"), *type = arg_text(c, "sourcetype");
    const char *bus = arg_text(c, "targetbus"); /* where it is not given the daemon takes it from the target's name */
    bool block = type ? !strcmp(type, "block") : g_str_has_prefix(source, "/dev/");
    g_autoptr(GString) s = g_string_new(NULL);
    g_string_append_printf(s, "<disk type='%s'", block ? "block" : "file");
    element(s, " device='%s'", arg_text(c, "type"));
    g_string_append(s, ">\n");
    if (arg_given(c, "driver") || arg_given(c, "subdriver") || arg_given(c, "cache") || arg_given(c, "io") || arg_given(c, "iothread")) {
        g_string_append(s, "  <driver");
        element(s, " name='%s'", arg_text(c, "driver"));
        element(s, " type='%s'", arg_text(c, "subdriver"));
        element(s, " iothread='%s'", arg_text(c, "iothread"));
        element(s, " cache='%s'", arg_text(c, "cache"));
        element(s, " io='%s'", arg_text(c, "io"));
        g_string_append(s, "/>\n");
    }
    if (*source)
        element(s, block ? "  <source dev='%s'/>\n" : "  <source file='%s'/>\n", source);
    element(s, "  <target dev='%s'", target);
    element(s, " bus='%s'", bus);
    g_string_append(s, "/>\n");
    if (!g_strcmp0(arg_text(c, "mode"), "readonly"))
        g_string_append(s, "  <readonly/>\n");
    if (!g_strcmp0(arg_text(c, "mode"), "shareable"))
        g_string_append(s, "  <shareable/>\n");
    element(s, "  <serial>%s</serial>\n", arg_text(c, "serial"));
    g_string_append(s, "</disk>\n");
    if (arg_given(c, "print-xml")) {
        out_text(c, "xml", s->str);
        return true;
    }
    return change(c, "DOMAIN_ATTACH_DEVICE_FLAGS", s->str, "Disk attached successfully", "Failed to attach disk", err);
}

static bool run_attach_interface(Cli *c, GError **err)
{
    const char *type = arg_text(c, "type");
    g_autoptr(GString) s = g_string_new(NULL);
    element(s, "<interface type='%s'>\n", type);
    g_autofree char *source = g_strdup_printf("  <source %s='%%s'/>\n", !strcmp(type, "direct") ? "dev" : type);
    if (strcmp(type, "user"))
        element(s, source, arg_text(c, "source"));
    element(s, "  <target dev='%s'/>\n", arg_text(c, "target"));
    element(s, "  <mac address='%s'/>\n", arg_text(c, "mac"));
    element(s, "  <script path='%s'/>\n", arg_text(c, "script"));
    element(s, "  <model type='%s'/>\n", arg_text(c, "model"));
    g_string_append(s, "</interface>\n");
    if (arg_given(c, "print-xml")) {
        out_text(c, "xml", s->str);
        return true;
    }
    return change(c, "DOMAIN_ATTACH_DEVICE_FLAGS", s->str, "Interface attached successfully", "Failed to attach interface", err);
}

/* The element of the definition that an expression with one %s selects. */
static char *device_of(Cli *c, const char *format, const char *key, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    guint flags;
    if (!d || !affected(c, d, &flags, err))
        return NULL;
    g_autofree char *xml = atoll_domain_get_xml_sync(d, flags & 2 && !(flags & 1) ? 2 : 0, NULL, err);
    g_autoptr(Document) x = xml ? document_read(xml, err) : NULL;
    if (!x)
        return NULL;
    g_autoptr(GString) path = g_string_new(format);
    g_string_replace(path, "%s", key ? key : "", 0);
    g_autoptr(GPtrArray) found = document_nodes(x, path->str);
    return found->len ? g_strdup(found->pdata[0]) : NULL;
}

static bool run_detach_disk(Cli *c, GError **err)
{
    const char *target = arg_text(c, "target");
    g_autofree char *xml = device_of(c, "/domain/devices/disk[target/@dev='%s' or source/@file='%s' or source/@dev='%s']", target, err);
    if (!xml) {
        if (!*err)
            cli_error(err, "No disk found whose source path or target is %s", target);
        return false;
    }
    if (arg_given(c, "print-xml")) {
        out_line(c, "xml", "%s", xml);
        return true;
    }
    return change(c, "DOMAIN_DETACH_DEVICE_FLAGS", xml, "Disk detached successfully", "Failed to detach disk", err);
}

static bool run_detach_interface(Cli *c, GError **err)
{
    g_autofree char *mac = arg_given(c, "mac") ? g_ascii_strdown(arg_text(c, "mac"), -1) : NULL;
    g_autoptr(GString) path = g_string_new("/domain/devices/interface[@type='");
    g_string_append_printf(path, "%s'%s]", arg_text(c, "type"), mac ? " and mac/@address='%s'" : "");
    g_autofree char *xml = device_of(c, path->str, mac, err);
    if (!xml) {
        if (!*err)
            cli_error(err, mac ? "No interface with MAC address %s was found" : "No interface found whose type is %s", mac ? mac : arg_text(c, "type"));
        return false;
    }
    return change(c, "DOMAIN_DETACH_DEVICE_FLAGS", xml, "Interface detached successfully", "Failed to detach interface", err);
}

/* A drive's medium: --eject, --insert, --update. */
static bool run_change_media(Cli *c, GError **err)
{
    const char *path = arg_text(c, "path"), *source = arg_text(c, "source"), *action = arg_given(c, "eject") ? "eject" : arg_given(c, "insert") ? "insert" : "update";
    g_autofree char *xml = device_of(c, "/domain/devices/disk[target/@dev='%s' or source/@file='%s']", path, err);
    if (!xml) {
        if (!*err)
            cli_error(err, "No disk found whose source path or target is %s", path);
        return false;
    }
    g_autoptr(GRegex) old = g_regex_new("\\s*<source\\b[^>]*/>|\\s*<source\\b[^>]*>.*?</source>", G_REGEX_DOTALL, 0, NULL), type = g_regex_new("type='(file|block)'|type=\"(file|block)\"", 0, 0, NULL);
    g_autofree char *bare = g_regex_replace_literal(old, xml, -1, 0, "", 0, NULL);
    g_autoptr(GString) s = g_string_new(bare);
    if (source && !arg_given(c, "eject")) {
        g_autofree char *safe = g_markup_escape_text(source, -1), *with = g_strdup_printf("<source file='%s'/>\n    <target", safe);
        g_string_replace(s, "<target", with, 1);
    }
    if (arg_given(c, "print-xml")) {
        out_line(c, "xml", "%s", s->str);
        return true;
    }
    g_autofree char *done = g_strdup_printf(!strcmp(action, "eject") ? "Successfully ejected media." : !strcmp(action, "insert") ? "Successfully inserted media." : "Successfully updated media.");
    g_autofree char *failed = g_strdup_printf("Failed to complete action %s on media", action);
    return change(c, "DOMAIN_UPDATE_DEVICE_FLAGS", s->str, done, failed, err);
}

static bool run_setmem(Cli *c, GError **err)
{
    bool most = !strcmp(c->command->name, "setmaxmem");
    guint64 bytes = 0;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || !arg_size(c, "size", 1024, &bytes, err))
        return false;
    bool ok = atoll_domain_set_memory_sync(d, (bytes + 1023) / 1024, arg_affect(c) | (most ? 4 : 0), NULL, err);
    if (!ok && most)
        cli_headline(c, "Unable to change MaxMemorySize");
    return ok;
}

static bool run_setvcpus(Cli *c, GError **err)
{
    gint64 count = 0;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || !arg_int(c, "count", &count, err))
        return false;
    if (count < 1 || count > G_MAXINT)
        return cli_error(err, "Invalid number of virtual CPUs");
    return atoll_domain_set_vcpus_sync(d, count, arg_affect(c) | (arg_given(c, "maximum") ? 4 : 0) | (arg_given(c, "guest") ? 8 : 0), NULL, err);
}

/* virDomainMetadataType */
enum { METADATA_DESCRIPTION, METADATA_TITLE, METADATA_ELEMENT };

static char *metadata(AtollDomain *d, int type, const char *uri, guint flags, GError **err)
{
    g_autoptr(GVariant) v = object_call(d, "DOMAIN_GET_METADATA", g_variant_new("(imsu)", type, uri, flags), err);
    char *text = NULL;
    if (v)
        g_variant_get_child(v, 0, "s", &text);
    return text;
}

static bool run_desc(Cli *c, GError **err)
{
    bool title = arg_given(c, "title");
    int type = title ? METADATA_TITLE : METADATA_DESCRIPTION;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d)
        return false;
    if (!c->rest->len) {
        g_autofree char *text = metadata(d, type, NULL, arg_affect(c), NULL);
        g_autofree char *none = g_strdup_printf(title ? "No title for domain: %s" : "No description for domain: %s", name_of(d));
        out_text(c, title ? "title" : "description", text ? text : none);
        return true;
    }
    g_ptr_array_add(c->rest, NULL);
    g_autofree char *text = g_strjoinv(" ", (char **)c->rest->pdata);
    g_autoptr(GVariant) v = object_call(d, "DOMAIN_SET_METADATA", g_variant_new("(imsmsmsu)", type, text, NULL, NULL, arg_affect(c)), err);
    if (v)
        out_text(c, "message", title ? "Domain title updated successfully" : "Domain description updated successfully");
    else
        cli_headline(c, title ? "Failed to set new domain title" : "Failed to set new domain description");
    return v;
}

static bool run_metadata(Cli *c, GError **err)
{
    const char *uri = arg_text(c, "uri"), *set = arg_text(c, "set");
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d)
        return false;
    if (!set && !arg_given(c, "remove")) {
        g_autofree char *text = metadata(d, METADATA_ELEMENT, uri, arg_affect(c), err);
        if (text)
            out_line(c, "xml", "%s", text);
        return text;
    }
    if (set && !arg_given(c, "key"))
        return cli_error(err, "namespace key is required when modifying metadata");
    g_autoptr(GVariant) v = object_call(d, "DOMAIN_SET_METADATA", g_variant_new("(imsmsmsu)", METADATA_ELEMENT, set, arg_text(c, "key"), uri, arg_affect(c)), err);
    if (v)
        out_message(c, set ? "Metadata modified" : "Metadata removed");
    return v;
}

static bool run_blockresize(Cli *c, GError **err)
{
    guint64 bytes = 0;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || !arg_size(c, "size", 1024, &bytes, err))
        return false;
    g_autoptr(GVariant) v = object_call(d, "DOMAIN_BLOCK_RESIZE", g_variant_new("(stu)", arg_text(c, "path"), bytes, 1), err);
    if (v)
        out_message(c, "Block device '%s' is resized", arg_text(c, "path"));
    else
        cli_headline(c, "Failed to resize block device '%s'", arg_text(c, "path"));
    return v;
}

#define PERSISTENT { "persistent", ARG_FLAG, 0, "make live change persistent" }

const Command domain_change_commands[] = {
    { "attach-device", "attach device from an XML file", ARGS(DOMAIN_ARG, FILE_ARG, PERSISTENT, AFFECT_ARGS), run_device },
    { "attach-disk", "attach disk device",
      ARGS(DOMAIN_ARG, { "source", ARG_FILE, ARG_REQUIRED, "source of disk device or name of network disk" }, { "target", ARG_TEXT, ARG_REQUIRED, "target of disk device" },
           { "targetbus", ARG_TEXT, ARG_NAMED, "target bus of disk device" }, { "driver", ARG_TEXT, ARG_NAMED, "driver of disk device" },
           { "subdriver", ARG_TEXT, ARG_NAMED, "subdriver of disk device" }, { "iothread", ARG_TEXT, ARG_NAMED, "IOThread to be used by supported device" },
           { "cache", ARG_TEXT, ARG_NAMED, "cache mode of disk device" }, { "io", ARG_TEXT, ARG_NAMED, "io policy of disk device" }, { "type", ARG_TEXT, ARG_NAMED, "target device type" },
           { "mode", ARG_TEXT, ARG_NAMED, "mode of device reading and writing" }, { "sourcetype", ARG_TEXT, ARG_NAMED, "type of source (block|file|network)" },
           { "serial", ARG_TEXT, ARG_NAMED, "serial of disk device" }, { "print-xml", ARG_FLAG, 0, "print XML document rather than attach the disk" }, PERSISTENT, AFFECT_ARGS),
      run_attach_disk },
    { "attach-interface", "attach network interface",
      ARGS(DOMAIN_ARG, { "type", ARG_TEXT, ARG_REQUIRED, "network interface type" }, { "source", ARG_TEXT, ARG_REQUIRED, "source of network interface" },
           { "target", ARG_TEXT, ARG_NAMED, "target network name" }, { "mac", ARG_TEXT, ARG_NAMED, "MAC address" }, { "script", ARG_TEXT, ARG_NAMED, "script used to bridge network interface" },
           { "model", ARG_TEXT, ARG_NAMED, "model type" }, { "print-xml", ARG_FLAG, 0, "print XML document rather than attach the interface" }, PERSISTENT, AFFECT_ARGS),
      run_attach_interface },
    { "blockresize", "Resize block device of domain.",
      ARGS(DOMAIN_ARG, { "path", ARG_TEXT, ARG_REQUIRED, "Fully-qualified path of block device" },
           { "size", ARG_SIZE, ARG_REQUIRED, "New size of the block device, as scaled integer (default KiB)" }),
      run_blockresize },
    { "change-media", "Change media of CD or floppy drive",
      ARGS(DOMAIN_ARG, { "path", ARG_TEXT, ARG_REQUIRED, "Fully-qualified path or target of disk device" }, { "source", ARG_FILE, 0, "source of the media" },
           { "eject", ARG_FLAG, 0, "Eject the media" }, { "insert", ARG_FLAG, 0, "Insert the media" }, { "update", ARG_FLAG, 0, "Update the media" }, AFFECT_ARGS,
           { "force", ARG_FLAG, 0, "force media changing" }, { "print-xml", ARG_FLAG, 0, "print XML document rather than change media" }),
      run_change_media },
    { "desc", "show or set domain's description or title",
      ARGS(DOMAIN_ARG, AFFECT_ARGS, { "title", ARG_FLAG, 0, "modify/get the title instead of description" }, { "new-desc", ARG_TEXT, ARG_REST, "message" }), run_desc },
    { "detach-device", "detach device from an XML file", ARGS(DOMAIN_ARG, FILE_ARG, PERSISTENT, AFFECT_ARGS), run_device },
    { "detach-disk", "detach disk device",
      ARGS(DOMAIN_ARG, { "target", ARG_TEXT, ARG_REQUIRED, "target of disk device" }, PERSISTENT, AFFECT_ARGS, { "print-xml", ARG_FLAG, 0, "print XML document rather than detach the disk" }),
      run_detach_disk },
    { "detach-interface", "detach network interface",
      ARGS(DOMAIN_ARG, { "type", ARG_TEXT, ARG_REQUIRED, "network interface type" }, { "mac", ARG_TEXT, ARG_NAMED, "MAC address" }, PERSISTENT, AFFECT_ARGS), run_detach_interface },
    { "metadata", "show or set domain's custom XML metadata",
      ARGS(DOMAIN_ARG, { "uri", ARG_TEXT, ARG_REQUIRED, "URI of the namespace" }, AFFECT_ARGS, { "key", ARG_TEXT, ARG_NAMED, "key to be used as a namespace identifier" },
           { "set", ARG_TEXT, ARG_NAMED, "new metadata to set" }, { "remove", ARG_FLAG, 0, "remove the metadata corresponding to an uri" }),
      run_metadata },
    { "setmaxmem", "change maximum memory limit", ARGS(DOMAIN_ARG, { "size", ARG_SIZE, ARG_REQUIRED, "new maximum memory size, as scaled integer (default KiB)" }, AFFECT_ARGS), run_setmem },
    { "setmem", "change memory allocation", ARGS(DOMAIN_ARG, { "size", ARG_SIZE, ARG_REQUIRED, "new memory size, as scaled integer (default KiB)" }, AFFECT_ARGS), run_setmem },
    { "setvcpus", "change number of virtual CPUs",
      ARGS(DOMAIN_ARG, { "count", ARG_INT, ARG_REQUIRED, "number of virtual CPUs" }, { "maximum", ARG_FLAG, 0, "set maximum limit on next boot" }, AFFECT_ARGS,
           { "guest", ARG_FLAG, 0, "modify cpu state in the guest" }),
      run_setvcpus },
    { "update-device", "update device from an XML file", ARGS(DOMAIN_ARG, FILE_ARG, PERSISTENT, AFFECT_ARGS, { "force", ARG_FLAG, 0, "force device update" }), run_device },
    { NULL },
};
