/* reasons.c - dead letters are counted by reason during the run: reasons are sentences about one
 * packet, and a monitor needs a few kinds that do not grow with the stream. */
#include "reasons.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS = 32 }; /* the last is "other" */

typedef struct kind {
    char module[24], text[NJ_REASON_TEXT];
    uint64_t n;
} kind;

struct nj_reasons {
    pthread_mutex_t lock;
    kind kind[KINDS];
    uint32_t n;
};

nj_reasons *nj_reasons_new(void)
{
    nj_reasons *r = calloc(1, sizeof *r);
    if (r) pthread_mutex_init(&r->lock, NULL);
    return r;
}

void nj_reasons_free(nj_reasons *r)
{
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static const char *behind_quote(const char *p)
{
    const char *end = strchr(p + 1, '\'');
    return end && !isalpha((unsigned char)end[1]) ? end + 1 : NULL;
}

/* What is the packet's own, a number, an address or words in quotes, becomes a sign. */
void nj_reason_kind(const char *reason, char *to, size_t room)
{
    size_t n = 0;
    const char *end;
    for (const char *p = reason; *p && n + 4 < room;) {
        bool starts = p == reason || !isalnum((unsigned char)p[-1]);
        if (starts && isdigit((unsigned char)*p)) {
            to[n++] = 'N';
            while (isalnum((unsigned char)*p) || (*p == '.' && isdigit((unsigned char)p[1]))) p++;
        } else if (starts && (!strncmp(p, "http://", 7) || !strncmp(p, "https://", 8))) {
            memcpy(to + n, "URL", 3);
            n += 3;
            while (*p && !isspace((unsigned char)*p)) p++;
        } else if (starts && *p == '\'' && (end = behind_quote(p)) != NULL) {
            memcpy(to + n, "'*'", 3);
            n += 3;
            p = end;
        } else {
            to[n++] = (unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e ? '?' : *p;
            p++;
        }
    }
    to[n] = 0;
}

void nj_reasons_add(nj_reasons *r, const char *module, const char *reason)
{
    char text[NJ_REASON_TEXT];
    nj_reason_kind(reason, text, sizeof text);
    pthread_mutex_lock(&r->lock);
    uint32_t i = 0;
    while (i < r->n && (strcmp(r->kind[i].text, text) != 0 || strcmp(r->kind[i].module, module) != 0)) i++;
    if (i == r->n && r->n < KINDS) {
        kind *k = &r->kind[r->n++];
        bool other = r->n == KINDS;
        snprintf(k->module, sizeof k->module, "%s", other ? "other" : module);
        snprintf(k->text, sizeof k->text, "%s", other ? "other" : text);
    }
    r->kind[i < KINDS ? i : KINDS - 1].n++;
    pthread_mutex_unlock(&r->lock);
}

bool nj_reasons_get(nj_reasons *r, uint32_t i, nj_dead_kind *out)
{
    pthread_mutex_lock(&r->lock);
    bool there = i < r->n;
    if (there) {
        snprintf(out->module, sizeof out->module, "%s", r->kind[i].module);
        snprintf(out->text, sizeof out->text, "%s", r->kind[i].text);
        out->n = r->kind[i].n;
    }
    pthread_mutex_unlock(&r->lock);
    return there;
}
