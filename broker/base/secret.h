/* secret.h - passwords are kept out of everything that others can read: the command line as ps shows it, log
 * lines, errors, and what is made of errors (dead letters, reports). */
#ifndef NJ_BASE_SECRET_H
#define NJ_BASE_SECRET_H

#include <stdbool.h>

/* Is the value of this setting or variable a secret? By its name, in any case: sasl.password,
 * ssl.key.password, sasl.oauthbearer.client.secret, password ...; not the names of files with one. */
bool nj_secret_is(const char *name);
/* From now on "***" stands for it in log lines and errors. Of an address it is the password in
 * scheme://user:password@host. Short ones (below 4 bytes) would ruin texts: they are not looked for. */
void nj_secret_remember(const char *secret);
void nj_secret_remember_address(const char *address);
/* Takes remembered secrets out of a text, which gets no longer. Any thread. */
void nj_secret_scrub(char *text);
/* The words of the command line, without a secret left in the process's own copy; a warning for each that was
 * there. Remembers those of the environment ($NIGHTJAR_...PASSWORD), too. Called once, before threads. */
char **nj_secret_command_line(int argc, char **argv);

#endif
