#pragma once
/*
 * libatoll: the machines, storage and networks of a host, from a program.
 *
 *     g_autoptr(AtollConnection) c = atoll_connection_open_sync(NULL, ATOLL_OPEN_NONE, NULL, &error);
 *     g_autoptr(AtollDomain) d = atoll_connection_find_domain_sync(c, "web", NULL, &error);
 *     atoll_domain_start_sync(d, 0, NULL, &error);
 *
 * Each call has three functions: NAME_sync() waits; NAME() returns at once and NAME_finish() takes its result, as GTask has it.
 */
#include <atoll/atoll-connection.h>
#include <atoll/atoll-error.h>
#include <atoll/atoll-object.h>

#include <atoll/atoll-calls.h>
