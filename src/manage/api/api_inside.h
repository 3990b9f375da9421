#pragma once
#include <stdbool.h>
#include <string.h>

#include <atoll/atoll-connection.h>
#include <atoll/atoll-object.h>
/* api_inside.h - what the files of libatoll share. */

/* Connects to the daemon of a URI (NULL: the user's); ret_name is what the daemon is to open. */
GSocket *endpoint_connect(const char *uri, AtollOpenFlags flags, char **ret_name, GCancellable *cancellable, GError **error);
/* A daemon that listens on TCP; pki NULL: where certificates usually lie. */
GSocket *endpoint_connect_tls(const char *host, int port, const char *pki, bool verify, GCancellable *cancellable, GError **error);
