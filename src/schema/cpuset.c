/* cpuset.c - sets of processors. */
#include "schema/cpuset.h"

#include <string.h>

#include "base/error.h"

/* "3", "0-3", "^2" */
static bool read_piece(const char *piece, uint8_t *map)
{
    bool out = *piece == '^';
    const char *at = piece + out;
    char *end;
    guint64 first = g_ascii_strtoull(at, &end, 10), last = first;
    if (!g_ascii_isdigit(*at))
        return false;
    if (*end == '-' && !out) {
        at = end + 1;
        last = g_ascii_strtoull(at, &end, 10);
        if (!g_ascii_isdigit(*at))
            return false;
    }
    if (*end || first > last || last >= CPUSET_MOST)
        return false;
    for (guint64 i = first; i <= last; i++)
        map[i / 8] = out ? map[i / 8] & ~(1 << i % 8) : map[i / 8] | 1 << i % 8;
    return true;
}

bool cpuset_read(const char *text, uint8_t map[CPUSET_BYTES], GError **err)
{
    g_auto(GStrv) pieces = g_strsplit(text, ",", -1);
    bool ok = *pieces, any = false;
    memset(map, 0, CPUSET_BYTES);
    for (char **p = pieces; ok && *p; p++)
        ok = read_piece(g_strstrip(*p), map);
    for (unsigned i = 0; i < CPUSET_BYTES; i++)
        any |= map[i];
    return (ok && any) || error_set(err, ERR_INVALID, "'%s' is no set of processors: it is written as 0-3,^2,8, and holds one at least and none above %d", text, CPUSET_MOST - 1);
}

bool cpuset_check(const char *text, GError **err)
{
    uint8_t map[CPUSET_BYTES];
    return cpuset_read(text, map, err);
}

char *cpuset_text(const uint8_t *map, size_t bytes)
{
    GString *s = g_string_new(NULL);
    for (size_t first = 0; first < bytes * 8; first++) {
        size_t last = first;
        if (!(map[first / 8] & 1 << first % 8))
            continue;
        while (last + 1 < bytes * 8 && map[(last + 1) / 8] & 1 << (last + 1) % 8)
            last++;
        g_string_append_printf(s, last > first ? "%s%zu-%zu" : "%s%zu", s->len ? "," : "", first, last);
        first = last;
    }
    return g_string_free(s, FALSE);
}
