/*
 * listing.c - translated blocks for people: -d in_asm and out_asm, and names for perf(1).
 */
#include "accel/dbt/dbt.h"

#include <unistd.h>

#define HEX64 "%016" G_GINT64_MODIFIER "x"

void dbt_list_guest(DbtVcpu *v, uint64_t rip, const Insn *insns, unsigned n)
{
    Log *log = v->i.vcpu.machine->log;
    char text[128];
    for (unsigned k = 0; k < n; k++) {
        insn_format(&insns[k], rip, text, sizeof(text));
        log_write(log, LOG_IN_ASM, "vCPU %u: " HEX64 ": %s", v->i.vcpu.id, rip, text);
        rip += insns[k].length;
    }
}

/* Bytes that the decoder does not know are written as such. */
void dbt_list_host(DbtVcpu *v, const uint8_t *code, size_t n)
{
    Log *log = v->i.vcpu.machine->log;
    for (size_t at = 0; at < n;) {
        Insn i;
        char text[128];
        bool known = insn_decode(code + at, MIN(n - at, INSN_MAX_BYTES), CODE64, &i) == DECODE_OK;
        if (known)
            insn_format(&i, (uintptr_t)(code + at), text, sizeof(text));
        else
            g_snprintf(text, sizeof(text), "byte 0x%02x", code[at]);
        log_write(log, LOG_OUT_ASM, "vCPU %u: " HEX64 ": %s", v->i.vcpu.id, (uint64_t)(uintptr_t)(code + at), text);
        at += known ? i.length : 1;
    }
}

/* The format of Linux's tools/perf/Documentation/jit-interface.txt: address, size, name. */
void dbt_map_block(DbtVcpu *v, uint64_t rip, const uint8_t *code, size_t n)
{
    g_autofree char *path = g_strdup_printf("/tmp/perf-%d.map", getpid());
    FILE *file = fopen(path, "ae");
    if (!file)
        return;
    fprintf(file, "%" G_GINT64_MODIFIER "x %zx guest_%" G_GINT64_MODIFIER "x_mode_%x\n", (uint64_t)(uintptr_t)code, n, rip, v->mode);
    fclose(file);
}
