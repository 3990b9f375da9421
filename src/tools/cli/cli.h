#pragma once
#include <atoll/atoll.h>
#include <stdbool.h>
/*
 * cli.h - the command line: one table of commands, from which parser, help, manual page and completion come.
 *
 * A row that has `call` needs no function: it names an object, calls a procedure with the bits of the flags that were
 * given, and says what came of it.
 */
typedef enum ArgumentKind {
    ARG_FLAG, ARG_TEXT, ARG_INT, ARG_SIZE, ARG_FILE, ARG_DOMAIN, ARG_NETWORK, ARG_POOL, ARG_VOLUME, ARG_SNAPSHOT, ARG_SECRET, ARG_NODE_DEVICE, ARG_COMMAND,
} ArgumentKind;
typedef enum ArgumentHow { ARG_OPTIONAL = 0, ARG_REQUIRED = 1, ARG_NAMED = 2 /* never without its name */, ARG_REST = 4 /* all that is left */ } ArgumentHow;

typedef struct Argument {
    const char *name;
    ArgumentKind kind;
    unsigned how;
    const char *help;
    unsigned bit; /* ARG_FLAG: of the procedure's flags */
} Argument;

typedef struct Cli Cli;
typedef struct Command {
    const char *name, *help;
    const Argument *args; /* ends with a row without a name; NULL: none */
    bool (*run)(Cli *c, GError **err);
    struct {
        const char *procedure, *done, *failed; /* done and failed with one %s: the object's name */
        bool flags;                            /* the procedure takes flags */
    } call;
    bool offline; /* needs no daemon */
} Command;

typedef struct Group {
    const char *title, *keyword;
    const Command *commands; /* ends with a row without a name */
} Group;
extern const Group groups[]; /* ends with a row without a title */
extern const Command domain_life_commands[], domain_info_commands[], domain_change_commands[], domain_stats_commands[], domain_watch_commands[], network_commands[], pool_commands[],
    volume_commands[], snapshot_commands[], host_commands[], shell_commands[], own_commands[];

struct Cli {
    AtollConnection *connection; /* NULL: not yet */
    char *uri;
    bool readonly, quiet, json, interactive, timing, leave, began /* the command has been called */;
    const Command *command;
    GHashTable *values; /* an argument's name: its text; a flag's: "" */
    GPtrArray *rest;    /* of ARG_REST */
    char *headline;     /* what failed; before the reason */
    struct Output *output;
};

/* ---- arguments */
const Command *command_find(const char *name);
bool cli_parse(Cli *c, const Command *command, int n, char **words, GError **err);
const char *arg_text(const Cli *c, const char *name); /* NULL: not given */
bool arg_given(const Cli *c, const char *name);
bool arg_int(const Cli *c, const char *name, gint64 *ret, GError **err); /* *ret stays where it was not given */
bool arg_size(Cli *c, const char *name, guint64 unit, guint64 *ret_bytes, GError **err); /* a bare number counts in `unit` bytes */
guint arg_bits(const Cli *c);
/* --live, --config and --current as virDomainModificationImpact. */
guint arg_affect(const Cli *c);
bool arg_file(const Cli *c, const char *name, char **ret, GError **err);

/* ---- running */
bool cli_open(Cli *c, GError **err);
/* One command in words; prints what came of it. */
bool cli_run(Cli *c, int n, char **words);
/* Commands in a line, with ; between them, as a shell has them. */
bool cli_run_line(Cli *c, const char *line);
int cli_shell(Cli *c);
void cli_headline(Cli *c, const char *format, ...) G_GNUC_PRINTF(2, 3);
bool cli_error(GError **err, const char *format, ...) G_GNUC_PRINTF(2, 3); /* false */
/* Consumes the arguments. */
GVariant *cli_call(Cli *c, const char *procedure, GVariant *args, GError **err);
/* The words for one command that mends an error, or NULL.  Caller frees. */
char *cli_remedy(const Cli *c, const GError *err);

/* ---- objects, by name, UUID or number; of the argument that the command has for them */
AtollObject *cli_object(Cli *c, const char *argument, GError **err);
GVariant *cli_handle(AtollObject *o);
AtollDomain *cli_domain(Cli *c, GError **err);
AtollNetwork *cli_network(Cli *c, GError **err);
AtollPool *cli_pool(Cli *c, const char *argument, GError **err);
AtollVolume *cli_volume(Cli *c, const char *argument, const char *pool_argument, GError **err);
/* Calls with the object's handle and flags. */
GVariant *object_call(gpointer object, const char *procedure, GVariant *more, GError **err);
bool object_int(gpointer object, const char *procedure, int *ret, GError **err);
char *object_text(gpointer object, const char *procedure, guint flags, GError **err);
const char *name_of(gpointer object);
const char *key_of(gpointer object);

/* ---- output: text as virsh has it, or one JSON value for a command */
typedef struct Table Table;
void out_begin(Cli *c);
void out_end(Cli *c);
void out_message(Cli *c, const char *format, ...) G_GNUC_PRINTF(2, 3); /* not with --quiet; a line */
void out_pair(Cli *c, int width, const char *label, const char *format, ...) G_GNUC_PRINTF(4, 5); /* label without its colon */
void out_text(Cli *c, const char *name, const char *text);    /* as it stands */
void out_line(Cli *c, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);
Table *table_new(const char *first, ...) G_GNUC_NULL_TERMINATED;
void table_row(Table *t, const char *first, ...) G_GNUC_NULL_TERMINATED;
void table_print(Cli *c, Table *t); /* and frees it */
const char *pretty_size(guint64 bytes, double *ret);
void out_size(Cli *c, int width, const char *label, guint64 bytes, bool raw);

/* ---- XML */
typedef struct _xmlDoc Document;
Document *document_read(const char *xml, GError **err);
void document_free(Document *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Document, document_free)
char *document_text(Document *d, const char *xpath);      /* of the first; NULL: none */
GPtrArray *document_nodes(Document *d, const char *xpath); /* char *: each as XML */
int document_count(Document *d, const char *xpath);
/* Prints a document, or what --xpath selects of it. */
bool out_document(Cli *c, const char *xml, GError **err);

/* ---- help */
char *help_command(const Command *command);
void help_groups(void);
bool help_group(const char *keyword);
void manual_print(void);
void completion_print(const char *shell);
char **complete(const char *const *words); /* the candidates for the last word */

bool run_net_doctor(Cli *c, GError **err);
bool run_console(Cli *c, AtollDomain *d, const char *device, bool force, bool start, GError **err);
extern const char *const domain_states[];
const char *domain_state_text(int state);
