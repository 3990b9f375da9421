#pragma once
#include <glib.h>
/* roff.h - for manual pages that programs write of themselves. */

/* Text for roff: a backslash and a leading dot or quote mean something there, and '-' is a hyphen. */
void roff_append(GString *s, const char *text);
