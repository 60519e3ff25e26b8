/* topic_tests.c - a clause that matches nothing passes a test that asks for nothing, so tests name alerts
 * that must match and alerts that must not. */
#include "topic_tests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int wrong(const nj_topic *t, const char *key, const char *text, const char *want, nj_error *err)
{
    return nj_fail(err, "%s: [topic.%s] %s: '%s': expected %s", t->said, t->name, key, text, want);
}

/* Beside the file that says it; "-D:" and built-in ones: as from here. */
static char *beside(const char *said, const char *file)
{
    const char *slash = strrchr(said, '/');
    nj_buffer path = { 0 };
    if (*file != '/' && slash && !strstr(said, "(built in)"))
        nj_buffer_printf(&path, "%.*s", (int)(slash + 1 - said), said);
    nj_buffer_text(&path, file);
    return path.data;
}

static int add(nj_topic_tests *tests, const nj_topic_test *test)
{
    nj_topic_test *more = realloc(tests->item, (tests->n + 1) * sizeof *more);
    if (more) tests->item = more;
    if (!more || !test->file) return -1;
    tests->item[tests->n++] = *test;
    return 0;
}

static int read_alert(const nj_topic *t, const char *key, nj_topic_test *test, nj_error *err)
{
    char file[1024], *end;
    const char *hash = strrchr(test->text, '#');
    if (!hash || hash == test->text || !hash[1]) return wrong(t, key, test->text, "FILE#ID", err);
    errno = 0;
    test->id = strtoll(hash + 1, &end, 10);
    if (*end || errno) return wrong(t, key, test->text, "FILE#ID, ID a whole number", err);
    snprintf(file, sizeof file, "%.*s", (int)(hash - test->text), test->text);
    test->file = beside(t->said, file);
    return 0;
}

static int read_share(const nj_topic *t, const char *key, nj_topic_test *test, nj_error *err)
{
    const char *rest;
    if (nj_topic_cap_read(test->text, &test->cap, &rest) || strncmp(rest, "of ", 3) || !rest[3])
        return wrong(t, key, test->text, "5 % of FILE, or 200 of FILE", err);
    test->file = beside(t->said, rest + 3 + strspn(rest + 3, " "));
    return 0;
}

static int read_list(nj_cli *cli, const nj_topic *t, uint32_t topic, nj_topic_test_kind kind,
                     nj_topic_tests *tests, nj_error *err)
{
    static const char *const key[] = { "passes", "fails", "at_most" };
    const char *const list[] = { t->passes, t->fails, t->at_most };
    for (const char *p = list[kind]; *p;) {
        p += strspn(p, ", \t\n");
        size_t n = strcspn(p, ","), trimmed = n;
        while (trimmed && strchr(" \t\n", p[trimmed - 1])) trimmed--;
        if (!trimmed) break;
        nj_topic_test test = { .kind = kind, .topic = topic, .text = nj_arena_text(&cli->arena, p, trimmed) };
        if (!test.text) return nj_fail(err, "out of memory");
        if (kind == NJ_TOPIC_AT_MOST ? read_share(t, key[kind], &test, err)
                                     : read_alert(t, key[kind], &test, err))
            return -1;
        if (add(tests, &test)) return free(test.file), nj_fail(err, "out of memory");
        p += n;
    }
    return 0;
}

int nj_topic_tests_read(nj_cli *cli, nj_topic_tests *tests, nj_error *err)
{
    nj_topic t;
    for (uint32_t i = 0; i < cli->options.n_topics; i++) {
        if (nj_topic_read(&cli->settings, cli->topic[i].name, &t, err)) return -1;
        for (int kind = NJ_TOPIC_PASSES; kind <= NJ_TOPIC_AT_MOST; kind++)
            if (read_list(cli, &t, i, (nj_topic_test_kind)kind, tests, err)) return -1;
    }
    return 0;
}

static void judge(nj_topic_test *test, const nj_topic_look *look, const nj_topics_found *found,
                  const char *name)
{
    const uint64_t all = found->of[found->n_topics].n, n = found->of[test->topic].n;
    if (test->kind == NJ_TOPIC_AT_MOST) {
        test->good = all > 0 && !nj_topic_over(&test->cap, n, all);
        if (!all)
            snprintf(test->why, sizeof test->why, "the file has no alert that topics may publish");
        else if (!test->good)
            snprintf(test->why, sizeof test->why, "%llu of %llu match (%.3g %%)", (unsigned long long)n,
                     (unsigned long long)all, 100 * (double)n / (double)all);
        return;
    }
    test->good = look->seen && look->in[test->topic] == (test->kind == NJ_TOPIC_PASSES);
    if (!look->seen)
        snprintf(test->why, sizeof test->why,
                 "no alert of that id is there (or it is dead, or of a private programme)");
    else if (!test->good)
        snprintf(test->why, sizeof test->why, "it %s %s",
                 look->in[test->topic] ? "matches" : "does not match", name);
}

/* All tests of one file. */
static int run_file(nj_cli *cli, nj_topic_tests *tests, uint32_t first, nj_error *err)
{
    const uint32_t n_topics = cli->options.n_topics;
    const char *file = tests->item[first].file;
    nj_topic_look *look = calloc(tests->n + 1, sizeof *look);
    uint8_t *in = calloc((size_t)(tests->n + 1) * n_topics, 1);
    nj_topics_found found = { 0 };
    nj_error why = { "" };
    uint32_t n = 0;
    if (!look || !in) {
        free(look);
        free(in);
        return nj_fail(err, "out of memory");
    }
    for (uint32_t i = first; i < tests->n; i++)
        if (!tests->item[i].run && !strcmp(tests->item[i].file, file)) {
            look[n] = (nj_topic_look){ .id = tests->item[i].id, .in = in + (size_t)n * n_topics };
            n++;
        }
    int rc = nj_topics_find(cli, &file, 1, look, n, &found, &why);
    n = 0;
    for (uint32_t i = first; i < tests->n; i++) {
        nj_topic_test *test = &tests->item[i];
        if (test->run || strcmp(test->file, file)) continue;
        test->run = true;
        if (rc)
            snprintf(test->why, sizeof test->why, "%.250s", why.text);
        else
            judge(test, &look[n], &found, cli->topic[test->topic].name);
        n++;
    }
    nj_topics_found_free(&found);
    free(look);
    free(in);
    return 0;
}

int nj_topic_tests_run(nj_cli *cli, nj_topic_tests *tests, nj_error *err)
{
    for (uint32_t i = 0; i < tests->n; i++)
        if (!tests->item[i].run && run_file(cli, tests, i, err)) return -1;
    return 0;
}

void nj_topic_tests_free(nj_topic_tests *tests)
{
    for (uint32_t i = 0; i < tests->n; i++) free(tests->item[i].file);
    free(tests->item);
    *tests = (nj_topic_tests){ 0 };
}
