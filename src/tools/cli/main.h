#pragma once
/* main.h - the program atoll. */
int cli_main(int argc, char **argv);
