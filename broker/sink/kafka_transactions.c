/* kafka_transactions.c - each step of a transaction can fail for a moment, while brokers change; this tries
 * again what may be tried again, for a bounded time. */
#include "kafka_transactions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/patience.h"

enum { TRANSACTION_MS = 60000, TRY_MS = 2500 };

typedef rd_kafka_error_t *step_function(nj_transactions *t, const nj_keep *keep, int timeout_ms);

/* What can be tried again is, until the brokers have had their time. Destroys the errors. */
static int settle(nj_transactions *t, step_function *step, const nj_keep *keep, const char *doing,
                  nj_error *err)
{
    int64_t until = nj_now_ns() + TRANSACTION_MS * (int64_t)1000000;
    for (;;) {
        rd_kafka_error_t *e = step(t, keep, nj_patience_ms(TRY_MS));
        if (!e) return 0;
        bool retry =
            rd_kafka_error_is_retriable(e) && nj_now_ns() < until && !(nj_stopping() && nj_patience_over());
        if (!retry) nj_fail(err, "kafka://%s: %s: %s", t->target, doing, rd_kafka_error_string(e));
        rd_kafka_error_destroy(e);
        if (!retry) return -1;
    }
}

static rd_kafka_error_t *begin_step(nj_transactions *t, const nj_keep *keep, int timeout_ms)
{
    (void)keep, (void)timeout_ms;
    return rd_kafka_begin_transaction(t->producer);
}

static rd_kafka_error_t *init_step(nj_transactions *t, const nj_keep *keep, int timeout_ms)
{
    (void)keep;
    return rd_kafka_init_transactions(t->producer, timeout_ms);
}

static rd_kafka_error_t *places_step(nj_transactions *t, const nj_keep *keep, int timeout_ms)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)keep->n_places);
    for (uint32_t i = 0; i < keep->n_places; i++)
        rd_kafka_topic_partition_list_add(list, keep->place[i].topic, keep->place[i].partition)->offset =
            keep->place[i].offset;
    rd_kafka_error_t *e = rd_kafka_send_offsets_to_transaction(t->producer, list, keep->group, timeout_ms);
    rd_kafka_topic_partition_list_destroy(list);
    return e;
}

static rd_kafka_error_t *commit_step(nj_transactions *t, const nj_keep *keep, int timeout_ms)
{
    (void)keep;
    return rd_kafka_commit_transaction(t->producer, timeout_ms);
}

int nj_transactions_begin(nj_transactions *t, nj_error *err)
{
    if (!t->on || t->open) return 0;
    if (settle(t, begin_step, NULL, "a transaction does not begin", err)) return -1;
    t->open = true;
    return 0;
}

/* Rows of the last transaction that was not committed are not seen by readers of committed ones. */
int nj_transactions_commit(nj_transactions *t, const nj_keep *keep, nj_error *err)
{
    if (!t->on || (!t->open && !keep->n_places)) return 0;
    int rc = nj_transactions_begin(t, err);
    if (!rc && keep->n_places) rc = settle(t, places_step, keep, "offsets of the source are not taken", err);
    if (!rc) rc = settle(t, commit_step, NULL, "a transaction is not committed", err);
    if (keep->group) rd_kafka_consumer_group_metadata_destroy(keep->group);
    if (!rc) t->open = false;
    /* not when another run has its name: that one goes on */
    if (rc && rd_kafka_fatal_error(t->producer, NULL, 0) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        nj_transactions_abort(t);
        if (keep->undone) *keep->undone = true;
    }
    nj_kafka_own_alive(&t->own, nj_now_ns());
    return rc;
}

int nj_transactions_start(nj_transactions *t, rd_kafka_t *producer, int timeout_ms, nj_error *err)
{
    if (!t->on) return 0;
    t->producer = producer;
    if (settle(t, init_step, NULL, "no transactions", err)) return -1;
    char *id = rd_kafka_clusterid(producer, timeout_ms);
    t->cluster = id ? strdup(id) : NULL;
    if (id) rd_kafka_mem_free(producer, id);
    return 0;
}

int nj_transactions_name(nj_transactions *t, rd_kafka_conf_t *conf, const char *topic, nj_error *err)
{
    char of[300], name[600], why[256], own[300] = "";
    size_t n = sizeof own;
    if (!t->on) return 0;
    if (rd_kafka_conf_get(conf, "transactional.id", own, &n) == RD_KAFKA_CONF_OK && own[0]) return 0;
    snprintf(of, sizeof of, "eos-%s", topic);
    const nj_kafka_kind kind = { of, NULL, t->target, t->whose, TRANSACTION_MS };
    if (nj_kafka_own_name(&t->own, &kind, name, sizeof name))
        return nj_fail(err,
                       "kafka://%s: --eos: no lock for a name of its transactions; -X transactional.id=NAME "
                       "gives one",
                       t->target);
    return rd_kafka_conf_set(conf, "transactional.id", name, why, sizeof why) == RD_KAFKA_CONF_OK
               ? 0
               : nj_fail(err, "kafka://%s: %s", t->target, why);
}

void nj_transactions_abort(nj_transactions *t)
{
    rd_kafka_error_t *e = t->open ? rd_kafka_abort_transaction(t->producer, nj_patience_ms(TRY_MS)) : NULL;
    if (e) rd_kafka_error_destroy(e); /* the next run of that name does it */
    t->open = false;
}

void nj_transactions_free(nj_transactions *t)
{
    nj_kafka_own_leave(&t->own);
    free(t->cluster);
}
