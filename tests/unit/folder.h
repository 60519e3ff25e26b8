/* folder.h - a folder of the test's own below $TMPDIR, which goes again with all that is in it. */
#ifndef TESTS_UNIT_FOLDER_H
#define TESTS_UNIT_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[128];

static inline int make_folder(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/nightjar-test-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    char command[sizeof folder + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* A path in it; four may be in use at once. */
static inline const char *in_folder(const char *name)
{
    static char path[4][sizeof folder + 72];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    return path[at];
}

/* Fills the folder by a program of Python that needs these packages; 0 where they are not here. */
static inline int by_python(const char *packages, const char *program)
{
    char command[sizeof folder + 600];
    snprintf(command, sizeof command, "p=$(tests/python %s) && \"$p\" %s %s", packages, program, folder);
    return !access("tests/python", X_OK) && system(command) == 0;
}

#endif
