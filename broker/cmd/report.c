/* report.c - `nightjar report`: writes a run report as one HTML page. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../report/bench_file.h"
#include "../report/html.h"
#include "command.h"

static int add_run(nj_page *p, const char *path, char **text)
{
    nj_error err = { "" };
    char *json = NULL;
    json_t *root = nj_json_read(path, &json, &err);
    if (root && json_is_array(json_object_get(root, "benchmarks")))
        nj_fail(&err, "%s: a bench file, not a run report (nightjar compare reads it)", path);
    else if (root && (!json_is_array(json_object_get(root, "modules")) ||
                      !json_is_object(json_object_get(root, "ledger"))))
        nj_fail(&err, "%s: JSON, but not a run report (what `nightjar run --report FILE.json` writes)", path);
    else if (root && p->n_runs == NJ_HTML_RUNS)
        nj_fail(&err, "%s: one report too many, %d is the most", path, NJ_HTML_RUNS);
    if (err.text[0]) {
        fprintf(stderr, "nightjar report: %s\n", err.text);
        free(json);
        json_decref(root);
        return -1;
    }
    if (p->n_runs == 0)
        p->json = *text = json;
    else
        free(json);
    p->run[p->n_runs++] = root;
    return 0;
}

typedef struct options {
    nj_page page;
    const char *out;
} options;

static int add_exposure(void *conf, const char *text, nj_error *err)
{
    nj_page *p = &((options *)conf)->page;
    nj_exposure e = { "", 0, 0 };
    if (p->n_exposures == NJ_HTML_LINES ||
        sscanf(text, "%31[^,],%lf,%lf", e.name, &e.alerts, &e.cores) != 3 || !(e.alerts > 0) ||
        !(e.cores > 0))
        return nj_fail(err, "--exposure %s: expected NAME,ALERTS,CORES", text);
    p->exposure[p->n_exposures++] = e;
    return 0;
}

static int write_page(const nj_page *p, const char *path)
{
    nj_buffer page = { 0 };
    nj_error err = { "" };
    const int bad = nj_report_html(p, &page, &err) || (nj_file_write(path, page.data, page.n) &&
                                                       nj_fail(&err, "%s: cannot be written (%m)", path));
    if (bad)
        fprintf(stderr, "nightjar report: %s\n", err.text);
    else
        printf("%s: %zu kB\n", path, page.n / 1000);
    nj_buffer_free(&page);
    return bad ? -1 : 0;
}

static const nj_option table[] = {
    { "output", 'o', NJ_OPTION_TEXT, offsetof(options, out), "FILE", "report.html", .doc = "the page" },
    { "exposure", 0, NJ_OPTION_CALL, .value = "NAME,ALERTS,CORES", .take = add_exposure,
      .doc = "a survey for the lines `1 s / 2 s per exposure` (default: ZTF,600,8 and LSST,10000,16; the "
             "first one given replaces them)" },
    { 0 }
};

static int report(int argc, char **argv);

NJ_COMMAND(report) = {
    .name = "report",
    .usage = "report RUN.json... [-o report.html]",
    .summary = "a run as one self-contained page",
    .main = report,
    .options = { table },
    .arguments =
        (const nj_meaning[]){
            { "RUN.json", "what `nightjar run --report` wrote. Further reports of the same run give the "
                          "throughput its mean and spread" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "2", "a report could not be read" }, { 0 } },
};

static int report(int argc, char **argv)
{
    static const nj_exposure usual[] = { { "ZTF", 600, 8 }, { "LSST", 10000, 16 } };
    options o = { 0 };
    nj_page *p = &o.page;
    nj_words words;
    nj_error err;
    char *text = NULL;
    int rc = NJ_EXIT_OK;
    if (nj_command_parse(&nj_command_report, &o, argc, argv, &words, &err))
        rc = (fprintf(stderr, "nightjar report: %s\n", err.text), NJ_EXIT_USAGE);
    for (int i = 0; i < words.n && rc == NJ_EXIT_OK; i++)
        if (add_run(p, words.item[i], &text)) rc = NJ_EXIT_SOURCE;
    if (rc == NJ_EXIT_OK && !p->n_runs)
        rc = (fprintf(stderr, "nightjar report: no RUN.json given\n"), NJ_EXIT_USAGE);
    if (!p->n_exposures) {
        memcpy(p->exposure, usual, sizeof usual);
        p->n_exposures = sizeof usual / sizeof *usual;
    }
    if (rc == NJ_EXIT_OK && write_page(p, o.out)) rc = NJ_EXIT_USAGE;
    for (uint32_t i = 0; i < p->n_runs; i++) json_decref((json_t *)p->run[i]);
    free(text);
    return rc;
}
