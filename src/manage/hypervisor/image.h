#pragma once
#include "manage/hypervisor/hypervisor.h"
/* image.h - what is done with images of machines: by atoll-img, a process of its own.  Each blocks: on a worker. */

/* Runs the tool with these words (the last NULL); what it prints goes to *ret_out unless that is NULL. */
bool image_run(const char *tool, char **ret_out, GError **err, ...) G_GNUC_NULL_TERMINATED;
/* The images below this one, numbered from `next`, and an empty layer where the chain ends.  NULL and an error. */
Layer *image_chain(const char *tool, const char *path, const char *format, uint64_t next, GError **err);
/* A disk's own image as a layer of a chain; the members are copies. */
Layer *image_layer(const Disk *d);
const char *image_path(const Disk *d); /* NULL: none, or on a server */
