/* sink_dead_letters.c - dead letters, read back by avro-c; what their packets hold is an Avro file again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <avro.h>
#include <cmocka.h>
#include <stdio.h>

#include "broker/base/buffer.h"
#include "broker/sink/ocf.h"
#include "sink_rows.h"

static const char toy[] =
    "{\"type\":\"record\",\"name\":\"toy\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"}]}";

/* An OCF with one block per entry of `counts`, of records n = 0, 1, 2 ...;
 * start[] gets where each datum stands. */
static nj_chunk *packet(nj_stream *stream, const int *counts, int blocks, size_t *start)
{
    nj_buffer b = { 0 };
    uint8_t sync[NJ_OCF_SYNC];
    nj_ocf_header(&b, toy, "null", NULL, sync);
    for (int i = 0, n = 0; i < blocks; i++) {
        nj_ocf_long(&b, counts[i]);
        nj_ocf_long(&b, counts[i]); /* each datum is one byte */
        for (int k = 0; k < counts[i]; k++, n++) start[n] = b.n, nj_ocf_long(&b, n);
        nj_buffer_add(&b, sync, NJ_OCF_SYNC);
    }
    nj_chunk *chunk = nj_chunk_new(stream, (uint8_t *)b.data, b.n);
    chunk->member = strdup("7.avro");
    chunk->framing = NJ_FRAME_OCF;
    return chunk;
}

typedef struct letter {
    char origin[64], reason[64], module[32], field[32], framing[16], topic[32], schema[512];
    int64_t record;
    uint8_t packet[1024];
    size_t size;
} letter;

static void get_text(avro_value_t *record, const char *name, char *text)
{
    avro_value_t v, branch;
    const char *s = "(null)";
    size_t n = 7;
    assert_int_equal(avro_value_get_by_name(record, name, &v, NULL), 0);
    if (avro_value_get_type(&v) == AVRO_UNION) {
        assert_int_equal(avro_value_get_current_branch(&v, &branch), 0);
        v = branch;
    }
    if (avro_value_get_type(&v) == AVRO_STRING) avro_value_get_string(&v, &s, &n);
    strcpy(text, s);
}

/* All letters of a file; their number. -1: the file ends in the middle of something. */
static int read_letters(const char *path, letter *out, int cap)
{
    avro_file_reader_t reader;
    int n = 0, rc;
    assert_int_equal(avro_file_reader(path, &reader), 0);
    avro_schema_t schema = avro_file_reader_get_writer_schema(reader);
    assert_string_equal(avro_schema_name(schema), "dead_letter");
    assert_string_equal(avro_schema_namespace(schema), "nightjar");
    avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
    avro_value_t record, v;
    avro_generic_value_new(iface, &record);
    while ((rc = avro_file_reader_read_value(reader, &record)) == 0 && n < cap) {
        letter *l = &out[n++];
        const void *bytes;
        get_text(&record, "origin", l->origin), get_text(&record, "reason", l->reason),
            get_text(&record, "module", l->module);
        get_text(&record, "field", l->field), get_text(&record, "framing", l->framing),
            get_text(&record, "topic", l->topic);
        get_text(&record, "schema", l->schema);
        avro_value_get_by_name(&record, "record", &v, NULL);
        avro_value_get_long(&v, &l->record);
        avro_value_get_by_name(&record, "packet", &v, NULL);
        avro_value_get_bytes(&v, &bytes, &l->size);
        assert_true(l->size <= sizeof l->packet);
        memcpy(l->packet, bytes, l->size);
        avro_value_reset(&record);
    }
    avro_value_decref(&record);
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    avro_file_reader_close(reader);
    return rc == EOF ? n : -1;
}

static void letters_hold_what_can_be_decoded_again(void **state)
{
    (void)state;
    nj_stream file = { .name = "night.tar.gz", .partition = -1 },
              kafka = { .name = "kafka://h/t[3]", .topic = "t", .partition = 3 };
    size_t at1[1], at3[3], at2[2];
    nj_chunk *one = packet(&file, (int[]){ 1 }, 1, at1), *three = packet(&file, (int[]){ 1, 2 }, 2, at3);
    nj_chunk *tail = packet(&file, (int[]){ 1 }, 1, at2);
    tail->bytes = realloc(tail->bytes, tail->size + 4); /* a good record, then garbage */
    memcpy(tail->bytes + tail->size, "junk", 4);
    size_t tail_at = tail->size;
    tail->size += 4;
    nj_chunk *confluent = nj_chunk_new(&kafka, (uint8_t *)memcpy(malloc(7), "\0\0\0\3\x84\2\4", 7), 7);
    confluent->offset = 812;
    nj_chunk *keyed = nj_chunk_new(&kafka, (uint8_t *)strdup("\2"), 1);
    keyed->framing = NJ_FRAME_KEYED;
    keyed->key = (uint8_t *)strdup(toy);
    keyed->key_size = strlen(toy);
    nj_chunk *html = nj_chunk_new(&file, (uint8_t *)strdup("<html>500"), 9);
    const nj_dead dead[] = {
        { one, 0, one->bytes + at1[0], 1, "n is \"odd\"", "decode", "n" },
        { three, 1, three->bytes + at3[1], 2, "r", "decode", NULL },
        { tail, 1, tail->bytes + tail_at, 4, "r", "decode", NULL },
        { confluent, 0, confluent->bytes + 5, 2, "r", "hostless", NULL },
        { keyed, 0, keyed->bytes, 1, "r", "decode", NULL },
        { html, 0, html->bytes, 9, "r", "decode", NULL },
    };
    const char *path = in_folder("dead.avro");
    nj_error err = { "" };
    nj_dead_letters *d = nj_dead_letters_open(path, NJ_SINK_CREATE, NULL, &err);
    assert_non_null(d);
    assert_int_equal(nj_dead_letters_write(d, dead, 6, &err), 0);
    assert_int_equal(nj_dead_letters_flush(d, &err), 0);
    assert_int_equal(nj_dead_letters_commit(d, &(nj_keep){ .disk = true }, &err), 0);
    static letter l[8];
    assert_int_equal(read_letters(path, l, 8), 6); /* valid after the commit, before the close */
    assert_int_equal(nj_dead_letters_close(d, &err), 0);

    assert_string_equal(l[0].origin, "night.tar.gz: 7.avro");
    assert_string_equal(l[0].reason, "n is \"odd\"");
    assert_string_equal(l[0].module, "decode");
    assert_string_equal(l[0].field, "n");
    assert_string_equal(l[0].framing, "ocf");
    assert_string_equal(l[0].schema, "(null)");
    assert_int_equal(l[0].size, one->size);
    assert_memory_equal(l[0].packet, one->bytes, one->size);
    assert_string_equal(l[1].framing, "datum");
    assert_string_equal(l[1].field, "(null)");
    assert_string_equal(l[1].schema, toy);
    assert_int_equal(l[1].record, 1);
    assert_true(l[1].size == 2 && l[1].packet[0] == 2 && l[1].packet[1] == 4); /* zigzag of 1 and 2 */
    assert_true(l[2].size == 4 && !memcmp(l[2].packet, "junk", 4));
    assert_string_equal(l[3].framing, "confluent");
    assert_string_equal(l[3].origin, "kafka://h/t[3] offset 812");
    assert_string_equal(l[3].topic, "t");
    assert_true(l[3].size == 7 && !memcmp(l[3].packet, confluent->bytes, 7));
    assert_string_equal(l[4].framing, "keyed");
    assert_string_equal(l[4].schema, toy);
    assert_string_equal(l[5].framing, "bare");
    assert_string_equal(l[5].topic, "(null)");
    assert_int_equal(l[5].size, 9);

    /* and the packet of the first one is a file that avro-c reads */
    FILE *f = fopen(in_folder("again.avro"), "wb");
    fwrite(l[0].packet, 1, l[0].size, f);
    fclose(f);
    avro_file_reader_t reader;
    assert_int_equal(avro_file_reader(in_folder("again.avro"), &reader), 0);
    avro_file_reader_close(reader);
    nj_chunk *all[] = { one, three, tail, confluent, keyed, html };
    for (int i = 0; i < 6; i++) nj_chunk_drop(all[i]);
}

static void write_some(nj_dead_letters *d, nj_chunk *chunk, uint32_t n)
{
    nj_error err = { "" };
    for (uint32_t i = 0; i < n; i++) {
        nj_dead dead = { chunk, 0, chunk->bytes, chunk->size, "because", "decode", NULL };
        if (nj_dead_letters_write(d, &dead, 1, &err)) fail_msg("%s", err.text);
    }
    if (nj_dead_letters_close(d, &err)) fail_msg("%s", err.text);
}

static void a_torn_file_is_repaired_at_every_byte(void **state)
{
    (void)state;
    nj_stream file = { .name = "x.avro", .partition = -1 };
    nj_chunk *chunk = nj_chunk_new(&file, (uint8_t *)strdup("bad bytes"), 9);
    const char *path = in_folder("torn.avro");
    nj_error err = { "" };
    write_some(nj_dead_letters_open(path, NJ_SINK_CREATE, NULL, &err), chunk, 0);
    assert_int_equal(size_of(path), -1); /* no letters, no file */
    nj_dead_letters *none = nj_dead_letters_open(path, NJ_SINK_CREATE, NULL, &err);
    off_t empty = size_of(path);
    write_some(none, chunk, 1);
    write_some(nj_dead_letters_open(path, NJ_SINK_OVERWRITE, NULL, &err), chunk, 0);
    assert_int_equal(size_of(path), empty);
    write_some(nj_dead_letters_open(path, NJ_SINK_APPEND, NULL, &err), chunk, 3);
    off_t block = (size_of(path) - empty) / 3, whole = empty + 3 * block;
    static letter l[8];
    for (off_t cut = empty; cut <= whole; cut++) {
        nj_dead_letters *d = nj_dead_letters_open(path, NJ_SINK_OVERWRITE, NULL, &err);
        write_some(d, chunk, 3);
        assert_int_equal(truncate(path, cut), 0);
        d = nj_dead_letters_open(path, NJ_SINK_APPEND, NULL, &err);
        if (!d) fail_msg("%s", err.text);
        write_some(d, chunk, 1);
        assert_int_equal(read_letters(path, l, 8), (cut - empty) / block + 1);
    }
    assert_int_equal(truncate(path, empty - 1), 0);
    assert_null(nj_dead_letters_open(path, NJ_SINK_APPEND, NULL, &err));
    assert_non_null(strstr(err.text, "header is not whole"));
    assert_null(nj_dead_letters_open(path, NJ_SINK_CREATE, NULL, &err));
    assert_non_null(strstr(err.text, "--append"));
    nj_chunk_drop(chunk);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    nj_error err = { "" };
    assert_null(nj_dead_letters_open("/dev/full", NJ_SINK_CREATE, NULL, &err));
    assert_non_null(strstr(err.text, "No space left"));
}

static void damaged_headers_are_refused_within_bounds(void **state)
{
    (void)state;
    nj_stream file = { .name = "x", .partition = -1 };
    size_t at[3];
    nj_chunk *chunk = packet(&file, (int[]){ 2, 1 }, 2, at);
    for (size_t size = 0; size <= chunk->size; size++) { /* exact copies, so that a checker sees
                                                          * one byte too far */
        uint8_t *copy = memcpy(malloc(size + 1), chunk->bytes, size);
        nj_ocf ocf;
        int64_t count;
        size_t data, next;
        if (nj_ocf_parse(&ocf, copy, size) == 0) {
            assert_true(size >= ocf.size && ocf.schema_size == strlen(toy));
            assert_int_equal(nj_ocf_block(&ocf, copy, size, ocf.size, &count, &data, &next) == 0,
                             size >= at[2] - 2);
        }
        free(copy);
    }
    static const uint8_t hostile[] = { 'O',  'b',  'j',  1,    2,    0xfe, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1 };
    nj_ocf ocf;
    assert_int_equal(nj_ocf_parse(&ocf, hostile, sizeof hostile), -1);
    nj_chunk_drop(chunk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_hold_what_can_be_decoded_again),
        cmocka_unit_test(a_torn_file_is_repaired_at_every_byte),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(damaged_headers_are_refused_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
