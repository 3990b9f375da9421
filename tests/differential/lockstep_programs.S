/*
 * lockstep_programs.S - small programs that run step by step under two accelerators (lockstep_test.c).
 *
 * Each is copied to guest address 0x1000 and starts there in its mode; it ends where `..._end` stands.  The test gives
 * it a stack below 0x8000, a GDT at 0x9000 (see lockstep_test.c), data space at 0xa000, page tables at 0x10000.
 */
    .section .rodata
    .global real_start, real_end, protected_start, protected_end, long_start, long_end
    .org 0

/* ---- real mode: arithmetic, strings, stack, software interrupt, far calls */
    .code16
real_start:
    movw $0x1234, %ax
    movw $0xfedc, %bx
    addw %bx, %ax
    adcb $0x7f, %al
    sbbw %ax, %bx
    incw %cx
    decb %ch
    negw %bx
    movw $0xa000, %di
    movw $0xa000, %si
    movw $5, %cx
    cld
    rep stosw
    movw $0xa002, %di
    movw $4, %cx
    rep movsb
    movw $6, %cx
    repe cmpsb
    movw $7, %cx
    mulw %cx
    movw $0x10, %dx
    movw $0x3333, %ax
    movw $0x101, %cx
    divw %cx
    pushw %ax
    pushfw
    popw %dx
    popw %bp
    pusha
    popa
    shlw $3, %ax
    rolb $5, %ah
    rcrw $1, %bx
    sarw $2, %si
    leaw 0x12(%bx,%si), %di
    xchgw %ax, %di
    cwtd
    movw $0x0a00, %ax           /* a segment: base a000 */
    movw %ax, %es
    movw %es:2, %dx
    movb $0x15, %al
    daa
    aam
    movw $(2f - real_start + 0x1000), 0x200 /* IVT 80h */
    movw $0, 0x202
    int $0x80
    .byte 0x9a                  /* call far 0100:0000 + offset of 3f */
    .word 3f - real_start, 0x0100
    movw $3, %cx
1:  addw %cx, %ax
    loop 1b
    jmp 4f
2:  addw $0x1111, %ax
    iretw
3:  subw $0x2222, %ax
    lretw
4:  movl $0x89abcdef, %eax
    bswapl %eax
    movzbl %al, %ebx
    movsbl %ah, %ecx
    btsw $3, %cx
    bsfl %eax, %edx
    cmpxchgl %ebx, %ecx
    xaddl %eax, %ebx
    setc %dl
real_end:
    nop

/* ---- 32-bit protected mode: segment loads, an interrupt gate, ring 3 and back.  No paging: the emulating KVM that some
 * development machines have shuts down at the first instruction after 32-bit CR0.PG; the long program has paging on. */
    .code32
protected_start:
    movl $0x12345678, %eax
    imull $77, %eax, %ecx
    movw $0x10, %dx
    movw %dx, %fs
    movl %eax, %fs:0xa000
    lslw %dx, %bx
    larl %edx, %esi
    verr %dx
    pushl $0x55
    call 1f
    jmp 2f
1:  movl 4(%esp), %edi
    ret $4
2:  enter $16, $1
    leave
    movl 0xa000, %edx
    lidt 0x9800
    int $0x40
    pushl $0x23                 /* to ring 3: ss esp eflags cs eip */
    pushl $0x7000
    pushl $0x3002
    pushl $0x1b
    pushl $(3f - protected_start + 0x1000)
    iretl
3:  movw $0x23, %ax
    movw %ax, %ds
    movl $0x1111, %ecx
    int $0x41                   /* DPL 3 gate, to ring 0 through the TSS */
    cli
    shldl $5, %eax, %ecx
    jmp protected_end
    .org protected_start - real_start + 0x100
protected_int40:                /* at 0x1100 */
    addl $1, %eax
    iretl
    .org protected_start - real_start + 0x110
protected_int41:                /* at 0x1110 */
    movl %ss:(%esp), %ebp
    str %si
    sldt %di
    iretl
protected_end:
    nop

/* ---- 64-bit mode: wide registers, RIP-relative, MSRs, SSE, SYSCALL and SYSRET */
    .code64
long_start:
    movabsq $0x123456789abcdef0, %rax
    movq %rax, %r8
    imulq %r8, %rax
    movl %eax, %r9d
    movslq %r9d, %r10
    leaq 0x40(%r8,%r9,4), %r11
    movq %r11, 0xa000
    pushq 0xa000
    popq %r12
    rorq $13, %r12
    addq %r8, 0xa000
    adcq $-1, 0xa000
    movq $0xa000, %rdi
    movq $8, %rcx
    rep stosq
    movq $0xa008, %rsi
    movq $3, %rcx
    std
    rep movsq
    cld
    movq %rax, %xmm0
    pshufd $0x1b, %xmm0, %xmm1
    paddq %xmm1, %xmm0
    movdqa %xmm0, 0xa100
    cvtsi2sdq %r8, %xmm2
    mulsd %xmm2, %xmm2
    sqrtsd %xmm2, %xmm3
    cvttsd2siq %xmm3, %rbx
    fninit
    fldpi
    fldl2e
    fmulp
    fstpl 0xa120
    movl $0xc0000082, %ecx      /* LSTAR */
    movl $(1f - long_start + 0x1000), %eax
    xorl %edx, %edx
    wrmsr
    movl $0xc0000081, %ecx      /* STAR: kernel 08, user 18 */
    xorl %eax, %eax
    movl $0x00180008, %edx
    wrmsr
    movl $0xc0000084, %ecx      /* FMASK: IF and DF */
    movl $0x600, %eax
    xorl %edx, %edx
    wrmsr
    movq $0x7000, %r15
    movq $(2f - long_start + 0x1000), %rcx
    movq $0x202, %r11
    sysretq
1:  swapgs                      /* the kernel's entry */
    movl $0xc0000082, %ecx
    rdmsr
    swapgs
    jmp 3f
2:  movq $7, %rax               /* user */
    movl $0xc0000081, %ebx
    syscall
    nop
3:  movq %cr0, %rax
    xorl %ecx, %ecx
    lock xaddq %rax, 0xa000
    bsrq %r8, %r14
    shrdq $7, %r8, %r9
    cmovnzq %r8, %rsi
long_end:
    nop
    .section .note.GNU-stack,"",@progbits
