/* hello.S - the least that a machine can start by PVH: a byte on COM1, then nothing. */
    .section .note.Xen, "a", @note
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start
    .text
    .code32
    .globl start
start:
    mov $0x3f8, %dx
    mov $'A', %al
    out %al, %dx
idle:
    cli
    hlt
    jmp idle
