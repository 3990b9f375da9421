/* shell.c - commands of the program itself, and the interactive shell with its history. */
#include <editline/readline.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

const Group groups[] = {
    { "Domain Management", "domain", domain_life_commands },
    { "Domain Changes", "change", domain_change_commands },
    { "Domain Monitoring", "monitor", domain_info_commands },
    { "Domain Statistics and Saved States", "stats", domain_stats_commands },
    { "Domain Events", "events", domain_watch_commands },
    { "Host and Hypervisor", "host", host_commands },
    { "Networking", "network", network_commands },
    { "Snapshot", "snapshot", snapshot_commands },
    { "Storage Pool", "pool", pool_commands },
    { "Storage Volume", "volume", volume_commands },
    { "Atoll", "atoll", own_commands },
    { "atoll itself", "virsh", shell_commands },
    { NULL },
};

static bool run_help(Cli *c, GError **err)
{
    const char *word = arg_text(c, "command");
    const Command *k = word ? command_find(word) : NULL;
    if (!word) {
        help_groups();
        return true;
    }
    if (k) {
        g_autofree char *text = help_command(k);
        fputs(text, stdout);
        return true;
    }
    return help_group(word) || cli_error(err, "command or command group '%s' doesn't exist", word);
}

static bool run_quit(Cli *c, GError **err)
{
    c->leave = true;
    return true;
}

static bool run_cd(Cli *c, GError **err)
{
    const char *to = arg_given(c, "dir") ? arg_text(c, "dir") : g_get_home_dir();
    return !g_chdir(to) || cli_error(err, "cd: %s: %s", to, g_strerror(errno));
}

static bool run_pwd(Cli *c, GError **err)
{
    g_autofree char *here = g_get_current_dir();
    out_line(c, "dir", "%s", here);
    return true;
}

static bool run_echo(Cli *c, GError **err)
{
    g_autoptr(GString) s = g_string_new(NULL);
    for (guint i = 0; i < c->rest->len; i++) {
        g_autofree char *quoted = arg_given(c, "shell") ? g_shell_quote(c->rest->pdata[i]) : g_strdup(c->rest->pdata[i]);
        g_string_append_printf(s, "%s%s", i ? " " : "", quoted);
    }
    out_text(c, "text", s->str);
    return true;
}

static bool run_connect(Cli *c, GError **err)
{
    g_clear_object(&c->connection);
    g_free(c->uri);
    c->uri = g_strdup(arg_text(c, "name"));
    c->readonly = arg_given(c, "readonly");
    return cli_open(c, err);
}

static bool run_manual(Cli *c, GError **err)
{
    manual_print();
    return true;
}

static bool run_completion(Cli *c, GError **err)
{
    completion_print(arg_text(c, "shell"));
    return true;
}

static bool run_complete(Cli *c, GError **err)
{
    g_ptr_array_add(c->rest, NULL);
    g_auto(GStrv) found = complete((const char *const *)c->rest->pdata);
    for (char **f = found; *f; f++)
        puts(*f);
    return true;
}

/* ---- the other end of atoll+ssh:// */

static gpointer carry(gpointer data)
{
    int *pair = data;
    char text[64 << 10];
    for (ssize_t n; (n = read(pair[0], text, sizeof text)) > 0;)
        for (ssize_t done = 0, w; done < n; done += w)
            if ((w = write(pair[1], text + done, n - done)) < 0)
                return NULL;
    shutdown(pair[1], SHUT_WR);
    return NULL;
}

static bool run_proxy(Cli *c, GError **err)
{
    const char *where = arg_text(c, "to");
    g_autofree char *own = g_build_filename(g_get_user_runtime_dir(), "atoll", "atoll-sock", NULL);
    const char *path = *where == '/' ? where : !strcmp(where, "session") ? own : "/run/atoll/atoll-sock";
    if (path == own) { /* starts the daemon where none runs */
        g_autoptr(AtollConnection) first = atoll_connection_open_sync("atoll:///session", ATOLL_OPEN_NONE, NULL, err);
        if (!first)
            return false;
    }
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketConnection) s = g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, err);
    if (!s)
        return false;
    int fd = g_socket_get_fd(g_socket_connection_get_socket(s)), in[2] = { STDIN_FILENO, fd }, out[2] = { fd, STDOUT_FILENO };
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); /* GSocket makes every socket so */
    g_thread_unref(g_thread_new("in", carry, in));
    carry(out);
    exit(0);
}

const Command shell_commands[] = {
    { "cd", "change the current directory", ARGS({ "dir", ARG_FILE, 0, "directory to switch to (default: home or else root)" }), run_cd, .offline = true },
    { "complete", "print what may complete the last word", ARGS({ "words", ARG_TEXT, ARG_REST, "the words so far" }), run_complete, .offline = true },
    { "completion", "print a completion script", ARGS({ "shell", ARG_TEXT, ARG_REQUIRED, "bash or zsh" }), run_completion, .offline = true },
    { "connect", "(re)connect to hypervisor", ARGS({ "name", ARG_TEXT, 0, "hypervisor connection URI" }, { "readonly", ARG_FLAG, 0, "read-only connection" }), run_connect, .offline = true },
    { "echo", "echo arguments",
      ARGS({ "shell", ARG_FLAG, 0, "escape for shell use" }, { "xml", ARG_FLAG, 0, "escape for XML use" }, { "string", ARG_TEXT, ARG_REST, "arguments to echo" }), run_echo, .offline = true },
    { "exit", "quit this interactive terminal", NULL, run_quit, .offline = true },
    { "help", "print help", ARGS({ "command", ARG_COMMAND, 0, "Prints global help, command specific help, or help for a group of related commands" }), run_help, .offline = true },
    { "manual", "print the manual page atoll(1)", NULL, run_manual, .offline = true },
    { "proxy", "carry bytes to the daemon, for a client behind ssh", ARGS({ "to", ARG_TEXT, ARG_REQUIRED, "system, session or the path of a socket" }), run_proxy, .offline = true },
    { "pwd", "print the current directory", NULL, run_pwd, .offline = true },
    { "quit", "quit this interactive terminal", NULL, run_quit, .offline = true },
    { NULL },
};

/* ---- the shell */

static char **candidates(const char *text, int start, int end)
{
    g_autofree char *line = g_strndup(rl_line_buffer, start);
    g_auto(GStrv) words = NULL;
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    if (g_shell_parse_argv(line, NULL, &words, NULL))
        for (char **w = words; *w; w++)
            g_ptr_array_add(all, *w);
    g_ptr_array_add(all, (char *)text);
    g_ptr_array_add(all, NULL);
    g_auto(GStrv) found = complete((const char *const *)all->pdata);
    guint n = g_strv_length(found);
    if (!n)
        return NULL;
    /* libedit frees them; the first is what all have in common */
    char **list = calloc(n + 2, sizeof *list);
    gsize common = strlen(found[0]);
    for (guint i = 0; i < n; i++) {
        gsize same = 0;
        while (same < common && found[i][same] == found[0][same])
            same++;
        common = same;
        list[i + 1] = strdup(found[i]);
    }
    list[0] = strndup(found[0], common);
    if (n == 1) {
        free(list[1]);
        list[1] = NULL;
    }
    return list;
}

int cli_shell(Cli *c)
{
    g_autofree char *folder = g_build_filename(g_get_user_cache_dir(), "atoll", NULL), *history = g_build_filename(folder, "history", NULL);
    bool terminal = isatty(STDIN_FILENO);
    g_autoptr(GError) err = NULL;
    if (!cli_open(c, &err)) {
        fprintf(stderr, "error: %s\nerror: %s\n", c->headline, err->message);
        return 1;
    }
    if (terminal && !c->quiet)
        puts("Welcome to atoll, the virtualization interactive terminal.\n\nType:  'help' for help with commands\n       'quit' to quit\n");
    c->interactive = true;
    g_mkdir_with_parents(folder, 0700);
    rl_readline_name = "atoll";
    rl_attempted_completion_function = candidates;
    using_history();
    read_history(history);
    char prompt[] = "atoll # ";
    if (geteuid())
        prompt[6] = '>';
    while (!c->leave) {
        char *line = terminal ? readline(prompt) : NULL;
        size_t room = 0;
        if (!terminal && getline(&line, &room, stdin) < 0) {
            free(line);
            line = NULL;
        }
        if (!line)
            break;
        if (terminal && *line)
            add_history(line);
        cli_run_line(c, line);
        free(line);
    }
    if (terminal)
        write_history(history);
    return 0;
}
