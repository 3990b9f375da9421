#pragma once
#include "tools/cli/cli.h"
/* rows.h - what rows of the command table have in common. */
#define ARGS(...) (const Argument[]){ __VA_ARGS__, { NULL } }
#define DOMAIN_ARG { "domain", ARG_DOMAIN, ARG_REQUIRED, "domain name, id or uuid" }
#define NETWORK_ARG { "network", ARG_NETWORK, ARG_REQUIRED, "network name or uuid" }
#define POOL_ARG { "pool", ARG_POOL, ARG_REQUIRED, "pool name or uuid" }
#define VOLUME_ARG { "vol", ARG_VOLUME, ARG_REQUIRED, "vol name, key or path" }
#define IN_POOL { "pool", ARG_POOL, ARG_NAMED, "pool name or uuid" }
#define FILE_ARG { "file", ARG_FILE, ARG_REQUIRED, "file containing an XML description" }
#define VALIDATE_FLAG(bit) { "validate", ARG_FLAG, 0, "validate the XML against the schema", bit }
#define XPATH_ARGS { "xpath", ARG_TEXT, ARG_NAMED, "xpath expression to filter the XML document" }, { "wrap", ARG_FLAG, 0, "wrap xpath results in an common root element" }
#define AFFECT_ARGS                                                                                                                       \
    { "config", ARG_FLAG, 0, "affect next boot", 2 }, { "live", ARG_FLAG, 0, "affect running domain", 1 }, { "current", ARG_FLAG, 0, "affect current domain" }
#define BYTES_FLAG { "bytes", ARG_FLAG, 0, "sizes are represented in bytes rather than pretty units" }

/* Functions of rows in more than one group. */
bool run_autostart(Cli *c, GError **err);
bool run_edit(Cli *c, GError **err);
bool run_dumpxml(Cli *c, GError **err);
bool run_uuid(Cli *c, GError **err);
bool run_name(Cli *c, GError **err);
