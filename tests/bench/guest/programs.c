/*
 * programs.c - real programs as workloads: gzip, awk and shell of busybox, Lua, and the compiler tcc.
 *
 * Their files lie below the current folder (bin/, lib/, tmp/), in a guest and natively; input is made here, and what
 * they write is the checksum.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

extern char **environ;

static const char *const INPUT = "tmp/input", *const OUTPUT = "tmp/output";

static FILE *create_input(void)
{
    FILE *f = fopen(INPUT, "w");
    if (!f)
        give_up(INPUT);
    return f;
}

/* Lines of five words, some of them more frequent than others. */
static void write_text(void)
{
    FILE *f = create_input();
    uint64_t seed = 7;
    for (unsigned line = 0; line < 2000; line++)
        for (unsigned word = 0; word < 5; word++) {
            uint32_t a = next_random(&seed) % 1000, b = next_random(&seed) % (a + 1);
            fprintf(f, "word%u%c", b, word == 4 ? '\n' : ' ');
        }
    fclose(f);
}

static void write_program(void)
{
    FILE *f = create_input();
    fprintf(f, "struct pair { int a; long b; };\nstatic int table[64];\n");
    for (unsigned i = 0; i < 200; i++)
        fprintf(f,
                "int function%u(int x, struct pair *p)\n{\n    long sum = %u;\n    for (int i = 0; i < x; i++) {\n"
                "        if (i %% 3 == %u && p->a > i)\n            sum += table[(i + %u) & 63] * p->b;\n"
                "        else\n            sum ^= sum << 3 | i;\n    }\n    p->b = sum;\n    return (int)sum%s%u;\n}\n",
                i, i * 7, i % 3, i, i % 2 ? " + " : " - ", i);
    fclose(f);
}

static uint64_t file_checksum(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        give_up(path);
    uint64_t sum = 0;
    for (int c; (c = getc(f)) != EOF;)
        sum = mix(sum, c);
    fclose(f);
    return sum;
}

/* Runs a program with the input as its standard input; what it wrote to OUTPUT, or as standard output, is summed up. */
static uint64_t run_program(const char *const *args, void write_input(void))
{
    static bool written; /* each workload is a process */
    if (!written)
        write_input();
    written = true;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, INPUT, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, OUTPUT, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    pid_t child;
    int status = posix_spawn(&child, args[0], &files, NULL, (char **)args, environ);
    posix_spawn_file_actions_destroy(&files);
    if (status || waitpid(child, &status, 0) != child || status)
        give_up(args[0]);
    return file_checksum(OUTPUT);
}

#define BUSYBOX    "bin/busybox"
#define DYNAMIC(x) "lib/ld-linux-x86-64.so.2", "--library-path", "lib", x

static uint64_t run_gzip(void)
{
    return run_program((const char *[]){ BUSYBOX, "gzip", "-c", NULL }, write_text);
}

static uint64_t run_awk(void)
{
    static const char script[] = "{ for (i = 1; i <= NF; i++) seen[$i]++ } END { for (w in seen) { n++; "
                                 "sum += seen[w] * length(w) } printf \"%d %d\\n\", n, sum }";
    return run_program((const char *[]){ BUSYBOX, "awk", script, NULL }, write_text);
}

static uint64_t run_shell(void)
{
    static const char script[] = "i=0; n=0; while [ $i -lt 2000 ]; do case $i in *7*) n=$((n + i * 3));; esac; "
                                 "i=$((i + 1)); done; echo $n";
    return run_program((const char *[]){ BUSYBOX, "sh", "-c", script, NULL }, write_text);
}

static uint64_t run_lua(void)
{
    static const char script[] =
        "local seen, order = {}, {}\n"
        "for word in io.read('a'):gmatch('%w+') do\n"
        "  if not seen[word] then seen[word] = 0; order[#order + 1] = word end\n"
        "  seen[word] = seen[word] + 1\nend\n"
        "table.sort(order, function(a, b) return seen[a] > seen[b] or seen[a] == seen[b] and a < b end)\n"
        "for i = 1, 100 do print(order[i], seen[order[i]]) end\n";
    return run_program((const char *[]){ DYNAMIC("bin/lua"), "-e", script, NULL }, write_text);
}

static uint64_t run_compile(void)
{
    return run_program((const char *[]){ DYNAMIC("bin/tcc"), "-nostdinc", "-c", "-o", OUTPUT, "-", NULL },
                       write_program);
}

static bool have_lua(void)
{
    return access("bin/lua", X_OK) == 0;
}

static bool have_tcc(void)
{
    return access("bin/tcc", X_OK) == 0;
}

const Workload program_workloads[] = {
    { "gzip", run_gzip },
    { "awk", run_awk },
    { "shell", run_shell },
    { "lua", run_lua, .usable = have_lua },
    { "compile", run_compile, .usable = have_tcc },
    { NULL },
};
