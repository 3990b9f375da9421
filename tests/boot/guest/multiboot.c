/*
 * multiboot.c - a kernel by the Multiboot Specification 0.6.96: says on COM1 what its loader gave it, then ends by isa-debug-exit.
 * Made by test_multiboot.py: gcc -m32 -ffreestanding -nostdlib.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define FLAGS 3 /* modules on page boundaries, memory wanted */
__attribute__((section(".multiboot"), used, aligned(4))) static const u32 header[] = { 0x1badb002, FLAGS, -(0x1badb002 + FLAGS) };

typedef struct Info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr, drives[2], config, loader_name;
} Info;
typedef struct Module { u32 start, end, text, reserved; } Module;
typedef struct __attribute__((packed)) Range { u32 size; u64 base, length; u32 type; } Range;

static u8 zeros[5000]; /* .bss must be clean */

static void out(unsigned short port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static void text(const char *s) { while (*s) out(0x3f8, *s++); }

static void number(u64 value)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        if (value >> shift || !shift)
            out(0x3f8, "0123456789abcdef"[value >> shift & 15]);
}

static void item(const char *name, u64 value)
{
    text(" ");
    text(name);
    text("=");
    number(value);
}

static void end_line(void) { text("\r\n"); }

static void tell_modules(const Info *info)
{
    const Module *m = (const Module *)info->mods_addr;
    for (u32 i = 0; i < info->mods_count; i++, m++) {
        u32 sum = 0;
        for (const u8 *p = (const u8 *)m->start; p < (const u8 *)m->end; p++)
            sum += *p;
        text("MODULE '");
        text((const char *)m->text);
        text("'");
        item("bytes", m->end - m->start);
        item("sum", sum);
        item("offset", m->start & 0xfff);
        end_line();
    }
}

static void tell_map(const Info *info)
{
    for (u32 at = info->mmap_addr; at < info->mmap_addr + info->mmap_length;) {
        const Range *r = (const Range *)at;
        text("MAP");
        item("base", r->base);
        item("length", r->length);
        item("type", r->type);
        end_line();
        at += r->size + 4;
    }
}

__attribute__((used)) void tell(u32 magic, const Info *info)
{
    u32 dirt = 0, cr0;
    for (unsigned i = 0; i < sizeof(zeros); i++)
        dirt |= zeros[i];
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    text("MULTIBOOT");
    item("magic", magic);
    item("flags", info->flags);
    item("lower", info->mem_lower);
    item("upper", info->mem_upper);
    item("dirt", dirt);
    item("cr0", cr0 & 0x80000001);
    end_line();
    text("COMMAND '");
    text((const char *)info->cmdline);
    text("' LOADER '");
    text((const char *)info->loader_name);
    text("'\r\n");
    tell_modules(info);
    tell_map(info);
    text("MULTIBOOT END\r\n");
    out(0x501, 3);
    for (;;)
        __asm__ volatile("cli; hlt");
}

__attribute__((used)) static u8 stack[4096];
__asm__(".globl _start\n_start: mov $stack + 4096, %esp\n push %ebx\n push %eax\n call tell\n");
