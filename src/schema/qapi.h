#pragma once
#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
/*
 * qapi.h - the types of the monitor's language, described once: checking, introspection (query-qmp-schema) and help come
 * from the rows.  They mean what docs/devel/qapi-code-gen of QEMU says, for its clients read them.
 *
 * Members are written "name: type, ?optional: type, list: [type]"; words of an enum and types of an alternate have blanks
 * between them.  A text without a colon is the name of an object type.  Built in are str, int, number, bool, any, null.
 */
typedef enum QapiMeta { QAPI_OBJECT, QAPI_ENUM, QAPI_ALTERNATE } QapiMeta;

typedef struct QapiType {
    const char *name;
    QapiMeta meta;
    const char *members;
    const char *tag, *variants; /* of an object: the member that decides, and "case: Type, ..." */
    bool open;                  /* takes members that are not listed: whoever uses it checks them */
} QapiType;

typedef struct QapiMember {
    char name[64], type[64]; /* the element's type for a list */
    bool optional, list;
} QapiMember;
/* Reads the next member from *at, which starts as the text.  False: there is none. */
bool qapi_member_next(const char **at, QapiMember *ret);
bool qapi_words_contain(const char *words, const char *word);

typedef struct QapiSchema QapiSchema;
QapiSchema *qapi_schema_new(void);
void qapi_schema_free(QapiSchema *s); /* NULL is fine */
void qapi_schema_add(QapiSchema *s, const QapiType *table); /* ends with a row without a name; must outlive s */
const QapiType *qapi_schema_find(const QapiSchema *s, const char *name);
/* The name of a type that is not there and that a text of members asks for; NULL: all are there.  For tests. */
char *qapi_schema_missing(const QapiSchema *s, const char *members);

/* Are these the arguments that `members` describes?  args NULL: none were given. */
bool qapi_check_arguments(const QapiSchema *s, const char *members, JsonObject *args, GError **err);
/* Is a value of that type ("X" or "[X]")? */
bool qapi_check_value(const QapiSchema *s, const char *type, JsonNode *value, GError **err);

/* Introspection: what is asked for by one of these, and all that those stand on. */
typedef struct QapiIntrospection QapiIntrospection;
QapiIntrospection *qapi_introspect_new(const QapiSchema *s);
/* NULL members: no arguments; NULL ret: nothing comes back.  features: words, or NULL. */
void qapi_introspect_command(QapiIntrospection *i, const char *name, const char *members, const char *ret, const char *features);
void qapi_introspect_event(QapiIntrospection *i, const char *name, const char *members);
JsonNode *qapi_introspect_end(QapiIntrospection *i); /* frees i */

/* "name=type [other=type]" for help; caller frees. */
char *qapi_members_help(const char *members);

/* The rows: types.c. */
extern const QapiType qapi_types[];
