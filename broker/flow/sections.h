/* sections.h - every section that settings may have, with its keys:
 * for `nightjar settings` and for the check of a run. */
#ifndef NJ_FLOW_SECTIONS_H
#define NJ_FLOW_SECTIONS_H

#include "../base/settings.h"

typedef struct nj_section {
    const char *name, *doc; /* "module.NAME" and "topic.NAME" stand for all of their kind */
    const nj_param *keys;   /* ends with {0}; NULL: any key */
} nj_section;

extern const nj_section nj_sections[]; /* ends with {0} */

#endif
