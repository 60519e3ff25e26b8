/* command.h - one subcommand. broker/cmd/NAME.c defines NJ_COMMAND(NAME) and the Makefile lists it. */
#ifndef NJ_CMD_COMMAND_H
#define NJ_CMD_COMMAND_H

#include "../base/exit.h"

typedef struct nj_command {
    const char *name;                   /* as typed; '-' where the file name has '_' */
    const char *usage;                  /* "run [options] SOURCE..." */
    const char *summary;                /* one line for the help */
    const char *help;                   /* the options, for `nightjar NAME --help`; NULL = usage is all */
    int (*main)(int argc, char **argv); /* argv[0] is the command; returns the exit code */
} nj_command;

extern const nj_command *const nj_commands[]; /* ends with NULL */

#define NJ_COMMAND(x)                                                                                                            \
    extern const nj_command nj_command_##x;                                                                                      \
    const nj_command nj_command_##x

#endif
