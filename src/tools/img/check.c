/* check.c - atoll-img check: damage, in numbers and in words. */
#include <stdio.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/json.h"
#include "tools/img/util.h"

enum { SOUND = 0, DAMAGED = 2, LEAKS = 3, NO_CHECKS = 63 };

static void print_counts(const BlkCheck *c)
{
    if (!c->corruptions && !c->leaks)
        printf("No errors were found on the image.\n");
    if (c->corruptions)
        printf("\n%" G_GUINT64_FORMAT " errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n",
               c->corruptions);
    if (c->leaks)
        printf("\n%" G_GUINT64_FORMAT " leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n", c->leaks);
    if (c->total && c->allocated)
        printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n", c->allocated,
               c->total, c->allocated * 100.0 / c->total, c->fragmented * 100.0 / c->allocated, c->compressed * 100.0 / c->allocated);
    if (c->end)
        printf("Image end offset: %" G_GUINT64_FORMAT "\n", c->end);
}

/* What to do now; QEMU has no such lines. */
static void explain(const ImgArgs *a, const BlkCheck *c)
{
    const char *name = a->words[0];
    if (a->like_qemu || (!c->corruptions && !c->leaks))
        return;
    printf("\nWhat this means:\n");
    if (c->corruptions)
        printf("  The image's tables contradict themselves in %" G_GUINT64_FORMAT " places. The guest may read wrong data, and writing can make it worse.\n"
               "  Do not start a machine with it. Make a copy first (cp '%s' '%s.copy'), then: %s check -r all '%s'\n",
               c->corruptions, name, name, a->program, name);
    if (c->leaks)
        printf("  %" G_GUINT64_FORMAT " clusters are marked as used, but nothing names them: usually a process was killed while it wrote.\n"
               "  The guest's data are whole. To get the space back: %s check -r leaks '%s'\n", c->leaks, a->program, name);
}

static void set_unless_zero(Json *j, const char *key, uint64_t value)
{
    if (value)
        json_set(j, key, json_unsigned(value));
}

static void print_json(BlkNode *n, const BlkCheck *c)
{
    BlkInfo info;
    blk_info(n, &info);
    g_autoptr(Json) j = json_object();
    set_unless_zero(j, "image-end-offset", c->end);
    set_unless_zero(j, "corruptions-fixed", c->corruptions_fixed);
    set_unless_zero(j, "leaks-fixed", c->leaks_fixed);
    set_unless_zero(j, "total-clusters", c->total);
    set_unless_zero(j, "corruptions", c->corruptions);
    set_unless_zero(j, "leaks", c->leaks);
    json_set(j, "check-errors", json_number(0));
    set_unless_zero(j, "allocated-clusters", c->allocated);
    set_unless_zero(j, "compressed-clusters", c->compressed);
    set_unless_zero(j, "fragmented-clusters", c->fragmented);
    json_set(j, "filename", json_string(info.filename));
    json_set(j, "format", json_string(info.format));
    g_autofree char *text = json_text(j);
    fputs(text, stdout);
}

/* After a repair what counts is what is found now. */
static bool check_again(const ImgArgs *a, BlkNode *n, BlkCheck *c, GError **err)
{
    uint64_t leaks = c->leaks_fixed, corruptions = c->corruptions_fixed;
    if (!leaks && !corruptions)
        return true;
    if (!a->json && !a->quiet)
        printf("The following inconsistencies were found and repaired:\n\n    %" G_GUINT64_FORMAT " leaked clusters\n    %" G_GUINT64_FORMAT
               " corruptions\n\nDouble checking the fixed image now...\n", leaks, corruptions);
    if (!blk_check(n, 0, c, err))
        return false;
    c->leaks_fixed = leaks;
    c->corruptions_fixed = corruptions;
    return true;
}

static bool repair_of(const char *word, unsigned *ret, GError **err)
{
    if (!word)
        return true;
    if (!g_str_equal(word, "leaks") && !g_str_equal(word, "all"))
        return img_usage(err, "Unknown option value for -r (expecting 'leaks' or 'all'): %s", word);
    *ret = g_str_equal(word, "all") ? BLK_REPAIR_ALL | BLK_REPAIR_LEAKS : BLK_REPAIR_LEAKS;
    return true;
}

static int check(const ImgArgs *a, BlkNode *n, unsigned repair, GError **err)
{
    BlkCheck c;
    g_autoptr(GError) failure = NULL;
    if (!blk_check(n, repair, &c, &failure)) {
        bool unsupported = g_error_matches(failure, ATOLL_ERROR, ERR_UNSUPPORTED);
        g_propagate_error(err, g_steal_pointer(&failure));
        return unsupported ? NO_CHECKS : 1;
    }
    const GPtrArray *words = blk_check_words(n);
    for (unsigned i = 0; words && i < words->len && !a->json && !a->quiet; i++)
        printf("%s\n", (const char *)g_ptr_array_index(words, i));
    if (repair && !check_again(a, n, &c, err))
        return 1;
    if (a->json)
        print_json(n, &c);
    else if (!a->quiet) {
        print_counts(&c);
        explain(a, &c);
    }
    return c.corruptions ? DAMAGED : c.leaks ? LEAKS : SOUND;
}

int img_check(ImgArgs *a, GError **err)
{
    unsigned repair = 0;
    if (!repair_of(a->repair, &repair, err) || !img_cache_check(a->src_cache, "source cache", err))
        return 1;
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    ImgOpen o = { .name = a->words[0], .format = a->format, .cache = a->src_cache, .image_opts = a->image_opts, .write = repair, .repair = repair, .no_backing = true };
    g_autoptr(BlkNode) n = img_open(a, &o, err);
    return n ? img_end(&n, check(a, n, repair, err), err) : 1;
}
