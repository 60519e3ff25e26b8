/* assert.c - an assertion that is broken names what is broken and aborts; one that holds does nothing. */
#define NJ_SLOW_ASSERTS
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../broker/base/assert.h"

static int looks;

static int looked_at(int value)
{
    looks++;
    return value;
}

/* What a child prints on standard error; its status. */
static int in_child(void (*what)(void), char *text, size_t room)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        what();
        _exit(0);
    }
    close(fd[1]);
    ssize_t n = read(fd[0], text, room - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void broken(void)
{
    NJ_ASSERT(1 + 1 == 3, "stream %d goes back", 7);
}

static void broken_slow(void)
{
    NJ_ASSERT_SLOW(1 + 1 == 3, "row %d comes twice", 8);
}

static void names_what_is_broken(void **state)
{
    char text[1024];
    (void)state;
    int status = in_child(broken, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "internal fault: stream 7 goes back"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
    assert_non_null(strstr(text, "assert.c"));
    status = in_child(broken_slow, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(text, "row 8 comes twice"));
}

static void holds(void **state)
{
    (void)state;
    NJ_ASSERT(looked_at(1), "it holds");
    assert_int_equal(looks, 1);
}

#undef NJ_SLOW_ASSERTS
#undef NJ_BASE_ASSERT_H
#undef NJ_ASSERT
#undef NJ_ASSERT_SLOW
#include "../../broker/base/assert.h"

static void slow_ones_are_not_evaluated(void **state)
{
    (void)state;
    looks = 0;
    NJ_ASSERT_SLOW(looked_at(0), "nobody looks");
    assert_int_equal(looks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_is_broken),
        cmocka_unit_test(holds),
        cmocka_unit_test(slow_ones_are_not_evaluated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
