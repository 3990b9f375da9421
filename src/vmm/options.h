#pragma once
#include "vmm/config.h"
/*
 * options.h - the command line of atoll-vm.  One table gives parsing, -help and the manual page.
 */
typedef struct VmOption {
    const char *name, *alias;   /* without the dash */
    const char *argument;       /* as help writes it; NULL: takes none */
    const char *help;
    OptionHandler *handler;     /* or one of: */
    uint16_t flag_off, text_off; /* a bool of VmConfig that it sets, a char * that it replaces; 0: none */
    const char *section;        /* starts a section of that name */
} VmOption;

extern const VmOption vm_options[]; /* ends with a NULL name */

/* argv[0] is the program.  A word without a dash is a disk image, as after -hda. */
bool options_parse(VmConfig *c, int argc, char **argv, GError **err);
char *options_help(void);   /* caller frees */
char *options_manual(void); /* the same as a manual page, with every device type; caller frees */
