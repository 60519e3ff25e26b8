/* exit.h - exit codes of all commands. */
#ifndef NJ_BASE_EXIT_H
#define NJ_BASE_EXIT_H

enum {
    NJ_EXIT_OK = 0,           /* all accounted for */
    NJ_EXIT_USAGE = 1,        /* usage or settings */
    NJ_EXIT_SOURCE = 2,       /* a source could not be read */
    NJ_EXIT_LEDGER = 3,       /* the ledger does not close, or a sink failed */
    NJ_EXIT_STRICT = 4,       /* --strict and there are dead letters */
    NJ_EXIT_GATE = 5,         /* regression gate */
    NJ_EXIT_INTERRUPTED = 130 /* still accounted for and committed */
};

#endif
