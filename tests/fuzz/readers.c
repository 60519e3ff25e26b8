/* readers.c - libFuzzer entry for what nightjar reads beside alerts and models. NIGHTJAR_FUZZ names the
 * reader, the input is its file or text: settings, clause, csv, votable, fits, parquet, njx, report, bench,
 * journal, metrics (what a client sends to the server of metrics). */
#include <arpa/inet.h>
#include <libxml/xmlerror.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/base/log.h"
#include "broker/base/settings.h"
#include "broker/catalog/table.h"
#include "broker/flow/health.h"
#include "broker/flow/metrics.h"
#include "broker/query/clause.h"
#include "broker/report/bench_file.h"
#include "broker/report/html.h"
#include "broker/sink/journal.h"
#include "modules/kit/sky/njx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[96], beside[128]; /* a file in memory, and its journal */

static void remove_files(void)
{
    unlink(path);
    unlink(beside);
}

static void put(const char *name, const void *bytes, size_t n)
{
    if (nj_file_write(name, bytes, n)) abort();
}

/* As a text with a NUL behind it, which the caller frees. */
static char *text_of(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text) abort();
    memcpy(text, data, size);
    text[size] = 0;
    return text;
}

/* --- settings and clauses ---------------------------------------------------------------------------- */
typedef struct conf {
    int64_t whole;
    double real;
    uint8_t flag;
    const char *text;
} conf;
static const nj_param keys[] = { { "whole", NJ_I64, "5", offsetof(conf, whole), -10, 1e9, "1", "a number" },
                                 { "real", NJ_F64, "0.5", offsetof(conf, real), 0, 1, "1", "a number" },
                                 { "flag", NJ_U8, "1", offsetof(conf, flag), 0, 1, "1", "a flag" },
                                 { "text", NJ_STR, "x", offsetof(conf, text), 0, 0, "", "a text" },
                                 { 0 } };

static void settings(const uint8_t *data, size_t size)
{
    nj_settings s = { 0 };
    nj_error err;
    char *text = text_of(data, size), *second = strchr(text, '\1');
    if (second) *second++ = 0; /* behind it a -D */
    nj_settings_ini(&s, "fuzz.ini", text, &err);
    if (second) nj_settings_define(&s, second, &err);
    conf c;
    for (size_t i = 0; i < s.n && i < 20; i++) {
        if (nj_settings_apply(&s, s.item[i].section, keys, NULL, &c, &err)) continue;
        if (c.whole < -10 || c.whole > 1000000000 || !(c.real >= 0 && c.real <= 1) || c.flag > 1) abort();
    }
    nj_settings_free(&s);
    free(text);
}

static void clause(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size), hint[200];
    nj_clause c = { 0 };
    nj_error err = { "" };
    if (nj_clause_parse(&c, text, &err)) {
        if (!err.text[0]) abort(); /* a refusal has a reason */
    } else {
        for (size_t i = 0; i < c.n_names; i++) nj_clause_hint(&c, i, hint, sizeof hint);
        if (!c.sql && !c.all_quick) abort();
    }
    nj_clause_free(&c);
    free(text);
}

/* --- tables and catalogues --------------------------------------------------------------------------- */
static void table(const nj_table_class *class, const uint8_t *data, size_t size)
{
    nj_error err = { "" };
    put(path, data, size);
    nj_table *t = class->open(path, size & 1, &err);
    uint32_t all[256];
    const uint32_t n = t ? t->n_columns < 256 ? t->n_columns : 256 : 0;
    for (uint32_t i = 0; i < n; i++) all[i] = i;
    nj_table_cell *cell = calloc(n + 1, sizeof *cell);
    if (!cell) abort();
    if (t && n && !class->select(t, all, n, &err)) {
        int rc = 0;
        for (int row = 0; row < 500 && (rc = class->next(t, cell, &err)) == 1; row++)
            for (uint32_t i = 0; i < n; i++) {
                size_t sum = 0; /* all of a text is readable */
                for (uint32_t k = 0; cell[i].kind == NJ_TABLE_TEXT && k < cell[i].n_text; k++)
                    sum += (unsigned char)cell[i].text[k];
                __asm__ volatile("" : : "r"(sum));
            }
        if (rc < 0 && !err.text[0]) abort();
    }
    if (!t && !err.text[0]) abort();
    free(cell);
    nj_table_close(t);
}
static void csv(const uint8_t *data, size_t size)
{
    table(&nj_table_csv, data, size);
}
static void votable(const uint8_t *data, size_t size)
{
    table(&nj_table_votable, data, size);
}
static void fits(const uint8_t *data, size_t size)
{
    table(&nj_table_fits, data, size);
}
static void parquet(const uint8_t *data, size_t size)
{
    table(&nj_table_parquet, data, size);
}

/* A catalogue whose sums and hash fit, so that the checks behind them see the bytes. */
static void njx(const uint8_t *data, size_t size)
{
    char why[400] = "";
    char *copy = text_of(data, size);
    njx_header *h = (njx_header *)copy;
    if (size > sizeof *h) {
        njx_section *s = (njx_section *)(h + 1);
        const size_t most = (size - sizeof *h) / sizeof *s;
        const uint32_t n = h->n_sections < most ? h->n_sections : (uint32_t)most;
        for (uint32_t i = 0; i < n; i++)
            if (s[i].offset <= size && s[i].size <= size - s[i].offset)
                s[i].sum = njx_sum(copy + s[i].offset, s[i].size);
        h->file_size = 0;
        njx_sha256 sha;
        njx_sha256_start(&sha);
        njx_sha256_add(&sha, h, offsetof(njx_header, content_sha256));
        njx_sha256_add(&sha, s, n * sizeof *s);
        njx_sha256_end(&sha, h->content_sha256);
        h->file_size = size;
        h->header_sum = njx_sum(h, offsetof(njx_header, header_sum));
    }
    put(path, copy, size);
    free(copy);
    njx_file *f = njx_open(path, 1, why, sizeof why);
    if (!f) {
        if (!why[0]) abort();
        return;
    }
    double ra[3] = { 10, 200, 359.9 }, dec[3] = { -89.9, 0, 41 }, sep[24];
    uint8_t state[3];
    uint32_t n[3];
    uint64_t row[24];
    const nj_sky_cones cones = { 3, 8, ra, dec, NULL, 3600, NULL };
    njx_search(f->grid, f->header->n_grids, NAN, &cones, &(nj_sky_matches){ state, n, row, sep });
    for (int i = 0; i < 3; i++)
        for (uint32_t k = 0; state[i] == NJ_SKY_MATCH && k < n[i] && k < 8; k++)
            if (row[8 * i + k] >= f->header->n_rows) abort();
    njx_close(f);
}

/* --- reports and journals ---------------------------------------------------------------------------- */
static void report(const uint8_t *data, size_t size)
{
    nj_error err = { "" };
    char *text = NULL;
    put(path, data, size);
    json_t *root = nj_json_read(path, &text, &err);
    if (!root && !err.text[0]) abort();
    if (root && json_is_array(json_object_get(root, "modules")) &&
        json_is_object(json_object_get(root, "ledger"))) {
        nj_page page = { .run = { root }, .n_runs = 1, .json = text };
        page.exposure[page.n_exposures++] = (nj_exposure){ "ZTF", 600, 8 };
        nj_buffer out = { 0 };
        if (nj_report_html(&page, &out, &err) && !err.text[0]) abort();
        nj_buffer_free(&out);
    }
    json_decref(root);
    free(text);
}

static int take(void *opaque, const char *name, double ns)
{
    (void)opaque, (void)ns;
    return name[0] == '!' ? -1 : 0;
}

static void bench(const uint8_t *data, size_t size)
{
    nj_error err;
    nj_bench_left left = { 0 };
    put(path, data, size);
    json_t *root = nj_json_read(path, NULL, &err);
    const json_t *list = json_object_get(root, "benchmarks");
    if (json_is_array(list)) nj_bench_times(list, take, NULL, &left);
    json_decref(root);
}

static void journal(const uint8_t *data, size_t size)
{
    static const char zeros[1000];
    static int there;
    nj_error err = { "" };
    nj_mark mark;
    if (!there++) put(path, zeros, sizeof zeros);
    put(beside, data, size);
    for (int consumed = 0; consumed < 2; consumed++) {
        if ((consumed ? nj_journal_look_consumed : nj_journal_look)(path, &mark, &err)) {
            if (!err.text[0]) abort();
            continue;
        }
        if (mark.kind == NJ_MARK_THERE && mark.bytes > (int64_t)sizeof zeros) abort();
        nj_mark_free(&mark);
    }
}

/* --- the server of metrics: of the page and of health there is a stand-in ------------------------------ */
static const char page_text[] = "nightjar_up 1\n";
void nj_metrics_text(const nj_metrics_of *m, nj_buffer *b)
{
    (void)m;
    nj_buffer_add(b, page_text, sizeof page_text - 1);
}
nj_metrics_spent *nj_metrics_spent_new(void)
{
    return NULL;
}
void nj_metrics_spent_free(nj_metrics_spent *spent)
{
    (void)spent;
}
nj_health_state nj_health_now(nj_health *health)
{
    (void)health;
    return (nj_health_state){ true, true, true, "well" };
}

static int connected(uint16_t port)
{
    const struct sockaddr_in to = { AF_INET, htons(port), { htonl(INADDR_LOOPBACK) }, { 0 } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct linger gone = { 1, 0 }; /* no waiting for stray packets: ports are few */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &gone, sizeof gone);
    return fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) ? abort(), -1 : fd;
}

static void metrics(const uint8_t *data, size_t size)
{
    static uint16_t port;
    char answer[4096];
    if (!port) { /* one that is free now */
        static run r;
        nj_error err;
        struct sockaddr_in at = { AF_INET, 0, { htonl(INADDR_LOOPBACK) }, { 0 } };
        socklen_t n = sizeof at;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(fd, (struct sockaddr *)&at, n) || getsockname(fd, (struct sockaddr *)&at, &n)) abort();
        close(fd);
        port = ntohs(at.sin_port);
        snprintf(answer, sizeof answer, "127.0.0.1:%u", port);
        if (!nj_metrics_start(answer, &r, &err)) abort();
    }
    int fd = connected(port);
    for (size_t sent = 0; sent < size;) {
        const ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0) break; /* the server may have had enough */
        sent += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    while (recv(fd, answer, sizeof answer, 0) > 0) {
    }
    close(fd);
    static uint32_t inputs;
    if (++inputs % 64) return; /* whatever came before: the next one is answered */
    static const char question[] = "GET /metrics HTTP/1.0\r\n\r\n";
    fd = connected(port);
    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) < 0) abort();
    size_t n = 0;
    for (ssize_t got; n < sizeof answer - 1 && (got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0;)
        n += (size_t)got;
    answer[n] = 0;
    if (!strstr(answer, page_text)) abort();
    close(fd);
}

static const struct {
    const char *name;
    void (*read)(const uint8_t *data, size_t size);
} readers[] = { { "settings", settings }, { "clause", clause },   { "csv", csv },
                { "votable", votable },   { "fits", fits },       { "parquet", parquet },
                { "njx", njx },           { "report", report },   { "bench", bench },
                { "journal", journal },   { "metrics", metrics }, { NULL, NULL } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*reader)(const uint8_t *, size_t);
    if (!reader) {
        const char *wanted = getenv("NIGHTJAR_FUZZ");
        for (int i = 0; wanted && readers[i].name; i++)
            if (!strcmp(readers[i].name, wanted)) reader = readers[i].read;
        if (!reader) return fprintf(stderr, "NIGHTJAR_FUZZ names no reader\n"), exit(1), 0;
        nj_log_level(NJ_LOG_ERROR);
        snprintf(path, sizeof path, "/dev/shm/nightjar-fuzz-%d", getpid());
        snprintf(beside, sizeof beside, "%s.journal", path);
        atexit(remove_files);
    }
    reader(data, size);
    return 0;
}
