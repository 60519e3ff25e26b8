/* kafka_transactions.h - `--eos`: the rows of a commit and the places of their source are in one transaction,
 * which readers of committed messages see whole or not at all. */
#ifndef NJ_SINK_KAFKA_TRANSACTIONS_H
#define NJ_SINK_KAFKA_TRANSACTIONS_H

#include <librdkafka/rdkafka.h>

#include "../kafka/member.h"
#include "sink.h"

/* Of one producer. All functions do nothing, and succeed, unless it is on. */
typedef struct nj_transactions {
    bool on, open;      /* open: one has begun */
    const char *target; /* "host:port/topic", for messages; the caller's */
    rd_kafka_t *producer;
    const char *whose; /* as in nj_sink_args */
    nj_kafka_own own;  /* keeps their name for this run */
    char *cluster;     /* whose groups' places they can take; NULL = not known */
} nj_transactions;

/* Before rd_kafka_new(): gives the configuration a name that no other run on this machine has,
 * unless it has one. */
int nj_transactions_name(nj_transactions *t, rd_kafka_conf_t *conf, const char *topic, nj_error *err);
/* Ends those of a run of that name that was killed;
 * a run of that name that still lives is refused its next one. */
int nj_transactions_start(nj_transactions *t, rd_kafka_t *producer, int timeout_ms, nj_error *err);
/* Before a row is sent. */
int nj_transactions_begin(nj_transactions *t, nj_error *err);
/* The rows since the last commit and the places in keep, together. Frees keep->group. */
int nj_transactions_commit(nj_transactions *t, const nj_keep *keep, nj_error *err);
void nj_transactions_abort(nj_transactions *t); /* before the producer ends */
void nj_transactions_free(nj_transactions *t);

#endif
