/* engine.c - the reader: where batches end, what becomes a dead letter, and who has a batch afterwards; and a
 * feed of several files. */
#include "decode_packets.h"

#include "broker/engine/engine.h"
#include "broker/engine/feed.h"

#include <unistd.h>

enum { MOST = 32 };

typedef struct seen {
    uint32_t rows[MOST], dead[MOST];
    const nj_layout *layout[MOST];
    nj_batch *kept[MOST];
    uint32_t n;
    bool keep, no_layout;
    uint32_t stop_at; /* batches; 0 = never */
    nj_reader reader;
    nj_settings settings;
    const nj_layout *now;
} seen;

static const nj_layout *layout_of(void *opaque, const nj_schema *schema, nj_error *err)
{
    seen *s = opaque;
    assert_string_equal(nj_schema_survey(schema), "ztf");
    if (s->no_layout) return nj_fail(err, "no columns for it"), NULL;
    return s->now;
}

static int full(void *opaque, nj_batch **batch)
{
    seen *s = opaque;
    assert_true(s->n < MOST);
    s->rows[s->n] = (*batch)->n;
    s->dead[s->n] = (*batch)->n_dead;
    s->layout[s->n] = (*batch)->layout;
    if (s->keep) {
        s->kept[s->n] = *batch;
        *batch = NULL;
    }
    return ++s->n == s->stop_at ? NJ_READ_STOPPED : NJ_READ_ON;
}

static seen *begin(uint32_t rows, size_t bytes, uint64_t limit)
{
    seen *s = calloc(1, sizeof *s);
    s->now = &ztf;
    s->reader.o = (nj_reader_options){ .decoder = kit_decoder(&s->settings, NULL),
                                       .batch_rows = rows,
                                       .batch_bytes = bytes,
                                       .limit = limit,
                                       .layout = layout_of,
                                       .full = full,
                                       .opaque = s };
    return s;
}

static void end(seen *s)
{
    for (uint32_t i = 0; i < s->n; i++) nj_batch_free(s->kept[i]);
    nj_reader_free(&s->reader);
    nj_decoder_free(s->reader.o.decoder);
    nj_settings_free(&s->settings);
    free(s);
}

static int take(seen *s, const nj_buffer *file, nj_error *err)
{
    nj_chunk *chunk = kit_chunk(file->data, file->n);
    int rc = nj_reader_take(&s->reader, chunk, err);
    nj_chunk_drop(chunk); /* batches hold it as long as they need it */
    return rc;
}

static nj_buffer file_of(int n)
{
    nj_buffer file = { 0 };
    small_file(&file, n);
    return file;
}

/* Chunks of 5 rows into batches of 3: cut across chunks, the rest with the flush. */
static void batches_are_cut_by_rows(void **state)
{
    (void)state;
    nj_error err;
    nj_buffer five = file_of(5);
    seen *s = begin(3, SIZE_MAX, 0);
    for (int i = 0; i < 2; i++) assert_int_equal(take(s, &five, &err), NJ_READ_ON);
    assert_int_equal(nj_reader_flush(&s->reader, false), NJ_READ_ON);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        assert_in_range(s->rows[i], 1, 3);
        sum += s->rows[i];
    }
    assert_int_equal(sum, 10);
    assert_int_equal(s->n, 4);
    assert_int_equal(nj_reader_flush(&s->reader, false), NJ_READ_ON);
    assert_int_equal(s->n, 4); /* nothing was open */
    assert_int_equal(nj_reader_flush(&s->reader, true), NJ_READ_ON);
    assert_int_equal(s->n, 5);
    assert_int_equal(s->rows[4], 0);
    end(s);
    nj_buffer_free(&five);
}

/* Single packets fill a batch to its end, and it is handed on when the next one comes. */
static void packets_share_a_batch(void **state)
{
    (void)state;
    nj_error err;
    nj_buffer one = file_of(1);
    seen *s = begin(4, SIZE_MAX, 0);
    for (int i = 0; i < 4; i++) assert_int_equal(take(s, &one, &err), NJ_READ_ON);
    assert_int_equal(s->n, 0);
    assert_int_equal(take(s, &one, &err), NJ_READ_ON);
    assert_int_equal(s->n, 1);
    assert_int_equal(s->rows[0], 4);
    end(s);
    nj_buffer_free(&one);
}

static void batches_are_cut_by_bytes(void **state)
{
    (void)state;
    nj_error err;
    nj_buffer ten = file_of(10);
    seen *s = begin(64, 1, 0);
    assert_int_equal(take(s, &ten, &err), NJ_READ_ON);
    assert_int_equal(nj_reader_flush(&s->reader, false), NJ_READ_ON);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++) sum += s->rows[i];
    assert_int_equal(sum, 10);
    assert_int_equal(s->n, 10); /* each is more than one byte */
    end(s);
    nj_buffer_free(&ten);
}

/* The limit counts rows over all chunks, inside a chunk too. */
static void the_limit_is_of_rows(void **state)
{
    (void)state;
    nj_error err;
    nj_buffer five = file_of(5);
    for (uint64_t limit = 1; limit <= 11; limit++) {
        seen *s = begin(4, SIZE_MAX, limit);
        int rc = NJ_READ_ON;
        for (int i = 0; i < 2; i++) rc = take(s, &five, &err);
        assert_int_equal(rc, limit <= 10 ? NJ_READ_STOPPED : NJ_READ_ON);
        nj_reader_flush(&s->reader, false);
        uint32_t sum = 0;
        for (uint32_t i = 0; i < s->n; i++) sum += s->rows[i];
        assert_int_equal(sum, limit < 10 ? limit : 10);
        end(s);
    }
    nj_buffer_free(&five);
}

static void what_cannot_be_opened_is_a_dead_letter(void **state)
{
    (void)state;
    nj_error err = { "" };
    nj_buffer bad = { 0 }, one = file_of(1);
    nj_buffer_text(&bad, "Obj\1 and then nothing that is Avro");
    seen *s = begin(8, SIZE_MAX, 0);
    assert_int_equal(take(s, &bad, &err), NJ_READ_ON); /* nothing open: a batch of dead letters only */
    assert_int_equal(take(s, &one, &err), NJ_READ_ON); /* of another layout */
    assert_int_equal(take(s, &bad, &err), NJ_READ_ON); /* among its rows */
    nj_reader_flush(&s->reader, false);
    assert_int_equal(s->n, 2);
    assert_null(s->layout[0]);
    assert_int_equal(s->dead[0], 1);
    assert_ptr_equal(s->layout[1], &ztf);
    assert_int_equal(s->rows[1], 1);
    assert_int_equal(s->dead[1], 1);
    end(s);
    nj_buffer_free(&bad);
    nj_buffer_free(&one);
}

static void without_columns_the_caller_gets_an_error(void **state)
{
    (void)state;
    nj_error err = { "" };
    nj_buffer one = file_of(1);
    seen *s = begin(8, SIZE_MAX, 0);
    s->no_layout = true;
    assert_int_equal(take(s, &one, &err), NJ_READ_NO_LAYOUT);
    assert_string_equal(err.text, "no columns for it");
    nj_reader_flush(&s->reader, false);
    assert_int_equal(s->dead[0], 1); /* and the chunk is accounted for */
    end(s);
    nj_buffer_free(&one);
}

static void another_layout_is_another_batch(void **state)
{
    (void)state;
    static const nj_layout other = { "ztf", 1, 1, columns, 0 };
    nj_error err;
    nj_buffer one = file_of(1);
    seen *s = begin(8, SIZE_MAX, 0);
    take(s, &one, &err);
    take(s, &one, &err);
    s->now = &other;
    take(s, &one, &err);
    nj_reader_flush(&s->reader, false);
    assert_int_equal(s->n, 2);
    assert_int_equal(s->rows[0], 2);
    assert_ptr_equal(s->layout[1], &other);
    end(s);
    nj_buffer_free(&one);
}

/* A kept batch has its values after the chunks are dropped and other batches were read. */
static void batches_can_be_kept(void **state)
{
    (void)state;
    nj_error err;
    nj_buffer five = file_of(5);
    seen *s = begin(2, SIZE_MAX, 0);
    s->keep = true;
    take(s, &five, &err);
    nj_reader_flush(&s->reader, false);
    int64_t next = 0;
    for (uint32_t k = 0; k < s->n; k++)
        for (uint32_t row = 0; row < s->kept[k]->n; row++) check_small(s->kept[k], row, next++);
    assert_int_equal(next, 5);
    nj_reader_reuse(&s->reader, s->kept[0]);
    s->kept[0] = NULL;
    end(s);
    nj_buffer_free(&five);
}

static void enough_is_enough(void **state)
{
    (void)state;
    nj_error err;
    nj_buffer ten = file_of(10);
    seen *s = begin(2, SIZE_MAX, 0);
    s->stop_at = 2;
    assert_int_equal(take(s, &ten, &err), NJ_READ_STOPPED);
    assert_int_equal(s->n, 2);
    nj_reader_forget(&s->reader);
    s->stop_at = 0;
    assert_int_equal(take(s, &ten, &err), NJ_READ_ON); /* what was left of the chunk before does
                                                        * not come back */
    nj_reader_flush(&s->reader, false);
    assert_int_equal(s->n, 7);
    end(s);
    nj_buffer_free(&ten);
}

static void a_feed_goes_from_file_to_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/nightjar-feed.XXXXXX", path[3][64];
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) {
        nj_buffer file = file_of(i + 1);
        snprintf(path[i], sizeof path[i], "%s/%d.avro", folder, i);
        FILE *f = fopen(path[i], "wb");
        assert_int_equal(fwrite(file.data, 1, file.n, f), file.n);
        fclose(f);
        nj_buffer_free(&file);
    }
    nj_settings settings = { 0 };
    nj_error err = { "" };
    const char *spec[4] = { path[0], path[1], path[2], "/nowhere/at/all.avro" };
    nj_feed *feed = nj_feed_open(&settings, spec, 4, 0, &err);
    assert_non_null(feed);
    nj_chunk *chunk[3];
    for (int i = 0; i < 3; i++) assert_int_equal(nj_feed_next(feed, 0, &chunk[i], &err), NJ_NEXT_CHUNK);
    nj_chunk *none = NULL;
    assert_int_equal(nj_feed_next(feed, 0, &none, &err), NJ_NEXT_ERROR); /* the fourth cannot be opened */
    assert_non_null(strstr(err.text, "all.avro"));
    for (int i = 0; i < 3; i++) {
        assert_non_null(strstr(chunk[i]->stream->name, path[i])); /* although its source is closed */
        nj_chunk_drop(chunk[i]);
        unlink(path[i]);
    }
    nj_feed_close(feed);
    assert_null(nj_feed_open(&settings, spec + 3, 1, 0, &err));
    rmdir(folder);
    nj_settings_free(&settings);
}

/* Modules over chunks: the batch has their answers, and its graph is the layout's owner. */
typedef struct answered {
    uint32_t rows, batches;
    bool has_answers;
} answered;

static int computed(void *opaque, const nj_graph *graph, nj_batch **batch)
{
    answered *a = opaque;
    assert_ptr_equal((*batch)->layout->owner, graph);
    a->rows += (*batch)->n;
    a->batches++;
    const nj_outputs *outputs = (*batch)->state;
    a->has_answers = outputs && outputs->reason[graph->n_steps - 1];
    return NJ_READ_ON;
}

static void a_computer_runs_the_modules(void **state)
{
    (void)state;
    nj_settings settings = { 0 };
    nj_engine engine = { 0 };
    nj_computer computer;
    nj_error err = { "" };
    answered a = { 0 };
    const nj_compute_options options = { .computed = computed, .opaque = &a, .batch_rows = 4 };
    if (nj_engine_load(&engine, &settings, NULL, 0, &err) || nj_engine_choose(&engine, "nalerthist", &err) ||
        nj_engine_open(&engine, "nalerthist", &err) || nj_computer_open(&computer, &engine, &options, &err))
        fail_msg("%s", err.text);
    assert_null(nj_engine_serial(&engine));
    nj_buffer ten = file_of(10);
    nj_chunk *chunk = kit_chunk(ten.data, ten.n);
    assert_int_equal(nj_computer_take(&computer, chunk, &err), NJ_READ_ON);
    assert_int_equal(nj_computer_flush(&computer, &err), NJ_READ_ON);
    nj_chunk_drop(chunk);
    assert_int_equal(a.rows, 10);
    assert_int_equal(a.batches, 3);
    assert_true(a.has_answers);
    nj_computer_close(&computer);
    nj_engine_close(&engine);
    nj_engine unknown = { 0 };
    assert_int_equal(nj_engine_load(&unknown, &settings, NULL, 0, &err), 0);
    assert_int_equal(nj_engine_choose(&unknown, "nalerthits", &err), -1);
    assert_non_null(strstr(err.text, "nalerthist")); /* the near miss */
    nj_engine_close(&unknown);
    nj_settings_free(&settings);
    nj_buffer_free(&ten);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(batches_are_cut_by_rows),
                                        cmocka_unit_test(packets_share_a_batch),
                                        cmocka_unit_test(batches_are_cut_by_bytes),
                                        cmocka_unit_test(the_limit_is_of_rows),
                                        cmocka_unit_test(what_cannot_be_opened_is_a_dead_letter),
                                        cmocka_unit_test(without_columns_the_caller_gets_an_error),
                                        cmocka_unit_test(another_layout_is_another_batch),
                                        cmocka_unit_test(batches_can_be_kept),
                                        cmocka_unit_test(enough_is_enough),
                                        cmocka_unit_test(a_feed_goes_from_file_to_file),
                                        cmocka_unit_test(a_computer_runs_the_modules) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
