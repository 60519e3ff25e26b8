/* Rows of every type and shape for the tests of the sinks: 5 rows, of which 4 are written (0, 1, 3, 4). */
#ifndef TESTS_UNIT_SINK_ROWS_H
#define TESTS_UNIT_SINK_ROWS_H

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/sink/json.h"
#include "broker/sink/sink.h"

enum {
    CANDID,
    OBJECT,
    JD,
    RA,
    DEC,
    POSITIVE,
    NDET,
    RB,
    ROID,
    ROID_REASON,
    KS,
    KS_REASON,
    RATE,
    POINTS,
    ABSENT,
    FIELDS
};
static const nj_field field[FIELDS] = {
    [CANDID] = { "candid", NULL, NJ_I64, 1, "1", "id", NULL },
    [OBJECT] = { "object", NULL, NJ_STR, 1, "1", "object", NULL },
    [JD] = { "jd", NULL, NJ_F64, 1, "d", "time", NULL },
    [RA] = { "ra", NULL, NJ_F64, 1, "deg", NULL, NULL },
    [DEC] = { "dec", NULL, NJ_F64, 1, "deg", NULL, NULL },
    [POSITIVE] = { "positive", NULL, NJ_U8, 1, "1", NULL, NULL },
    [NDET] = { "ndethist", NULL, NJ_I32, 1, "1", NULL, NULL },
    [RB] = { "rb", NULL, NJ_F32, 1, "1", NULL, NULL },
    [ROID] = { "roid.roid", "roid", NJ_I32, 1, "1", "asteroid class", NULL },
    [ROID_REASON] = { "roid.reason", "roid", NJ_U8, 1, NULL, NULL, nj_reason_name },
    [KS] = { "hostless.ks_template", "hostless", NJ_F64, 1, "1", NULL, NULL },
    [KS_REASON] = { "hostless.reason", "hostless", NJ_U8, 1, NULL, NULL, nj_reason_name },
    [RATE] = { "fit.rate", "fit", NJ_F64, 3, "mag/day", "a vector", NULL },
    [POINTS] = { "fit.points", "fit", NJ_F32, 0, "mag", "a series", NULL },
    [ABSENT] = { "packet.candidate.sgscore1", NULL, NJ_F32, 1, NULL, NULL, NULL },
};

static const int64_t candid[5] = { 2481168780615015008, -7, 3, NJ_NO_I64, INT64_MAX };
static const char *const object[5] = { "ZTF21abcdefg", "a\"b\\c\n\xc3\xa9", "x", NULL, "" };
static const double jd[5] = { 2460231.7123456789, 0.1, 1, NAN, 1e-300 };
static const double ra[5] = { 359.99999999999994, 1e22, 1, INFINITY, 0 };
static const double dec[5] = { -0.0, 5e-324, 1, -INFINITY, 1.0 / 3 };
static const uint8_t positive[5] = { 1, 0, 1, NJ_NO_U8, 254 };
static const int32_t ndet[5] = { 0, -1, 1, NJ_NO_I32, INT32_MAX };
static const float rb[5] = { 0.1f, 16777216.0f, 1, NAN, 1e-45f };
static const uint8_t roid_reason[5] = { NJ_DONE, NJ_CUT, NJ_DONE, NJ_SHED, NJ_NO_U8 };
static const double rate[15] = { 1, 2, 3, -1.5, NAN, 0, 1, 1, 1, NAN, NAN, NAN, 4, 5, 6 };
static const float points[6] = { 18.5f, NAN, 19.25f, 1, 20, 21 };
static const uint32_t points_off[6] = { 0, 3, 3, 4, 4, 6 };
static const nj_col column[FIELDS] = {
    [CANDID] = { candid, NULL }, [OBJECT] = { object, NULL },
    [JD] = { jd, NULL },         [RA] = { ra, NULL },
    [DEC] = { dec, NULL },       [POSITIVE] = { positive, NULL },
    [NDET] = { ndet, NULL },     [RB] = { rb, NULL },
    [ROID] = { ndet, NULL },     [ROID_REASON] = { roid_reason, NULL },
    [KS] = { jd, NULL },         [KS_REASON] = { roid_reason, NULL },
    [RATE] = { rate, NULL },     [POINTS] = { points, points_off },
    [ABSENT] = { NULL, NULL },
};
static const uint32_t row_list[4] = { 0, 1, 3, 4 };
static const nj_rows rows4 = { field, FIELDS, column, row_list, 4, NULL, NULL };
static const nj_metadata metadata[] = { { "nightjar.version", "0.1.0" },
                                        { "module.roid", "1.0 \"quoted\"" },
                                        { NULL, NULL } };

/* A folder of this test's own. */
static char folder[64];
static const char *in_folder(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    if (!*folder) {
        strcpy(folder, "/tmp/nj-sink-XXXXXX");
        if (!mkdtemp(folder)) abort();
    }
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}
static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return *folder ? system(command) : 0;
}

static inline nj_sink *must_open(const char *scheme, const char *path, nj_sink_mode mode)
{
    char spec[256];
    nj_settings settings = { 0 };
    nj_error err = { "" };
    snprintf(spec, sizeof spec, "%s:%s", scheme, path);
    nj_sink *sink = nj_sink_open(spec, &(nj_sink_args){ .mode = mode, .settings = &settings }, &err);
    if (!sink) fail_msg("%s: %s", spec, err.text);
    nj_settings_free(&settings);
    return sink;
}
static inline void must_refuse(const char *spec, nj_sink_mode mode, const char *says, const char *also)
{
    nj_settings settings = { 0 };
    nj_error err = { "" };
    assert_null(nj_sink_open(spec, &(nj_sink_args){ .mode = mode, .settings = &settings }, &err));
    if (!strstr(err.text, says) || (also && !strstr(err.text, also))) fail_msg("%s: %s", spec, err.text);
    nj_settings_free(&settings);
}
/* A flush, and what makes it count. */
static inline int flush_and_commit(nj_sink *sink, nj_error *err)
{
    if (sink->class->flush(sink, err)) return -1;
    return sink->class->commit ? sink->class->commit(sink, &(nj_keep){ .disk = true }, err) : 0;
}
/* begin, `times` writes of rows4 with a commit each, close */
static inline void must_write(nj_sink *sink, int times)
{
    nj_error err = { "" };
    if (sink->class->begin(sink, field, FIELDS, metadata, &err)) fail_msg("begin: %s", err.text);
    for (int i = 0; i < times; i++) {
        if (sink->class->write(sink, &rows4, &err)) fail_msg("write: %s", err.text);
        if (flush_and_commit(sink, &err)) fail_msg("flush: %s", err.text);
    }
    if (sink->class->close(sink, &err)) fail_msg("close: %s", err.text);
}
/* Something between begin and close must fail and say `says`. */
static inline void must_fail(nj_sink *sink, const char *says)
{
    const nj_sink_class *c = sink->class;
    nj_error err = { "" };
    int rc = c->begin(sink, field, FIELDS, metadata, &err);
    for (int i = 0; i < 50 && !rc; i++) rc = c->write(sink, &rows4, &err);
    if (!rc) rc = c->flush(sink, &err);
    nj_error last = { "" };
    if (c->close(sink, rc ? &last : &err) && !rc) rc = -1;
    assert_int_equal(rc, -1);
    if (!strstr(err.text, says)) fail_msg("'%s' does not say '%s'", err.text, says);
}
/* Root writes everywhere: tests of permissions run only for others. */
static inline int write_protected_folder(char path[128])
{
    if (geteuid() == 0) return 0;
    strcpy(path, in_folder("locked"));
    return mkdir(path, 0555) == 0;
}
static inline off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : st.st_size;
}

/* A limit on the size of files stands in for a full disk (in a child: it cannot be taken back), a folder
 * without write permission for a locked one: both are errors that name the file. */
static inline void full_disk_and_locked_folder(const char *scheme, const char *file, const nj_rows *rows,
                                               rlim_t limit)
{
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        nj_error err = { "" };
        struct rlimit small = { limit, limit };
        char says[64];
        snprintf(says, sizeof says, "%s: ", file);
        signal(SIGXFSZ, SIG_IGN);
        nj_sink *s = must_open(scheme, in_folder(file), NJ_SINK_CREATE);
        if (s->class->begin(s, rows->field, rows->n_fields, metadata, &err)) _exit(2);
        setrlimit(RLIMIT_FSIZE, &small);
        int rc = 0;
        for (int i = 0; i < 3000 && !rc; i++)
            rc = s->class->write(s, rows, &err) || flush_and_commit(s, &err);
        if (!rc || !strstr(err.text, says)) fprintf(stderr, "%s\n", err.text);
        _exit(!rc ? 3 : !strstr(err.text, says) ? 4 : 0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    char locked[128], spec[256];
    if (!write_protected_folder(locked)) return;
    snprintf(spec, sizeof spec, "%s:%s/x.%s", scheme, locked, scheme);
    must_refuse(spec, NJ_SINK_CREATE, "Permission denied", NULL);
}

#endif
