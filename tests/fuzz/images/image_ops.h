#pragma once
#include "block/block.h"
#include "fuzz.h"
/* image_ops.h - what can be done with an open image, as the input says. */
void image_use(BlkNode *n, FuzzInput *in);
