/* options.c - the table of options, and what is made of it: parser, -help, manual page. */
#include "vmm/options.h"

#include <string.h>

#include "base/roff.h"
#include "console/chardev.h"
#include "devices/devices.h"

static OptionHandler answer_help, answer_version, answer_manual;

#define FLAG(member) .flag_off = offsetof(VmConfig, member)
#define TEXT(member) .text_off = offsetof(VmConfig, member)

const VmOption vm_options[] = {
    { "help", "h", NULL, "print this help and leave", answer_help, .section = "General" },
    { "version", NULL, NULL, "print the version and leave", answer_version },
    { "manual", NULL, NULL, "print the manual page (roff) and leave", answer_manual },
    { "machine", "M", "[type=]NAME[,accel=A[:B]][,acpi=on|off][,hpet=on|off][,pflash0=DRIVE][,pflash1=DRIVE][,pic|pit|rtc|isa-serial|auto-kernel-cmdline=auto|on|off]", "main board; help lists them; the last few are a microvm's", config_machine },
    { "accel", NULL, "NAME[:NAME...][,tlb=auto|tag|flat][,thread=multi][,tb-size=MIB]", "what runs the guest's instructions, the first that this host can; help lists them", config_accel },
    { "enable-kvm", NULL, NULL, "the same as -accel kvm", config_enable_kvm },
    { "cpu", NULL, "MODEL[,+FEATURE][,-FEATURE]", "processor model; help lists models and features", config_cpu },
    { "m", NULL, "[size=]BYTES", "RAM, in MiB or with a suffix k, M, G, T (default 128M)", config_ram },
    { "mem-path", NULL, "PATH", "RAM is a file, made where there is none, or, where PATH is a folder (hugetlbfs), a file there without a name", TEXT(mem_path) },
    { "mem-prealloc", NULL, NULL, "the host has to have all RAM at the start", FLAG(mem_prealloc) },
    { "smp", NULL, "[cpus=]N[,sockets=N][,dies=1][,clusters=1][,cores=N][,threads=N][,maxcpus=N]", "number of virtual CPUs and how they are grouped (default 1)", config_smp },
    { "name", NULL, "NAME", "name of the machine, for messages", config_name },
    { "uuid", NULL, "UUID", "identity of the machine that firmware tables show", config_uuid },
    { "smbios", NULL, "type=0|1|2|3|4|11|17,KEY=TEXT[,...] | file=FILE", "what SMBIOS tables say: vendor, version, date of the firmware (0); manufacturer, product, version, serial, uuid, sku, family of the system (1); the board (2), chassis (3), processors (4), memory (17); value= of OEM strings (11); file= is a whole structure", config_smbios },
    { "rtc", NULL, "base=utc|localtime|DATE", "time of the real-time clock at the start; DATE as 2024-02-29T12:00:00", config_rtc },
    { "global", NULL, "DRIVER.PROPERTY=VALUE | driver=DRIVER,property=PROPERTY,value=VALUE", "a property of every device of that type", config_global },
    { "overcommit", NULL, "[mem-lock=off][,cpu-pm=off]", "accepted for compatibility: nothing is locked", config_overcommit },
    { "no-acpi", NULL, NULL, "no ACPI tables", FLAG(no_acpi) },
    { "no-hpet", NULL, NULL, "no high precision event timer", FLAG(no_hpet) },
    { "nodefaults", NULL, NULL, "none of the devices that nobody asked for: first serial port, empty CD-ROM drive", FLAG(nodefaults) },
    { "no-user-config", NULL, NULL, "accepted for compatibility: there are no configuration files" },

    { "bios", NULL, "FILE", "firmware; a path, or a name in the -L folders (default bios-256k.bin of SeaBIOS)", TEXT(firmware), .section = "Starting up" },
    { "L", NULL, "DIR", "folder to look for firmware in, before the usual ones", config_firmware_dir },
    { "kernel", NULL, "FILE", "start this without firmware: Linux bzImage, ELF with a PVH note, or multiboot", TEXT(kernel) },
    { "initrd", NULL, "FILE", "initial RAM disk of -kernel; for multiboot: \"FILE ARGS,FILE ARGS\"", TEXT(initrd) },
    { "append", NULL, "TEXT", "command line of -kernel", TEXT(append) },
    { "boot", NULL, "[order=]LETTERS[,once=LETTERS][,menu=on|off][,strict=on|off][,splash=FILE][,splash-time=MS][,reboot-timeout=MS]", "order of boot devices: a floppy, c disk, d CD-ROM, n network; once= is the order of the first start only; strict=on: nothing else; splash= is a JPEG or BMP picture for menu=on", config_boot },
    { "fw_cfg", NULL, "[name=]NAME,file=FILE|string=TEXT", "a file for the firmware", config_fw_cfg },
    { "S", NULL, NULL, "do not start the CPUs", FLAG(start_paused) },
    { "incoming", NULL, "defer|fd:N|exec:COMMAND|file:PATH|unix:PATH|tcp:HOST:PORT", "do not start, but go on with a state that `migrate` has sent; defer: migrate-incoming says where from", TEXT(incoming) },
    { "no-reboot", NULL, NULL, "leave instead of rebooting", config_no_reboot },
    { "no-shutdown", NULL, NULL, "stay, stopped, when the guest powers off", config_no_shutdown },
    { "action", NULL, "[reboot=reset|shutdown][,shutdown=poweroff|pause][,panic=shutdown|pause|exit-failure|none][,watchdog=reset|shutdown|poweroff|pause|debug|none|inject-nmi]",
      "what follows when the guest resets, shuts down or panics, or a watchdog runs out; the first of each is the default", config_action },
    { "watchdog-action", NULL, "reset|shutdown|poweroff|pause|debug|none|inject-nmi", "the same as -action watchdog=", config_watchdog_action },

    { "drive", NULL, "file=FILE[,format=raw][,if=ide|virtio|floppy|pflash|none][,index=N][,media=disk|cdrom][,id=ID][,readonly=on][,snapshot=on][,cache=none|writeback|writethrough|directsync|unsafe][,aio=threads|io_uring][,discard=unmap][,copy-on-read=on][,iops=N][,bps=N][,throttling.LIMIT=N][,serial=TEXT][,rerror=report|ignore|stop|enospc][,werror=...][,OPTION=VALUE...]",
      "a disk image; commas in names are doubled; further options are the format's (atoll-img create -o help) and, as file.NAME, the file's", config_drive, .section = "Disks" },
    { "blockdev", NULL, "driver=DRIVER,node-name=NAME[,file=NODE|file.driver=...][,OPTION=VALUE...]", "a node of a stack of images, by name for -device drive=NAME; also as a JSON object", config_blockdev },
    { "object", NULL, "TYPE,id=ID[,PROPERTY=VALUE...]", "secrets and credentials, memory, sources of random numbers (help lists those), and filter-dump,netdev=ID,file=PATH: what passes a network, as a pcap file", config_object },
    { "hda", NULL, "FILE", "first IDE disk; -hdb, -hdc, -hdd are the others", config_hda },
    { "hdb", NULL, "FILE", "second IDE disk", config_hdb },
    { "hdc", NULL, "FILE", "third IDE disk", config_hdc },
    { "hdd", NULL, "FILE", "fourth IDE disk", config_hdd },
    { "fda", NULL, "FILE", "floppy in drive A", config_fda },
    { "fdb", NULL, "FILE", "floppy in drive B", config_fdb },
    { "cdrom", NULL, "FILE", "CD-ROM image, in the third IDE position", config_cdrom },
    { "snapshot", NULL, NULL, "what the guest writes to disks is kept in temporary files and forgotten", FLAG(snapshot) },

    { "device", NULL, "TYPE[,id=ID][,bus=NAME][,addr=SLOT][,PROPERTY=VALUE...]", "add a device; help lists the types, TYPE,help its properties", config_device, .section = "Devices and consoles" },
    { "usb", NULL, NULL, "a USB controller (of a pc with up to two devices piix3-usb-uhci, else qemu-xhci), unless -device adds one", FLAG(usb) },
    { "usbdevice", NULL, "tablet|mouse|keyboard", "the same as -usb -device usb-tablet and so on", config_usbdevice },
    { "serial", NULL, "DEV", "where the next serial port ends: stdio, mon:stdio, null, none, pty, file:PATH, unix:PATH[,server=on,wait=off], tcp:HOST:PORT[,...], telnet:HOST:PORT[,...], udp:HOST:PORT[@HOST:PORT], chardev:ID", config_serial },
    { "parallel", NULL, "none", "accepted for compatibility: there are no parallel ports", config_parallel },
    { "chardev", NULL, "BACKEND,id=ID[,...]", "host end of a serial line, by name; help lists the backends", config_chardev },
    { "debugcon", NULL, "DEV", "where bytes written to port 0xe9 go", config_debugcon },
    { "nographic", NULL, NULL, "no screen, first serial port on this terminal (mon:stdio); Ctrl-a x leaves", FLAG(nographic) },
    { "display", NULL, "none|vnc=ADDRESS", "no window on this host; -vnc, or vnc= here, shows the screen to viewers", config_display },
    { "vnc", NULL, "[HOST]:N|unix:PATH|none[,to=N][,password=on][,password-secret=ID][,tls-creds=ID][,share=allow-exclusive|force-shared|ignore][,id=ID][,display=DEVICE]",
      "show the screen to VNC viewers, at port 5900 + N", config_vnc },
    { "k", NULL, "LAYOUT", "a keyboard layout's name, as en-us or de: keys go to the guest by their place, whose layout the guest chooses; help lists the names", config_keyboard },
    { "vga", NULL, "std|virtio|none", "display adapter (default std, and none with -nographic or -nodefaults)", config_vga },
    { "monitor", NULL, "DEV", "text monitor (HMP) at a chardev, spelled as after -serial; none: no monitor in mon:stdio either", config_monitor },
    { "qmp", NULL, "DEV", "machine-readable monitor (QMP, JSON), as in -qmp unix:/run/vm.qmp,server=on,wait=off", config_qmp },
    { "qmp-pretty", NULL, "DEV", "the same with line breaks", config_qmp_pretty },
    { "gdb", NULL, "DEV", "let gdb drive the machine: tcp:HOST:PORT, unix:PATH, or a chardev spelled as after -serial", config_gdb },
    { "s", NULL, NULL, "the same as -gdb tcp:127.0.0.1:1234", config_gdb_here },
    { "qtest", NULL, "DEV", "read and write ports and memory by lines of text (QEMU's qtest protocol), with -accel qtest instead of a CPU", TEXT(qtest) },
    { "qtest-log", NULL, "FILE|none", "what passes there (default: to standard error)", TEXT(qtest_log) },
    { "echr", NULL, "KEY", "the key of a shared terminal instead of Ctrl-a, as its number (Ctrl-t is 0x14, or 20)", config_escape_key },
    { "mon", NULL, "chardev=ID[,mode=readline|control][,pretty=on]", "text monitor or (control) QMP at a chardev of that id", config_mon },
    { "netdev", NULL, "TYPE,id=ID[,OPTION=VALUE...]", "host end of a network card, by name for -device CARD,netdev=ID; help lists types and their options", config_netdev, .section = "Networks" },
    { "nic", NULL, "TYPE|none[,model=CARD][,mac=ADDRESS][,OPTION=VALUE...]", "a card (default virtio) and its host end in one", config_nic },
    { "net", NULL, "nic[,model=CARD][,macaddr=ADDRESS]|TYPE[,OPTION=VALUE...]|none", "the older spelling: a card, or the host end of the next card", config_net },

    { "add-fd", NULL, "set=N,fd=N[,opaque=TEXT]", "an inherited descriptor, which a chardev's path=/dev/fdset/N then means", config_add_fd },
    { "msg", NULL, "timestamp=on|off", "the time before each message", config_msg },
    { "sandbox", NULL, "on|off[,paths=FOLDER[:FOLDER...]][,obsolete=deny][,elevateprivileges=deny][,spawn=deny][,resourcecontrol=deny]",
      "what the process may do once the machine is made (default on): system calls, and, with paths= or without a -qmp, only the files that options name and those in FOLDER", config_sandbox },
    { "run-with", NULL, "[chroot=FOLDER][,user=NAME|UID:GID]", "another root folder, another user, once the machine is made", config_run_with },
    { "runas", NULL, "NAME|UID:GID", "the same as -run-with user=", config_runas },
    { "chroot", NULL, "FOLDER", "the same as -run-with chroot=", config_chroot },
    { "audiodev", NULL, "none,id=ID", "no sound (others are not built yet)", config_audiodev },
    { "daemonize", NULL, NULL, "go to the background once the machine is made; what goes wrong before is this program's exit status", FLAG(daemonize) },
    { "pidfile", NULL, "FILE", "write the process id there; removed at the end", TEXT(pidfile), .section = "Diagnosis" },
    { "d", NULL, "CATEGORY[,...]", "log; help lists the categories", config_log },
    { "D", NULL, "FILE", "log to a file instead of standard error", TEXT(log_path) },
    { NULL },
};

static bool answer_help(VmConfig *c, const char *arg, GError **err)
{
    c->answer = options_help();
    return true;
}

static bool answer_version(VmConfig *c, const char *arg, GError **err)
{
    c->answer = g_strdup("Atoll machine emulator version " ATOLL_VERSION "\n");
    return true;
}

static bool answer_manual(VmConfig *c, const char *arg, GError **err)
{
    c->answer = options_manual();
    return true;
}

static const VmOption *option_find(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const VmOption *o = vm_options; o->name; o++) {
        if (g_str_equal(name, o->name) || g_strcmp0(name, o->alias) == 0)
            return o;
        g_ptr_array_add(names, (char *)o->name);
    }
    g_ptr_array_add(names, NULL);
    const char *near = nearest_name(name, (const char *const *)names->pdata);
    if (near)
        error_set(err, ERR_INVALID, "no option '-%s', did you mean '-%s'?", name, near);
    else
        error_set(err, ERR_INVALID, "no option '-%s'; -help lists them", name);
    return NULL;
}

static bool option_apply(const VmOption *o, VmConfig *c, const char *arg, GError **err)
{
    if (o->handler)
        return o->handler(c, arg, err);
    if (o->flag_off)
        *(bool *)((char *)c + o->flag_off) = true;
    if (o->text_off) {
        char **text = (char **)((char *)c + o->text_off);
        g_free(*text);
        *text = g_strdup(arg);
    }
    return true;
}

bool options_parse(VmConfig *c, int argc, char **argv, GError **err)
{
    for (int i = 1; i < argc && !c->answer; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || !word[1]) {
            if (!config_hda(c, word, err))
                return false;
            continue;
        }
        const VmOption *o = option_find(word + (word[1] == '-' ? 2 : 1), err);
        if (!o)
            return false;
        if (o->argument && i + 1 == argc)
            return error_set(err, ERR_INVALID, "option '%s' needs an argument: -%s %s", word, o->name, o->argument);
        if (!option_apply(o, c, o->argument ? argv[++i] : NULL, err))
            return false;
    }
    return true;
}

char *options_help(void)
{
    GString *s = g_string_new("Usage: atoll-vm [OPTION...] [DISK-IMAGE]\n"
                              "Runs one virtual machine. Options are spelled as in qemu-system-x86_64.\n");
    for (const VmOption *o = vm_options; o->name; o++) {
        if (o->section)
            g_string_append_printf(s, "\n%s:\n", o->section);
        g_string_append_printf(s, "  -%s%s%s\n", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        g_string_append_printf(s, "        %s%s%s%s\n", o->help, o->alias ? " (also -" : "", o->alias ? o->alias : "", o->alias ? ")" : "");
    }
    return g_string_free(s, FALSE);
}

static void append_option(GString *s, const VmOption *o)
{
    if (o->section) {
        g_autofree char *upper = g_ascii_strup(o->section, -1);
        g_string_append_printf(s, ".SH %s\n", upper);
    }
    g_string_append(s, ".TP\n\\fB\\-");
    roff_append(s, o->name);
    g_string_append(s, "\\fR");
    if (o->argument) {
        g_string_append(s, " \\fI");
        roff_append(s, o->argument);
        g_string_append(s, "\\fR");
    }
    g_string_append_c(s, '\n');
    roff_append(s, o->help);
    g_string_append(s, ".\n");
}

static void append_device(GString *s, const DeviceType *t)
{
    g_string_append(s, ".TP\n\\fB");
    roff_append(s, t->name);
    g_string_append(s, "\\fR\n");
    roff_append(s, t->summary);
    g_string_append(s, ".\n");
    for (const Field *f = t->fields; f && f->name; f++) {
        if (f->role != FIELD_PROP)
            continue;
        g_autofree char *help = field_help(f);
        g_string_append(s, ".br\n");
        roff_append(s, help);
        g_string_append_c(s, '\n');
    }
}

char *options_manual(void)
{
    GString *s = g_string_new(".TH ATOLL\\-VM 1 \"\" \"Atoll " ATOLL_VERSION "\"\n"
                              ".SH NAME\natoll\\-vm \\- run one virtual machine\n"
                              ".SH SYNOPSIS\n\\fBatoll\\-vm\\fR [\\fIOPTION\\fR...] [\\fIDISK\\-IMAGE\\fR]\n"
                              ".SH DESCRIPTION\nRuns a PC in software or by KVM. Options are spelled as in qemu\\-system\\-x86_64.\n"
                              "In values made of key=value words a comma is written as two.\n");
    for (const VmOption *o = vm_options; o->name; o++)
        append_option(s, o);
    g_string_append(s, ".SH DEVICE TYPES\n");
    for (unsigned i = 0; device_types[i]; i++)
        if (!device_types[i]->internal)
            append_device(s, device_types[i]);
    g_string_append(s, ".SH KEYS\nOn a console shared by \\fBmon:stdio\\fR or \\fB\\-nographic\\fR: Ctrl\\-a x ends the machine, Ctrl\\-a h helps, "
                       "Ctrl\\-a c goes to the next console, Ctrl\\-a b sends a break.\n"
                       ".SH EXIT STATUS\n0 after the guest powered off or the machine was told to end; 1 after an error; "
                       "what the guest asked for by isa\\-debug\\-exit.\n");
    return g_string_free(s, FALSE);
}
