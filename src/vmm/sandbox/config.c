/* config.c - -sandbox as QEMU spells it, with our paths=; -run-with and its older spellings. */
#include "base/keyval.h"
#include "vmm/config.h"

void sandbox_config_clear(SandboxConfig *s)
{
    g_clear_pointer(&s->paths, g_ptr_array_unref);
    g_free(s->chroot);
    g_free(s->user);
}

static bool take_paths(SandboxConfig *s, const char *text)
{
    if (!text)
        return true;
    g_auto(GStrv) words = g_strsplit(text, ":", -1);
    if (!s->paths)
        s->paths = g_ptr_array_new_with_free_func(g_free);
    for (char **w = words; *w; w++)
        if (**w)
            g_ptr_array_add(s->paths, g_strdup(*w));
    return true;
}

bool config_sandbox(VmConfig *c, const char *arg, GError **err)
{
    static const char *const words[] = { "deny", "allow", "children", NULL };
    static const struct { const char *key; SandboxGroup group; } groups[] = {
        { "obsolete", SANDBOX_OBSOLETE }, { "elevateprivileges", SANDBOX_ELEVATE }, { "spawn", SANDBOX_SPAWN }, { "resourcecontrol", SANDBOX_RESOURCE },
    };
    SandboxConfig *s = &c->sandbox;
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "enable", "-sandbox", err);
    bool on = true;
    if (!kv || !keyvals_take_bool(kv, "enable", &on, err))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
        unsigned word = 0; /* what nobody speaks of is denied, as without -sandbox */
        if (!keyvals_take_choice(kv, groups[i].key, words, &word, err))
            return false;
        s->allow[groups[i].group] = word == 1;
    }
    s->off = !on;
    s->said = true;
    return take_paths(s, keyvals_take(kv, "paths")) && keyvals_end(kv, err);
}

static void replace(char **text, const char *with)
{
    if (!with)
        return;
    g_free(*text);
    *text = g_strdup(with);
}

bool config_run_with(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-run-with", err);
    bool async = false;
    if (!kv || !keyvals_take_bool(kv, "async-teardown", &async, err))
        return false;
    if (async)
        return error_set(err, ERR_UNSUPPORTED, "-run-with async-teardown=on is not built; leave it out");
    replace(&c->sandbox.chroot, keyvals_take(kv, "chroot"));
    replace(&c->sandbox.user, keyvals_take(kv, "user"));
    return keyvals_end(kv, err);
}

bool config_runas(VmConfig *c, const char *arg, GError **err)
{
    replace(&c->sandbox.user, arg);
    return true;
}

bool config_chroot(VmConfig *c, const char *arg, GError **err)
{
    replace(&c->sandbox.chroot, arg);
    return true;
}
