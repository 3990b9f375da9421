/* domains.c - lists the domains of a daemon, starts one and hears of it:  cc domains.c $(pkg-config --cflags --libs atoll) */
#include <atoll/atoll.h>
#include <stdio.h>

static void on_event(AtollConnection *c, AtollDomain *d, int event, int detail, gpointer loop)
{
    printf("event %d.%d of %s\n", event, detail, atoll_object_get_name(ATOLL_OBJECT(d)));
    g_main_loop_quit(loop);
}

static void on_suspended(GObject *domain, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    if (!atoll_domain_suspend_finish(ATOLL_DOMAIN(domain), result, &error))
        printf("not suspended: %s\n", error->message);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AtollConnection) c = atoll_connection_open_sync(argc > 1 ? argv[1] : NULL, ATOLL_OPEN_NONE, NULL, &error);
    g_autoptr(GPtrArray) list = c ? atoll_connection_list_domains_sync(c, 0, NULL, &error) : NULL;
    if (!list) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    for (guint i = 0; i < list->len; i++)
        printf("%d %s\n", atoll_domain_get_id(list->pdata[i]), atoll_object_get_name(list->pdata[i]));
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    if (!list->len || !atoll_connection_watch_domains_sync(c, 0, NULL, NULL, &error))
        return 1;
    g_signal_connect(c, "domain-lifecycle", G_CALLBACK(on_event), loop);
    atoll_domain_suspend(list->pdata[0], NULL, on_suspended, NULL);
    g_main_loop_run(loop);
    return !atoll_domain_resume_sync(list->pdata[0], NULL, &error);
}
