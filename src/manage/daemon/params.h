#pragma once
#include <glib.h>
/* params.h - lists of typed parameters, a(sv): how statistics and settings are answered. */

/* One more, with a name in printf's way; the value's type is the parameter's. */
static inline void param_add(GVariantBuilder *b, GVariant *value, const char *format, ...) G_GNUC_PRINTF(3, 4);
static inline void param_add(GVariantBuilder *b, GVariant *value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *name = g_strdup_vprintf(format, args);
    va_end(args);
    g_variant_builder_add(b, "(sv)", name, value);
}
