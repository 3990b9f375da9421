#pragma once
#include <gio/gio.h>
#include <stdbool.h>

#include "manage/rpc/procedures.h"
/*
 * transport.h - the client's side of libvirt's protocol: calls and their replies, streams, events on one socket.
 *
 * A thread of its own reads; any thread may call.  A reply is matched by its serial, so calls overtake each other.
 */
typedef struct Transport Transport;
typedef struct Pipe Pipe; /* a stream */

typedef struct TransportEvents {
    /* On the reading thread.  `values` is the event's tuple. */
    void (*event)(const Procedure *p, GVariant *values, void *opaque);
    void (*closed)(void *opaque);
} TransportEvents;

/* Takes the socket. */
Transport *transport_new(GSocket *socket, const TransportEvents *events, void *opaque, GDestroyNotify free);
Transport *transport_ref(Transport *t);
void transport_unref(Transport *t);
void transport_close(Transport *t); /* calls under way fail */

/* Waits for the reply, a tuple.  ret_fd (may be NULL): a descriptor that came with it, or -1. */
GVariant *transport_call(Transport *t, const Procedure *p, GVariant *args, int *ret_fd, GCancellable *cancellable, GError **err);
/* The task returns a GVariant. */
void transport_call_task(Transport *t, const Procedure *p, GVariant *args, GTask *task);
/* A call that a stream follows. */
GVariant *transport_open_pipe(Transport *t, const Procedure *p, GVariant *args, Pipe **ret, GCancellable *cancellable, GError **err);

bool pipe_send(Pipe *p, const void *data, gsize bytes, GError **err);
/* Waits for data; an empty one: the end. */
GBytes *pipe_receive(Pipe *p, GCancellable *cancellable, GError **err);
bool pipe_finish(Pipe *p, GCancellable *cancellable, GError **err); /* all has gone well */
void pipe_abort(Pipe *p);
void pipe_free(Pipe *p);                                            /* aborts one that has not finished */
