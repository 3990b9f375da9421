#pragma once
#include <glib.h>

#include "subject.h"
/* compare.h - what must agree after a case, and a report of what does not. */

/* Appends a line for each difference to `text` (may be NULL: only the answer counts).  True: none. */
bool outcome_equal(const Case *c, const Outcome *native, const Outcome *guest, GString *text);
/* The processor decides whether and how such an instruction faults. */
bool faults_are_its_own(const Case *c, const Outcome *a, const Outcome *b);
bool stores_in_parts(const Case *c, const Outcome *host);
bool memory_equal(const SubjectMemory *native, const SubjectMemory *guest, GString *text);
/* The instruction and the state before. */
void case_describe(const Case *c, GString *text);
