/* domain_life.c - commands: definitions of domains, starting and stopping them. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

static bool run_define(Cli *c, GError **err)
{
    g_autofree char *xml = NULL;
    const char *from = arg_text(c, "file");
    if (!arg_file(c, "file", &xml, err))
        return false;
    g_autoptr(AtollDomain) d = atoll_connection_define_domain_sync(c->connection, xml, arg_bits(c), NULL, err);
    if (d)
        out_message(c, "Domain '%s' defined from %s", name_of(d), from);
    else
        cli_headline(c, "Failed to define domain from %s", from);
    return d;
}

static bool run_create(Cli *c, GError **err)
{
    g_autofree char *xml = NULL;
    const char *from = arg_text(c, "file");
    bool console = arg_given(c, "console");
    if (!arg_file(c, "file", &xml, err))
        return false;
    g_autoptr(AtollDomain) d = atoll_connection_create_domain_sync(c->connection, xml, arg_bits(c) | console, NULL, err);
    if (!d) {
        cli_headline(c, "Failed to create domain from %s", from);
        return false;
    }
    out_message(c, "Domain '%s' created from %s", name_of(d), from);
    return !console || run_console(c, d, NULL, false, !arg_given(c, "paused"), err);
}

/* With --console it starts paused, so that the line's first words are not lost. */
static bool run_start(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    bool console = arg_given(c, "console");
    if (!d)
        return false;
    if (atoll_domain_get_id(d) >= 0)
        return cli_error(err, "Domain is already active");
    if (!atoll_domain_start_sync(d, arg_bits(c) | console, NULL, err)) {
        cli_headline(c, "Failed to start domain '%s'", name_of(d));
        return false;
    }
    out_message(c, "Domain '%s' started", name_of(d));
    return !console || run_console(c, d, NULL, false, !arg_given(c, "paused"), err);
}

static bool run_console_command(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    return d && run_console(c, d, arg_text(c, "devname"), arg_given(c, "force"), false, err);
}

/* virDomainShutdownFlagValues */
static bool run_shutdown(Cli *c, GError **err)
{
    static const struct {
        const char *word;
        guint bit;
    } modes[] = { { "acpi", 1 }, { "agent", 2 }, { "initctl", 4 }, { "signal", 8 }, { "paravirt", 16 } };
    bool reboot = !strcmp(c->command->name, "reboot");
    guint flags = 0;
    g_auto(GStrv) words = g_strsplit(arg_given(c, "mode") ? arg_text(c, "mode") : "", ",", -1);
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    for (char **w = words; *w; w++) {
        unsigned i = 0;
        while (i < G_N_ELEMENTS(modes) && strcmp(modes[i].word, *w))
            i++;
        if (i == G_N_ELEMENTS(modes))
            return cli_error(err, "Unknown mode %s value, expecting 'acpi', 'agent', 'initctl', 'signal', or 'paravirt'", *w);
        flags |= modes[i].bit;
    }
    if (!d)
        return false;
    bool ok = reboot ? atoll_domain_reboot_sync(d, flags, NULL, err) : atoll_domain_shutdown_sync(d, flags, NULL, err);
    if (ok)
        out_message(c, reboot ? "Domain '%s' is being rebooted" : "Domain '%s' is being shutdown", name_of(d));
    else
        cli_headline(c, reboot ? "Failed to reboot domain '%s'" : "Failed to shutdown domain '%s'", name_of(d));
    return ok;
}

/* Volumes of disks named in --storage, or of all. */
static bool remove_storage(Cli *c, Document *xml, GError **err)
{
    int n = document_count(xml, "/domain/devices/disk");
    g_auto(GStrv) wanted = g_strsplit(arg_given(c, "storage") ? arg_text(c, "storage") : "", ",", -1);
    for (int i = 1; i <= n; i++) {
        g_autofree char *at = g_strdup_printf("string(/domain/devices/disk[%d]/target/@dev)", i), *source_at = g_strdup_printf("string(/domain/devices/disk[%d]/source/@*[name()='file' or name()='dev'])", i);
        g_autofree char *target = document_text(xml, at), *source = document_text(xml, source_at);
        if (!*source || (!arg_given(c, "remove-all-storage") && !g_strv_contains((const char *const *)wanted, target) && !g_strv_contains((const char *const *)wanted, source)))
            continue;
        g_autoptr(AtollVolume) v = atoll_connection_find_volume_by_path_sync(c->connection, source, NULL, NULL);
        if (!v) {
            fprintf(stderr, "Storage volume '%s'(%s) is not managed by libvirt. Remove it manually.\n", target, source);
            continue;
        }
        if (!atoll_volume_delete_sync(v, 0, NULL, err)) {
            cli_headline(c, "Failed to remove storage volume '%s'(%s)", target, source);
            return false;
        }
        out_message(c, "Volume '%s'(%s) removed.", target, source);
    }
    return true;
}

static bool run_undefine(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d)
        return false;
    g_autofree char *text = atoll_domain_get_xml_sync(d, 0, NULL, err);
    g_autoptr(Document) xml = text ? document_read(text, err) : NULL;
    if (!xml)
        return false;
    if (!atoll_domain_undefine_sync(d, arg_bits(c), NULL, err)) {
        cli_headline(c, "Failed to undefine domain '%s'", name_of(d));
        return false;
    }
    out_message(c, "Domain '%s' has been undefined", name_of(d));
    return (!arg_given(c, "storage") && !arg_given(c, "remove-all-storage")) || remove_storage(c, xml, err);
}

bool run_autostart(Cli *c, GError **err)
{
    static const struct {
        const char *command, *argument, *procedure, *subject, *failed;
    } kinds[] = { { "autostart", "domain", "DOMAIN_SET_AUTOSTART", "Domain '%s'", "Failed to %s domain '%s' as autostarted" },
                  { "net-autostart", "network", "NETWORK_SET_AUTOSTART", "Network %s", "failed to %s network %s as autostarted" },
                  { "pool-autostart", "pool", "STORAGE_POOL_SET_AUTOSTART", "Pool %s", "failed to %s pool %s as autostarted" } };
    unsigned k = 0;
    while (strcmp(kinds[k].command, c->command->name))
        k++;
    bool off = arg_given(c, "disable");
    g_autoptr(AtollObject) o = cli_object(c, kinds[k].argument, err);
    if (!o)
        return false;
    g_autoptr(GVariant) v = object_call(o, kinds[k].procedure, g_variant_new("(i)", !off), err);
    g_autoptr(GString) text = g_string_new(v ? kinds[k].subject : kinds[k].failed);
    if (!v)
        g_string_replace(text, "%s", off ? "unmark" : "mark", 1);
    g_string_replace(text, "%s", name_of(o), 1);
    if (v)
        out_message(c, "%s %s as autostarted", text->str, off ? "unmarked" : "marked");
    else
        cli_headline(c, "%s", text->str);
    return v;
}

static bool run_domrename(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || !atoll_domain_rename_sync(d, arg_text(c, "new-name"), 0, NULL, err))
        return false;
    out_message(c, "Domain successfully renamed");
    return true;
}

/* ---- edit: domain, network, pool, in $EDITOR */

typedef struct Editable {
    const char *command, *argument, *get, *define, *letters, *subject;
    guint flags; /* of get */
} Editable;

static bool edit_text(char **text, GError **err)
{
    const char *editor = g_getenv("VISUAL") ? g_getenv("VISUAL") : g_getenv("EDITOR") ? g_getenv("EDITOR") : "vi";
    g_autofree char *path = NULL, *quoted = NULL, *line = NULL;
    int status, fd = g_file_open_tmp("atoll-XXXXXX.xml", &path, err);
    if (fd < 0)
        return false;
    close(fd);
    quoted = g_shell_quote(path);
    line = g_strdup_printf("%s %s", editor, quoted);
    bool ok = g_file_set_contents(path, *text, -1, err);
    if (ok && (status = system(line))) {
        ok = cli_error(err, "the editor '%s' ended with status %d; set EDITOR to one that you have", editor, status);
    } else if (ok) {
        g_clear_pointer(text, g_free);
        ok = g_file_get_contents(path, text, NULL, err);
    }
    g_unlink(path);
    return ok;
}

bool run_edit(Cli *c, GError **err)
{
    static const Editable kinds[] = { { "edit", "domain", "DOMAIN_GET_XML_DESC", "DOMAIN_DEFINE_XML_FLAGS", "(su)", "Domain '%s'", 3 },
                                      { "net-edit", "network", "NETWORK_GET_XML_DESC", "NETWORK_DEFINE_XML", "(s)", "Network %s", 1 },
                                      { "pool-edit", "pool", "STORAGE_POOL_GET_XML_DESC", "STORAGE_POOL_DEFINE_XML", "(su)", "Pool %s", 1 } };
    const Editable *k = kinds;
    while (strcmp(k->command, c->command->name))
        k++;
    g_autoptr(AtollObject) o = cli_object(c, k->argument, err);
    g_autofree char *before = o ? object_text(o, k->get, k->flags, err) : NULL, *text = g_strdup(before);
    if (!before || !edit_text(&text, err))
        return false;
    g_autoptr(GString) subject = g_string_new(k->subject);
    g_string_replace(subject, "%s", name_of(o), 1);
    if (!strcmp(before, text)) {
        out_message(c, "%s XML configuration not changed.", subject->str);
        return true;
    }
    g_autoptr(GVariant) v = cli_call(c, k->define, g_variant_new(k->letters, text, 0), err);
    if (v)
        out_message(c, "%s XML configuration edited.", subject->str);
    return v;
}

#define PASSED_TO_START                                                         \
    { "console", ARG_FLAG, 0, "attach to console after creation" },             \
        { "paused", ARG_FLAG, 0, "leave the guest paused after creation", 1 },  \
        { "autodestroy", ARG_FLAG, 0, "automatically destroy the guest when virsh disconnects", 2 }

const Command domain_life_commands[] = {
    { "autostart", "autostart a domain", ARGS(DOMAIN_ARG, { "disable", ARG_FLAG, 0, "disable autostarting" }), run_autostart },
    { "console", "connect to the guest console",
      ARGS(DOMAIN_ARG, { "devname", ARG_TEXT, 0, "character device name" }, { "force", ARG_FLAG, 0, "force console connection (disconnect already connected sessions)" },
           { "safe", ARG_FLAG, 0, "only connect if safe console handling is supported" }),
      run_console_command },
    { "create", "create a domain from an XML file", ARGS(FILE_ARG, PASSED_TO_START, VALIDATE_FLAG(16)), run_create },
    { "define", "define (but don't start) a domain from an XML file", ARGS(FILE_ARG, VALIDATE_FLAG(1)), run_define },
    { "destroy", "destroy (stop) a domain", ARGS(DOMAIN_ARG, { "graceful", ARG_FLAG, 0, "terminate gracefully", 1 }, { "remove-logs", ARG_FLAG, 0, "remove domain logs", 2 }), NULL,
      { "DOMAIN_DESTROY_FLAGS", "Domain '%s' destroyed", "Failed to destroy domain '%s'", true } },
    { "domrename", "rename a domain", ARGS(DOMAIN_ARG, { "new-name", ARG_TEXT, ARG_REQUIRED, "new domain name" }), run_domrename },
    { "edit", "edit XML configuration for a domain", ARGS(DOMAIN_ARG, { "skip-validate", ARG_FLAG, 0, "skip validation of the XML against the schema" }), run_edit },
    { "inject-nmi", "Inject NMI to the guest", ARGS(DOMAIN_ARG), NULL, { "DOMAIN_INJECT_NMI", "", "Failed to inject NMI into domain '%s'", true } },
    { "managedsave", "managed save of a domain state",
      ARGS(DOMAIN_ARG, { "bypass-cache", ARG_FLAG, 0, "avoid file system cache when saving", 1 }, { "running", ARG_FLAG, 0, "set domain to be running on next start", 2 },
           { "paused", ARG_FLAG, 0, "set domain to be paused on next start", 4 }),
      NULL, { "DOMAIN_MANAGED_SAVE", "\nDomain '%s' state saved by libvirt", "Failed to save domain '%s' state", true } },
    { "managedsave-remove", "Remove managed save of a domain", ARGS(DOMAIN_ARG), NULL,
      { "DOMAIN_MANAGED_SAVE_REMOVE", "Removed managedsave image for domain '%s'", "Failed to remove managed save image for domain '%s'", true } },
    { "reboot", "reboot a domain", ARGS(DOMAIN_ARG, { "mode", ARG_TEXT, 0, "shutdown mode: acpi|agent|initctl|signal|paravirt" }), run_shutdown },
    { "reset", "reset a domain", ARGS(DOMAIN_ARG), NULL, { "DOMAIN_RESET", "Domain '%s' was reset", "Failed to reset domain '%s'", true } },
    { "resume", "resume a domain", ARGS(DOMAIN_ARG), NULL, { "DOMAIN_RESUME", "Domain '%s' resumed", "Failed to resume domain '%s'" } },
    { "shutdown", "gracefully shutdown a domain", ARGS(DOMAIN_ARG, { "mode", ARG_TEXT, 0, "shutdown mode: acpi|agent|initctl|signal|paravirt" }), run_shutdown },
    { "start", "start a (previously defined) inactive domain",
      ARGS(DOMAIN_ARG, PASSED_TO_START, { "bypass-cache", ARG_FLAG, 0, "avoid file system cache when loading", 4 },
           { "force-boot", ARG_FLAG, 0, "force fresh boot by discarding any managed save", 8 }, { "reset-nvram", ARG_FLAG, 0, "re-initialize NVRAM from its pristine template", 32 }),
      run_start },
    { "suspend", "suspend a domain", ARGS(DOMAIN_ARG), NULL, { "DOMAIN_SUSPEND", "Domain '%s' suspended", "Failed to suspend domain '%s'" } },
    { "undefine", "undefine a domain",
      ARGS(DOMAIN_ARG, { "managed-save", ARG_FLAG, 0, "remove domain managed state file", 1 },
           { "storage", ARG_TEXT, ARG_NAMED, "remove associated storage volumes (comma separated list of targets or source paths) (see domblklist)" },
           { "remove-all-storage", ARG_FLAG, 0, "remove all associated storage volumes (use with caution)" },
           { "snapshots-metadata", ARG_FLAG, 0, "remove all domain snapshot metadata (vm must be inactive)", 2 },
           { "checkpoints-metadata", ARG_FLAG, 0, "remove all domain checkpoint metadata (vm must be inactive)", 16 }, { "nvram", ARG_FLAG, 0, "remove nvram file", 4 },
           { "keep-nvram", ARG_FLAG, 0, "keep nvram file", 8 }, { "tpm", ARG_FLAG, 0, "remove TPM state", 32 }, { "keep-tpm", ARG_FLAG, 0, "keep TPM state", 64 }),
      run_undefine },
    { NULL },
};
