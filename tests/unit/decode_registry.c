/* decode_registry.c - Confluent framing, schema registry (a stub in a thread of this test), folders of
 * schemas, bare and keyed datums. */
/* link: -Wl,--wrap=clock_gettime,--wrap=nanosleep */
#include "decode_kit.h"
#include "fake_clock.h"
#include "folder.h"
#include "broker/image/opener.h"

#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define COLUMN(path, type, shape)                                                                            \
    {                                                                                                        \
        path, type, shape, NULL, 1                                                                           \
    }
enum { CANDID, OBJECT, JD, BAND, FLUX, LC_FLUX, LC_JD, FP_FLUX, RB, N_COLUMNS };
static const nj_column_def columns[N_COLUMNS] = {
    COLUMN("candid", NJ_I64, NJ_SCALAR), COLUMN("object", NJ_STR, NJ_SCALAR),
    COLUMN("jd", NJ_F64, NJ_SCALAR),     COLUMN("band", NJ_STR, NJ_SCALAR),
    COLUMN("flux", NJ_F32, NJ_SCALAR),   COLUMN("lc.flux", NJ_F64, NJ_SERIES),
    COLUMN("lc.jd", NJ_F64, NJ_SERIES),  COLUMN("fp.flux", NJ_F64, NJ_SERIES),
    COLUMN("rb", NJ_F32, NJ_SCALAR)
};
static const nj_layout lsst = { "lsst", N_COLUMNS, N_COLUMNS, columns, 7 };

/* ---- the stub -------------------------------------------------------------------------------- */

static const char schema_9[] = "{\"type\":\"record\",\"name\":\"lsst.v9_0.alert\",\"fields\":[{\"name\":"
                               "\"diaSource\",\"type\":{\"type\":\"record\","
                               "\"name\":\"lsst.v9_0.diaSource\","
                               "\"fields\":[{\"name\":\"diaSourceId\",\"type\":\"long\"},{\"name\":"
                               "\"diaObjectId\",\"type\":[\"null\",\"long\"]},{\"name\":"
                               "\"midpointMjdTai\",\"type\":\"double\"},"
                               "{\"name\":\"band\",\"type\":\"string\"},{\"name\":\"psfFlux\",\"type\":["
                               "\"null\",\"float\"]},{\"name\":\"reliability\","
                               "\"type\":\"float\"}]}},"
                               "{\"name\":\"prvDiaSources\",\"type\":[\"null\",{\"type\":\"array\",\"items\":"
                               "\"lsst.v9_0.diaSource\"}]}]}";
/* A field added in front, reliability gone, psfFlux under a new name:
 * none of it known when this was built. */
static const char schema_1102[] = "{\"type\":\"record\",\"name\":\"lsst.v11_2.alert\",\"fields\":[{\"name\":"
                                  "\"weather\",\"type\":\"string\"},{\"name\":"
                                  "\"diaSource\",\"type\":{\"type\":\"record\","
                                  "\"name\":\"lsst.v11_2.diaSource\",\"fields\":[{\"name\":\"diaSourceId\","
                                  "\"type\":\"long\"},{\"name\":\"diaObjectId\","
                                  "\"type\":[\"null\",\"long\"]},"
                                  "{\"name\":\"midpointMjdTai\",\"type\":\"double\"},{\"name\":\"band\","
                                  "\"type\":\"string\"},{\"name\":\"fluxOfThePsf\","
                                  "\"type\":[\"null\",\"float\"]}]}},"
                                  "{\"name\":\"prvDiaSources\",\"type\":[\"null\",{\"type\":\"array\","
                                  "\"items\":\"lsst.v11_2.diaSource\"}]}]}";

typedef enum mode {
    GOOD,
    NOT_FOUND,
    BROKEN,
    BROKEN_TWICE,
    HTML,
    HUGE_BODY,
    SLOW,
    NO_SCHEMA,
    NO_PAGE,
    REFUSED,
    OTHER_JSON
} mode;

typedef struct stub {
    int socket;
    uint16_t port;
    pthread_t thread;
    volatile mode mode;
    volatile int requests, stop;
    char last[2048];
} stub;

static void answer(int to, const char *status, const char *body, size_t n)
{
    char head[200];
    int k = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                     status, n);
    if (send(to, head, (size_t)k, MSG_NOSIGNAL) < 0) return;
    if (body && send(to, body, n, MSG_NOSIGNAL) < 0) return;
}

static void serve(stub *s, int to)
{
    ssize_t n = recv(to, s->last, sizeof s->last - 1, 0);
    s->last[n > 0 ? n : 0] = 0;
    mode m = s->mode;
    s->requests++;
    if (m == BROKEN_TWICE) m = s->requests <= 2 ? BROKEN : GOOD;
    if (m == SLOW) usleep(700000);
    if (m == NOT_FOUND)
        answer(to, "404 Not Found", "{\"error_code\":40403}", 20);
    else if (m == BROKEN)
        answer(to, "500 Internal Server Error", "oops", 4);
    else if (m == NO_PAGE)
        answer(to, "404 Not Found", "404 page not found", 18);
    else if (m == REFUSED)
        answer(to, "401 Unauthorized", "{\"error_code\":401}", 18);
    else if (m == OTHER_JSON)
        answer(to, "200 OK", "{\"message\":\"log in\"}", 20);
    else if (m == HTML)
        answer(to, "200 OK", "<!DOCTYPE html><p>login", 23);
    else if (m == NO_SCHEMA) {
        static const char body[] = "{\"schema\":\"{\\\"type\\\":\\\"nonsense\\\"}\"}";
        answer(to, "200 OK", body, sizeof body - 1);
    } else if (m == HUGE_BODY) {
        static char zeros[1 << 20];
        answer(to, "200 OK", NULL, (size_t)100 << 20);
        for (int i = 0; i < 100 && send(to, zeros, sizeof zeros, MSG_NOSIGNAL) > 0; i++) {
        }
    } else {
        nj_buffer body = { 0 };
        nj_buffer_text(&body, "{\"schema\":");
        nj_json_text(&body, strstr(s->last, "/ids/1102 ") ? schema_1102 : schema_9);
        nj_buffer_text(&body, "}");
        answer(to, "200 OK", body.data, body.n);
        nj_buffer_free(&body);
    }
}

static void *listen_all(void *arg)
{
    stub *s = arg;
    while (!s->stop) {
        int to = accept(s->socket, NULL, NULL);
        if (to < 0) break;
        if (!s->stop) serve(s, to);
        close(to);
    }
    return NULL;
}

static void stub_start(stub *s)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(s->port) };
    socklen_t n = sizeof a;
    int on = 1;
    s->stop = s->requests = 0;
    s->socket = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(s->socket, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->socket, 8), 0);
    getsockname(s->socket, (struct sockaddr *)&a, &n);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, listen_all, s), 0);
}

static void stub_stop(stub *s)
{
    s->stop = 1;
    shutdown(s->socket, SHUT_RDWR);
    close(s->socket);
    pthread_join(s->thread, NULL);
}

/* ---- messages -------------------------------------------------------------------------------- */

typedef struct reader {
    nj_settings settings;
    nj_decoder *decoder;
    nj_cursor cursor;
    nj_batch *batch;
    nj_error err;
} reader;

/* define: settings, each ended by a newline */
static reader *reader_new(const char *define)
{
    reader *r = calloc(1, sizeof *r);
    char *copy = strdup(define), *save = NULL;
    for (char *d = strtok_r(copy, "\n", &save); d; d = strtok_r(NULL, "\n", &save))
        assert_int_equal(nj_settings_define(&r->settings, d, &r->err), 0);
    free(copy);
    r->decoder = kit_decoder(&r->settings, NULL);
    r->batch = nj_batch_new();
    return r;
}

static void reader_free(reader *r)
{
    nj_batch_free(r->batch);
    nj_cursor_free(&r->cursor);
    nj_decoder_free(r->decoder);
    nj_settings_free(&r->settings);
    free(r);
}

static int read_chunk(reader *r, nj_chunk *chunk)
{
    strcpy(r->err.text, "");
    int rc = nj_cursor_open(&r->cursor, r->decoder, chunk, &r->err);
    assert_int_equal(nj_batch_begin(r->batch, &lsst, 16), 0);
    if (rc == 0) rc = nj_cursor_read(&r->cursor, r->batch, 16, SIZE_MAX);
    nj_chunk_drop(chunk);
    return rc;
}

static void source(nj_buffer *b, int64_t id, double mjd, float flux, bool old)
{
    kit_long(b, id);
    kit_long(b, 1);
    kit_long(b, 77);
    kit_f64(b, mjd);
    kit_text(b, "r");
    kit_long(b, 1);
    kit_f32(b, flux);
    if (old) kit_f32(b, 0.9f);
}

static int read_message(reader *r, uint32_t id)
{
    nj_buffer b = { 0 };
    uint8_t head[5] = { 0, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };
    nj_buffer_add(&b, head, 5);
    if (id == 1102) kit_text(&b, "fine");
    source(&b, 4711, 60000.5, 250, id != 1102);
    kit_long(&b, 1);
    kit_long(&b, 1);
    source(&b, 4700, 59999.5, 240, id != 1102);
    kit_long(&b, 0);
    int rc = read_chunk(r, kit_chunk(b.data, b.n));
    nj_buffer_free(&b);
    return rc;
}

static void check_message(const reader *r)
{
    const nj_batch *b = r->batch;
    if (b->n != 1) fail_msg("%s", b->n_dead ? b->dead[0].reason : r->err.text);
    assert_int_equal(b->id[0], 4711);
    assert_string_equal(KIT_AT(b, OBJECT, char *, 0), "77");
    assert_true(KIT_AT(b, JD, double, 0) == 2460001.0);
    assert_int_equal(b->col[LC_FLUX].off[1], 2);
    assert_true(KIT_AT(b, LC_JD, double, 0) == 2460000.0);
}

static char settings_text[2000];
static const char *with(const stub *s, const char *more)
{
    snprintf(settings_text, sizeof settings_text,
             "registry.url=http://127.0.0.1:%u/"
             "\nregistry.timeout_s=0.4\nregistry.wait_s=0\nregistry.cache=off\n%s",
             s->port, more);
    return settings_text;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void an_id_is_fetched_once_and_kept(void **state)
{
    (void)state;
    stub s = { .mode = GOOD };
    stub_start(&s);
    char cache[200];
    snprintf(cache, sizeof cache, "registry.cache=%s/a/b", folder);
    reader *r = reader_new(with(&s, cache));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read_message(r, 900), 0);
        check_message(r);
        assert_true(KIT_AT(r->batch, FLUX, float, 0) == 250);
    }
    assert_int_equal(s.requests, 1);
    assert_non_null(strstr(s.last, "GET /schemas/ids/900 "));
    reader_free(r);
    stub_stop(&s); /* the next run has it from the disk, registry or not */
    r = reader_new(with(&s, cache));
    assert_int_equal(read_message(r, 900), 0);
    check_message(r);
    reader_free(r);
}

static void wrong_answers_are_refused_and_not_asked_again(void **state)
{
    (void)state;
    static const struct {
        mode mode;
        const char *says;
    } bad[] = { { NOT_FOUND, "HTTP status 404" },
                { HUGE_BODY, "an answer of more than" },
                { NO_SCHEMA, "'nonsense' before it is defined" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        stub s = { .mode = bad[i].mode };
        stub_start(&s);
        reader *r = reader_new(with(&s, "registry.timeout_s=5\nregistry.unknown_s=0\n"));
        for (int k = 0; k < 3; k++) {
            assert_int_equal(read_message(r, 900), -1);
            if (!strstr(r->err.text, bad[i].says) || !strstr(r->err.text, "schema id 900"))
                fail_msg("%s: %s", bad[i].says, r->err.text);
        }
        assert_int_equal(s.requests, 1);
        s.mode = GOOD; /* other ids are asked for as before */
        assert_int_equal(read_message(r, 901), 0);
        check_message(r);
        reader_free(r);
        stub_stop(&s);
    }
}

static void alerts_wait_as_long_as_they_may(void **state)
{
    (void)state;
    stub s = { .mode = BROKEN_TWICE };
    stub_start(&s);
    reader *r = reader_new(with(&s, "registry.wait_s=10\n"));
    fake_clock_start();
    assert_int_equal(read_message(r, 900), 0); /* 500, 500, 200 */
    check_message(r);
    assert_int_equal(s.requests, 3);
    assert_int_equal(fake_clock.n_slept, 2);
    assert_int_equal(fake_clock.slept_ns, 750000000); /* pauses of 0.25 and 0.5 s */
    stub_stop(&s);                                    /* down in mid-stream: known ids continue,
                                                       * a new one does not */
    assert_int_equal(read_message(r, 900), 0);
    check_message(r);
    reader_free(r);

    r = reader_new(with(&s, "registry.wait_s=0.5\n")); /* down at start */
    fake_clock_start();
    assert_int_equal(read_message(r, 900), -1);
    assert_int_equal(fake_clock.slept_ns, 500000000); /* as long as it may, and no longer */
    assert_int_equal(read_message(r, 900), -1);       /* and is not waited for again at once */
    assert_non_null(strstr(r->err.text, "did not answer a moment ago"));
    assert_int_equal(fake_clock.slept_ns, 500000000);
    stub_start(&s); /* back again */
    s.mode = GOOD;
    assert_int_equal(read_message(r, 900), -1); /* it is asked again a second later, not before */
    fake_clock.now_ns += 1000000000;
    assert_int_equal(read_message(r, 900), 0);
    check_message(r);
    fake_clock.on = 0;
    s.mode = SLOW;
    assert_int_equal(read_message(r, 901), -1);
    assert_non_null(strstr(r->err.text, "schema id 901"));
    reader_free(r);
    stub_stop(&s);
}

/* Alerts are dead only when the registry itself says that it has no such schema, and says so for a while. */
static void an_unknown_id_is_asked_for_again(void **state)
{
    (void)state;
    stub s = { .mode = NOT_FOUND };
    stub_start(&s);
    reader *r = reader_new(with(&s, "registry.unknown_s=10\n"));
    fake_clock_start();
    assert_int_equal(read_message(r, 900), -1);
    assert_non_null(strstr(r->err.text, "HTTP status 404"));
    assert_false(r->err.later);
    assert_int_equal(s.requests, 7); /* after 0.25, 0.5, 1, 2, 4 and the 2.25 s that are left */
    assert_int_equal(fake_clock.slept_ns, 10000000000);
    assert_int_equal(read_message(r, 901), -1); /* the patience is that of all ids together */
    assert_int_equal(s.requests, 8);
    assert_int_equal(fake_clock.slept_ns, 10000000000);
    fake_clock.now_ns += 100000000000; /* a tenth of the time comes back */
    assert_int_equal(read_message(r, 902), -1);
    assert_int_equal(fake_clock.slept_ns, 20000000000);
    fake_clock.on = 0;
    reader_free(r);
    stub_stop(&s);
}

static stub *stub_now;
static int n_looks, ends_at;

static void mend_after_a_minute(void)
{
    if (fake_clock.slept_ns > INT64_C(60000000000)) stub_now->mode = GOOD;
}

static bool at_the_end(void *opaque)
{
    (void)opaque;
    return ++n_looks > ends_at;
}

/* A page of a proxy, a 404 of a web server, 500, a wrong password: none says anything about the alerts. */
static void a_run_waits_until_the_registry_is_back(void **state)
{
    (void)state;
    static const mode trouble[] = { HTML, BROKEN, NO_PAGE, REFUSED, OTHER_JSON };
    for (size_t i = 0; i < sizeof trouble / sizeof *trouble; i++) {
        stub s = { .mode = trouble[i] };
        stub_start(&s);
        stub_now = &s;
        n_looks = 0;
        ends_at = 1000000;
        reader *r = reader_new(with(&s, "registry.wait_s=-1\n"));
        nj_decoder_waits(r->decoder, at_the_end, NULL);
        fake_clock_start();
        fake_clock.between = mend_after_a_minute;
        assert_int_equal(read_message(r, 900), 0);
        check_message(r);
        fake_clock.on = 0;
        fake_clock.between = NULL;
        reader_free(r);
        stub_stop(&s);
    }
}

static void a_run_that_ends_does_not_blame_the_alert(void **state)
{
    (void)state;
    stub s = { .mode = BROKEN };
    stub_start(&s);
    reader *r = reader_new(with(&s, "registry.wait_s=-1\n"));
    n_looks = 0;
    ends_at = 30;
    nj_decoder_waits(r->decoder, at_the_end, NULL);
    fake_clock_start();
    assert_int_equal(read_message(r, 900), -1);
    fake_clock.on = 0;
    assert_true(r->err.later);
    assert_int_equal(r->batch->n_dead, 0);
    reader_free(r);
    stub_stop(&s);
}

static void a_user_and_a_password(void **state)
{
    (void)state;
    stub s = { .mode = GOOD };
    stub_start(&s);
    char file[200], more[400];
    snprintf(file, sizeof file, "%s/password", folder);
    FILE *f = fopen(file, "w");
    fputs("pass word\n", f);
    fclose(f);
    snprintf(more, sizeof more, "registry.user=reader\nregistry.password_file=%s\n", file);
    reader *r = reader_new(with(&s, more));
    assert_int_equal(read_message(r, 900), 0);
    /* base64 of reader:pass word */
    assert_non_null(strstr(s.last, "Authorization: Basic cmVhZGVyOnBhc3Mgd29yZA=="));
    reader_free(r);
    stub_stop(&s);
}

/* A release that the build has never seen streams by a changed map, without a rebuild. */
static void a_new_release_needs_no_rebuild(void **state)
{
    (void)state;
    stub s = { .mode = GOOD };
    stub_start(&s);
    reader *r = reader_new(with(&s, ""));
    assert_int_equal(read_message(r, 900), 0);
    assert_int_equal(read_message(r, 1102), 0);
    check_message(r); /* the embedded map does not have fluxOfThePsf: null, never wrong, never lost */
    assert_true(isnan(KIT_AT(r->batch, FLUX, float, 0)));
    assert_int_equal(r->batch->row[0].absent[0] & (1u << FLUX | 1u << RB | 1u << LC_FLUX | 1u << JD),
                     1u << FLUX | 1u << RB | 1u << LC_FLUX);
    reader_free(r);
    char map[200], more[300];
    snprintf(map, sizeof map, "%s/maps", folder);
    assert_int_equal(mkdir(map, 0755), 0);
    snprintf(map, sizeof map, "%s/maps/lsst.map", folder);
    FILE *f = fopen(map, "w");
    fputs("survey lsst\nmatch name lsst.v*.alert\ncandid i64 = diaSource.diaSourceId\nobject str = "
          "diaSource.diaObjectId\n"
          "jd f64 d = diaSource.midpointMjdTai offset 2400000.5\nband str = diaSource.band\nflux f32 nJy = "
          "diaSource.psfFlux | diaSource.fluxOfThePsf\n"
          "rb f32 = diaSource.reliability\nseries lc = prvDiaSources[] + diaSource\nlc.flux f32 nJy = "
          "psfFlux | fluxOfThePsf\n"
          "lc.jd f64 d = midpointMjdTai offset 2400000.5\n",
          f);
    fclose(f);
    snprintf(more, sizeof more, "decode.maps=%s/maps\n", folder);
    r = reader_new(with(&s, more));
    static const uint32_t id[] = { 900, 1102, 900 };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read_message(r, id[i]), 0);
        check_message(r);
        assert_true(KIT_AT(r->batch, FLUX, float, 0) == 250);
        assert_true(KIT_AT(r->batch, LC_FLUX, double, 0) == 240 &&
                    KIT_AT(r->batch, LC_FLUX, double, 1) == 250);
        assert_int_equal(isnan(KIT_AT(r->batch, RB, float, 0)) != 0, id[i] == 1102);
    }
    reader_free(r);
    stub_stop(&s);
}

static void without_a_registry(void **state)
{
    (void)state;
    reader *r = reader_new("");
    assert_int_equal(read_message(r, 900), -1);
    assert_non_null(strstr(r->err.text, "set [registry] url, or [registry] schemas"));
    reader_free(r);
}

/* Real messages: the schema's files refer to each other; the packet's values are those of MANIFEST.tsv. */
static void lsst_messages_with_a_folder_of_schemas(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    static const struct {
        const char *file;
        int64_t id;
        double mjd;
    } message[] = { { "lsst/wire/lsst_v7_1_25409136044802067.msg", 25409136044802067, 57454.32928159722 },
                    { "lsst/wire/lsst_v7_4_396841556377648.msg", 396841556377648, 57454.28907414352 },
                    { "lsst/wire/lsst_v7_4_396895243468944.msg", 396895243468944, 57454.299200225694 },
                    { "lsst/wire/lsst_v7_4_396895612567600.msg", 396895612567600, 57454.299200225694 },
                    { "lsst/wire/lsst_v9_0_7912941781254298.msg", 7912941781254298, 60961.23309222222 } };
    char define[4200];
    snprintf(define, sizeof define, "registry.schemas=%s/real/schemas/lsst\n", kit_shared());
    reader *r = reader_new(define);
    nj_opener *opener = nj_opener_new(r->decoder);
    for (size_t i = 0; i < sizeof message / sizeof *message; i++) {
        size_t size = 0;
        uint8_t *bytes = kit_file(message[i].file, &size);
        if (read_chunk(r, kit_chunk(bytes, size))) fail_msg("%s: %s", message[i].file, r->err.text);
        if (r->batch->n != 1) fail_msg("%s: %s", message[i].file, r->batch->dead[0].reason);
        assert_int_equal(r->batch->id[0], message[i].id);
        assert_true(KIT_AT(r->batch, JD, double, 0) == message[i].mjd + 2400000.5);
        for (int k = 0; k < NJ_STAMPS; k++) {
            nj_stamp_open(opener, &r->batch->stamp[k][0], &r->batch->arena, NULL);
            assert_int_equal(r->batch->stamp[k][0].state, NJ_STAMP_OPEN);
            assert_true(r->batch->stamp[k][0].image.rows >= 30);
        }
        free(bytes);
    }
    int n;
    char **names = kit_folder("lsst/fake", ".msg", &n); /* one of each release from 7.0 to 11.1 */
    for (int i = 0; i < n; i++) {
        size_t size = 0;
        uint8_t *bytes = kit_file(names[i], &size);
        if (read_chunk(r, kit_chunk(bytes, size))) fail_msg("%s: %s", names[i], r->err.text);
        if (r->batch->n != 1) fail_msg("%s: %s", names[i], r->batch->dead[0].reason);
        free(bytes);
        free(names[i]);
    }
    free(names);
    assert_int_equal(n, 10);
    nj_opener_free(opener);
    reader_free(r);
}

static void bare_datums_with_the_schema_of_a_file(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    char define[4200];
    snprintf(define, sizeof define, "decode.schema=%s/real/lsst/bare/schema_lsst_v9_0.json\n", kit_shared());
    reader *r = reader_new(define);
    int n;
    char **names = kit_folder("lsst/bare", ".datum", &n);
    for (int i = 0; i < n; i++) {
        size_t size = 0;
        uint8_t *bytes = kit_file(names[i], &size);
        if (read_chunk(r, kit_chunk(bytes, size))) fail_msg("%s: %s", names[i], r->err.text);
        if (r->batch->n != 1) fail_msg("%s: %s", names[i], r->batch->dead[0].reason);
        /* the file is named after it */
        assert_int_equal(r->batch->id[0], strtoll(strrchr(names[i], '_') + 1, NULL, 10));
        free(bytes);
        free(names[i]);
    }
    free(names);
    assert_int_equal(n, 7);
    reader_free(r);
}

/* Fink's streams: the schema is the message's key. */
static void keyed_datums(void **state)
{
    (void)state;
    reader *r = reader_new("");
    nj_buffer b = { 0 };
    source(&b, 4711, 60000.5, 250, true);
    kit_long(&b, 1);
    kit_long(&b, 1);
    source(&b, 4700, 59999.5, 240, true);
    kit_long(&b, 0);
    for (int framing = 0; framing < 2; framing++) {
        nj_chunk *chunk = kit_chunk(b.data, b.n);
        chunk->key = (uint8_t *)strdup(schema_9);
        chunk->key_size = strlen(schema_9);
        chunk->framing = framing ? NJ_FRAME_KEYED : NJ_FRAME_AUTO;
        assert_int_equal(read_chunk(r, chunk), 0);
        check_message(r);
    }
    nj_chunk *chunk = kit_chunk(b.data, b.n);
    chunk->framing = NJ_FRAME_KEYED;
    assert_int_equal(read_chunk(r, chunk), -1);
    assert_non_null(strstr(r->err.text, "no key"));
    nj_buffer_free(&b);
    reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_fetched_once_and_kept),
        cmocka_unit_test(wrong_answers_are_refused_and_not_asked_again),
        cmocka_unit_test(alerts_wait_as_long_as_they_may),
        cmocka_unit_test(an_unknown_id_is_asked_for_again),
        cmocka_unit_test(a_run_waits_until_the_registry_is_back),
        cmocka_unit_test(a_run_that_ends_does_not_blame_the_alert),
        cmocka_unit_test(a_user_and_a_password),
        cmocka_unit_test(a_new_release_needs_no_rebuild),
        cmocka_unit_test(without_a_registry),
        cmocka_unit_test(lsst_messages_with_a_folder_of_schemas),
        cmocka_unit_test(bare_datums_with_the_schema_of_a_file),
        cmocka_unit_test(keyed_datums),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
