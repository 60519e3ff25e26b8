/* webhook_post.h - one request after the other to a server that may be slow, busy or gone: paced, tried again
 * with growing pauses, and given up in bounded time. */
#ifndef NJ_SINK_WEBHOOK_POST_H
#define NJ_SINK_WEBHOOK_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"

typedef struct nj_post_conf {
    double per_minute, timeout_s, pause_s, patience_s;
    const char *ca; /* "" = the system's */
} nj_post_conf;

typedef enum {
    NJ_POST_TAKEN,
    NJ_POST_REFUSED, /* the server does not want this document: another one may be welcome */
    NJ_POST_GONE     /* it does not answer, or takes nothing at present: tried for as long as it may be */
} nj_post_answer;

typedef struct nj_post nj_post;

/* target: "https://HOST/PATH", or a file: its first line is the address, the others are headers ("Name:
 * value") or "template = NAME". *template: of the file, which lives as long as the post; else NULL. */
nj_post *nj_post_open(const char *target, const nj_post_conf *conf, const char **template, nj_error *err);
/* Sends it. there: a refusal with this text means that the server has it (NULL = there is no such text).
 * Not TAKEN: why[300] says it, without address. */
nj_post_answer nj_post_send(nj_post *post, const char *body, size_t n, const char *there, char why[300]);
/* The server as messages name it: "https://hooks.slack.com". */
const char *nj_post_name(const nj_post *post);
uint64_t nj_post_requests(const nj_post *post);
void nj_post_free(nj_post *post);

#endif
