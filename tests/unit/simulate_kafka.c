/* simulate_kafka.c - the simulator's Kafka output against librdkafka's own mock cluster: every packet
 * arrives, in order, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <string.h>

#include "broker/simulate/simulate.h"
#include "broker/simulate/writer.h"

enum { N = 30 };

static rd_kafka_t *client(rd_kafka_type_t type, const char *servers)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (servers)
        assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", servers, text, sizeof text),
                         RD_KAFKA_CONF_OK);
    if (type == RD_KAFKA_CONSUMER) {
        assert_int_equal(rd_kafka_conf_set(conf, "group.id", "test", text, sizeof text), RD_KAFKA_CONF_OK);
        assert_int_equal(rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", text, sizeof text),
                         RD_KAFKA_CONF_OK);
    }
    rd_kafka_t *k = rd_kafka_new(type, conf, text, sizeof text);
    assert_non_null(k);
    return k;
}

static void packets_arrive_in_order(void **state)
{
    (void)state;
    nj_error err;
    char spec[256];
    rd_kafka_t *host = client(RD_KAFKA_PRODUCER, NULL);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(host, 1);
    rd_kafka_mock_topic_create(cluster, "night", 1, 1);
    const char *servers = rd_kafka_mock_cluster_bootstraps(cluster);
    snprintf(spec, sizeof spec, "kafka://%s/night", servers);

    nj_simulator *sim = nj_simulator_new(&(nj_simulator_conf){ .alerts = N }, &err);
    nj_simulated a;
    nj_sim_writer *w = nj_sim_writer_open(&(nj_sim_writer_args){ .spec = spec }, &err);
    if (!w) fail_msg("%s", err.text);
    while (nj_simulator_next(sim, &a) == 1)
        if (nj_sim_writer_add(w, a.member, a.bytes, a.size, 0, &err)) fail_msg("%s", err.text);
    if (nj_sim_writer_close(w, &err)) fail_msg("%s", err.text);

    rd_kafka_t *reader = client(RD_KAFKA_CONSUMER, servers);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "night", 0)->offset = 0;
    rd_kafka_assign(reader, list);
    int n = 0;
    for (int waits = 0; n < N && waits < 100; waits++) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(reader, 200);
        if (!m) continue;
        if (!m->err) {
            assert_int_equal(nj_simulator_make(sim, (uint64_t)n, &a), 1);
            assert_int_equal(m->len, a.size);
            assert_memory_equal(m->payload, a.bytes, a.size);
            assert_null(m->key);
            n++;
        }
        rd_kafka_message_destroy(m);
    }
    assert_int_equal(n, N);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
    nj_simulator_free(sim);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(packets_arrive_in_order) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
