/* main.c - the program atoll-img. */
#include "tools/img/commands.h"

int main(int argc, char **argv) { return img_main(argc, argv); }
