/* amend.c - atoll-img amend: changes options of an image that exists. */
#include <stdio.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/util.h"

int img_amend(ImgArgs *a, GError **err)
{
    g_autofree char *options = img_options_text(a);
    if (!options)
        return !img_usage(err, "Must specify options (-o)");
    if (img_asked_for_options(a) && a->format)
        return img_print_options(a->format, true, false, err);
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    g_autoptr(BlkNode) n = img_open_named(a, true, err);
    if (!n)
        return 1;
    BlkInfo info;
    blk_info(n, &info);
    if (img_asked_for_options(a))
        return img_print_options(info.format, true, false, err);
    g_autofree char *all = a->force ? g_strconcat(options, ",force=on", NULL) : g_strdup(options);
    Progress progress;
    progress_start(&progress, a->progress && !a->quiet);
    bool ok = blk_amend(n, all, err) && blk_flush(n, err);
    progress_end(&progress, ok);
    return img_end(&n, !ok, err);
}
