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
/* As above, of one that others will take the place of: the last 256 are known. Any thread. */
void nj_secret_remember_for_now(const char *secret);
void nj_secret_remember_address(const char *address);
/* A webhook's address is a key: who knows it can post. "webhook:https://HOST/PATH" is remembered, and what
 * comes back is "webhook:https://HOST#***", by which messages, reports and journals call it; other texts come
 * back as they are. NULL: memory is short. One thread. */
const char *nj_secret_hide(const char *spec);
/* Remembers the addresses of the webhooks in a list of outputs. */
void nj_secret_remember_webhooks(const char *list);
/* The address behind such a name ("https://HOST#***"), or the text itself. */
const char *nj_secret_address(const char *shown);
/* Takes remembered secrets out of a text, which gets no longer. Any thread. */
void nj_secret_scrub(char *text);
/* Of a text whose end was cut off: what may be the beginning of a secret there goes, too. */
void nj_secret_scrub_cut(char *text);
/* The words of the command line, without a secret left in the process's own copy; a warning for each that was
 * there. Remembers those of the environment ($NIGHTJAR_...PASSWORD), too. Called once, before threads. */
char **nj_secret_command_line(int argc, char **argv);

#endif
