#pragma once
#include <stdio.h>

#include "vmm/vm.h"
/*
 * qtest.h - devices driven by lines of text over a chardev: QEMU's qtest protocol, so that tests written for it drive our
 * devices (its description: the head of QEMU's system/qtest.c).  Main thread.
 *
 *     > inb 0x71                     < OK 0x0026
 *     > write 0x1000 2 0xabcd        < OK
 *     > irq_intercept_in ioapic      < OK            from then on, at any time:  < IRQ raise 8
 *     > clock_step 1000000           < OK 1000000
 *
 * With -accel qtest there is no processor and time stands; with another accelerator the same commands work beside it, but those
 * of the clock.
 */
typedef struct Qtest Qtest;
struct Chardev;

enum { QTEST_LINE_BYTES = 32 << 20, QTEST_READ_BYTES = 256 << 10 };

/* log: a file, "none", or NULL for standard error. */
Qtest *qtest_open(Vm *vm, struct Chardev *chardev, const char *log, GError **err);
void qtest_close(Qtest *q); /* NULL is fine; before the machine */

/* ---- inside */

/* Device lines that somebody looks at: interrupts.c. */
typedef struct QtestTap {
    Qtest *q;
    Device *device;
    GArray *outputs; /* IrqLine: where the device's lines led; NULL: its inputs are watched */
    bool level[256];
} QtestTap;

struct Qtest {
    Vm *vm;
    struct Chardev *chardev;
    GString *line;
    bool too_long;
    FILE *log;
    int64_t opened_us;
    GMutex lock; /* of log and taps' levels: lines change on any thread */
    GPtrArray *taps; /* QtestTap */
};

/* A line of an answer, without the line's end; any thread. */
void qtest_say(Qtest *q, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Runs one line and gives its answer, which the caller frees. */
char *qtest_command(Qtest *q, const char *line);

bool qtest_tap(Qtest *q, const char *path, bool outputs, GError **err);
bool qtest_set_input(Qtest *q, const char *path, unsigned n, bool level, GError **err);
void qtest_untap(void *tap);
