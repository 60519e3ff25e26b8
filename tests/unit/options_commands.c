/* options_commands.c - every option of every command with a wrong name, without its value and with values
 * that it does not take. Each command line is a fork() and no program of its own: there are many hundreds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/cmd/command.h"

enum { WORDS = 6, SAID = 8192 };

/* A command, or a verb of one. */
typedef struct leaf {
    const nj_command *top, *c;
    char name[64];
} leaf;

static int refusals;

/* In the child: what main() does with the words. */
static void child(const leaf *l, char **words, int n, int to)
{
    char *argv[WORDS + 3] = { (char *)(uintptr_t)l->top->name };
    int argc = 1;
    if (l->c != l->top) argv[argc++] = (char *)(uintptr_t)l->c->name;
    for (int i = 0; i < n; i++) argv[argc++] = words[i];
    if (!freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stdout) || dup2(to, 2) < 0) _exit(99);
    close(to);
    alarm(300);
    exit(l->top->main(argc, argv));
}

/* Exit code 1, and standard error holds the words. */
static void refused(const leaf *l, const char *says, int n, ...)
{
    char *words[WORDS], said[SAID];
    va_list list;
    int ends[2], status;
    size_t have = 0;
    va_start(list, n);
    for (int i = 0; i < n; i++) words[i] = va_arg(list, char *);
    va_end(list);
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    pid_t p = fork();
    assert_true(p >= 0);
    if (!p) {
        close(ends[0]);
        child(l, words, n, ends[1]);
    }
    close(ends[1]);
    for (ssize_t got; have < SAID - 1 && (got = read(ends[0], said + have, SAID - 1 - have)) > 0;)
        have += (size_t)got;
    said[have] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(p, &status, 0), p);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || !strstr(said, says))
        print_error("%s %s %s: status %d\n%s", l->name, words[0], n > 1 ? words[1] : "", status, said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_non_null(strstr(said, says));
    refusals++;
}

static void wrong_name(const leaf *l, const nj_option *o)
{
    char wrong[80], says[160]; /* a letter in its midst: no prefix of any option, which would be understood */
    snprintf(wrong, sizeof wrong, "--%.1sq%s", o->name, o->name + 1);
    snprintf(says, sizeof says, "option %s is not known; did you mean --", wrong);
    refused(l, says, o->value ? 2 : 1, wrong, "1");
}

static void without_value(const leaf *l, const nj_option *o)
{
    char option[80], says[160];
    snprintf(option, sizeof option, "--%s", o->name);
    snprintf(says, sizeof says, "option %s lacks its value", option);
    refused(l, says, 1, option);
}

static void wrong_value(const leaf *l, const nj_option *o, const char *value)
{
    char option[80], says[200];
    snprintf(option, sizeof option, "--%s", o->name);
    snprintf(says, sizeof says, "%s %s: expected", option, value);
    refused(l, says, 2, option, value);
}

static void one_command(void **state)
{
    const leaf *l = *state;
    char value[64], none[80];
    int n = 0;
    NJ_EACH_OPTION (o, l->c->options) {
        n++;
        wrong_name(l, o);
        if (o->value) without_value(l, o);
        if (o->type == NJ_OPTION_WORD) wrong_value(l, o, "zzz");
        if (o->type < NJ_OPTION_INT || o->type > NJ_OPTION_F64) continue;
        wrong_value(l, o, "x");
        snprintf(value, sizeof value, o->type == NJ_OPTION_F64 ? "%.17g" : "%.0f", o->hi * 10 + 1);
        wrong_value(l, o, value);
    }
    snprintf(none, sizeof none, "option --zzzzzzzz is not known; there %s", n == 1 ? "is" : "are");
    refused(l, none, 1, "--zzzzzzzz");
    refused(l, "option -Z is not known", 1, "-Z");
}

static void many(void **state)
{
    (void)state;
    assert_true(refusals > 500);
}

static size_t add(leaf *leaves, size_t n, const nj_command *top, const nj_command *c)
{
    snprintf(leaves[n].name, sizeof leaves[n].name, c == top ? "%s" : "%s %s", top->name, c->name);
    leaves[n].top = top;
    leaves[n].c = c;
    return n + 1;
}

int main(void)
{
    static leaf leaves[200];
    static struct CMUnitTest tests[201];
    size_t n = 0;
    for (const nj_command *const *c = nj_commands; *c && n < 150; c++) {
        if (!(*c)->verbs) n = add(leaves, n, *c, *c);
        for (const nj_command *const *v = (*c)->verbs; v && *v && n < 150; v++) n = add(leaves, n, *c, *v);
    }
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){ leaves[i].name, one_command, NULL, NULL, &leaves[i] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(many);
    return _cmocka_run_group_tests("options_commands", tests, n, NULL, NULL);
}
