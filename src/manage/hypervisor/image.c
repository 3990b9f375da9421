/* image.c - images of machines, through atoll-img. */
#include "manage/hypervisor/image.h"

#include <json-glib/json-glib.h>
#include <stdarg.h>
#include <string.h>

#include "base/error.h"

/* What the tool said last. */
static const char *last_line(char *text)
{
    g_strchomp(text);
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

bool image_run(const char *tool, char **ret_out, GError **err, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *out = NULL, *said = NULL;
    int status;
    va_list ap;
    g_ptr_array_add(argv, (char *)tool);
    va_start(ap, err);
    for (char *word; (word = va_arg(ap, char *));)
        g_ptr_array_add(argv, word);
    va_end(ap);
    g_ptr_array_add(argv, NULL);
    if (!g_spawn_sync("/", (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &said, &status, err)) {
        g_prefix_error(err, "cannot start '%s': ", tool);
        return false;
    }
    if (status)
        return error_set(err, ERR_IO, "%s", *last_line(said) ? last_line(said) : "atoll-img failed without a word");
    if (ret_out)
        *ret_out = g_steal_pointer(&out);
    return true;
}

const char *image_path(const Disk *d) { return d->type == DISK_FILE ? d->file : d->type == DISK_BLOCK ? d->dev : NULL; }

static Layer *new_layer(const char *path, const char *format, uint64_t index)
{
    Layer *l = record_new(&layer_record);
    bool block = g_str_has_prefix(path, "/dev/");
    l->type = block ? DISK_BLOCK : DISK_FILE;
    *(block ? &l->dev : &l->file) = g_strdup(path);
    l->format = g_strdup(format);
    l->source_index = index;
    return l;
}

Layer *image_layer(const Disk *d)
{
    Layer *l = new_layer(image_path(d), d->format, d->source_index);
    l->encryption = d->encryption ? record_copy(d->encryption) : NULL;
    return l;
}

Layer *image_chain(const char *tool, const char *path, const char *format, uint64_t next, GError **err)
{
    g_autofree char *text = NULL;
    if (!image_run(tool, &text, err, "info", "-U", "--output=json", "--backing-chain", "-f", format ? format : "raw", path, NULL))
        return NULL;
    g_autoptr(JsonNode) root = json_from_string(text, err);
    JsonArray *list = root && JSON_NODE_HOLDS_ARRAY(root) ? json_node_get_array(root) : NULL;
    if (!list) {
        if (root)
            error_set(err, ERR_IO, "atoll-img tells nonsense of '%s'", path);
        return NULL;
    }
    Layer *first = NULL, **at = &first;
    for (guint i = 1; i < json_array_get_length(list); i++, at = &(*at)->backing) {
        JsonObject *o = json_array_get_object_element(list, i);
        *at = new_layer(json_object_get_string_member_with_default(o, "filename", ""), json_object_get_string_member_with_default(o, "format", "raw"), next++);
    }
    *at = record_new(&layer_record);
    return first;
}
