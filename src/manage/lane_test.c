/* lane_test.c - jobs follow each other, lanes do not wait for each other, and a lane may go in the middle of its job. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/lane.h"

typedef struct Log {
    GString *text;
    Lane *lane;
    bool free_in_done;
    GMutex lock; /* run() waits for it */
} Log;

static bool begin(Job *j, GError **err)
{
    g_string_append_c(((Log *)j->data)->text, 'b');
    return true;
}

static bool refuse(Job *j, GError **err) { return error_set(err, ERR_INVALID, "no"); }

static bool run(Job *j, GError **err)
{
    Log *log = j->data;
    g_mutex_lock(&log->lock);
    g_mutex_unlock(&log->lock);
    return true;
}

static void done(Job *j, GError *err)
{
    Log *log = j->data;
    g_string_append_c(log->text, err ? 'e' : 'd');
    if (log->free_in_done)
        lane_free(g_steal_pointer(&log->lane));
}

static const JobType ordinary = { "ordinary", begin, run, done }, refused = { "refused", refuse, run, done }, light = { "light", NULL, NULL, done };

static Log *log_new(void)
{
    Log *log = g_new0(Log, 1);
    log->text = g_string_new(NULL);
    log->lane = lane_new(NULL);
    g_mutex_init(&log->lock);
    return log;
}

static void expect(Log *log, const char *text)
{
    for (int i = 0; i < 2000 && log->text->len < strlen(text); i++)
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(500);
    g_assert_cmpstr(log->text->str, ==, text);
}

static void log_free(Log *log)
{
    lane_free(log->lane);
    g_string_free(log->text, TRUE);
    g_mutex_clear(&log->lock);
    g_free(log);
}

static void test_order(void)
{
    Log *log = log_new(), *other = log_new();
    g_mutex_lock(&log->lock);
    lane_push(log->lane, &ordinary, log);
    lane_push(log->lane, &refused, log);
    lane_push(log->lane, &light, log);
    lane_push(other->lane, &ordinary, other);
    expect(other, "bd"); /* while the first lane's job is at work */
    g_assert_cmpstr(log->text->str, ==, "b");
    g_assert_cmpstr(lane_current(log->lane)->type->name, ==, "ordinary");
    g_assert_cmpuint(lane_waiting(log->lane), ==, 2);
    g_mutex_unlock(&log->lock);
    expect(log, "bded");
    log_free(log);
    log_free(other);
}

static void test_cancelled(void)
{
    Log *log = log_new();
    lane_push(log->lane, &ordinary, log);
    g_cancellable_cancel(lane_push(log->lane, &ordinary, log)->cancel);
    expect(log, "bde");
    log_free(log);
}

/* As a transient domain goes with its failed start. */
static void test_freed_by_its_job(void)
{
    Log *log = log_new();
    log->free_in_done = true;
    lane_push(log->lane, &ordinary, log);
    lane_push(log->lane, &light, log);
    expect(log, "bde");
    log_free(log);
}

static bool run_until_cancelled(Job *j, GError **err)
{
    while (!g_cancellable_is_cancelled(j->cancel))
        g_usleep(1000);
    return error_set(err, ERR_BUSY, "cancelled");
}

/* What is at work is cancelled and waited for, what waits is refused. */
static void test_end_of_all(void)
{
    static const JobType endless = { "endless", begin, run_until_cancelled, done };
    Lanes *all = lanes_new();
    Log *log = log_new(), *other = log_new();
    lane_free(log->lane);
    log->lane = lane_new(all);
    lane_push(log->lane, &endless, log);
    lane_push(log->lane, &ordinary, log);
    lanes_end(all);
    g_assert_cmpstr(log->text->str, ==, "bee");
    lane_push(log->lane, &ordinary, log);
    lanes_end(all);
    g_assert_cmpstr(log->text->str, ==, "beee");
    log_free(log);
    log_free(other);
    lanes_free(all);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lane/order", test_order);
    g_test_add_func("/lane/cancelled", test_cancelled);
    g_test_add_func("/lane/freed-by-its-job", test_freed_by_its_job);
    g_test_add_func("/lane/end-of-all", test_end_of_all);
    return g_test_run();
}
