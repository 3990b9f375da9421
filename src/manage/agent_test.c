/* agent_test.c - conversations with a guest agent that is played here: one that answers, and those that are silent, late, mad or gone. */
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>

#include "manage/daemon/agent.h"
#include "manage/hypervisor/qmp.h"

/* What it sends before and behind its answer to guest-sync-delimited, and to the command after it. */
typedef struct Play {
    const char *before, *command_answer;
    bool no_sync, wrong_id;
    char *folder, *path;
    GSocketListener *listener;
    GThread *thread;
} Play;

static char *heard_line(GInputStream *in)
{
    GString *s = g_string_new(NULL);
    char c;
    while (g_input_stream_read(in, &c, 1, NULL, NULL) == 1 && c != '\n')
        g_string_append_c(s, c);
    return g_string_free(s, FALSE);
}

static void say(GOutputStream *out, const char *text) { g_output_stream_write_all(out, text, strlen(text), NULL, NULL, NULL); }

static void answer_sync(const Play *p, GOutputStream *out, const char *line)
{
    const char *id = strstr(line, "\"id\": ");
    g_assert_nonnull(id);
    g_autofree char *text = g_strdup_printf("\xff{\"return\": %lu}\n", strtoul(id + strlen("\"id\": "), NULL, 10) + p->wrong_id);
    say(out, text);
}

static gpointer play(gpointer data)
{
    const Play *p = data;
    g_autoptr(GSocketConnection) c = g_socket_listener_accept(p->listener, NULL, NULL, NULL);
    GInputStream *in = g_io_stream_get_input_stream(G_IO_STREAM(c));
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(c));
    g_autofree char *first = heard_line(in);
    g_assert_nonnull(strstr(first, "guest-sync-delimited"));
    if (p->before)
        say(out, p->before);
    if (!p->no_sync)
        answer_sync(p, out, first);
    g_autofree char *command = p->command_answer || p->no_sync || p->wrong_id ? heard_line(in) : NULL;
    if (p->command_answer)
        say(out, p->command_answer);
    return NULL;
}

static void begin(Play *p)
{
    p->folder = g_dir_make_tmp("agent-XXXXXX", NULL);
    p->path = g_build_filename(p->folder, "agent", NULL);
    p->listener = g_socket_listener_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(p->path);
    g_assert_true(g_socket_listener_add_address(p->listener, address, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, NULL));
    p->thread = g_thread_new("agent", play, p);
}

static void end(Play *p)
{
    g_thread_join(p->thread);
    g_object_unref(p->listener);
    g_unlink(p->path);
    g_rmdir(p->folder);
    g_free(p->path);
    g_free(p->folder);
}

/* Half a line and an old answer are in the channel; then all is well. */
static void test_answers(void)
{
    g_autoptr(GError) err = NULL;
    Play p = { .before = "{\"return\": 5}\n{\"ret", .command_answer = "{\"return\": {\"host-name\": \"x\"}}\n" };
    begin(&p);
    Agent *a = agent_open(p.path, 60, NULL, &err);
    g_assert_no_error(err);
    g_autofree char *command = agent_command("guest-get-host-name", NULL);
    g_autoptr(JsonNode) said = agent_ask(a, command, &err);
    g_assert_no_error(err);
    g_assert_cmpstr(qmp_text(json_node_get_object(said), "host-name", ""), ==, "x");
    agent_close(a);
    end(&p);
}

static void check_refusal(const char *answer, RpcError code, const char *words)
{
    g_autoptr(GError) err = NULL;
    Play p = { .command_answer = answer };
    begin(&p);
    Agent *a = agent_open(p.path, 60, NULL, &err);
    g_assert_no_error(err);
    g_assert_null(agent_ask(a, "{\"execute\": \"x\"}", &err));
    g_assert_error(err, RPC_ERROR, (int)code);
    g_assert_nonnull(strstr(err->message, words));
    agent_close(a);
    end(&p);
}

static void test_refusals(void)
{
    check_refusal("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such\"}}\n", RPC_ERR_OPERATION_UNSUPPORTED, "no such");
    check_refusal("{\"error\": {\"class\": \"GenericError\", \"desc\": \"frozen\"}}\n", RPC_ERR_INTERNAL, "frozen");
    check_refusal("{\"error\": 7}\n", RPC_ERR_INTERNAL, "nonsense");
    check_refusal("]]]\n", RPC_ERR_INTERNAL, "nonsense");
    check_refusal("{\"return\": ", RPC_ERR_AGENT_UNRESPONSIVE, "closed");
}

static void check_silence(Play p, int seconds)
{
    g_autoptr(GError) err = NULL;
    begin(&p);
    g_assert_null(agent_open(p.path, seconds, NULL, &err));
    g_assert_error(err, RPC_ERROR, RPC_ERR_AGENT_UNRESPONSIVE);
    end(&p);
}

static void test_silence(void)
{
    check_silence((Play){ .no_sync = true }, 1);
    check_silence((Play){ .wrong_id = true }, 1);
    check_silence((Play){ .no_sync = true, .before = "{}\n[]\n7\n\n\xff\xff\n{\"return\": {}}\n" }, 1);
}

static gpointer cancel_soon(gpointer cancel)
{
    g_usleep(50000);
    g_cancellable_cancel(cancel);
    return NULL;
}

/* The daemon ends while somebody waits. */
static void test_cancel(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    Play p = { .no_sync = true };
    begin(&p);
    GThread *other = g_thread_new("cancel", cancel_soon, cancel);
    g_assert_null(agent_open(p.path, 600, cancel, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_thread_join(other);
    end(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/agent/answers", test_answers);
    g_test_add_func("/agent/refusals", test_refusals);
    g_test_add_func("/agent/silence", test_silence);
    g_test_add_func("/agent/cancel", test_cancel);
    return g_test_run();
}
