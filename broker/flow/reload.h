/* reload.h - SIGHUP, or a file of topics that changed: settings that may change during a run are read again
 * and tried in a child; then the worker finishes what it has, and the next one continues with them. */
#ifndef NJ_FLOW_RELOAD_H
#define NJ_FLOW_RELOAD_H

#include "cli.h"
#include "shared.h"

/* May SIGHUP change this key? */
bool nj_reloads(const char *section, const char *key);

/* What is otherwise in `fresh` than in `old`: names of keys that may change, and of those that may not,
 * blanks between them. The latter get their old values back. Returns how many may, and do; -1 when memory is
 * short. */
int nj_reload_merge(const nj_settings *old, nj_settings *fresh, nj_buffer *changed, nj_buffer *refused);

typedef struct nj_reload nj_reload;

/* cli: of the workers; the settings and the clause of its options become the new ones, and its files of
 * topics are followed. read() fills fresh as the command line and its files say now. NULL: memory is
 * short. */
nj_reload *nj_reload_new(nj_cli *cli, int (*read)(void *opaque, nj_cli *fresh, nj_error *err), void *opaque);
void nj_reload_ask(nj_reload *reload); /* SIGHUP came; NULL allowed, as below */
/* In the supervisor's loop; does not wait. True: the options are the new ones, and the worker is to be
 * replaced. */
bool nj_reload_look(nj_reload *reload, nj_shared *shared);
void nj_reload_free(nj_reload *reload);

#endif
