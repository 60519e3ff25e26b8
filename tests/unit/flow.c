/* flow.c - whole runs over packets made here: schemas of one survey in any order, and messages that come
 * again. */
#include "decode_packets.h"

#include <jansson.h>
#include <unistd.h>

#include "broker/base/exit.h"
#include "broker/flow/cli.h"

/* ---- a source of packets in memory ----------------------------------------------------------- */

typedef struct packets {
    const nj_buffer *file;
    uint32_t n;
    uint64_t again; /* messages that it says were under way when their partition was lost */
} packets;

typedef struct memory {
    nj_source source;
    const packets *from;
    const nj_source_host *host;
    uint32_t at;
} memory;

static nj_next next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    memory *m = (memory *)source;
    (void)timeout_ms, (void)err;
    if (m->at == m->from->n) {
        m->host->returned(m->host->opaque, source->stream, m->from->again);
        return NJ_NEXT_END;
    }
    const nj_buffer *file = &m->from->file[m->at++];
    uint8_t *copy = malloc(file->n);
    memcpy(copy, file->data, file->n);
    *chunk = nj_chunk_new(source->stream, copy, file->n);
    return NJ_NEXT_CHUNK;
}

static void close_memory(nj_source *source)
{
    free(source);
}

static const nj_source_class memory_class = {
    .name = "memory", .form = "(test)", .doc = "packets in memory", .next = next, .close = close_memory
};

static nj_source *open_memory(void *opaque, const nj_source_args *args, nj_error *err)
{
    (void)err;
    memory *m = calloc(1, sizeof *m);
    *m = (memory){ .from = opaque, .host = args->host };
    m->source.class = &memory_class;
    m->source.stream = args->host->stream(args->host->opaque, "memory", NULL, -1);
    return &m->source;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static char folder[] = "/tmp/nightjar-flow.XXXXXX", path[64], sink[80];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/out.ndjson", folder);
    snprintf(sink, sizeof sink, "ndjson:%s", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char meta[96];
    snprintf(meta, sizeof meta, "%s.meta.json", path);
    unlink(path);
    unlink(meta);
    snprintf(meta, sizeof meta, "%s.journal", path);
    unlink(meta);
    return rmdir(folder);
}

/* No modules; the rows as JSON objects in the order of the packets. */
static json_t *run_over(packets *p, const char *wanted, nj_report *report)
{
    nj_cli cli;
    nj_error err = { "" };
    char *argv[] = { (char *)"run",
                     (char *)"-q",
                     (char *)"-j",
                     (char *)"1",
                     (char *)"-m",
                     (char *)"nalerthist",
                     (char *)"--columns",
                     (char *)wanted,
                     (char *)"-o",
                     sink,
                     (char *)"--overwrite",
                     (char *)"memory:",
                     NULL };
    memset(report, 0, sizeof *report);
    assert_int_equal(nj_cli_parse(&cli, 12, argv, &err), 0);
    cli.options.open_source = open_memory;
    cli.options.opaque = p;
    if (nj_run(&cli.options, report, &err) != NJ_EXIT_OK) fail_msg("%s", err.text);
    nj_cli_free(&cli);
    json_t *rows = json_array();
    char *text = nj_file_read(path, SIZE_MAX, NULL), *rest = text;
    assert_non_null(text);
    for (char *line; (line = strsep(&rest, "\n")) && *line;)
        json_array_append_new(rows, json_loads(line, 0, NULL));
    free(text);
    return rows;
}

/* ---- schemas --------------------------------------------------------------------------------- */

/* What two releases of one survey may differ in: `rb` is canonical, `extra` and `word` are raw. */
#define SCHEMA(version, fields)                                                                              \
    "{\"type\":\"record\",\"name\":\"alert\",\"namespace\":\"ztf\",\"version\":\"" version "\",\"fields\":[" \
    "{\"name\":\"objectId\",\"type\":\"string\"},{\"name\":\"candid\",\"type\":\"long\"},"                   \
    "{\"name\":\"candidate\",\"type\":{\"type\":\"record\",\"name\":\"candidate\",\"fields\":["              \
    "{\"name\":\"jd\",\"type\":\"double\"},{\"name\":\"fid\",\"type\":\"int\"},{\"name\":\"magpsf\","        \
    "\"type\":\"float\"},"                                                                                   \
    "{\"name\":\"isdiffpos\",\"type\":\"string\"}" fields "]}}]}"

static void old_packet(nj_buffer *file, int64_t id)
{
    nj_buffer d = { 0 };
    kit_text(&d, "ZTF18old");
    kit_long(&d, id);
    kit_f64(&d, 2460000.5);
    kit_long(&d, 1);
    kit_f32(&d, 18);
    kit_text(&d, "t");
    kit_header(file, SCHEMA("1.0", ""), "null");
    kit_block(file, 1, d.data, d.n);
    nj_buffer_free(&d);
}

static void new_packet(nj_buffer *file, int64_t id)
{
    nj_buffer d = { 0 };
    kit_text(&d, "ZTF19new");
    kit_long(&d, id);
    kit_f64(&d, 2460001.5);
    kit_long(&d, 2);
    kit_f32(&d, 19);
    kit_text(&d, "t");
    kit_f32(&d, 0.5f);
    kit_long(&d, 42);
    kit_text(&d, "said");
    kit_header(file,
               SCHEMA("2.0", ",{\"name\":\"rb\",\"type\":\"float\"},{\"name\":\"extra\",\"type\":\"int\"},"
                             "{\"name\":\"word\",\"type\":\"string\"}"),
               "null");
    kit_block(file, 1, d.data, d.n);
    nj_buffer_free(&d);
}

/* Whichever schema comes first, a column has the values of the packets that have it; but a text cannot follow
 * where the first packets made the column one of numbers. */
static void schemas_in_any_order(void **state)
{
    (void)state;
    nj_buffer old = { 0 }, new = { 0 };
    old_packet(&old, 1);
    new_packet(&new, 2);
    for (int new_first = 0; new_first < 2; new_first++) {
        nj_buffer file[3];
        for (int k = 0; k < 3; k++) file[k] = (k + new_first) % 2 ? new : old;
        packets p = { file, 3, 0 };
        nj_report report;
        json_t *rows = run_over(&p, "rb,packet.candidate.extra,packet.candidate.word", &report);
        assert_int_equal(json_array_size(rows), 3);
        assert_true(nj_ledger_closed(&report.ledger));
        for (size_t k = 0; k < 3; k++) {
            const json_t *row = json_array_get(rows, k);
            const json_t *rb = json_object_get(row, "rb"),
                         *extra = json_object_get(row, "packet.candidate.extra"),
                         *word = json_object_get(row, "packet.candidate.word");
            int has = (k + (size_t)new_first) % 2;
            assert_int_equal(json_integer_value(json_object_get(row, "candid")), 1 + has);
            assert_true(has ? json_number_value(rb) == 0.5 : json_is_null(rb));
            assert_true(has ? json_number_value(extra) == 42 : json_is_null(extra));
            if (has && new_first)
                assert_string_equal(json_string_value(word), "said");
            else
                assert_true(json_is_null(word));
        }
        json_decref(rows);
        nj_report_free(&report);
    }
    nj_buffer_free(&old);
    nj_buffer_free(&new);
}

/* A drain that timed out: the alerts are emitted here and come again to another. The report says how many. */
static void what_comes_again_is_counted(void **state)
{
    (void)state;
    nj_buffer file[3] = { { 0 } };
    for (int k = 0; k < 3; k++) old_packet(&file[k], k);
    packets p = { file, 3, 2 };
    nj_report report;
    json_t *rows = run_over(&p, "rb", &report);
    assert_int_equal(json_array_size(rows), 3);
    assert_int_equal(report.ledger.emitted, 3);
    assert_int_equal(report.ledger.again, 2);
    assert_true(nj_ledger_closed(&report.ledger)); /* each alert is emitted once here */
    nj_buffer text = { 0 };
    nj_report_json(&report, &text);
    assert_non_null(strstr(text.data, "\"again\": 2"));
    nj_buffer_free(&text);
    json_decref(rows);
    nj_report_free(&report);
    for (int k = 0; k < 3; k++) nj_buffer_free(&file[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(schemas_in_any_order),
                                        cmocka_unit_test(what_comes_again_is_counted) };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
