#pragma once
#include "tools/img/args.h"
/* users.h - which images stand on this one? */

/* Paths of the images in `directory` whose chain of backing files names `image`; NULL: *err. */
GPtrArray *users_of(const char *image, const char *directory, GError **err);

/* Before `what` changes what readers of `image` see: refuses (or warns, under QEMU's name) where images in its directory
 * stand on it.  besides: paths that do not count, NULL-terminated, or NULL.  --force: no question is asked. */
bool users_allow(const ImgArgs *a, const char *image, const char *const *besides, const char *what, GError **err);
