/* kafka_slots.c - the slot of a run that was killed is taken again by this run and by no other, also while
 * its worker has yet to die; that of a run that lives is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/kafka/member.h"

enum { KEEP_MS = 45000 };
static const nj_kafka_kind run_a = { "test", "t", "h:1", "a", KEEP_MS },
                           run_b = { "test", "t", "h:1", "b", KEEP_MS },
                           run_c = { "test", "t", "h:1", "c", KEEP_MS };

/* It begins: which slot has it? */
static int slot_of(const nj_kafka_kind *kind, nj_kafka_own *own)
{
    char name[256];
    assert_int_equal(nj_kafka_own_name(own, kind, name, sizeof name), 0);
    assert_true(own->lock >= 0);
    return atoi(strrchr(name, '-') + 1);
}

static void dies(nj_kafka_own *own)
{
    close(own->lock);
}

/* A worker of a supervisor: it has the slot when this returns. With `dies` the supervisor is gone by then.
 * The worker ends when the write end of `until` is closed. */
static pid_t worker(int until[2], int dies)
{
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(until), 0);
    pid_t supervisor = fork();
    if (supervisor == 0) {
        if (fork() == 0) {
            char name[256];
            close(until[1]);
            prctl(PR_SET_PDEATHSIG, SIGCONT); /* as a worker has one; this one shall outlive it */
            nj_kafka_own own;
            if (nj_kafka_own_name(&own, &run_a, name, sizeof name)) _exit(1);
            if (write(ready[1], "xx", 2) != 2) _exit(1); /* for the supervisor, and for the test */
            while (read(until[0], &c, 1) > 0) {
            }
            _exit(0);
        }
        close(until[1]);
        close(ready[1]);
        if (read(ready[0], &c, 1) != 1) _exit(1);
        if (!dies)
            while (read(until[0], &c, 1) > 0) {
            }
        _exit(0);
    }
    close(ready[1]);
    close(until[0]);
    if (dies) {
        waitpid(supervisor, NULL, 0);
        return 0;
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(write(until[1], "", 0), 0);
    return supervisor;
}

static void of_a_run_that_lives(void **state)
{
    (void)state;
    int until[2];
    nj_kafka_own own;
    pid_t supervisor = worker(until, 0);
    assert_int_equal(slot_of(&run_a, &own), 1); /* two may be alike: of outputs in Kafka */
    nj_kafka_own_leave(&own);
    close(until[1]);
    waitpid(supervisor, NULL, 0);
}

/* Closes the pipe, upon which the worker ends, while the slot is waited for. */
static int let_it_die;
static void on_alarm(int number)
{
    (void)number;
    close(let_it_die);
}

static void of_a_run_that_dies(void **state)
{
    (void)state;
    int until[2];
    nj_kafka_own own;
    worker(until, 1);
    let_it_die = until[1];
    signal(SIGALRM, on_alarm);
    ualarm(200000, 0);
    assert_int_equal(slot_of(&run_a, &own), 0);
    nj_kafka_own_leave(&own);
}

static void of_two_that_come_back_in_turn(void **state)
{
    (void)state;
    nj_kafka_own a, b;
    assert_int_equal(slot_of(&run_a, &a), 0);
    assert_int_equal(slot_of(&run_b, &b), 1);
    for (int k = 0; k < 3; k++) {
        dies(&a);
        dies(&b);
        assert_int_equal(slot_of(&run_b, &b), 1);
        assert_int_equal(slot_of(&run_a, &a), 0);
        dies(&b);
        assert_int_equal(slot_of(&run_b, &b), 1);
    }
    dies(&a);
    dies(&b);
}

/* A run that is new takes no name whose owner may come back, however many those are. */
static void of_one_that_may_come_back(void **state)
{
    (void)state;
    nj_kafka_own a, b, c;
    assert_int_equal(slot_of(&run_a, &a), 0);
    assert_int_equal(slot_of(&run_b, &b), 1);
    dies(&a);
    dies(&b);
    assert_int_equal(slot_of(&run_c, &c), 2);
    assert_int_equal(slot_of(&run_a, &a), 0);
    assert_int_equal(slot_of(&run_b, &b), 1);
    dies(&a);
    dies(&b);
    dies(&c);
}

static void of_one_whose_time_is_over(void **state)
{
    (void)state;
    nj_kafka_own a, c;
    struct timespec when[2] = { { time(NULL) - KEEP_MS / 1000 - 60, 0 } };
    when[1] = when[0];
    assert_int_equal(slot_of(&run_a, &a), 0);
    assert_int_equal(futimens(a.lock, when), 0);
    dies(&a);
    assert_int_equal(slot_of(&run_c, &c), 0);
    assert_int_equal(slot_of(&run_a, &a), 1);
    dies(&a);
    dies(&c);
    assert_int_equal(slot_of(&run_a, &a), 1); /* the last that it had */
    dies(&a);
}

static void of_one_that_ended(void **state)
{
    (void)state;
    nj_kafka_own a, c;
    assert_int_equal(slot_of(&run_a, &a), 0);
    nj_kafka_own_leave(&a);
    assert_int_equal(slot_of(&run_c, &c), 0); /* the next night's, with outputs of another name */
    dies(&c);
}

/* It was not written by this version, or is cut. */
static void of_a_file_that_says_nothing(void **state)
{
    (void)state;
    nj_kafka_own a, c;
    assert_int_equal(slot_of(&run_a, &a), 0);
    assert_int_equal(ftruncate(a.lock, 7), 0);
    dies(&a);
    assert_int_equal(slot_of(&run_c, &c), 0);
    dies(&c);
}

static int own_folder(void **state)
{
    char folder[] = "/tmp/nightjar-member-XXXXXX";
    *state = mkdtemp(folder) ? strdup(folder) : NULL;
    return *state ? setenv("XDG_RUNTIME_DIR", *state, 1) : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", (char *)*state);
    free(*state);
    return system(command);
}

#define TEST(what) cmocka_unit_test_setup_teardown(what, own_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_a_run_that_lives),           TEST(of_a_run_that_dies),
        TEST(of_two_that_come_back_in_turn), TEST(of_one_that_may_come_back),
        TEST(of_one_whose_time_is_over),     TEST(of_one_that_ended),
        TEST(of_a_file_that_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
