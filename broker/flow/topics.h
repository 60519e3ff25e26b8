/* topics.h - a topic as its section [topic.NAME] says it: the clause, who wants it, how many alerts are
 * expected, and the alerts that must and must not match. */
#ifndef NJ_FLOW_TOPICS_H
#define NJ_FLOW_TOPICS_H

#include "cli.h"

/* "5 %" or "200" */
typedef struct nj_topic_cap {
    double share; /* 0 .. 1; NAN = none */
    uint64_t n;   /* alerts; 0 = none */
} nj_topic_cap;

typedef struct nj_topic {
    const char *name, *where, *sentence, *owner, *passes, *fails, *at_most;
    const char *sinks, *columns, *cap_text, *said; /* "topics.ini:12", of the clause */
    nj_topic_cap cap;
} nj_topic;

extern const nj_param nj_topic_keys[]; /* ends with {0} */

/* The outputs of topics of their own (sinks = ...) come behind the others. -1 with err. */
int nj_topics_sinks(nj_cli *cli, nj_error *err);
/* Reads and checks a section. Texts live as long as the settings. -1 with err. */
int nj_topic_read(nj_settings *settings, const char *name, nj_topic *topic, nj_error *err);
/* *rest (or NULL: nothing may follow) is what stands behind it: "of night.tar". */
int nj_topic_cap_read(const char *text, nj_topic_cap *cap, const char **rest);
bool nj_topic_over(const nj_topic_cap *cap, uint64_t matches, uint64_t alerts);

/* --topics: the settings of the file, or of the built-in one (data/topics/NAME.ini), and all its topics as if
 * each were given with -t. */
int nj_topics_file(nj_cli *cli, const char *name, nj_error *err);

/* ---- what they match (`nightjar topics check`) ---- */

enum { NJ_TOPIC_IDS = 5 };

typedef struct nj_topic_tally {
    uint64_t n, n_rb, n_low_rb, n_roid, n_moving; /* with a score; below 0.5; with roid's answer; moving */
    double clause_us;                             /* per alert */
    int64_t id[NJ_TOPIC_IDS];
    uint32_t n_ids;
} nj_topic_tally;

typedef struct nj_topics_found {
    uint32_t n_topics;
    nj_topic_tally *of; /* [n_topics + 1], the last: all alerts */
    uint64_t *both;     /* [n_topics][n_topics] alerts that match both */
    uint64_t n_dead, n_filtered;
} nj_topics_found;

/* An alert that a test names. */
typedef struct nj_topic_look {
    int64_t id;
    bool seen;
    uint8_t *in; /* [n_topics]; the caller's */
} nj_topic_look;

/* Runs the modules that the clauses read over the sources. -1 with err. */
int nj_topics_find(nj_cli *cli, const char *const *source, uint32_t n_sources, nj_topic_look *look,
                   uint32_t n_looks, nj_topics_found *found, nj_error *err);
void nj_topics_found_free(nj_topics_found *found);

#endif
