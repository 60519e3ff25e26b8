/* decode_builtin.c - the LSST layouts in the binary: the same as the published ones, used only for packets
 * known to be LSST's. */
#include "decode_kit.h"

#include "broker/schema/registry.h"
#include "broker/avro/tree.h"

static const uint32_t ids[] = { 1000, 1001, 1100, 1101 };
enum { IDS = sizeof ids / sizeof *ids };

#define COLUMN(path, type, shape)                                                                            \
    {                                                                                                        \
        path, type, shape, NULL, 1                                                                           \
    }
enum { CANDID, OBJECT, JD, FLUX, LC_FLUX, N_COLUMNS };
static const nj_column_def columns[N_COLUMNS] = {
    COLUMN("candid", NJ_I64, NJ_SCALAR), COLUMN("object", NJ_STR, NJ_SCALAR), COLUMN("jd", NJ_F64, NJ_SCALAR),
    COLUMN("flux", NJ_F64, NJ_SCALAR), COLUMN("lc.flux", NJ_F64, NJ_SERIES)
};
static const nj_layout layout = { "lsst", N_COLUMNS, N_COLUMNS, columns, 7 };

/* Kinds, order, and names of fields and symbols: all that the bytes of a datum depend on,
 * and how paths are named. */
static void same_layout(uint32_t id, const nj_tree *a, uint32_t at_a, const nj_tree *b, uint32_t at_b,
                        const char *path)
{
    const nj_node *na = &a->node[at_a], *nb = &b->node[at_b];
    char inner[400];
    if (na->kind != nb->kind || na->n != nb->n || na->size != nb->size)
        fail_msg("%u %s: %s of %u, not %s of %u", id, path, nj_kind_name[na->kind], na->n,
                 nj_kind_name[nb->kind], nb->n);
    for (uint32_t i = 0; i < na->n; i++) {
        const nj_child *ca = &a->child[na->first + i], *cb = &b->child[nb->first + i];
        const char *name = ca->name ? ca->name : "";
        if (!ca->name != !cb->name || (ca->name && strcmp(ca->name, cb->name)))
            fail_msg("%u %s: %s", id, path, name);
        snprintf(inner, sizeof inner, "%.300s.%.80s", path, name);
        if (ca->node != NJ_NO_NODE) same_layout(id, a, ca->node, b, cb->node, inner);
    }
}

static void layouts_equal_the_published_ones(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    char folder[4200];
    snprintf(folder, sizeof folder, "%s/real/schemas/lsst", kit_shared());
    for (int i = 0; i < IDS; i++) {
        nj_error err = { "" };
        size_t n_mine, n_theirs;
        nj_tree mine, theirs;
        char id[16];
        snprintf(id, sizeof id, "%u", ids[i]);
        const char *text = nj_schema_builtin(ids[i], &n_mine);
        assert_non_null(text);
        char *published = nj_schema_from_folder(folder, id, &n_theirs, &err);
        if (!published) fail_msg("%s", err.text);
        if (nj_tree_parse(&mine, text, n_mine, &err) || nj_tree_parse(&theirs, published, n_theirs, &err))
            fail_msg("%s", err.text);
        assert_true(mine.n_nodes > 300);
        same_layout(ids[i], &mine, mine.root, &theirs, theirs.root, "");
        nj_tree_free(&mine);
        nj_tree_free(&theirs);
        free(published);
    }
}

typedef struct reader {
    nj_settings settings;
    nj_decoder *decoder;
    nj_cursor cursor;
    nj_batch *batch;
    nj_error err;
    nj_stream stream;
} reader;

static reader *reader_new(const char *define, const char *topic)
{
    reader *r = calloc(1, sizeof *r);
    if (define) assert_int_equal(nj_settings_define(&r->settings, define, &r->err), 0);
    r->decoder = kit_decoder(&r->settings, NULL);
    r->batch = nj_batch_new();
    r->stream = (nj_stream){ .name = "test", .topic = topic, .partition = -1 };
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

/* Rows in the batch, or -1: the chunk is a dead letter as a whole. */
static int read_bytes(reader *r, const void *bytes, size_t size)
{
    nj_chunk *chunk = kit_chunk(bytes, size);
    chunk->stream = &r->stream;
    int rc = nj_cursor_open(&r->cursor, r->decoder, chunk, &r->err);
    assert_int_equal(nj_batch_begin(r->batch, &layout, 16), 0);
    if (rc == 0) rc = nj_cursor_read(&r->cursor, r->batch, 16, SIZE_MAX);
    nj_chunk_drop(chunk);
    return rc ? -1 : (int)r->batch->n;
}

/* A packet of zeros: every union its first branch (null), every list empty. */
static void empty_packet(nj_buffer *b, uint32_t id, size_t n)
{
    uint8_t head[5] = { 0, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id },
            zero = 0;
    nj_buffer_add(b, head, 5);
    while (n--) nj_buffer_add(b, &zero, 1);
}

/* How many zeros make a datum of this schema: found by trial, so that nothing is counted by hand. */
static size_t zeros_of(uint32_t id)
{
    for (size_t n = 100; n < 4000; n++) {
        nj_buffer b = { 0 };
        reader *r = reader_new("decode.survey=lsst", NULL);
        empty_packet(&b, id, n);
        int rows = read_bytes(r, b.data, b.n);
        reader_free(r);
        nj_buffer_free(&b);
        if (rows == 1) return n;
    }
    return 0;
}

static void only_for_packets_known_to_be_lsst(void **state)
{
    (void)state;
    size_t zeros = zeros_of(1100);
    assert_true(zeros > 0);
    static const struct {
        const char *define, *topic, *says;
        uint32_t id;
    } way[] = { { "decode.survey=lsst", NULL, NULL, 1100 },
                { NULL, "lsst-alerts-v11", NULL, 1100 },
                { NULL, "alerts-simulated", NULL, 1100 },
                { NULL, "something-else", "with --survey lsst it would be LSST's release 11.0", 1100 },
                { NULL, NULL, "set [registry] url", 1100 },
                { "decode.survey=ztf", NULL, "set [registry] url", 1100 },
                { "registry.builtin=0", "lsst-alerts-v11", "set [registry] url", 1100 },
                { NULL, "lsst-alerts-v11", "set [registry] url", 1102 },
                { NULL, "lsst-alerts-v11", "set [registry] url", 1 } };
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        nj_buffer b = { 0 };
        reader *r = reader_new(way[i].define, way[i].topic);
        empty_packet(&b, way[i].id, zeros);
        for (int again = 0; again < 2; again++) {
            int rows = read_bytes(r, b.data, b.n);
            if (!way[i].says ? rows != 1 : rows != -1 || !strstr(r->err.text, way[i].says))
                fail_msg("%zu: %d %s", i, rows, r->err.text);
        }
        reader_free(r);
        /* a datum that is not of that layout is a dead letter, not a row */
        r = reader_new(way[i].define, way[i].topic);
        nj_buffer_add(&b, "\x02", 1);
        assert_int_equal(read_bytes(r, b.data, b.n), way[i].says ? -1 : 0);
        if (!way[i].says) assert_int_equal(r->batch->n_dead, 1);
        reader_free(r);
        nj_buffer_free(&b);
    }
}

/* Real messages give the same rows by the built-in layout and by the published schema. */
static void real_messages_give_the_same_rows(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    static const char *const name[] = { "lsst/fake/pittgoogle_lsst_v10_0.msg",
                                        "lsst/fake/pittgoogle_lsst_v11_0.msg",
                                        "lsst/fake/pittgoogle_lsst_v11_1.msg" };
    char define[4200];
    snprintf(define, sizeof define, "registry.schemas=%s/real/schemas/lsst", kit_shared());
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        size_t size = 0;
        uint8_t *bytes = kit_file(name[i], &size);
        reader *r[2] = { reader_new("decode.survey=lsst", NULL), reader_new(define, NULL) };
        for (int k = 0; k < 2; k++)
            if (read_bytes(r[k], bytes, size) != 1) fail_msg("%s: %s", name[i], r[k]->err.text);
        const nj_batch *a = r[0]->batch, *b = r[1]->batch;
        assert_true(a->id[0] == b->id[0] && a->id[0] != NJ_NO_I64);
        assert_true(KIT_AT(a, JD, double, 0) == KIT_AT(b, JD, double, 0) &&
                    KIT_AT(a, FLUX, double, 0) == KIT_AT(b, FLUX, double, 0));
        assert_int_equal(a->col[LC_FLUX].off[1], b->col[LC_FLUX].off[1]);
        for (uint32_t p = 0; p < a->col[LC_FLUX].off[1]; p++)
            assert_true(KIT_AT(a, LC_FLUX, double, p) == KIT_AT(b, LC_FLUX, double, p));
        for (int k = 0; k < 2; k++) reader_free(r[k]);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_equal_the_published_ones),
        cmocka_unit_test(only_for_packets_known_to_be_lsst),
        cmocka_unit_test(real_messages_give_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
