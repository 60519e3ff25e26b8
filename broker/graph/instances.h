/* instances.h - what the files that choose, set up, open and close instances share. */
#ifndef NJ_GRAPH_INSTANCES_H
#define NJ_GRAPH_INSTANCES_H

#include "instance.h"

/* The longest name of an instance: the report has room for it. */
enum { NJ_INSTANCE_NAME = 63 };

/* The section "module.NAME" as settings know it. */
typedef struct nj_module_section {
    char name[NJ_INSTANCE_NAME + sizeof "module."];
} nj_module_section;

/* Keys of a section that are the host's, not the module's; words of a yes-or-no setting. Each list ends
 * with NULL. */
extern const char *const nj_host_keys[];
extern const char *const nj_words_for_no[];
extern const char *const nj_words_for_yes[];

bool nj_word_is_in(const char *word, const char *const *list);
nj_module_section nj_module_section_of(const char *name);
/* The name of the module that runs under this instance's name. */
const char *nj_instances_kind_of(nj_instances *set, const char *name);
/* All names that could be an instance; NULL: out of memory. */
const char **nj_instances_names(nj_instances *set, uint32_t *n_names);
/* Is the name in the -m list, with this sign ('+', '-') or without one (0)? */
int nj_select_has(const char *select, const char *name, char sign);

/* host.c: fills set->host. */
void nj_instances_make_host(nj_instances *set);

/* set_up.c: settings, declare() and tables of one instance. NJ_OK, or with err what declare() says; NJ_ECONF
 * for a wrong key or value. */
int nj_instance_set_up(nj_instances *set, nj_instance *in, nj_error *err);
/* From the one to the other an instance's complaints are kept instead of printed. */
void nj_set_up_begin(nj_instances *set);
void nj_set_up_end(nj_instances *set, bool failed);

/* off.c: keeps the name and the reason for the start-up summary. */
int nj_instances_note_off(nj_instances *set, const char *name, int status, const char *why, nj_error *err);
const nj_off *nj_instances_find_off(const nj_instances *set, const char *name, size_t n);
/* The same, unless the user gave the name of what is not here: then it is an error, because the name is more
 * likely wrong than the file missing. */
int nj_instances_leave_out(nj_instances *set, const char *name, int status, const char *why, nj_error *err);

/* sections.c: all sections [module.NAME], also of instances that do not run. */
int nj_instances_check_sections(nj_instances *set, nj_error *err);

#endif
