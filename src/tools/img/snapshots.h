#pragma once
#include "block/block.h"
#include "tools/img/json.h"
/* snapshots.h - lists of internal snapshots as text and JSON. */
void snapshots_print(GArray *list);
Json *snapshots_json(GArray *list);
