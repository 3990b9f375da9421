#pragma once
#include "tools/img/args.h"
/* create.h - making images, for create, convert and dd. */
typedef struct CreateImage {
    const char *format, *filename, *size; /* size: text, or NULL: as in options or of the backing file */
    const char *options;                  /* of -o, or NULL */
    const char *backing, *backing_format;
    bool unsafe, quiet;
} CreateImage;
bool create_image(const ImgArgs *a, const CreateImage *c, GError **err);
void create_text_add(GString *s, const char *key, const char *value); /* "key=value" with commas doubled; NULL: nothing */
char *img_beside(const char *image, const char *name); /* a name as the image `image` spells it, seen from here */
