/* kafka_slots.c - the slot of a run that was killed is taken again, also while its worker has yet to die;
 * that of a run that lives is not. */
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
#include <sys/wait.h>
#include <unistd.h>

#include "broker/kafka/member.h"

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
            if (nj_kafka_own_name("test", name, sizeof name) < 0) _exit(1);
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
    char name[256];
    pid_t supervisor = worker(until, 0);
    int lock = nj_kafka_own_name("test", name, sizeof name);
    assert_true(lock >= 0);
    assert_string_equal(name + strlen(name) - 2, "-1");
    close(lock);
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
    char name[256];
    worker(until, 1);
    let_it_die = until[1];
    signal(SIGALRM, on_alarm);
    ualarm(200000, 0);
    int lock = nj_kafka_own_name("test", name, sizeof name);
    assert_true(lock >= 0);
    assert_string_equal(name + strlen(name) - 2, "-0");
    close(lock);
}

static int own_folder(void **state)
{
    static char folder[] = "/tmp/nightjar-member-XXXXXX";
    *state = mkdtemp(folder);
    return *state ? setenv("XDG_RUNTIME_DIR", folder, 1) : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", (char *)*state);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(of_a_run_that_lives),
                                        cmocka_unit_test(of_a_run_that_dies) };
    return cmocka_run_group_tests(tests, own_folder, remove_folder);
}
