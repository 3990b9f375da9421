#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/* cpuset.h - sets of the host's processors as definitions write them: "0-3,^2,8".  A map has a bit for each, the lowest of the first byte first. */
enum { CPUSET_BYTES = 128, CPUSET_MOST = CPUSET_BYTES * 8 };

bool cpuset_read(const char *text, uint8_t map[CPUSET_BYTES], GError **err); /* not empty */
char *cpuset_text(const uint8_t *map, size_t bytes); /* caller frees */
bool cpuset_check(const char *text, GError **err);   /* for a row */
