/* kafka_member.c - a run that was killed has its name in the group again, as long as the group gave that name
 * all there is. */
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

typedef rd_kafka_topic_partition_list_t list_t;

static nj_kafka_target target = { .topic = "^night_" };

/* night_1 with so many partitions, night_2 with so many. */
static list_t *topics(int first, int second)
{
    list_t *list = rd_kafka_topic_partition_list_new(8);
    for (int i = 0; i < first; i++) rd_kafka_topic_partition_list_add(list, "night_1", i);
    for (int i = 0; i < second; i++) rd_kafka_topic_partition_list_add(list, "night_2", i);
    return list;
}

/* A run begins: its name, and what keeps it. */
static int begin(const list_t *now, char *name, size_t size)
{
    char why[256];
    nj_error err = { "" };
    int lock;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", "g", why, sizeof why), RD_KAFKA_CONF_OK);
    assert_int_equal(nj_kafka_set_member(conf, NULL, &target, now, &lock, &err), 0);
    name[0] = 0;
    rd_kafka_conf_get(conf, "group.instance.id", name, &size);
    rd_kafka_conf_destroy(conf);
    return lock;
}

static void a_name_is_given_again_while_it_had_all_there_is(void **state)
{
    (void)state;
    char one[256], two[256], other[256];
    list_t *a = topics(3, 0), *b = topics(3, 2), *c = topics(6, 2);
    int lock = begin(a, one, sizeof one);
    assert_true(lock >= 0);
    int second = begin(a, other, sizeof other); /* beside it */
    assert_string_not_equal(other, one);
    close(second);
    close(lock); /* it was killed */

    lock = begin(a, two, sizeof two);
    assert_string_equal(two, one);
    nj_kafka_member_has_all(lock, &target, b); /* the next night came, and was shared out */
    close(lock);
    lock = begin(b, two, sizeof two);
    assert_string_equal(two, one);
    close(lock);

    lock = begin(c, two, sizeof two); /* partitions that the group has not shared out */
    assert_string_not_equal(two, one);
    close(lock);
    lock = begin(c, other, sizeof other);
    assert_string_equal(other, two);
    close(lock);
    rd_kafka_topic_partition_list_destroy(a);
    rd_kafka_topic_partition_list_destroy(b);
    rd_kafka_topic_partition_list_destroy(c);
}

/* Or the folder is swept under a run that lasts for weeks. */
static void its_file_is_touched(void **state)
{
    (void)state;
    char name[256];
    struct stat st;
    const struct timespec long_ago[2] = { { 1000, 0 }, { 1000, 0 } };
    list_t *now = topics(1, 0);
    int lock = begin(now, name, sizeof name);
    assert_int_equal(futimens(lock, long_ago), 0);
    nj_kafka_member_alive(lock);
    assert_int_equal(fstat(lock, &st), 0);
    assert_true(st.st_mtime > 1000);
    close(lock);
    rd_kafka_topic_partition_list_destroy(now);
}

static void without_an_answer_there_is_no_name(void **state)
{
    (void)state;
    char name[256];
    assert_int_equal(begin(NULL, name, sizeof name), -1);
    assert_string_equal(name, "");
}

int main(void)
{
    char folder[] = "/tmp/nightjar-member-XXXXXX", command[64];
    if (!mkdtemp(folder)) return 1;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_name_is_given_again_while_it_had_all_there_is),
                                        cmocka_unit_test(its_file_is_touched),
                                        cmocka_unit_test(without_an_answer_there_is_no_name) };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) || rc;
}
