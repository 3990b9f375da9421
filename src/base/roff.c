/* roff.c - text in manual pages. */
#include "base/roff.h"

void roff_append(GString *s, const char *text)
{
    for (const char *p = text; *p; p++) {
        if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
            g_string_append(s, "\\&");
        if (*p == '-')
            g_string_append(s, "\\-");
        else if (*p == '\\')
            g_string_append(s, "\\e");
        else
            g_string_append_c(s, *p);
    }
}
