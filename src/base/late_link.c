/* late_link.c - see late_link.h. */
#include "base/late_link.h"

#include <dlfcn.h>
#include <glib.h>
#include <stddef.h>

#ifdef __x86_64__

typedef struct LateLink {
    void *target; /* where calls go: late_link_NAME_bind before the first one */
    const char *name;
    const char *library;
} LateLink;

/* The assembly below knows the structure. */
G_STATIC_ASSERT(offsetof(LateLink, target) == 0 && sizeof(LateLink) == 24);

/* A function __wrap_NAME that jumps through its LateLink, and what that leads to at first. */
#define LATE_LINK(library, function)                                                                                           \
    __asm__(".pushsection late_links, \"aw\", @progbits\n"                                                                     \
            ".balign 8\n"                                                                                                      \
            "late_link_" #function ": .quad late_link_" #function "_bind, 1f, 2f\n"                                            \
            ".popsection\n"                                                                                                    \
            ".pushsection .rodata.late_links, \"a\", @progbits\n"                                                              \
            "1: .asciz \"" #function "\"\n"                                                                                    \
            "2: .asciz \"" library "\"\n"                                                                                      \
            ".popsection\n"                                                                                                    \
            ".pushsection .text\n"                                                                                             \
            ".globl __wrap_" #function "\n"                                                                                    \
            ".hidden __wrap_" #function "\n"                                                                                   \
            ".type __wrap_" #function ", @function\n"                                                                          \
            "__wrap_" #function ": jmp *late_link_" #function "(%rip)\n"                                                       \
            "late_link_" #function "_bind: lea late_link_" #function "(%rip), %r11\n"                                          \
            "jmp late_link_enter\n"                                                                                            \
            ".popsection\n");
#include "base/late_link.inc"
#undef LATE_LINK

extern LateLink __start_late_links[] __attribute__((visibility("hidden")));
extern LateLink __stop_late_links[] __attribute__((visibility("hidden")));

void *late_link_bind(LateLink *l) __attribute__((used, visibility("hidden")));

/* Two threads may come here at once: both find the same. */
void *late_link_bind(LateLink *l)
{
    void *handle = dlopen(l->library, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    void *target = handle ? dlsym(handle, l->name) : NULL;
    if (!target) /* as the loader would have ended the program at its start */
        g_error("%s, a library of this program, cannot be used for %s(): %s; install it anew", l->library, l->name, dlerror());
    __atomic_store_n(&l->target, target, __ATOMIC_RELEASE);
    return target;
}

/* R11: the LateLink.  Keeps what arguments may be in (System V ABI, AMD64 supplement, 3.2.3), AL of variadic functions, too, and goes on at the
 * target as if it had been called. */
__asm__(".pushsection .text\n"
        ".type late_link_enter, @function\n"
        "late_link_enter:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset %rbp, -16\n"
        "mov %rsp, %rbp\n"
        ".cfi_def_cfa_register %rbp\n"
        "push %rdi\n push %rsi\n push %rdx\n push %rcx\n push %r8\n push %r9\n push %rax\n push %r11\n"
        "sub $128, %rsp\n"
        "movups %xmm0, (%rsp)\n movups %xmm1, 16(%rsp)\n movups %xmm2, 32(%rsp)\n movups %xmm3, 48(%rsp)\n"
        "movups %xmm4, 64(%rsp)\n movups %xmm5, 80(%rsp)\n movups %xmm6, 96(%rsp)\n movups %xmm7, 112(%rsp)\n"
        "mov %r11, %rdi\n"
        "call late_link_bind\n"
        "mov %rax, 128(%rsp)\n" /* into R11's place */
        "movups (%rsp), %xmm0\n movups 16(%rsp), %xmm1\n movups 32(%rsp), %xmm2\n movups 48(%rsp), %xmm3\n"
        "movups 64(%rsp), %xmm4\n movups 80(%rsp), %xmm5\n movups 96(%rsp), %xmm6\n movups 112(%rsp), %xmm7\n"
        "add $128, %rsp\n"
        "pop %r11\n pop %rax\n pop %r9\n pop %r8\n pop %rcx\n pop %rdx\n pop %rsi\n pop %rdi\n"
        "pop %rbp\n"
        ".cfi_def_cfa %rsp, 8\n"
        "jmp *%r11\n"
        ".cfi_endproc\n"
        ".popsection\n");

void late_link_all(void)
{
    for (LateLink *l = __start_late_links; l < __stop_late_links; l++)
        late_link_bind(l);
}

#else
void late_link_all(void) {}
#endif
