/* packets.c - the alerts that passed, byte for byte as the survey sent them, with their stamps: an Avro file
 * of their own schema, which every reader of the survey's packets reads. One file has one schema; `{schema}`
 * in its name makes a file for each. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "classes.h"
#include "file.h"
#include "ocf.h"
#include "packed.h"
#include "schema_form.h"

enum { WRITE_AT = 1 << 20 };

typedef struct packets {
    nj_sink base;
    nj_outfile file;
    nj_sink_args args;
    const nj_metadata *metadata;
    char *schema, *name; /* JSON, with a NUL behind it; NULL = no packet yet. Its name; NULL = not known */
    size_t schema_size;
    char digest[65]; /* of its schema */
    nj_schema_forms forms;
    uint8_t sync[NJ_OCF_SYNC];
    nj_buffer block, out;
    int64_t n_block, n_rows; /* in the open block; in all */
    bool begun;
} packets;

static nj_sink *open_packets(const nj_sink_args *args, nj_error *err)
{
    packets *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "packets: out of memory");
        return NULL;
    }
    s->base.class = &nj_sink_packets;
    s->file.fd = -1;
    if (!nj_packed_check(args->target, "packets", false, "stamps are packed already", err) &&
        !nj_outfile_open_for(&s->file, args, true, err) && !nj_outfile_must_be_plain(&s->file, err)) {
        s->args = *args; /* run, configuration and mark live as long as the sink */
        return &s->base;
    }
    nj_outfile_close(&s->file, true, NULL);
    free(s);
    return NULL;
}

static int know_schema(packets *s, nj_error *err)
{
    const nj_schema_form *form = nj_schema_form_of(&s->forms, s->schema, s->schema_size, s->name);
    if (!form) return nj_fail(err, "%s: out of memory", s->file.path);
    memcpy(s->digest, form->digest, sizeof s->digest);
    return 0;
}

/* Of the file that is there: its schema is the one that stays. */
static int take_schema(packets *s, nj_error *err)
{
    nj_ocf ocf;
    size_t size = (size_t)s->file.size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, s->file.fd, 0);
    if (bytes == MAP_FAILED) return nj_fail(err, "%s: cannot be read: %s", s->file.path, strerror(errno));
    int rc = nj_ocf_parse(&ocf, bytes, size);
    if (rc)
        nj_fail(err, "%s: is not an Avro file that --append could continue (its header is not whole)",
                s->file.path);
    if (!rc && !(s->schema = strndup(ocf.schema, ocf.schema_size)))
        rc = nj_fail(err, "%s: out of memory", s->file.path);
    s->schema_size = s->schema ? strlen(s->schema) : 0;
    munmap(bytes, size);
    return rc ? rc : know_schema(s, err);
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    packets *s = (packets *)sink;
    const nj_mark *mark = s->args.mark && s->args.mark->kind == NJ_MARK_THERE ? s->args.mark : NULL;
    (void)field, (void)n_fields;
    s->metadata = metadata;
    if (mark) s->n_rows = mark->rows;
    if (s->file.size && (take_schema(s, err) ||
                         nj_ocf_continue(&s->file, s->schema, "null", mark ? mark->bytes : -1, s->sync, err)))
        return -1;
    if (nj_outfile_begin(&s->file, &s->args, s->n_rows, err)) return -1;
    s->begun = true;
    return 0;
}

/* The first packet's schema is the file's. */
static int begin_file(packets *s, const nj_row *row, nj_error *err)
{
    s->schema = strndup(row->json, row->json_size);
    const nj_schema_form *form = nj_schema_form_of(&s->forms, row->json, row->json_size, row->schema);
    s->name = form ? strdup(form->label) : NULL;
    if (!s->schema || !s->name) return nj_fail(err, "%s: out of memory", s->file.path);
    s->schema_size = strlen(s->schema);
    if (know_schema(s, err)) return -1;
    nj_ocf_header(&s->out, s->schema, "null", s->metadata, s->sync);
    size_t n = s->out.n;
    s->out.n = 0;
    return s->out.failed ? nj_fail(err, "%s: out of memory", s->file.path)
                         : nj_outfile_write(&s->file, s->out.data, n, err);
}

static int write_block(packets *s, nj_error *err)
{
    if (!s->n_block) return 0;
    s->out.n = 0;
    nj_ocf_long(&s->out, s->n_block);
    nj_ocf_bytes(&s->out, s->block.data, s->block.n);
    nj_buffer_add(&s->out, s->sync, NJ_OCF_SYNC);
    if (s->out.failed || s->block.failed) return nj_fail(err, "%s: out of memory", s->file.path);
    s->n_block = 0;
    s->block.n = 0;
    return nj_outfile_write(&s->file, s->out.data, s->out.n, err);
}

/* NULL: it can be written. */
static const char *why_not(packets *s, const nj_row *row, char text[512])
{
    if (!row->json) return "it has no Avro schema, so that packets: cannot write it";
    if (!s->schema || (s->schema_size == row->json_size && !memcmp(s->schema, row->json, s->schema_size)))
        return NULL;
    const nj_schema_form *form = nj_schema_form_of(&s->forms, row->json, row->json_size, row->schema);
    if (form && !strcmp(form->digest, s->digest)) return NULL; /* in other words */
    snprintf(text, 512,
             "%s: has packets of %s, and this one is of %s: {schema} in the name makes a file for each",
             s->file.path, s->name ? s->name : "another schema", form ? form->label : "another schema");
    return text;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    packets *s = (packets *)sink;
    for (uint32_t k = 0; k < rows->n; k++) {
        char text[512];
        const nj_row *row = &rows->batch->row[rows->row[k]];
        const char *why = why_not(s, row, text);
        if (why && nj_sink_refuse_row(&s->args, rows, k, "sink.packets", why)) continue;
        if (why) return nj_fail(err, "%s", why);
        if (!s->schema && begin_file(s, row, err)) return -1;
        nj_buffer_add(&s->block, row->datum, row->size);
        s->n_block++;
        s->n_rows++;
        if (s->block.n >= WRITE_AT && write_block(s, err)) return -1;
    }
    return 0;
}

static int flush(nj_sink *sink, nj_error *err)
{
    packets *s = (packets *)sink;
    return write_block(s, err) || nj_outfile_look(&s->file, err) ? -1 : 0;
}

static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    packets *s = (packets *)sink;
    return nj_outfile_commit(&s->file, s->n_rows, keep, err);
}

static int close_packets(nj_sink *sink, nj_error *err)
{
    packets *s = (packets *)sink;
    int rc = write_block(s, err);
    /* without a packet there is no schema, and without a schema no Avro file */
    if (nj_outfile_close(&s->file, !s->begun || !s->schema, rc ? NULL : err)) rc = -1;
    nj_buffer_free(&s->block);
    nj_buffer_free(&s->out);
    free(s->schema);
    free(s->name);
    nj_schema_forms_free(&s->forms);
    free(s);
    return rc;
}

static void extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const packets *s = (const packets *)sink;
    *bytes = s->file.end + (int64_t)s->block.n; /* none is left after a commit */
    *rows = s->n_rows;
}

const nj_sink_class nj_sink_packets = {
    .scheme = "packets",
    .is_file = true,
    .ending = ".avro",
    .refuses = true,
    .form = "packets:PATH",
    .doc = "the alerts themselves, as they came, with stamps: an Avro file of their schema; {schema} in PATH "
           "for several",
    .open = open_packets,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .commit = commit,
    .look = nj_journal_look,
    .close = close_packets,
    .extent = extent,
};
