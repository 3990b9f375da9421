#pragma once
#include "vmm/vm.h"
/*
 * gdb.h - lets gdb drive the machine over its remote serial protocol (GDB manual, appendix E).  Main thread.
 *
 * Threads are vCPUs, 1 and on.  Break and watch points need nothing of an accelerator but get() and step(): while there are
 * some, every vCPU goes on by single steps, one after another, and each step is looked at.  Without any, the machine runs as ever.
 */
typedef struct Gdb Gdb;
struct Chardev;

Gdb *gdb_open(Vm *vm, struct Chardev *chardev);
void gdb_close(Gdb *g); /* NULL is fine; before the chardevs */

/* registers.c: in the order of the target description.  n: the register's number. */
typedef struct GdbTarget GdbTarget;
const GdbTarget *gdb_target(bool is_64bit);
char *gdb_target_xml(const GdbTarget *t); /* caller frees */
unsigned gdb_register_count(const GdbTarget *t);
/* Bytes of a register, 0: no such one.  set false: to buf; else from buf. */
unsigned gdb_register(const GdbTarget *t, unsigned n, CpuState *s, uint8_t *buf, bool set);

/* memory.c: linear addresses by the vCPU's page tables; no fault, no accessed bits. */
bool gdb_translate(Machine *m, const CpuState *s, uint64_t linear, uint64_t *ret_gpa);
bool gdb_memory(Machine *m, const CpuState *s, uint64_t linear, uint8_t *buf, size_t n, bool write);
