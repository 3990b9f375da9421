#pragma once
#include "block/driver.h"
/*
 * writelog.h - records every write and flush that passes, so that a test can ask: what is in the file if the power goes
 * at that moment?
 *
 * After each prefix of what was recorded the file has all that was flushed, and any of what was not.
 */
typedef struct WritelogEvent {
    uint64_t off;
    GBytes *data; /* NULL: a flush */
    uint64_t ns;  /* when it was done, to put the events of several disks in order */
    unsigned tag; /* what writelog_tag() said last */
} WritelogEvent;

extern const BlkDriver writelog_driver;
void writelog_tag(BlkNode *n, unsigned tag);
GArray *writelog_take(BlkNode *n); /* of WritelogEvent; caller unrefs; starts anew */

/* Calls check() for each state that a power cut could leave of `start`: every prefix, and `reorderings` random choices of
 * what was not flushed then.  Returns how many. */
typedef void WritelogCheck(GByteArray *bytes, unsigned tag, void *arg);
void writelog_put(GByteArray *bytes, const WritelogEvent *e); /* does that write */
unsigned writelog_replay(const GArray *events, const GByteArray *start, unsigned reorderings, GRand *rand, WritelogCheck *check, void *arg);
