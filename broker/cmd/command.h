/* command.h - one subcommand. broker/cmd/NAME.c defines NJ_COMMAND(NAME) and the Makefile lists it. */
#ifndef NJ_CMD_COMMAND_H
#define NJ_CMD_COMMAND_H

#include "../base/exit.h"
#include "../manual/command.h"

extern const nj_command *const nj_commands[]; /* ends with NULL */

#define NJ_COMMAND(x)                                                                                        \
    extern const nj_command nj_command_##x;                                                                  \
    const nj_command nj_command_##x

#endif
