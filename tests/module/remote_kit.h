/* remote_kit.h - an instance of xmatch_remote against a local stand-in of the CDS service (cds_stub.py). */
#ifndef TESTS_MODULE_REMOTE_KIT_H
#define TESTS_MODULE_REMOTE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "broker/batch/batch.h"
#include "broker/graph/instance.h"

static pid_t stub;
static int stub_in = -1, port;
static char folder[] = "/tmp/nightjar-remote.XXXXXX";

static inline int start_stub(void **state)
{
    (void)state;
    int in[2], out[2];
    char line[32] = "";
    if (!mkdtemp(folder) || pipe(in) || pipe(out)) return -1;
    stub = fork();
    if (stub == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "tests/module/cds_stub.py", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    stub_in = in[1];
    FILE *f = fdopen(out[0], "r");
    if (f && fgets(line, sizeof line, f)) port = atoi(line);
    if (f) fclose(f);
    return 0;
}

static inline int stop_stub(void **state)
{
    (void)state;
    char command[100];
    close(stub_in); /* it ends when nobody holds its input */
    waitpid(stub, NULL, 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static size_t into_text(char *data, size_t size, size_t n, void *user)
{
    strncat(user, data, size * n < 30 ? size * n : 30);
    return size * n;
}

/* A GET to the stub; the number that it answers. */
static inline int get(const char *path)
{
    char url[100], text[64] = "";
    CURL *easy = curl_easy_init();
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", port, path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, into_text);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)text);
    assert_int_equal(curl_easy_perform(easy), CURLE_OK);
    curl_easy_cleanup(easy);
    return atoi(text);
}

/* ---- an instance ---- */

static nj_arena arena;
static void *take(const struct nj_work *w, size_t bytes)
{
    (void)w;
    return nj_arena_alloc(&arena, bytes);
}
static const char *copy(const struct nj_work *w, const char *s, size_t n)
{
    (void)w;
    return nj_arena_text(&arena, s, n);
}

enum { MOST_ROWS = 400 };
typedef struct remote_test {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    const nj_instance *in;
    double sep[MOST_ROWS];
    const char *state[MOST_ROWS], *otype[MOST_ROWS], *more[7][MOST_ROWS]; /* columns after the first */
    uint8_t reason[MOST_ROWS];
    double took_ms; /* the last match(); only tests/timing judges it */
} remote_test;

static inline void open_remote(remote_test *t, const char *path, const char *settings)
{
    char text[1000];
    nj_error err = { "" };
    memset(t, 0, sizeof *t);
    if (!port) skip();
    snprintf(text, sizeof text,
             "[module.simbad]\nkind = xmatch_remote\nurl = http://127.0.0.1:%d/%s\nnone_text = "
             "Unknown\nfail_text = Fail\nretry_ms = 20\n%s",
             port, path, settings);
    if (nj_modules_builtin(&t->modules, &err) || nj_settings_ini(&t->settings, "test", text, &err) ||
        nj_instances_choose(&t->set, &t->modules, &t->settings, "simbad", &err) ||
        nj_instances_open(&t->set, "simbad", &err))
        fail_msg("%s", err.text);
    t->in = nj_instances_find(&t->set, "simbad");
    assert_non_null(t->in);
    assert_int_equal(t->in->module->thread_open(t->in->self, NULL), NJ_OK);
}

static inline void close_remote(remote_test *t)
{
    nj_instances_close(&t->set);
    nj_settings_free(&t->settings);
    nj_modules_free(&t->modules);
    nj_arena_reset(&arena);
}

static inline void match(remote_test *t, const double *ra, const double *dec, uint32_t n)
{
    nj_col col[2] = { { ra, NULL }, { dec, NULL } };
    const nj_col *in[2] = { &col[0], &col[1] };
    void *out[10] = { t->sep, t->state, t->otype };
    for (int k = 0; k < 7; k++) out[3 + k] = t->more[k];
    uint32_t rows[MOST_ROWS];
    for (uint32_t k = 0; k < n; k++) rows[k] = k;
    nj_fill_null(NJ_F64, t->sep, n);
    nj_fill_null(NJ_STR, t->state, n);
    nj_fill_null(NJ_STR, t->otype, n);
    nj_work w = { .size = sizeof w,
                  .n = n,
                  .row = rows,
                  .in = in,
                  .out = out,
                  .reason = t->reason,
                  .scratch = take,
                  .text = copy };
    int64_t start = nj_now_ns();
    assert_int_equal(t->in->module->process(t->in->self, NULL, &w), NJ_OK);
    t->took_ms = (double)(nj_now_ns() - start) * 1e-6;
}

static const double some_ra[] = { 10, 10.0000999, 200, 359.99999, 0.0001, 123, NAN, 10, 77 },
                    some_dec[] = { 20, 20, -45.0002, 0, 0, 45, 0, 95, 5 };
enum { SOME = sizeof some_ra / sizeof *some_ra };

#endif
