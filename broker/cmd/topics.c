/* topics.c - `nightjar topics`: the ready topics of the settings, each with its clause; `topics check` tries
 * those of a file on a night. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/format.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../flow/topic_tests.h"
#include "../report/fit.h"
#include "command.h"

typedef struct options {
    nj_cli cli;
    bool json, names;
} options;

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
                                   { "names", 0, NJ_OPTION_FLAG, offsetof(options, names),
                                     .doc = "names alone, one a line" },
                                   { 0 } };
static const nj_option check_table[] = {
    { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
    { "threads", 'j', NJ_OPTION_INT, offsetof(options, cli.options.threads), "THREADS", NULL, 1, 1024,
      .doc = "compute threads (all cores)" },
    { 0 }
};

static int topics(int argc, char **argv);
static int check(int argc, char **argv);

static const nj_command check_command = {
    .name = "check",
    .usage = "check [options] FILE [NIGHT...]",
    .summary = "run a file's tests, and see what its topics match on a night",
    .help = "A test stands beside its topic: passes = FILE#ID, fails = FILE#ID, at_most = 5 % of FILE.\n"
            "Of a night it prints, for each topic: how many alerts match, their share with its 95 % interval "
            "(Wilson), how many of them move (roid) or have rb < 0.5, what the clause takes per alert, which "
            "topics overlap, and ids. Without -m only the modules run that the clauses read.\n",
    .main = check,
    .options = { check_table, nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "FILE", "a file of topics, as run --topics takes it" },
                                       { "NIGHT", "a SOURCE of `nightjar run`" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "1", "a test failed, or a topic matches nothing of NIGHT or more than "
                                          "its cap; or wrong usage or settings" },
                                   { 0 } },
};

NJ_COMMAND(topics) = {
    .name = "topics",
    .usage = "topics [-c FILE] [-D topic.NAME.where=SQL] [--json | --names]",
    .summary = "the ready topics: what -t takes without a clause; topics check FILE NIGHT",
    .help = "A topic is a section [topic.NAME] with where = SQL; `nightjar run -t NAME='SQL'` needs none.\n",
    .main = topics,
    .options = { table, nj_cli_settings, nj_options_of_debug },
    .verbs = (const nj_command *const[]){ &check_command, NULL },
};

/* Is it the last one said of its topic, so that it is the one that counts? */
static bool counts(const nj_settings *s, size_t i)
{
    if (strncmp(s->item[i].section, "topic.", 6) || strcmp(s->item[i].key, "where")) return false;
    for (size_t k = i + 1; k < s->n; k++)
        if (!strcmp(s->item[i].section, s->item[k].section) && !strcmp(s->item[k].key, "where")) return false;
    return true;
}

static void show(const options *o, nj_buffer *out)
{
    const nj_settings *s = &o->cli.settings;
    nj_json json = { 0 };
    if (o->json && !o->names) json = nj_json_begin(out, '[');
    for (size_t i = 0; i < s->n; i++) {
        if (!counts(s, i)) continue;
        if (o->names) {
            nj_buffer_printf(out, "%s\n", s->item[i].section + 6);
        } else if (o->json) {
            nj_json_open(&json, NULL, '{');
            nj_json_put(&json, "name=%s where=%s said=%s", s->item[i].section + 6, s->item[i].value,
                        s->item[i].where);
            nj_json_close(&json);
        } else {
            nj_help_entry(out, s->item[i].section + 6, s->item[i].value, NJ_HELP_AT);
        }
    }
    if (o->json && !o->names) nj_json_end(&json);
}

/* ---- check ----------------------------------------------------------------------------------- */

/* The 95 % interval of a share: Wilson 1927, J. Am. Stat. Assoc. 22, 209,
 * doi:10.1080/01621459.1927.10502953. */
static void interval(double k, double n, double *low, double *high)
{
    const double z = 1.959963984540054, p = k / n, z2 = z * z / n;
    const double middle = (p + z2 / 2) / (1 + z2), half = z / (1 + z2) * sqrt(p * (1 - p) / n + z2 / n / 4);
    *low = fmax(0, middle - half);
    *high = fmin(1, middle + half);
}

static double part(uint64_t k, uint64_t n)
{
    return n ? (double)k / (double)n : NAN;
}

typedef enum { FINE, NOTHING, TOO_MANY } found_kind;

static found_kind judge(const nj_topic *t, const nj_topic_tally *of, uint64_t all)
{
    return !of->n ? NOTHING : nj_topic_over(&t->cap, of->n, all) ? TOO_MANY : FINE;
}

static const char *percent(char text[24], double share)
{
    if (isnan(share)) return strcpy(text, "-");
    snprintf(text, 24, share < 0.0995 && share > 0 ? "%.2f" : "%.1f", 100 * share);
    return text;
}

static void put_row(nj_fit_cells cell, const char *name, const nj_topic_tally *t, uint64_t all)
{
    double low = NAN, high = NAN;
    char a[24], b[24];
    if (all) interval((double)t->n, (double)all, &low, &high);
    snprintf(cell[0], NJ_FIT_CELL, "%s", name);
    snprintf(cell[1], NJ_FIT_CELL, "%llu", (unsigned long long)t->n);
    snprintf(cell[2], NJ_FIT_CELL, "%s", percent(a, part(t->n, all)));
    snprintf(cell[3], NJ_FIT_CELL, "%s - %s", percent(a, low), percent(b, high));
    snprintf(cell[4], NJ_FIT_CELL, "%s", percent(a, part(t->n_moving, t->n_roid)));
    snprintf(cell[5], NJ_FIT_CELL, "%s", percent(a, part(t->n_low_rb, t->n_rb)));
    snprintf(cell[6], NJ_FIT_CELL, "%s", t->clause_us > 0 ? nj_format_us(a, t->clause_us) : "-");
}

static void show_overlaps(const nj_cli *cli, const nj_topics_found *f, int width)
{
    const uint32_t n = f->n_topics;
    nj_buffer text = { 0 };
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = a + 1; b < n; b++)
            if (f->both[a * n + b])
                nj_buffer_printf(&text, "%s%s + %s %llu", text.n ? ", " : "Overlap: ", cli->topic[a].name,
                                 cli->topic[b].name, (unsigned long long)f->both[a * n + b]);
    if (text.n && !text.failed) nj_fit_text(stdout, width, text.data);
    nj_buffer_free(&text);
}

static void show_examples(const nj_cli *cli, const nj_topics_found *f, int width)
{
    for (uint32_t t = 0; t < f->n_topics; t++) {
        nj_buffer text = { 0 };
        nj_buffer_printf(&text, "Examples of %s:", cli->topic[t].name);
        for (uint32_t k = 0; k < f->of[t].n_ids; k++)
            nj_buffer_printf(&text, " %lld", (long long)f->of[t].id[k]);
        if (f->of[t].n_ids && !text.failed) nj_fit_text(stdout, width, text.data);
        nj_buffer_free(&text);
    }
}

/* Returns how many topics are wrong. */
static uint32_t show_night(nj_cli *cli, const nj_topics_found *f)
{
    static const nj_fit_column column[] = { { "", "topic", 0 },   { "", "matches", 0 }, { "", "%", 0 },
                                            { "", "95 %", 1 },    { "%", "moving", 2 }, { "%", "rb<0.5", 3 },
                                            { "us", "clause", 4 } };
    const uint64_t all = f->of[f->n_topics].n;
    const int width = nj_fit_width(stdout);
    nj_fit fit;
    nj_fit_cells cell;
    uint32_t n_bad = 0;
    nj_fit_begin(&fit, column, sizeof column / sizeof *column);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t t = 0; t <= f->n_topics; t++) {
            put_row(cell, t < f->n_topics ? cli->topic[t].name : "all alerts", &f->of[t], all);
            if (t == f->n_topics) cell[3][0] = '\0', cell[6][0] = '\0';
            pass ? nj_fit_row(&fit, cell, stdout) : nj_fit_see(&fit, cell);
        }
        if (!pass) nj_fit_choose(&fit, width), nj_fit_head(&fit, stdout);
    }
    show_overlaps(cli, f, width);
    show_examples(cli, f, width);
    fflush(stdout);
    for (uint32_t i = 0; i < f->n_topics; i++) {
        nj_topic t;
        nj_error ignored;
        if (nj_topic_read(&cli->settings, cli->topic[i].name, &t, &ignored)) continue;
        found_kind kind = judge(&t, &f->of[i], all);
        n_bad += kind != FINE;
        if (kind == NOTHING) nj_log(NJ_LOG_WARN, "%s: matches no alert of the night", t.name);
        if (kind == TOO_MANY)
            nj_log(NJ_LOG_WARN, "%s: matches %llu of %llu alerts, above its cap of %s", t.name,
                   (unsigned long long)f->of[i].n, (unsigned long long)all, t.cap_text);
    }
    return n_bad;
}

static uint32_t show_tests(const nj_cli *cli, const nj_topic_tests *tests)
{
    static const char *const words[] = { "passes", "fails", "at_most" };
    uint32_t n_bad = 0;
    for (uint32_t i = 0; i < tests->n; i++) {
        const nj_topic_test *test = &tests->item[i];
        n_bad += !test->good;
        if (!test->good)
            printf("%s: %s = %s: FAILED: %s\n", cli->topic[test->topic].name, words[test->kind], test->text,
                   test->why);
    }
    printf("%u of %u tests passed\n", tests->n - n_bad, tests->n);
    fflush(stdout);
    return n_bad;
}

static void put_tally(nj_json *j, const nj_topic_tally *t, uint64_t all)
{
    double low = NAN, high = NAN;
    if (all) interval((double)t->n, (double)all, &low, &high);
    nj_json_put(j, "matches=%llu share=%g low=%g high=%g moving=%g low_rb=%g clause_us=%g",
                (unsigned long long)t->n, part(t->n, all), low, high, part(t->n_moving, t->n_roid),
                part(t->n_low_rb, t->n_rb), t->clause_us);
    nj_json_open(j, "examples", '[');
    for (uint32_t k = 0; k < t->n_ids; k++) nj_json_item(j, "%lld", (long long)t->id[k]);
    nj_json_close(j);
}

static uint32_t put_topic(nj_cli *cli, const nj_topics_found *f, uint32_t i, const nj_topic_tests *tests,
                          nj_json *j)
{
    static const char *const words[] = { "passes", "fails", "at_most" };
    nj_topic t;
    nj_error ignored;
    uint32_t n_bad = 0;
    if (nj_topic_read(&cli->settings, cli->topic[i].name, &t, &ignored)) return 1;
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "name=%s where=%s sentence=%s owner=%s cap=%s", t.name, t.where, t.sentence, t.owner,
                *t.cap_text ? t.cap_text : NULL);
    if (f) {
        found_kind kind = judge(&t, &f->of[i], f->of[f->n_topics].n);
        n_bad += kind != FINE;
        put_tally(j, &f->of[i], f->of[f->n_topics].n);
        nj_json_put(j, "verdict=%s",
                    kind == FINE      ? "fine"
                    : kind == NOTHING ? "matches nothing"
                                      : "above cap");
        nj_json_open(j, "overlap", '{');
        for (uint32_t b = 0; b < f->n_topics; b++)
            if (b != i && f->both[i * f->n_topics + b])
                nj_json_count(j, cli->topic[b].name, f->both[i * f->n_topics + b]);
        nj_json_close(j);
    }
    nj_json_open(j, "tests", '[');
    for (uint32_t k = 0; k < tests->n; k++) {
        const nj_topic_test *test = &tests->item[k];
        if (test->topic != i) continue;
        n_bad += !test->good;
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "key=%s test=%s passed=%hhd why=%s", words[test->kind], test->text, test->good,
                    test->good ? NULL : test->why);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
    return n_bad;
}

static uint32_t put_all(nj_cli *cli, const nj_topics_found *f, const nj_topic_tests *tests)
{
    nj_buffer out = { 0 };
    nj_json j = nj_json_begin(&out, '{');
    uint32_t n_bad = 0;
    if (f) {
        nj_json_put(&j, "alerts=%llu dead=%llu", (unsigned long long)f->of[f->n_topics].n,
                    (unsigned long long)f->n_dead);
        nj_json_open(&j, "all", '{');
        put_tally(&j, &f->of[f->n_topics], f->of[f->n_topics].n);
        nj_json_close(&j);
    }
    nj_json_open(&j, "topics", '[');
    for (uint32_t i = 0; i < cli->options.n_topics; i++) n_bad += put_topic(cli, f, i, tests, &j);
    nj_json_end(&j);
    return nj_command_print(&out) ? n_bad + 1 : n_bad;
}

static int check(int argc, char **argv)
{
    options o = { 0 };
    nj_error err = { "" };
    nj_topic_tests tests = { 0 };
    nj_topics_found found = { 0 };
    uint32_t n_bad = 0;
    int rc = nj_cli_read(&o.cli, check_command.options, argc, argv, &err);
    const uint32_t n_words = o.cli.options.n_sources;
    o.cli.options.n_topics = 0; /* of [run] topics: only those of the file are asked for */
    if (rc == 0 && !n_words) rc = nj_fail(&err, "expected a file of topics, and a night or none");
    if (rc == 0) rc = nj_topics_file(&o.cli, o.cli.source[0], &err);
    if (rc == 0) rc = nj_topic_tests_read(&o.cli, &tests, &err);
    if (rc == 0) nj_stop_on_signals();
    if (rc == 0) rc = nj_topic_tests_run(&o.cli, &tests, &err);
    if (rc == 0 && n_words > 1)
        rc = nj_topics_find(&o.cli, o.cli.source + 1, n_words - 1, NULL, 0, &found, &err);
    if (rc == 0 && o.json) n_bad = put_all(&o.cli, n_words > 1 ? &found : NULL, &tests);
    if (rc == 0 && !o.json && n_words > 1) n_bad += show_night(&o.cli, &found);
    if (rc == 0 && !o.json && (tests.n || n_words == 1)) n_bad += show_tests(&o.cli, &tests);
    if (rc) nj_log(NJ_LOG_ERROR, "topics check: %s", err.text);
    nj_topics_found_free(&found);
    nj_topic_tests_free(&tests);
    nj_cli_free(&o.cli);
    return rc || n_bad ? NJ_EXIT_USAGE : NJ_EXIT_OK;
}

static int topics(int argc, char **argv)
{
    options o = { 0 };
    nj_error err = { "" };
    nj_buffer out = { 0 };
    if (argc > 1 && argv[1][0] != '-') return nj_command_verb(&nj_command_topics, argc, argv);
    int rc = nj_cli_read(&o.cli, nj_command_topics.options, argc, argv, &err);
    if (rc == 0 && o.cli.options.n_sources)
        rc = nj_fail(&err, "'%s': no argument is expected", o.cli.source[0]);
    if (rc == 0) show(&o, &out);
    if (rc) nj_log(NJ_LOG_ERROR, "topics: %s", err.text);
    nj_cli_free(&o.cli);
    return rc ? NJ_EXIT_USAGE : nj_command_print(&out);
}
