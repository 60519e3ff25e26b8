/* topic_tests.h - the tests that stand beside a topic: passes, fails, at_most. */
#ifndef NJ_FLOW_TOPIC_TESTS_H
#define NJ_FLOW_TOPIC_TESTS_H

#include "topics.h"

typedef enum { NJ_TOPIC_PASSES, NJ_TOPIC_FAILS, NJ_TOPIC_AT_MOST } nj_topic_test_kind;

typedef struct nj_topic_test {
    nj_topic_test_kind kind;
    uint32_t topic;   /* which of the command line */
    const char *text; /* "young.avro#12", "5 % of night.tar" */
    char *file;       /* its path, beside the file of topics; owned */
    int64_t id;
    nj_topic_cap cap;
    bool run, good;
    char why[256]; /* when it is not */
} nj_topic_test;

typedef struct nj_topic_tests {
    nj_topic_test *item;
    uint32_t n;
} nj_topic_tests;

/* All tests of the topics of cli. -1 with err: one that cannot be read. */
int nj_topic_tests_read(nj_cli *cli, nj_topic_tests *tests, nj_error *err);
/* Runs each file once. A test that fails says why; a file that cannot be read fails its tests. */
int nj_topic_tests_run(nj_cli *cli, nj_topic_tests *tests, nj_error *err);
void nj_topic_tests_free(nj_topic_tests *tests);

#endif
