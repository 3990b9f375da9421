/*
 * dbt_test.c - what goes wrong in a translator and not in an interpreter: translations that are no longer true, loops that
 * cannot be left, faults in the middle of a block.
 */
#include "accel/dbt/test_program.h"

/* ---- translations depend on more than their bytes: the jump table must not bring back one of another mode */
PROGRAM(task_switched, ".code64",
        "lea 5f(%rip), %rbx\n mov $3, %edi\n 1: call *%rbx\n dec %edi\n jnz 1b\n"
        "mov %cr0, %rdx\n or $8, %rdx\n mov %rdx, %cr0\n call *%rbx\n hlt\n 5: inc %eax\n addps %xmm0, %xmm1\n ret");
PROGRAM(sse_unmasked, ".code64",
        "lea 5f(%rip), %rbx\n mov $3, %edi\n xorps %xmm0, %xmm0\n movl $0x1f80, 0x20000\n"
        "1: pcmpeqd %xmm1, %xmm1\n pslld $25, %xmm1\n psrld $2, %xmm1\n call *%rbx\n dec %edi\n jnz 1b\n"
        "movl $0x1d80, 0x20000\n ldmxcsr 0x20000\n pcmpeqd %xmm1, %xmm1\n pslld $25, %xmm1\n psrld $2, %xmm1\n"
        "fld1\n fstp %st(0)\n call *%rbx\n hlt\n 5: inc %eax\n divps %xmm0, %xmm1\n ret");
PROGRAM(x87_unmasked, ".code64",
        "lea 5f(%rip), %rbx\n mov $3, %edi\n 1: fninit\n call *%rbx\n dec %edi\n jnz 1b\n"
        "fninit\n movl $0x037b, 0x20000\n fldcw 0x20000\n xorps %xmm0, %xmm0\n call *%rbx\n hlt\n 5: inc %eax\n fld1\n fldz\n fdivrp\n fwait\n ret");

static void test_mode_changes(void)
{
    static const struct { const uint8_t *program, *end; int vector; } rows[] = {
        { task_switched, task_switched_end, EXC_NM },
        { sse_unmasked, sse_unmasked_end, EXC_XM },
        { x87_unmasked, x87_unmasked_end, EXC_MF },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(1, CODE64);
        g_test_message("row %u", n);
        load(&g, rows[n].program, rows[n].end);
        CpuState s = state_with_sse(&g);
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, rows[n].vector);
        g_assert_cmpuint(gpr(&g, GPR_RAX), ==, 4);
        guest_destroy(&g);
    }
}

/* ---- flags: what follows a block says which are dead, and may be written anew */
PROGRAM(later_reader, ".code64",
        "1: clc\n mov 0x20000, %rcx\n jmp 2f\n .balign 64\n .space 128, 0x90\n"
        "2: xor %edx, %edx\n nop\n jmp 3f\n .balign 64\n .space 128, 0x90\n"
        "3: test %esi, %esi\n jnz 4f\n inc %esi\n movw $0x920f, 2b(%rip)\n movb $0xc2, 2b+2(%rip)\n jmp 1b\n 4:");

static void test_later_reader(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, later_reader);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, 0);
    guest_destroy(&g);
}

/* CF and ZF live through a chain of conditional jumps, loads between them, and LEA, to a reader far away. */
PROGRAM(flag_chain, ".code64",
        "mov $100, %edi\n xor %r10d, %r10d\n xor %r11d, %r11d\n"
        "1: cmp $50, %edi\n mov 0x20000, %rcx\n je 2f\n mov 0x20008, %rcx\n ja 3f\n push %rdi\n pop %rsi\n jmp 4f\n"
        "2: mov 0x20010, %rdx\n jmp 4f\n 3: lea 1(%rcx), %rcx\n push $3\n pop %rcx\n 4: mov 0x20018, %rdx\n"
        "adc $0, %r10\n dec %edi\n mov 0x20020, %rdx\n jnz 1b");

static void test_flag_chain(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, flag_chain);
    g_assert_cmpuint(gpr(&g, GPR_R10), ==, 49); /* below 50: 1 to 49 */
    guest_destroy(&g);
}

/* SYSCALL writes all flags, but first it keeps them in R11. */
PROGRAM(flags_into_syscall, ".code64", "xor %edx, %edx\n cmp %eax, %eax\n mov 0x20000, %rbx\n syscall");

static void test_flags_into_syscall(void)
{
    Guest g = guest_create(1, CODE64);
    load(&g, flags_into_syscall, flags_into_syscall_end);
    CpuState s = state_with_sse(&g);
    s.efer |= EFER_SCE;
    s.star = 8ull << 32;
    s.lstar = GUEST_HANDLERS;
    run_state(&g, &s);
    g_assert_cmphex(gpr(&g, GPR_R11) & RFLAGS_STATUS, ==, RFLAGS_ZF | RFLAGS_PF);
    guest_destroy(&g);
}

/* ---- code that changes */
PROGRAM(next_changes, ".code64", /* the very next instruction, in one block */
        "mov $40, %edi\n 1: mov %dil, 2f+1(%rip)\n 2: mov $0, %eax\n add %eax, %ebx\n dec %edi\n jnz 1b");
PROGRAM(target_changes, ".code64", /* of a linked jump */
        "mov $40, %edi\n 1: jmp 2f\n .space 100, 0x90\n 2: mov $0, %eax\n add %eax, %ebx\n dec %edi\n mov %dil, 2b+1(%rip)\n jnz 1b");
PROGRAM(called_changes, ".code64", /* through a register, in another page */
        "mov $40, %edi\n mov $0x9000, %esi\n movl $0x000000b8, (%rsi)\n movl $0xc300, 4(%rsi)\n"
        "1: call *%rsi\n add %eax, %ebx\n dec %edi\n mov %dil, 1(%rsi)\n jnz 1b");
PROGRAM(crossing_changes, ".code64", /* the immediate lies in the next page */
        "mov $40, %edi\n mov $0x9ffe, %esi\n movw $0xb890, (%rsi)\n movl $0, 2(%rsi)\n movb $0xc3, 6(%rsi)\n"
        "1: call *%rsi\n add %eax, %ebx\n dec %edi\n mov %dil, 2(%rsi)\n jnz 1b");
PROGRAM(string_changes, ".code64", /* by REP MOVSB over the block that runs */
        "mov $40, %edx\n 1: mov %dl, 0x20000\n mov $0x20000, %esi\n lea 2f+1(%rip), %rdi\n mov $1, %ecx\n rep movsb\n"
        "2: mov $0, %eax\n add %eax, %ebx\n dec %edx\n jnz 1b");
PROGRAM(beside_data, ".code64", /* data that is written all the time in the page of the code */
        "mov $1000, %edi\n 1: mov %rdi, 2f(%rip)\n add 2f(%rip), %rbx\n dec %edi\n jnz 1b\n hlt\n .balign 64\n 2: .quad 0");

static void test_code_changes(void)
{
    static const struct { const uint8_t *program, *end; unsigned sum; } rows[] = {
        { next_changes, next_changes_end, 820 },         { target_changes, target_changes_end, 780 },
        { called_changes, called_changes_end, 780 },     { crossing_changes, crossing_changes_end, 780 },
        { string_changes, string_changes_end, 820 },     { beside_data, beside_data_end, 500500 },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(1, CODE64);
        g_test_message("row %u", n);
        load(&g, rows[n].program, rows[n].end);
        CpuState s = state_with_sse(&g);
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmpuint(gpr(&g, GPR_RBX), ==, rows[n].sum);
        guest_destroy(&g);
    }
}

/* A device writes the immediate of an instruction in a loop that leaves itself only then. */
PROGRAM(waits_for_dma, ".code64", "xor %ebx, %ebx\n 1: inc %rbx\n 2: mov $0, %eax\n test %eax, %eax\n jz 1b");

static void test_dma_into_code(void)
{
    Guest g = guest_create(1, CODE64);
    load(&g, waits_for_dma, waits_for_dma_end);
    CpuState s = guest_state(&g);
    guest_set(&g, 0, &s);
    machine_start(g.m);
    g_usleep(5000);
    uint8_t seven = 7;
    g_assert_true(dma_write(g.m, GUEST_CODE + 6, &seven, 1));
    for (unsigned ms = 0; *(volatile uint8_t *)&guest_vcpu(&g, 0)->s.activity == CPU_RUNNING; ms++) {
        g_assert_cmpuint(ms, <, 5000);
        g_usleep(1000);
    }
    machine_stop(g.m);
    g_assert_cmpuint(gpr(&g, GPR_RAX), ==, 7);
    guest_destroy(&g);
}

/* ---- loops that only a poll can end */
PROGRAM(loop_jmp, ".code64", "1: jmp 1b");
PROGRAM(loop_flags, ".code64", "xor %eax, %eax\n stc\n 1: mov 0x20000, %rcx\n jc 1b");
PROGRAM(loop_loop, ".code64", "mov $-1, %rcx\n 1: loop 1b\n jmp 1b");
PROGRAM(loop_jrcxz, ".code64", "xor %ecx, %ecx\n 1: jrcxz 1b");
PROGRAM(loop_indirect, ".code64", "lea 1f(%rip), %rax\n 1: jmp *%rax");
PROGRAM(loop_ret, ".code64", "1: lea 1b(%rip), %rax\n push %rax\n ret");
PROGRAM(loop_call, ".code64", "1: mov $0xf000, %esp\n call 2f\n 2: jmp 1b");
PROGRAM(loop_fpu, ".code64", "1: addps %xmm0, %xmm1\n jmp 1b");
PROGRAM(loop_pages, ".code64", "movl $0xfffffbe9, 0xa000\n movb $0xef, 0xa001\n movb $0xff, 0xa004\n 1: mov $0xa000, %eax\n jmp *%rax");
PROGRAM(loop_rep, ".code64", "1: mov $0x20000, %edi\n mov $0x100000, %ecx\n rep stosb\n jmp 1b");

static void test_loops_can_be_left(void)
{
    static const struct { const uint8_t *program, *end; } rows[] = {
        { loop_jmp, loop_jmp_end },       { loop_flags, loop_flags_end }, { loop_loop, loop_loop_end },
        { loop_jrcxz, loop_jrcxz_end },   { loop_indirect, loop_indirect_end }, { loop_ret, loop_ret_end },
        { loop_call, loop_call_end },     { loop_fpu, loop_fpu_end },     { loop_pages, loop_pages_end },
        { loop_rep, loop_rep_end },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(1, CODE64);
        g_test_message("row %u", n);
        load(&g, rows[n].program, rows[n].end);
        CpuState s = state_with_sse(&g);
        guest_set(&g, 0, &s);
        for (unsigned k = 0; k < 3; k++) {
            machine_start(g.m);
            g_usleep(3000);
            machine_stop(g.m); /* hangs if it cannot */
        }
        g_assert_cmpint(guest_vcpu(&g, 0)->s.activity, ==, CPU_RUNNING);
        if (rows[n].program == loop_flags)
            g_assert_true(guest_vcpu(&g, 0)->s.rflags & RFLAGS_CF);
        guest_destroy(&g);
    }
}

/* ---- faults in the middle of a block: RIP, registers and memory as if nothing after had been begun */
PROGRAM(fault_push, ".code64", "inc %eax\n mov $0x77, %r11\n mov %rdi, %rsp\n push %r11\n inc %eax");
PROGRAM(fault_push_imm, ".code64", "inc %eax\n mov $0x77, %r11\n mov %rdi, %rsp\n push $5\n inc %eax");
PROGRAM(fault_pop, ".code64", "inc %eax\n mov $0x77, %r11\n mov %rdi, %rsp\n pop %r11\n inc %eax");
PROGRAM(fault_call, ".code64", "inc %eax\n mov $0x77, %r11\n mov %rdi, %rsp\n call 1f\n 1: inc %eax");
PROGRAM(fault_call_reg, ".code64", "inc %eax\n mov $0x77, %r11\n mov %rdi, %rsp\n call *%r11\n 1: inc %eax");
PROGRAM(fault_ret, ".code64", "inc %eax\n mov $0x77, %r11\n mov %rdi, %rsp\n ret $16\n inc %eax");
PROGRAM(fault_leave, ".code64", "inc %eax\n mov $0x77, %r11\n mov %rdi, %rbp\n leave\n inc %eax");
PROGRAM(fault_add, ".code64", "inc %eax\n mov $0x77, %r11\n nop\n nop\n nop\n add %r11, (%rdi)\n inc %eax");
PROGRAM(fault_load, ".code64", "inc %eax\n mov $0x77, %r11\n nop\n nop\n nop\n mov (%rdi), %r11\n inc %eax");
PROGRAM(fault_xchg, ".code64", "inc %eax\n mov $0x77, %r11\n nop\n nop\n nop\n xchg %r11, (%rdi)\n inc %eax");
PROGRAM(fault_jmp, ".code64", "inc %eax\n mov $0x77, %r11\n nop\n nop\n nop\n jmp *(%rdi)\n inc %eax");

enum { FAULT_OFF = 2 + 7 + 3, IST_STACK = 0xe000 };

static void test_faults(void)
{
    static const struct { const uint8_t *program, *end; uint64_t rsp; } rows[] = {
        { fault_push, fault_push_end, 1 },     { fault_push_imm, fault_push_imm_end, 1 }, { fault_pop, fault_pop_end, 1 },
        { fault_call, fault_call_end, 1 },     { fault_call_reg, fault_call_reg_end, 1 }, { fault_ret, fault_ret_end, 1 },
        { fault_leave, fault_leave_end, 0 },   { fault_add, fault_add_end, 0 },           { fault_load, fault_load_end, 0 },
        { fault_xchg, fault_xchg_end, 0 },     { fault_jmp, fault_jmp_end, 0 },
    };
    static const uint64_t wild[] = { 0x40000800, 0x7ffffffffff0, 0x800000000000, 0x8000000000000000, 0xffff800000000000,
                                     0xfffffffffffffff0, 0x4000000000000000, 0x0001000000020000 };
    Guest g = guest_create(1, CODE64);
    uint64_t ist = IST_STACK;
    memcpy(g.ram + 0x7800 + 0x24, &ist, 8);
    for (unsigned vector = 0; vector < 32; vector++)
        g.ram[GUEST_IDT + 16 * vector + 4] = 1;
    for (unsigned n = 0; n < G_N_ELEMENTS(rows) * G_N_ELEMENTS(wild); n++) {
        unsigned row = n / G_N_ELEMENTS(wild);
        uint64_t address = wild[n % G_N_ELEMENTS(wild)];
        bool canonical = (uint64_t)((int64_t)(address << 16) >> 16) == address, on_stack = rows[row].rsp || rows[row].program == fault_leave;
        if ((address == 0x800000000000 || address == 0xffff800000000000) && (row < 2 || row == 3 || row == 4))
            canonical = !canonical; /* it is the address below that is written */
        g_test_message("row %u, address %lx", row, address);
        load(&g, rows[row].program, rows[row].end);
        CpuState s = state_with_sse(&g);
        s.gpr[GPR_RDI] = address;
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, canonical ? EXC_PF : on_stack ? EXC_SS : EXC_GP);
        g_assert_cmphex(stack(&g, 1), ==, GUEST_CODE + FAULT_OFF);
        g_assert_cmphex(stack(&g, 4), ==, rows[row].rsp ? address : GUEST_STACK);
        g_assert_cmphex(gpr(&g, GPR_R11), ==, 0x77);
        g_assert_cmpuint(gpr(&g, GPR_RAX), ==, 1);
    }
    guest_destroy(&g);
}

/* ---- memory of this process: the guest may compute its addresses and must not come to it */
PROGRAM(reads_plain, ".code64", "mov (%rdi), %rax\n mov %rax, %rbx");
PROGRAM(reads_indexed, ".code64", "xor %esi, %esi\n mov (%rdi,%rsi,8), %rax\n mov %rax, %rbx");
PROGRAM(reads_slots, ".code64", "mov %rdi, %r11\n xor %r10d, %r10d\n mov (%r11,%r10), %rax\n mov %rax, %rbx");
PROGRAM(reads_doubled, ".code64", "mov %rdi, %r10\n shr $1, %r10\n mov (,%r10,2), %rax\n mov %rax, %rbx");
PROGRAM(reads_far, ".code64", "sub $0x12345678, %rdi\n mov 0x12345678(%rdi), %rax\n mov %rax, %rbx");
PROGRAM(reads_fs, ".code64", "mov %fs:(%rdi), %rax\n mov %rax, %rbx");
PROGRAM(reads_vector, ".code64", "movups (%rdi), %xmm0\n movq %xmm0, %rax\n mov %rax, %rbx");
PROGRAM(reads_popped, ".code64", "mov %rdi, %rsp\n pop %rax\n mov %rax, %rbx");
PROGRAM(jumps_there, ".code64", "jmp *%rdi");
PROGRAM(writes_there, ".code64", "movq $0, (%rdi)");
PROGRAM(swaps_there, ".code64", "mov %rdi, %r10\n lock xadd %rbx, (%r10)");

static void test_own_memory(void)
{
    static const struct { const uint8_t *program, *end; } rows[] = {
        { reads_plain, reads_plain_end },     { reads_indexed, reads_indexed_end }, { reads_slots, reads_slots_end },
        { reads_doubled, reads_doubled_end }, { reads_far, reads_far_end },         { reads_fs, reads_fs_end },
        { reads_vector, reads_vector_end },   { reads_popped, reads_popped_end },   { jumps_there, jumps_there_end },
        { writes_there, writes_there_end },   { swaps_there, swaps_there_end },
    };
    static volatile uint64_t fixed_canary = 0x5ca1ab1e0ddba11;
    g_autofree uint64_t *heap_canary = g_new(uint64_t, 512);
    volatile uint64_t stack_canary = fixed_canary;
    *heap_canary = fixed_canary;
    Guest g = guest_create(1, CODE64);
    uint64_t ist = IST_STACK;
    memcpy(g.ram + 0x7800 + 0x24, &ist, 8);
    for (unsigned vector = 0; vector < 32; vector++)
        g.ram[GUEST_IDT + 16 * vector + 4] = 1;
    const void *const places[] = { (void *)&fixed_canary, (void *)&stack_canary, heap_canary, g.ram, guest_vcpu(&g, 0), g.m,
                                   (void *)(uintptr_t)test_own_memory };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows) * G_N_ELEMENTS(places); n++) {
        unsigned row = n / G_N_ELEMENTS(places);
        g_test_message("row %u, place %u", row, n % (unsigned)G_N_ELEMENTS(places));
        load(&g, rows[row].program, rows[row].end);
        CpuState s = state_with_sse(&g);
        s.gpr[GPR_RDI] = (uintptr_t)places[n % G_N_ELEMENTS(places)];
        s.gpr[GPR_RAX] = s.gpr[GPR_RBX] = 0;
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, EXC_PF);
        g_assert_cmphex(gpr(&g, GPR_RAX), ==, 0);
        g_assert_cmphex(gpr(&g, GPR_RBX), ==, 0);
    }
    g_assert_cmphex(*heap_canary, ==, fixed_canary);
    g_assert_cmphex(stack_canary, ==, 0x5ca1ab1e0ddba11);
    guest_destroy(&g);
}

/* ---- mappings that change: seen by the next access and the next jump */
PROGRAM(remapped, ".code64", /* 0xa00000 is mapped to 2 MiB at 0x200000, then at 0x400000, in each of which another routine stands */
        "mov $0xa00000, %edi\n mov $2, %ecx\n 1: call *%rdi\n add %eax, %ebx\n mov 0x100(%rdi), %eax\n add %eax, %edx\n"
        "dec %ecx\n jnz 1b\n movq $0x400087, 0x3028\n invlpg (%rdi)\n call *%rdi\n add %eax, %ebx\n mov 0x100(%rdi), %eax\n"
        "add %eax, %edx\n movq $0x200087, 0x3028\n mov %cr3, %rax\n mov %rax, %cr3\n call *%rdi\n add %eax, %ebx\n"
        "mov 0x100(%rdi), %eax\n add %eax, %edx");

static void test_remapped(void)
{
    Guest g = guest_create(1, CODE64);
    for (unsigned n = 1; n <= 2; n++) {
        const uint8_t routine[] = { 0xb8, (uint8_t)(n == 1 ? 1 : 100), 0, 0, 0, 0xc3 };
        memcpy(g.ram + n * 0x200000, routine, sizeof(routine));
        g.ram[n * 0x200000 + 0x100] = n == 1 ? 2 : 90;
    }
    uint64_t pde = 0x200087;
    memcpy(g.ram + 0x3028, &pde, 8);
    RUN(g, remapped);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 103);
    g_assert_cmpuint(gpr(&g, GPR_RDX), ==, 96);
    guest_destroy(&g);
}

/* One page of code at two addresses, in CPL 3: each time it must see its own. */
PROGRAM(twice_mapped, ".code64",
        "mov $20, %ebp\n 1: mov $0xa00000, %edi\n call *%rdi\n add %rdx, %rbx\n mov $0xc00000, %edi\n call *%rdi\n add %rdx, %rbx\n"
        "dec %ebp\n jnz 1b");
PROGRAM(tells_rip, ".code64", /* goes on in the next page, and comes back by a direct jump and a return */
        "lea 0(%rip), %rdx\n call 1f\n 1: pop %rax\n add %rax, %rdx\n add 2f(%rip), %rdx\n call 3f\n add %rax, %rdx\n ret\n"
        ".balign 8\n 2: .quad 5\n .space 4096\n 3: lea 0(%rip), %rax\n jmp 4f\n .space 4096\n 4: ret");

static void test_twice_mapped(void)
{
    Guest g = guest_create(1, CODE64);
    memcpy(g.ram + 0x200000, tells_rip, tells_rip_end - tells_rip);
    uint64_t pde = 0x200087, stack0 = IST_STACK;
    memcpy(g.ram + 0x3028, &pde, 8);
    memcpy(g.ram + 0x3030, &pde, 8);
    memcpy(g.ram + 0x7804, &stack0, 8);
    load(&g, twice_mapped, twice_mapped_end);
    CpuState s = state_with_sse(&g);
    for (unsigned seg = 0; seg < SEG_COUNT; seg++) {
        s.seg[seg].selector |= 3;
        s.seg[seg].attr |= SEG_ATTR_DPL;
    }
    run_state(&g, &s);
    g_assert_cmpint(guest_vector(&g), ==, EXC_GP); /* of HLT */
    uint64_t lea = 7, pop = lea + 5, third = (uint64_t)((const uint8_t *)memmem(tells_rip + 4096, 64, "\x48\x8d\x05", 3) - tells_rip) + 7;
    uint64_t each = lea + pop + 5 + third;
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 20 * (2 * each + 3 * 0xa00000ull + 3 * 0xc00000ull));
    guest_destroy(&g);
}

/* An instruction that goes on in the next page belongs to no block; asking for one must cost nothing. */
PROGRAM(crossing, ".code64",
        "mov $0x9fff, %esi\n movl $0xc301c383, (%rsi)\n mov $2000000, %edi\n 1: call *%rsi\n dec %edi\n jnz 1b");

static void test_crossing_keeps_the_cache(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, crossing);
    g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 2000000);
    if (test_accel() == &accel_dbt)
        g_assert_cmpuint(((DbtVcpu *)guest_vcpu(&g, 0))->stats.evictions, ==, 0);
    guest_destroy(&g);
}

/* ---- more code than there is room for */
PROGRAM(flood, ".code64", /* 1 MiB of `add $n, %ebx; jmp next`, made anew each round */
        "mov $64, %r9d\n 1: mov $0x100000, %edi\n mov $60000, %ecx\n"
        "2: movl $0x01c383, (%rdi)\n movl $0x000008e9, 3(%rdi)\n movb $0, 7(%rdi)\n add $16, %edi\n dec %ecx\n jnz 2b\n"
        "movl $0xe6ff, (%rdi)\n lea 3f(%rip), %rsi\n mov $0x100000, %edi\n jmp *%rdi\n 3: dec %r9d\n jnz 1b");

static void test_flood(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, flood);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 64 * 60000);
    if (test_accel() == &accel_dbt)
        g_test_message("%" G_GUINT64_FORMAT " evictions", ((DbtVcpu *)guest_vcpu(&g, 0))->stats.evictions);
    guest_destroy(&g);
}

/* ---- the guest's vector and x87 registers stay in the host's while C code runs: nothing that an instruction calls may
 * change them.  20 rounds of everything that leaves translated code: reads of 300 pages, ports, a device's page, a #PF... */
#define EACH_YMM(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define LOAD_YMM(n) "vmovdqu 0x20000+32*" #n ", %ymm" #n "\n"
#define STORE_YMM(n) "vmovdqu %ymm" #n ", 0x21000+32*" #n "\n"
PROGRAM(many_exits, ".code64",
        EACH_YMM(LOAD_YMM) "fldpi\n fld1\n mov $20, %r15d\n"
        "1: mov $0x100000, %esi\n mov $300, %ecx\n 2: add (%rsi), %rax\n mov %rax, 8(%rsi)\n add $4096, %rsi\n loop 2b\n"
        "rdtsc\n xor %eax, %eax\n cpuid\n mov $0x80, %edx\n in %dx, %al\n out %al, %dx\n mov 0x2000000, %rax\n"
        "mov %rax, 0x2000010\n mov $0xc0000102, %ecx\n rdmsr\n wrmsr\n swapgs\n swapgs\n mov %cr3, %rax\n mov %rax, %cr3\n"
        "invlpg (%rsi)\n push %fs\n pop %fs\n pushf\n popf\n sti\n nop\n cli\n mov $0x20000, %esi\n mov $0x30000, %edi\n"
        "mov $1000, %ecx\n rep movsq\n mov $1000, %ecx\n rep stosb\n mov $0x30ffc, %edi\n lock addq $1, (%rdi)\n pause\n"
        "rdrand %rax\n mov 0x30ff9, %rax\n int $0x20\n movb $0x90, 3f(%rip)\n 3: nop\n xgetbv\n dec %r15d\n jnz 1b\n"
        "fstpt 0x22000\n fstpt 0x22010\n" EACH_YMM(STORE_YMM));

static void test_registers_across_exits(void)
{
    static const uint8_t one[10] = { 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f };
    static const uint8_t pi[10] = { 0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40 };
    Guest g = guest_create(1, CODE64);
    load(&g, many_exits, many_exits_end);
    uint64_t iretq = GUEST_HANDLERS + 16 * 30, gate = iretq | 8 << 16 | 0x8e00ull << 32;
    memcpy(g.ram + iretq, "\x48\xcf", 2);
    memcpy(g.ram + GUEST_IDT + 0x20 * 16, &gate, 8);
    for (unsigned n = 0; n < 512; n++)
        g.ram[GUEST_DATA + n] = n * 37 + n / 32;
    CpuState s = state_with_sse(&g);
    s.cr4 |= CR4_OSXSAVE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    s.idtr.limit = 0x20f;
    run_state(&g, &s);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmpmem(g.ram + GUEST_DATA, 512, g.ram + 0x21000, 512);
    g_assert_cmpmem(g.ram + 0x22000, 10, one, 10);
    g_assert_cmpmem(g.ram + 0x22010, 10, pi, 10);
    guest_destroy(&g);
}

/* ---- the dirty log: taken while the guest runs, each time a page that is still written shows again */
PROGRAM(keeps_writing, ".code64", "mov $0x20000, %edi\n 1: incl (%rdi)\n lock incl 0x1000(%rdi)\n mov 0x2000(%rdi), %rax\n jmp 1b");

static uint64_t take_dirty(const Guest *g)
{
    uint64_t bits = 0;
    g_assert_true(machine_take_dirty(g->m, g->m->ram, 0x20, 8, &bits, NULL));
    return bits;
}

static void test_dirty_log(void)
{
    Guest g = guest_create(2, CODE64);
    load(&g, keeps_writing, keeps_writing_end);
    for (unsigned id = 0; id < 2; id++) {
        CpuState s = state_with_sse(&g);
        guest_set(&g, id, &s);
    }
    machine_start(g.m);
    for (unsigned n = 0; n < 20; n++) {
        uint32_t before = *(volatile uint32_t *)(g.ram + 0x21000);
        for (unsigned ms = 0; *(volatile uint32_t *)(g.ram + 0x21000) - before < 4; ms++) { /* a whole round of one vCPU */
            g_assert_cmpuint(ms, <, 5000);
            g_usleep(1000);
        }
        g_assert_cmphex(take_dirty(&g), ==, 3);
    }
    machine_stop(g.m);
    take_dirty(&g);
    g_assert_cmphex(take_dirty(&g), ==, 0);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*test)(void); } tests[] = {
        { "mode-changes", test_mode_changes },   { "later-reader", test_later_reader },
        { "flags-into-syscall", test_flags_into_syscall },
        { "flag-chain", test_flag_chain },       { "code-changes", test_code_changes },
        { "dma-into-code", test_dma_into_code }, { "loops-can-be-left", test_loops_can_be_left },
        { "faults", test_faults },               { "flood", test_flood },
        { "own-memory", test_own_memory },       { "remapped", test_remapped },
        { "twice-mapped", test_twice_mapped },
        { "dirty-log", test_dirty_log },
        { "crossing-keeps-the-cache", test_crossing_keeps_the_cache },
        { "registers-across-exits", test_registers_across_exits },
    };
    g_setenv("ATOLL_TEST_ACCEL", "dbt", false);
    g_test_init(&argc, &argv, NULL);
    for (unsigned n = 0; n < G_N_ELEMENTS(tests); n++) {
        g_autofree char *path = g_strconcat("/dbt/", tests[n].name, NULL);
        g_test_add_func(path, tests[n].test);
    }
    return g_test_run();
}
