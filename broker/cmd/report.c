/* report.c - `nightjar report`: writes a run report as one HTML page. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/option.h"
#include "../report/bench_file.h"
#include "../report/html.h"
#include "command.h"

static const char help[] =
    "RUN.json is what `nightjar run --report` wrote. Further reports of the same run give the throughput its mean and spread.\n"
    "  -o FILE                     the page (default: report.html)\n"
    "  --exposure NAME,ALERTS,CORES  a survey for the lines `1 s / 2 s per exposure` (default: ZTF,600,8 and LSST,10000,16;\n"
    "                              the first one given replaces them)";

static int add_run(nj_page *p, const char *path, char **text)
{
    nj_error err = { "" };
    char *json = NULL;
    json_t *root = nj_json_read(path, &json, &err);
    if (root && json_is_array(json_object_get(root, "benchmarks")))
        nj_fail(&err, "%s: a bench file, not a run report (nightjar compare reads it)", path);
    else if (root && (!json_is_array(json_object_get(root, "modules")) || !json_is_object(json_object_get(root, "ledger"))))
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

static int add_exposure(nj_page *p, const char *text)
{
    nj_exposure e = { "", 0, 0 };
    if (p->n_exposures == NJ_HTML_LINES || sscanf(text, "%31[^,],%lf,%lf", e.name, &e.alerts, &e.cores) != 3 || !(e.alerts > 0) ||
        !(e.cores > 0)) {
        fprintf(stderr, "nightjar report: --exposure %s: expected NAME,ALERTS,CORES\n", text);
        return -1;
    }
    p->exposure[p->n_exposures++] = e;
    return 0;
}

static int write_page(const nj_page *p, const char *path)
{
    nj_buffer page = { 0 };
    nj_report_html(p, &page);
    FILE *f = page.failed ? NULL : fopen(path, "wb");
    int bad = !f || fwrite(page.data, 1, page.n, f) != page.n;
    if (f && fclose(f)) bad = 1;
    if (bad)
        fprintf(stderr, "nightjar report: %s: cannot be written (%m)\n", path);
    else
        printf("%s: %zu kB\n", path, page.n / 1000);
    nj_buffer_free(&page);
    return bad ? -1 : 0;
}

static int report(int argc, char **argv)
{
    static const nj_exposure usual[] = { { "ZTF", 600, 8 }, { "LSST", 10000, 16 } };
    nj_page p = { 0 };
    const char *out = "report.html";
    char *text = NULL;
    int rc = NJ_EXIT_OK;
    for (int i = 1; i < argc && rc == NJ_EXIT_OK; i++) {
        if (!strcmp(argv[i], "-o") && i + 1 < argc)
            out = argv[++i];
        else if (!strcmp(argv[i], "--exposure") && i + 1 < argc)
            rc = add_exposure(&p, argv[++i]) ? NJ_EXIT_USAGE : NJ_EXIT_OK;
        else if (argv[i][0] == '-') {
            nj_error err;
            nj_option_wrong(argv[i], (const char *const[]){ "-o=", "--exposure=", NULL }, &err);
            rc = (fprintf(stderr, "nightjar report: %s\n", err.text), NJ_EXIT_USAGE);
        } else if (add_run(&p, argv[i], &text))
            rc = NJ_EXIT_SOURCE;
    }
    if (rc == NJ_EXIT_OK && !p.n_runs) rc = (fprintf(stderr, "nightjar report: no RUN.json given\n"), NJ_EXIT_USAGE);
    if (!p.n_exposures) {
        memcpy(p.exposure, usual, sizeof usual);
        p.n_exposures = sizeof usual / sizeof *usual;
    }
    if (rc == NJ_EXIT_OK && write_page(&p, out)) rc = NJ_EXIT_USAGE;
    for (uint32_t i = 0; i < p.n_runs; i++) json_decref((json_t *)p.run[i]);
    free(text);
    return rc;
}

NJ_COMMAND(report) = { .name = "report",
                       .usage = "report RUN.json [-o report.html]",
                       .summary = "a run as one self-contained page",
                       .help = help,
                       .main = report };
