/*
 * insn_objdump_test.c - decoder and formatter against binutils' disassembler: length and text.
 *
 * The cases come from the table (every row in every mode, form and size), from the opcode maps (every opcode with many
 * ModRM bytes and prefixes), and from random bytes.  objdump reads them from one file, a slot of 32 bytes each, filled
 * with NOPs so that it finds the next slot whatever it made of this one.
 *
 * OBJDUMP_ALL=1 prints every difference instead of stopping at the count.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/x86/decode.h"
#include "isa/x86/insn_example.h"

enum { SLOT = 32 };

typedef struct Case {
    uint8_t bytes[SLOT];
    char *text;      /* objdump's, in our spelling; NULL: "(bad)" */
    unsigned length;
} Case;

static void add_case(GArray *cases, const uint8_t *bytes, size_t n)
{
    Case c;
    memset(&c, 0, sizeof(c));
    memset(c.bytes, 0x90, SLOT);
    memcpy(c.bytes, bytes, n);
    g_array_append_val(cases, c);
}

/* ---- running objdump */

static char *run_objdump(GArray *cases, CodeSize size)
{
    static const char *const machines[] = { "-mi8086", "-mi386", "-mi386:x86-64" };
    g_autofree char *path = NULL, *out = NULL;
    int fd = g_file_open_tmp("isa-XXXXXX", &path, NULL);
    FILE *file = fdopen(fd, "wb");
    for (unsigned k = 0; k < cases->len; k++)
        fwrite(g_array_index(cases, Case, k).bytes, SLOT, 1, file);
    fclose(file);
    const char *argv[] = { "objdump", "-D", "-bbinary", machines[size], "-Mintel,intel64", "-w", "--no-show-raw-insn", path, NULL };
    if (size != CODE64)
        argv[4] = "-Mintel";
    g_autoptr(GError) err = NULL;
    int status;
    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, &status, &err);
    g_unlink(path);
    g_assert_no_error(err);
    g_assert_cmpint(status, ==, 0);
    return g_steal_pointer(&out);
}

/* Removes all spaces but the first after each leading word, and what follows '#' or '<'. */
static char *squeeze(const char *text)
{
    GString *out = g_string_new(NULL);
    for (const char *p = text; *p && *p != '#' && *p != '<' && *p != '\n'; p++) {
        bool space = *p == ' ' || *p == '\t';
        bool between_words = space && p[1] && p[1] != ' ' && !strchr(",+-*[]", p[1]) && out->len && !strchr(",+-*[]:", out->str[out->len - 1]);
        if (!space)
            g_string_append_c(out, g_ascii_tolower(*p));
        else if (between_words && out->str[out->len - 1] != ' ')
            g_string_append_c(out, ' ');
    }
    g_strchomp(out->str);
    g_autofree char *plain = g_string_free(out, FALSE);
    if (*plain != 'f' && !strstr(plain, " f"))
        return g_steal_pointer(&plain);
    g_autoptr(GRegex) st = g_regex_new("(?<![a-z])st(?![a-z(])", 0, 0, NULL); /* "st" alone is st(0) */
    return g_regex_replace_literal(st, plain, -1, 0, "st(0)", 0, NULL);
}

/* Lines "  1f:\tadd    eax,ebx". */
static void parse_output(GArray *cases, const char *out)
{
    Case *open = NULL;
    uint64_t open_at = 0;
    for (const char *line = out; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *end;
        uint64_t at = g_ascii_strtoull(line, &end, 16);
        if (end == line || end[0] != ':' || end[1] != '\t')
            continue;
        if (open)
            open->length = at - open_at;
        open = NULL;
        if (at % SLOT)
            continue;
        open = &g_array_index(cases, Case, at / SLOT);
        open_at = at;
        open->text = squeeze(end + 2);
    }
}

static void free_cases(GArray *cases)
{
    for (unsigned k = 0; k < cases->len; k++)
        g_free(g_array_index(cases, Case, k).text);
    g_array_free(cases, TRUE);
}

/* ---- spelling */

/* Words that objdump sets before an instruction for prefixes that have no effect on it, and hints that we do not print. */
static const char *skip_idle_prefixes(const char *text)
{
    static const char *const words[] = { "data16 ", "data32 ", "addr16 ", "addr32 ", "rex", "cs ", "ds ", "es ", "ss ", "fs ", "gs ",
                                         "repz ", "repnz ", "rep ", "bnd ", "notrack ", "xacquire ", "xrelease " };
    for (unsigned k = 0; k < G_N_ELEMENTS(words); k++)
        if (g_str_has_prefix(text, words[k])) {
            const char *space = strchr(text, ' ');
            return space ? skip_idle_prefixes(space + 1) : text;
        }
    return text;
}

/* Where prefixes stand in an order that makes some of them idle, objdump may print these as instructions of their own. */
static bool is_lone_prefix(const char *text)
{
    if (g_str_has_prefix(text, "lock "))
        text += strlen("lock ");
    g_autofree char *with_space = g_strconcat(text, " ", NULL);
    return *skip_idle_prefixes(with_space) == 0 || (g_str_has_prefix(text, "rex") && !strchr(text, ' '));
}

enum { NO_SIZE = 1, SUFFIX = 2, ANY_OPERANDS = 4, REG_WIDTH = 8 };
/* Mnemonics that objdump spells in its own way: other names, no size of the memory operand (or another name for it), a
 * letter for the operand size at the end, operands that we do not print, registers as wide as the operand size. */
static const struct { const char *ours, *theirs; unsigned how; } spellings[] = {
    { "call", NULL, SUFFIX }, { "jmp", NULL, SUFFIX }, { "ret", NULL, SUFFIX }, { "push", NULL, SUFFIX }, { "pop", NULL, SUFFIX },
    { "enter", NULL, SUFFIX }, { "leave", NULL, SUFFIX }, { "retf", NULL, SUFFIX }, { "loop", NULL, SUFFIX },
    { "loope", NULL, SUFFIX }, { "loopne", NULL, SUFFIX }, { "jcxz", NULL, SUFFIX }, { "jecxz", NULL, SUFFIX },
    { "pusha", NULL, SUFFIX }, { "popa", NULL, SUFFIX }, { "pushf", NULL, SUFFIX }, { "popf", NULL, SUFFIX }, { "iret", NULL, SUFFIX },
    { "sysret", NULL, SUFFIX }, { "sysexit", NULL, SUFFIX }, { "fldenv", NULL, SUFFIX }, { "fnstenv", NULL, SUFFIX },
    { "frstor", NULL, SUFFIX }, { "fnsave", NULL, SUFFIX },
    { "sgdt", NULL, SUFFIX | NO_SIZE }, { "sidt", NULL, SUFFIX | NO_SIZE }, { "lgdt", NULL, SUFFIX | NO_SIZE },
    { "lidt", NULL, SUFFIX | NO_SIZE }, { "invpcid", NULL, NO_SIZE }, { "lddqu", NULL, NO_SIZE }, { "vlddqu", NULL, NO_SIZE },
    { "lss", NULL, NO_SIZE }, { "lfs", NULL, NO_SIZE }, { "lgs", NULL, NO_SIZE }, { "cmpxchg16b", NULL, NO_SIZE },
    { "call far", "call", SUFFIX | NO_SIZE }, { "jmp far", "jmp", SUFFIX | NO_SIZE },
    { "mov", NULL, REG_WIDTH }, { "mov", "movabs", 0 }, { "lar", NULL, REG_WIDTH }, { "lsl", NULL, REG_WIDTH },
    { "vmovss", NULL, REG_WIDTH }, { "vmovsd", NULL, REG_WIDTH }, /* VEX.L is ignored */
    { "rdfsbase", NULL, REG_WIDTH }, { "rdgsbase", NULL, REG_WIDTH }, { "wrfsbase", NULL, REG_WIDTH }, { "wrgsbase", NULL, REG_WIDTH },
    { "movq2dq", NULL, ANY_OPERANDS }, { "movdq2q", NULL, ANY_OPERANDS }, /* 66 before F2, F3: it prints XMM for MM */
    { "fcom", NULL, ANY_OPERANDS }, { "fcomp", NULL, ANY_OPERANDS }, { "fneni", NULL, ANY_OPERANDS }, { "fndisi", NULL, ANY_OPERANDS },
    { "fnsetpm", NULL, ANY_OPERANDS }, { "xlatb", "xlat", ANY_OPERANDS }, { "monitor", NULL, ANY_OPERANDS }, { "mwait", NULL, ANY_OPERANDS },
    { "wbinvd", "wbnoinvd", 0 }, { "movsxd", NULL, NO_SIZE }, /* 66 with REX.W: REX.W wins */
    { "vmmcall", "vmgexit", 0 },
    { "pcmpestrm", "pcmpestrmq", 0 }, { "vpcmpestrm", "vpcmpestrmq", 0 }, { "pcmpestri", "pcmpestriq", 0 }, { "vpcmpestri", "vpcmpestriq", 0 },
    { "nop", "xchg ax,ax", 0 }, { "nop", "xchg eax,eax", 0 }, { "nop", "xchg rax,rax", 0 },
    { "nop", "prefetch", ANY_OPERANDS }, { "nop", "bnd", ANY_OPERANDS }, { "nop", "cldemote", ANY_OPERANDS }, { "nop", "rdssp", ANY_OPERANDS },
};

/* What objdump 2.40 does not know and the SDM (or AMD's manual, or every processor) has. */
static bool only_we_know(const Insn *i)
{
    bool x87_alias = i->map == 0 && i->opcode >= 0xd8 && i->opcode <= 0xdf && i->modrm >= 0xc0;
    bool fence = i->op == OP_LFENCE || i->op == OP_MFENCE || i->op == OP_SFENCE; /* rm is ignored: SDM 2, LFENCE */
    /* The SDM does not forbid 66, F2, F3 there. */
    bool any_prefix = i->op == OP_WBINVD || i->op == OP_VMMCALL || i->op == OP_BSF || i->op == OP_BSR;
    return x87_alias || i->op == OP_FWAIT || fence || any_prefix || i->op == OP_SALC || i->op == OP_NOP;
}

/* What objdump knows and insns.txt lists as missing. */
static bool known_missing(const Case *c, const Insn *i)
{
    uint8_t modrm = c->bytes[i->opcode_off + 1];
    bool vex = i->prefixes & PFX_VEX;
    for (unsigned k = 0; k < missing_row_count; k++) {
        const MissingRow *m = &missing_rows[k];
        if (m->map == i->map && m->opcode == i->opcode && m->vex == vex && (modrm & m->modrm_mask) == m->modrm_value)
            return true;
    }
    return false;
}

/* objdump takes 66, F2, F3 for idle where the SDM forbids them (NP). */
static bool np_with_prefix(const Case *c, CodeSize size)
{
    uint8_t bare[SLOT];
    unsigned n = 0, k = 0;
    Insn insn;
    memset(bare, 0x90, sizeof(bare));
    for (; k < 15 && (c->bytes[k] != 0x0f); k++)
        if (c->bytes[k] != 0x66 && c->bytes[k] != 0xf2 && c->bytes[k] != 0xf3)
            bare[n++] = c->bytes[k];
    memcpy(bare + n, c->bytes + k, SLOT - k);
    return insn_decode(bare, sizeof(bare), size, &insn) == DECODE_OK && decode_rows[insn.row].prefix == ROWPFX_NP;
}

/* MOV to CS, 66, F2, F3 in VZEROUPPER's VEX, and 64-bit instructions in other modes are #UD; objdump prints them. */
static bool known_lenient(const Case *c, const Insn *i)
{
    static const char *const words[] = { "mov cs,", "vzero", "rdfsbase", "rdgsbase", "wrfsbase", "wrgsbase", "swapgs" };
    const char *text = skip_idle_prefixes(c->text);
    for (unsigned k = 0; k < G_N_ELEMENTS(words); k++)
        if (g_str_has_prefix(text, words[k]))
            return true;
    bool no_such_register = i->map == 1 && i->opcode >= 0x20 && i->opcode <= 0x23; /* CR1, CR5, DR8 */
    return no_such_register || is_lone_prefix(c->text);
}

/* objdump does not check LOCK, and takes ES, CS, SS and DS overrides, 66, F2, F3 before VEX for idle. */
static bool checked_by_us_only(const Case *c, const Insn *i)
{
    for (unsigned k = 0; k < i->length; k++)
        if (c->bytes[k] == 0xf0)
            return true;
    return i->prefixes & PFX_VEX && c->bytes[0] != 0xc4 && c->bytes[0] != 0xc5; /* REX too */
}

static char *replace(const char *text, const char *pattern, const char *by)
{
    g_autoptr(GRegex) regex = g_regex_new(pattern, 0, 0, NULL);
    return g_regex_replace(regex, text, -1, 0, by, 0, NULL);
}

/* What is left of the operands to compare. */
static char *reduce(const char *operands, unsigned how)
{
    if (how & NO_SIZE)
        return replace(operands, "[a-z]+ ptr ?|^ ", "");
    if (!(how & REG_WIDTH))
        return g_strdup(operands);
    g_autofree char *legacy = replace(operands, "\\b[er]([abcd]x|[sd]i|[sb]p)\\b|\\b(r[0-9]+)[wd]\\b", "\\1\\2");
    return replace(legacy, "ymm", "xmm");
}

static const char *skip_suffix(const char *operands, unsigned how)
{
    bool letter = how & SUFFIX && *operands && strchr("wdq", *operands) && (!operands[1] || strchr(" [", operands[1]));
    return operands + letter;
}

static bool same_spelling(const char *ours, const char *theirs, const char *name, const char *other, unsigned how)
{
    other = other ? other : name;
    if (!g_str_has_prefix(ours, name) || !g_str_has_prefix(theirs, other))
        return false;
    ours = skip_suffix(ours + strlen(name), how);
    theirs = skip_suffix(theirs + strlen(other), how);
    if (*ours && !strchr(" [", *ours))
        return false;
    g_autofree char *a = reduce(ours, how), *b = reduce(theirs, how);
    return how & ANY_OPERANDS || g_str_equal(a, b);
}

/* Strings: objdump prints the operands ("movs byte ptr es:[di],byte ptr ds:[si]"), we the size's letter. */
static bool same_string(const Insn *i, const char *theirs)
{
    static const char *const sizes[] = { [1] = "byte ptr", [2] = "word ptr", [4] = "dword ptr", [8] = "qword ptr" };
    g_autofree char *segment = g_strdup_printf("%cs:", "ecsdfg"[i->seg]);
    const char *name = op_names[i->op];
    bool uses_seg = i->op != OP_STOS && i->op != OP_SCAS && i->op != OP_INS;
    return !strncmp(theirs, name, strlen(name) - 1) && strstr(theirs, sizes[i->opsize]) && (!uses_seg || strstr(theirs, segment));
}

/* Comparisons: objdump makes names of the predicates below 32 ("cmpltps"). */
static bool same_predicate(const char *ours, const char *theirs)
{
    const char *a = strchr(ours, ' '), *b = strchr(theirs, ' ');
    return a && b && strstr(ours, "cmp") && strstr(theirs, "cmp") && g_str_has_prefix(a, b);
}

/* "ds:0x1234" is our "[0x1234]", and moffs have no size. */
static bool same_absolute(const char *ours, const char *theirs)
{
    g_autofree char *a = replace(ours, "([a-z]+ ptr ?)?(ds:|([c-s]s:))?\\[(0x[0-9a-f]+)\\]| far", "\\3\\4");
    g_autofree char *b = replace(theirs, "([a-z]+ ptr ?)?(ds:|([c-s]s:))(0x[0-9a-f]+)", "\\3\\4");
    g_autofree char *c = replace(b, "^(mov)abs|^([sl][gi]dt)[wdq]|([a-z])[wd] ", "\\1\\2\\3");
    g_autofree char *d = replace(a, " ", ""), *e = replace(c, " ", ""), *f = replace(b, " ", "");
    return g_str_equal(d, e) || g_str_equal(d, f);
}

/* objdump prints some negative displacements as 64-bit numbers, displacements of 0, and an index that is none. */
static char *plain_address(const char *original)
{
    g_autofree char *text = replace(original, "\\+[er]iz\\*[1248]|\\+0x0(?=\\])", "");
    const char *at = strstr(text, "+0xffffffff");
    if (!at)
        return g_strdup(text);
    char *end;
    uint64_t value = g_ascii_strtoull(at + 1, &end, 16);
    return g_strdup_printf("%.*s-0x%" G_GINT64_MODIFIER "x%s", (int)(at - text), text, -value, end);
}

/* objdump does not wrap 16-bit targets. */
static char *wrap_target(const Insn *i, const char *text)
{
    const char *number = strrchr(text, 'x');
    if (i->opnd[0].kind != OPND_REL || i->opsize == 8 || !number)
        return g_strdup(text);
    uint64_t mask = i->opsize == 2 ? 0xffff : 0xffffffff;
    return g_strdup_printf("%.*s%" G_GINT64_MODIFIER "x", (int)(number + 1 - text), text, g_ascii_strtoull(number + 1, NULL, 16) & mask);
}

static bool same_text(const Insn *i, const char *ours, const char *theirs)
{
    const char *bare = g_str_has_prefix(theirs, "lock ") ? theirs + strlen("lock ") : theirs;
    if (bare != theirs && g_str_has_prefix(ours, "lock "))
        ours += strlen("lock ");
    g_autofree char *wrapped = wrap_target(i, skip_idle_prefixes(bare)), *rest = plain_address(wrapped);
    if (g_str_equal(ours, theirs) || g_str_equal(ours, rest))
        return true;
    if (insn_row(i)->attrs & ROW_STRING)
        return same_string(i, rest);
    if (i->op == OP_XCHG && g_str_has_suffix(theirs, "pause"))
        return true; /* F3 REX.B 90 */
    if (strstr(theirs, "notrack"))
        return g_str_has_prefix(ours, op_names[i->op]); /* it takes DS for a hint and does not print it */
    if (strstr(ours, "cmp") && strstr(rest, "cmp") && decode_rows[i->row].opcode == 0xc2 && i->imm < 32)
        return same_predicate(ours, rest);
    if (strstr(rest, "[eiz*") || strstr(rest, "[riz*"))
        return true; /* an address without base and index, as a signed number */
    if (i->has_mem && i->base == INSN_NO_REG && i->index == INSN_NO_REG && same_absolute(ours, rest))
        return true;
    for (unsigned k = 0; k < G_N_ELEMENTS(spellings); k++)
        if (same_spelling(ours, rest, spellings[k].ours, spellings[k].theirs, spellings[k].how))
            return true;
    return false;
}

/* ---- comparison */

static bool same(const Case *c, uint64_t at, CodeSize size, char **ret_ours)
{
    char text[160];
    Insn insn;
    DecodeResult r = insn_decode(c->bytes, SLOT, size, &insn);
    bool bad = !c->text || strstr(c->text, "(bad)") || strchr(c->text, '?');
    insn_format(&insn, at, text, sizeof(text));
    *ret_ours = r == DECODE_OK ? squeeze(text) : g_strdup_printf("(invalid %u)", r);
    if (r != DECODE_OK)
        return bad || known_missing(c, &insn) || checked_by_us_only(c, &insn) || known_lenient(c, &insn) || np_with_prefix(c, size);
    if (bad)
        return only_we_know(&insn);
    if (insn.op == OP_FWAIT || is_lone_prefix(c->text))
        return true; /* objdump takes 9B as a prefix: of x87 instructions, or cut off from its own prefixes */
    return insn.length == c->length && same_text(&insn, *ret_ours, c->text);
}

static void report(const Case *c, CodeSize size, const char *ours)
{
    GString *hex = g_string_new(NULL);
    for (unsigned k = 0; k < MAX(c->length, 6) && k < 15; k++)
        g_string_append_printf(hex, "%02x ", c->bytes[k]);
    g_test_message("mode %u: %s: %s (ours), %s (objdump, %u bytes)", 16u << size, hex->str, ours, c->text, c->length);
    g_string_free(hex, TRUE);
}

static void compare(GArray *cases, CodeSize size)
{
    g_autofree char *out = run_objdump(cases, size);
    unsigned different = 0;
    parse_output(cases, out);
    for (unsigned k = 0; k < cases->len; k++) {
        g_autofree char *ours = NULL;
        const Case *c = &g_array_index(cases, Case, k);
        if (same(c, k * SLOT, size, &ours))
            continue;
        if (different++ < 20 || g_getenv("OBJDUMP_ALL"))
            report(c, size, ours);
    }
    g_test_message("mode %u: %u cases, %u differ", 16u << size, cases->len, different);
    g_assert_cmpuint(different, ==, 0);
}

/* ---- cases from the table */

static void add_row_form(GArray *cases, unsigned row, CodeSize size, bool memory, unsigned opsize, unsigned variant)
{
    static const int64_t disps[] = { 16, -32, 0x1234, 0 };
    InsnForms f = insn_row_forms(row);
    unsigned high = size == CODE64 && variant & 1 ? 8 : 0;
    InsnExample e = insn_example(row, size);
    e.memory = memory;
    e.opsize = opsize;
    e.base = size == CODE16 ? GPR_RBX : GPR_RDI + high;
    e.disp = disps[variant];
    e.reg = 2 + high, e.rm = 1 + high, e.vvvv = 3 + high, e.is4 = 5 + high;
    e.vex_l = variant & 1;
    e.cc = variant * 5;
    e.imm = variant == 2 ? 0x85 : 0x12, e.imm2 = 0x23;
    if (f.vsib) {
        e.index = 4 + high;
        e.addrsize = size == CODE16 ? 4 : 0;
        e.base = GPR_RDI;
    } else if (size != CODE16 && variant == 3) {
        e.index = GPR_RCX + high;
        e.scale = variant;
    }
    uint8_t code[INSN_MAX_BYTES];
    size_t n = insn_encode(&e, code);
    if (n)
        add_case(cases, code, n);
}

static void test_rows(gconstpointer data)
{
    CodeSize size = GPOINTER_TO_UINT(data);
    static const uint8_t opsizes[] = { 0, 2, 4, 8 };
    GArray *cases = g_array_new(FALSE, FALSE, sizeof(Case));
    for (unsigned row = 0; row < insn_row_count; row++)
        for (unsigned memory = 0; memory < 2; memory++)
            for (unsigned variant = 0; variant < 4; variant++)
                for (unsigned k = 0; k < (variant ? 1 : G_N_ELEMENTS(opsizes)); k++)
                    add_row_form(cases, row, size, memory, opsizes[k], variant);
    g_assert_cmpuint(cases->len, >, insn_row_count);
    compare(cases, size);
    free_cases(cases);
}

/* ---- cases from the opcode maps */

/* Opcodes whose ModRM says nearly everything. */
static bool is_dense(unsigned map, unsigned opcode)
{
    return (map == 0 && opcode >= 0xd8 && opcode <= 0xdf) ||
           (map == 1 && (opcode == 0x01 || opcode == 0xae || opcode == 0xc7 || opcode == 0x18 || opcode == 0x1e));
}

static void add_opcode(GArray *cases, uint8_t prefix, unsigned map, unsigned opcode)
{
    unsigned step = is_dense(map, opcode) ? 1 : g_test_slow() ? 3 : 13;
    for (unsigned modrm = (opcode + prefix) % step; modrm < 256; modrm += modrm < 0xc0 ? MAX(step, 7) : step) {
        uint8_t code[8];
        size_t n = 0;
        if (prefix)
            code[n++] = prefix;
        if (map)
            code[n++] = 0x0f;
        if (map > 1)
            code[n++] = map == 2 ? 0x38 : 0x3a;
        code[n++] = opcode;
        code[n++] = modrm;
        add_case(cases, code, n);
    }
}

static void test_maps(gconstpointer data)
{
    CodeSize size = GPOINTER_TO_UINT(data);
    static const uint8_t prefixes[] = { 0, 0x66, 0xf2, 0xf3, 0x48 };
    GArray *cases = g_array_new(FALSE, FALSE, sizeof(Case));
    for (unsigned k = 0; k < (size == CODE64 ? 5 : 4); k++)
        for (unsigned map = 0; map < DECODE_MAPS; map++)
            for (unsigned opcode = 0; opcode < 256; opcode++)
                add_opcode(cases, prefixes[k], map, opcode);
    compare(cases, size);
    free_cases(cases);
}

/* C4: every map, opcode, pp, W and L, with vvvv used and unused. */
static void test_vex(gconstpointer data)
{
    CodeSize size = GPOINTER_TO_UINT(data);
    GArray *cases = g_array_new(FALSE, FALSE, sizeof(Case));
    for (unsigned map = 1; map < DECODE_MAPS; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned k = 0; k < 32; k++) {
                uint8_t modrm = k & 1 ? 0xca : 0x4c; /* register; base and index */
                uint8_t tail = (k >> 1 & 7) | (k & 16 ? 0x80 : 0);
                uint8_t code[] = { 0xc4, 0xe0 | map, tail | (opcode & 1 ? 0x78 : 0x58), opcode, modrm, 0x15 };
                add_case(cases, code, sizeof(code));
                code[2] = tail | (opcode & 1 ? 0x58 : 0x78);
                add_case(cases, code, sizeof(code));
            }
    compare(cases, size);
    free_cases(cases);
}

static void test_random(gconstpointer data)
{
    CodeSize size = GPOINTER_TO_UINT(data);
    GArray *cases = g_array_new(FALSE, FALSE, sizeof(Case));
    for (unsigned k = 0; k < (g_test_slow() ? 400000 : 20000); k++) {
        uint8_t code[INSN_MAX_BYTES];
        for (unsigned i = 0; i < sizeof(code); i++)
            code[i] = g_test_rand_int();
        add_case(cases, code, sizeof(code));
    }
    compare(cases, size);
    free_cases(cases);
}

static void add_test(const char *name, void (*fn)(gconstpointer))
{
    for (CodeSize size = CODE16; size <= CODE64; size++) {
        g_autofree char *path = g_strdup_printf("/isa/objdump/%s/%u", name, 16u << size);
        g_test_add_data_func(path, GUINT_TO_POINTER(size), fn);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_test("rows", test_rows);
    add_test("maps", test_maps);
    add_test("vex", test_vex);
    add_test("random", test_random);
    return g_test_run();
}
