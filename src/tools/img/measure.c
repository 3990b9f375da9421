/* measure.c - atoll-img measure: how large would an image become? */
#include <stdio.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/json.h"
#include "tools/img/util.h"

static void print(const ImgArgs *a, const BlkMeasure *m)
{
    if (!a->json) {
        printf("required size: %" G_GUINT64_FORMAT "\nfully allocated size: %" G_GUINT64_FORMAT "\n", m->required, m->fully_allocated);
        if (m->bitmaps)
            printf("bitmaps size: %" G_GUINT64_FORMAT "\n", m->bitmaps);
        return;
    }
    g_autoptr(Json) j = json_object();
    if (m->bitmaps)
        json_set(j, "bitmaps", json_unsigned(m->bitmaps));
    json_set(j, "required", json_unsigned(m->required));
    json_set(j, "fully-allocated", json_unsigned(m->fully_allocated));
    g_autofree char *text = json_text(j);
    fputs(text, stdout);
}

static char *options_with_size(const ImgArgs *a, uint64_t size)
{
    g_autofree char *given = img_options_text(a);
    return g_strdup_printf("%s%ssize=%" G_GUINT64_FORMAT, given ? given : "", given ? "," : "", size);
}

static bool check_words(const ImgArgs *a, GError **err)
{
    if (a->nwords > 1)
        return error_set(err, ERR_INVALID, "At most one filename argument is allowed.");
    if (a->nwords == 1 && a->size)
        return error_set(err, ERR_INVALID, "--size N cannot be used together with a filename.");
    if (!a->nwords && !a->size)
        return error_set(err, ERR_INVALID, "Either --size N or one filename must be specified.");
    if (!a->nwords && (a->format || a->image_opts || a->snapshot))
        return error_set(err, ERR_INVALID, "--image-opts, -f, and -l can only be used with a filename argument.");
    return true;
}

int img_measure(ImgArgs *a, GError **err)
{
    const char *format = a->out_format ? a->out_format : "raw";
    uint64_t size = 0;
    if (img_asked_for_options(a))
        return img_print_options(format, false, a->nwords > 0, err);
    if (!check_words(a, err) || (a->size && !img_parse_size(a->size, "image size", INT64_MAX, &size, err)))
        return 1;
    if (!blk_format_options(format))
        return !error_set(err, ERR_INVALID, "Unknown file format '%s'", format);
    g_autoptr(BlkNode) n = NULL;
    if (a->nwords && !(n = img_open(a, &(ImgOpen){ .name = a->words[0], .format = a->format, .image_opts = a->image_opts, .snapshot = a->snapshot }, err)))
        return 1;
    g_autofree char *options = n ? img_options_text(a) : options_with_size(a, size);
    BlkMeasure m = { 0 };
    if (!blk_measure(format, options ? options : "", n, &m, err))
        return 1;
    print(a, &m);
    return 0;
}
