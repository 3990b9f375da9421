#pragma once
#include <json-glib/json-glib.h>

#include "manage/hypervisor/plan.h"
/* plan_inside.h - JSON objects for command lines. */
typedef JsonObject Json;

Json *json_with(const char *name, const char *value); /* a new object; the caller ends it with json_end() */
void json_text(Json *o, const char *name, const char *value); /* NULL: nothing */
void json_number(Json *o, const char *name, uint64_t value);  /* RECORD_NONE: nothing */
char *json_end(Json *o); /* text; frees the object */
void json_address(Json *o, const Address *a); /* bus and addr where the definition says them */

bool plan_devices(const HvHost *h, const Domain *d, LaunchPlan *p, GError **err);
bool plan_controllers(const Domain *d, LaunchPlan *p, GError **err);
void plan_controller_alias(const Domain *d, Controller *c);
void plan_boot(const Domain *d, LaunchPlan *p);
uint64_t plan_boot_index(const Domain *d, const void *device); /* of a disk or a card; RECORD_NONE: none */
