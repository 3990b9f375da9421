/* main.c - atoll-vm. */
#include "vmm/vm.h"

int main(int argc, char **argv) { return vm_main(argc, argv); }
