/* new_images.c - see new_images.h. */
#include "vmm/new_images.h"

#include <string.h>

static void add_option(GString *to, const char *key, const char *value)
{
    g_auto(GStrv) pieces = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", pieces);
    g_string_append_printf(to, "%s%s=%s", to->len ? "," : "", key, doubled);
}

/* As the new image spells what lies below it: seen from any folder. */
static char *backing_name(const BlkInfo *info)
{
    bool path = info->protocol && g_str_equal(info->protocol, "file") && !g_str_has_prefix(info->filename, "json:");
    return path ? g_canonicalize_filename(info->filename, NULL) : g_strdup(info->filename);
}

bool vm_create_image(Vm *vm, BlkNode *like, BlkNode *below, const char *format, const char *file, GError **err)
{
    BlkInfo info;
    g_autoptr(GString) options = g_string_new(NULL);
    blk_info(like, &info);
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, info.size);
    add_option(options, "size", size);
    if (below) {
        blk_info(below, &info);
        g_autofree char *name = backing_name(&info);
        add_option(options, "backing_file", name);
        add_option(options, "backing_fmt", info.format);
    }
    return blk_create(format, file, options->str, vm->config->env, err);
}

char *vm_new_node_name(Vm *vm)
{
    NodePlace at;
    g_autofree char *name = NULL;
    for (unsigned n = 100; !name || vm_find_node(vm, name, &at); n++) {
        g_free(name);
        name = g_strdup_printf("#block%u", n);
    }
    return g_steal_pointer(&name);
}

BlkNode *vm_open_image(Vm *vm, const char *format, const char *file, const char *node_name, bool chain, GError **err)
{
    g_autoptr(GString) tree = g_string_new(NULL);
    add_option(tree, "driver", format);
    add_option(tree, "node-name", node_name);
    if (!chain)
        add_option(tree, "backing", "");
    add_option(tree, "file.driver", "file");
    add_option(tree, "file.filename", file);
    return blk_open_tree(tree->str, &(BlkOpenOptions){ .env = vm->config->env }, err);
}
