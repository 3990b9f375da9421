#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * json.h - values to be shown: as JSON laid out like QEMU's, or as indented lines for a human.
 *
 * A value is owned by the one that it is put into.  Not json-glib's: it writes "key" : value, leaves what is not ASCII as it is, and
 * has no numbers above 2^63; scripts compare what they get with qemu-img's.
 */
typedef struct Json Json;

Json *json_object(void);
Json *json_array(void);
Json *json_string(const char *text);
Json *json_number(int64_t number);
Json *json_unsigned(uint64_t number);
Json *json_bool(bool value);
void json_free(Json *j);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Json, json_free)

void json_set(Json *object, const char *key, Json *value); /* at the end; keys are not looked up */
void json_add(Json *array, Json *value);
Json *json_first(Json *array); /* NULL: empty */
Json *json_get(Json *object, const char *key); /* NULL: none */
/* "bitmaps.0.name": makes the objects and arrays on the way. */
void json_set_path(Json *object, const char *path, Json *value);

char *json_text(const Json *j);                          /* with a newline at the end; caller frees */
void json_append_human(GString *s, const Json *object, unsigned indent); /* "key words: value" lines */

/* info.c: what blk_info_specific() says, as an object; NULL: there is nothing to say. */
Json *facts_json(GArray *facts);
