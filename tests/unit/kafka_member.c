/* kafka_member.c - a run that was killed has its name in the group again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/kafka/member.h"

static nj_kafka_target target = { .hosts = "one:9092,two:9092", .topic = "^night_" };

/* A run begins: its name, and what keeps it. */
static int begin_as(const char *whose, char *name, size_t size)
{
    char why[256];
    nj_error err = { "" };
    nj_kafka_own own;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", "g", why, sizeof why), RD_KAFKA_CONF_OK);
    assert_int_equal(nj_kafka_set_member(conf, NULL, &target, whose, &own, &err), 0);
    name[0] = 0;
    rd_kafka_conf_get(conf, "group.instance.id", name, &size);
    rd_kafka_conf_destroy(conf);
    return own.lock;
}

static int begin(char *name, size_t size)
{
    return begin_as("out.ndjson", name, size);
}

static void a_name_is_given_again(void **state)
{
    (void)state;
    char one[256], two[256], other[256];
    int lock = begin(one, sizeof one);
    assert_true(lock >= 0);
    int second = begin(other, sizeof other); /* beside it */
    assert_string_not_equal(other, one);
    close(second);
    close(lock); /* it was killed */
    lock = begin(two, sizeof two);
    assert_string_equal(two, one);
    close(lock);
}

/* Two runs of one group that read other topics are two members, and each finds its own name. */
static void runs_of_other_topics_have_other_names(void **state)
{
    (void)state;
    char one[256], other[256], again[256];
    nj_kafka_target before = target;
    int lock = begin(one, sizeof one);
    target.topic = "day";
    int second = begin(other, sizeof other);
    assert_string_not_equal(other, one);
    close(lock);
    close(second);
    lock = begin(again, sizeof again);
    assert_string_equal(again, other);
    close(lock);
    target = before;
}

/* Or the folder is swept under a run that lasts for weeks. */
static void its_file_is_touched(void **state)
{
    (void)state;
    char name[256];
    struct stat st;
    const struct timespec long_ago[2] = { { 1000, 0 }, { 1000, 0 } };
    nj_kafka_own own = { begin(name, sizeof name), 0 };
    assert_int_equal(futimens(own.lock, long_ago), 0);
    nj_kafka_own_alive(&own, INT64_C(1000000000000));
    assert_int_equal(fstat(own.lock, &st), 0);
    assert_true(st.st_mtime > 1000);
    assert_int_equal(futimens(own.lock, long_ago), 0); /* not at each poll */
    nj_kafka_own_alive(&own, INT64_C(1000000000001));
    assert_int_equal(fstat(own.lock, &st), 0);
    assert_int_equal(st.st_mtime, 1000);
    nj_kafka_own_leave(&own);
    assert_int_equal(own.lock, -1);
}

/* The same group and topic on two clusters: what one does is nothing to the other. */
static void runs_of_other_clusters_have_other_names(void **state)
{
    (void)state;
    char one[256], other[256], again[256];
    nj_kafka_target before = target;
    int lock = begin(one, sizeof one);
    target.hosts = "elsewhere:9092";
    int second = begin_as("b.ndjson", other, sizeof other);
    assert_string_not_equal(other, one);
    close(lock); /* both are killed, and come back in turn */
    close(second);
    second = begin_as("b.ndjson", again, sizeof again);
    assert_string_equal(again, other);
    target = before;
    lock = begin(again, sizeof again);
    assert_string_equal(again, one);
    close(lock);
    close(second);
}

/* The brokers of one cluster may be named in any order: such runs must not have one name. */
static void the_order_of_brokers_is_nothing(void **state)
{
    (void)state;
    char one[256], other[256], again[256];
    nj_kafka_target before = target;
    int lock = begin(one, sizeof one);
    target.hosts = "two:9092,one:9092";
    int second = begin_as("b.ndjson", other, sizeof other);
    assert_string_not_equal(other, one);
    close(lock);
    lock = begin(again, sizeof again);
    assert_string_equal(again, one);
    close(lock);
    close(second);
    target = before;
}

/* A login has XDG_RUNTIME_DIR, a service may not: they do not see each other's slots. */
static void another_folder_of_locks_is_another_name(void **state)
{
    (void)state;
    char one[256], other[256], folder[] = "/tmp/nightjar-member2-XXXXXX", command[64],
                               *had = strdup(getenv("XDG_RUNTIME_DIR"));
    int lock = begin(one, sizeof one);
    assert_non_null(mkdtemp(folder));
    setenv("XDG_RUNTIME_DIR", folder, 1);
    int second = begin(other, sizeof other);
    assert_string_not_equal(other, one);
    close(lock);
    close(second);
    setenv("XDG_RUNTIME_DIR", had, 1);
    free(had);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    char folder[] = "/tmp/nightjar-member-XXXXXX", command[64];
    if (!mkdtemp(folder)) return 1;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_name_is_given_again),
                                        cmocka_unit_test(runs_of_other_topics_have_other_names),
                                        cmocka_unit_test(runs_of_other_clusters_have_other_names),
                                        cmocka_unit_test(the_order_of_brokers_is_nothing),
                                        cmocka_unit_test(another_folder_of_locks_is_another_name),
                                        cmocka_unit_test(its_file_is_touched) };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) || rc;
}
