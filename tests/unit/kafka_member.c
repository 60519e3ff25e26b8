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

static nj_kafka_target target = { .topic = "^night_" };

/* A run begins: its name, and what keeps it. */
static int begin(char *name, size_t size)
{
    char why[256];
    nj_error err = { "" };
    int lock;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", "g", why, sizeof why), RD_KAFKA_CONF_OK);
    assert_int_equal(nj_kafka_set_member(conf, NULL, &target, &lock, &err), 0);
    name[0] = 0;
    rd_kafka_conf_get(conf, "group.instance.id", name, &size);
    rd_kafka_conf_destroy(conf);
    return lock;
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
    target = (nj_kafka_target){ .topic = "day" };
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
    int lock = begin(name, sizeof name);
    assert_int_equal(futimens(lock, long_ago), 0);
    nj_kafka_member_alive(lock);
    assert_int_equal(fstat(lock, &st), 0);
    assert_true(st.st_mtime > 1000);
    close(lock);
}

int main(void)
{
    char folder[] = "/tmp/nightjar-member-XXXXXX", command[64];
    if (!mkdtemp(folder)) return 1;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_name_is_given_again),
                                        cmocka_unit_test(runs_of_other_topics_have_other_names),
                                        cmocka_unit_test(its_file_is_touched) };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) || rc;
}
