/* cpu_model.c - CPU models and CPUID.  BEING WRITTEN BY THE LEAD (isys: leave this one to me). */
#include "isa/x86/cpu_model.h"
