#pragma once
#include <stdbool.h>
/*
 * irq.h - an interrupt line: where to shout and which number, passed by value (after TinyEMU's IRQSignal).
 *
 * Lines are levels.  set() may be called on any thread and with the caller's device lock held; a sink takes its own
 * lock.  Locks are taken downhill only: device -> interrupt controller -> vCPU request word.
 */
typedef struct IrqLine {
    void (*set)(void *sink, unsigned n, bool level);
    void *sink;
    unsigned n;
} IrqLine;

static inline void irq_set(const IrqLine *line, bool level)
{
    if (line->set)
        line->set(line->sink, line->n, level);
}

static inline void irq_pulse(const IrqLine *line)
{
    irq_set(line, true);
    irq_set(line, false);
}
