#pragma once
#include "tools/img/args.h"
/* commands.h - the subcommands: each in a file of its own. */
ImgRun img_amend, img_bench, img_bitmap, img_check, img_commit, img_compare, img_convert, img_create, img_dd, img_info, img_io, img_map;
ImgRun img_measure, img_nbd, img_rebase, img_reclaim, img_resize, img_snapshot;

/* The whole program. */
int img_main(int argc, char **argv);
