#pragma once
#include <json-glib/json-glib.h>

#include "manage/daemon/task.h"
/*
 * agent.h - the guest agent: a program in a guest that answers questions and does what is asked, over a channel of virtio-serial
 * (QEMU's docs/interop/qemu-ga-ref).  The channel's end on the host is a socket, which is connected to for one question after
 * another; a lane of its own keeps an agent that does not answer from holding up anything else.
 */
#define AGENT_CHANNEL "org.qemu.guest_agent.0"
/* virDomainQemuAgentCommandTimeoutValues; else seconds */
enum { AGENT_BLOCK = -2, AGENT_DEFAULT = -1, AGENT_NOWAIT = 0 };
enum { AGENT_DEFAULT_S = 5, AGENT_REPLY_MAX = 32 << 20 /* bytes */ };

/* Where the agent of a running machine is reached; NULL and an error: there is none, or nobody listens in the guest. */
const char *agent_path(const ManagedDomain *d, GError **err);
/* Of every port of a machine, before it runs: nobody listens; NULL: that is not known. */
void agent_expect(Domain *live, const char *state);
/* The guest has opened or closed a port, by its alias. */
void agent_told(ManagedDomain *d, const char *alias, bool open);

/* Answers a call by the row of handlers_agent.c that has its procedure. */
void agent_verb(Client *c, RpcCall *call, GVariant *args);

/* guest_vcpus.c: so many of its processors the guest uses from now on; 0: answers how many it does. */
void guest_vcpus(ManagedDomain *d, RpcCall *call, guint wanted);

/* A conversation, on a worker. */
typedef struct Agent Agent;
Agent *agent_open(const char *path, int sync_seconds, GCancellable *cancel, GError **err); /* it has answered */
void agent_close(Agent *a);
/* The whole answer to a command (both JSON) as text, also where it is an error; AGENT_NOWAIT: "" at once. */
char *agent_say(Agent *a, const char *command, int seconds, GError **err);
/* {"execute": NAME, "arguments": {...}}; no arguments may be NULL or empty; the caller frees it. */
char *agent_command(const char *name, JsonObject *arguments);
/* What it returns; the caller frees it. */
JsonNode *agent_ask(Agent *a, const char *command, GError **err);
