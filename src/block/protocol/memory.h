#pragma once
#include "block/driver.h"
/* memory.h - for tests: a disk in memory that takes over `bytes` (NULL: none), or shows them. */
BlkNode *memory_disk(GByteArray *bytes);
GByteArray *memory_bytes(BlkNode *n); /* a copy; caller unrefs */
