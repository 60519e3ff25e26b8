/* nightjar/list.h - comma-separated lists in settings: names, or "title:name" pairs; settings that are one of
 * a few words. Inline. */
#ifndef NIGHTJAR_LIST_H
#define NIGHTJAR_LIST_H
#include <string.h>

#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Text of n bytes, as much as fits. */
static inline void nj_list_copy(char *to, size_t size, const char *from, size_t n)
{
    n = n < size ? n : size - 1;
    memmove(to, from, n);
    to[n] = 0;
}

/* Cuts the next item off the list: "title:name", or "title" alone, which is its name too. Blanks around it
 * are left out, and so are empty items. Both have room for size bytes; name NULL: it is not wanted.
 * 0 = the end. */
static inline int nj_list_item(const char **list, char *title, char *name, size_t size)
{
    const char *item = *list + strspn(*list, " ,");
    size_t n = strcspn(item, ","), colon = 0;
    *list = item + n;
    if (!n) return 0;
    while (item[n - 1] == ' ') n--;
    for (size_t k = 0; k < n; k++)
        if (item[k] == ':') colon = k + 1;
    nj_list_copy(title, size, item, colon ? colon - 1 : n);
    if (name) nj_list_copy(name, size, item + colon, n - colon);
    return 1;
}

/* Which of n words a setting is; NJ_ECONF with a line in the log that names them. */
static inline int nj_list_choose(const nj_host *host, const char *module, const char *key, const char *value,
                                 const char *const *word, uint32_t n, uint32_t *chosen)
{
    char known[128] = "";
    for (*chosen = 0; *chosen < n; ++*chosen)
        if (!strcmp(value, word[*chosen])) return NJ_OK;
    for (uint32_t k = 0; k < n && strlen(known) + strlen(word[k]) + 5 < sizeof known; k++)
        strcat(strcat(known, !k ? "" : k + 1 < n ? ", " : " or "), word[k]);
    host->log(host->opaque, 0, "%s: %s = %s: must be %s", module, key, value, known);
    return NJ_ECONF;
}

#ifdef __cplusplus
}
#endif
#endif
