#pragma once
#include <glib.h>

#include "subject.h"
/* compare.h - what must agree after a case, and a report of what does not. */

/* Appends a line for each difference to `text` (may be NULL: only the answer counts).  True: none. */
bool outcome_equal(const Case *c, const Outcome *native, const Outcome *guest, GString *text);
bool memory_equal(const SubjectMemory *native, const SubjectMemory *guest, GString *text);
/* The instruction and the state before. */
void case_describe(const Case *c, GString *text);
