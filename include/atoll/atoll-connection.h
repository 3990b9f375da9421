#pragma once
#include <gio/gio.h>

#include <atoll/atoll-error.h>

G_BEGIN_DECLS

/**
 * AtollOpenFlags:
 * @ATOLL_OPEN_NONE: nothing special
 * @ATOLL_OPEN_READONLY: calls that change anything are refused
 * @ATOLL_OPEN_NO_START: where no daemon of the user runs, fail and start none
 */
typedef enum {
    ATOLL_OPEN_NONE = 0,
    ATOLL_OPEN_READONLY = 1 << 0,
    ATOLL_OPEN_NO_START = 1 << 1,
} AtollOpenFlags;

#define ATOLL_TYPE_STREAM (atoll_stream_get_type())
G_DECLARE_FINAL_TYPE(AtollStream, atoll_stream, ATOLL, STREAM, GObject)

#define ATOLL_TYPE_CONNECTION (atoll_connection_get_type())
G_DECLARE_FINAL_TYPE(AtollConnection, atoll_connection, ATOLL, CONNECTION, GObject)

AtollConnection *atoll_connection_open_sync(const char *uri, AtollOpenFlags flags, GCancellable *cancellable, GError **error);
void atoll_connection_open(const char *uri, AtollOpenFlags flags, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
AtollConnection *atoll_connection_open_finish(GAsyncResult *result, GError **error);
void atoll_connection_close(AtollConnection *self);
const char *atoll_connection_get_uri(AtollConnection *self);
gboolean atoll_connection_is_open(AtollConnection *self);

GVariant *atoll_connection_call_sync(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GError **error);
void atoll_connection_call(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
GVariant *atoll_connection_call_finish(AtollConnection *self, GAsyncResult *result, GError **error);
int atoll_connection_call_fd_sync(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GError **error);
AtollStream *atoll_connection_open_stream_sync(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GError **error);
char *atoll_connection_get_result_type(const char *procedure);

gboolean atoll_stream_send_sync(AtollStream *self, GBytes *data, GCancellable *cancellable, GError **error);
GBytes *atoll_stream_receive_sync(AtollStream *self, GCancellable *cancellable, GError **error);
void atoll_stream_receive(AtollStream *self, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
GBytes *atoll_stream_receive_finish(AtollStream *self, GAsyncResult *result, GError **error);
gboolean atoll_stream_finish_sync(AtollStream *self, GCancellable *cancellable, GError **error);
void atoll_stream_abort(AtollStream *self);

G_END_DECLS
