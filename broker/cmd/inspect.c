/* inspect.c - `nightjar inspect`: shows one packet in readable form. */
#include "command.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../avro/decoder.h"
#include "../image/hdu.h"
#include "../engine/feed.h"
#include "../source/classes.h"
#include "../engine/reader.h"
#include "../review/hostless_review.h"
#include "../view/draw.h"
#include "../view/field_text.h"
#include "../view/fields.h"
#include "../sink/json.h"
#include "../image/opener.h"
#include "nightjar/astro.h"

enum { VIEWS_MOST = 32, PICTURES_MOST = 24, WAIT_MS = 10000 };

typedef struct options {
    const char *spec, *prefix, *folder, *hdus;
    int64_t record, candid; /* -1: not asked for */
    bool by_candid, indexed, json, hostless;
    nj_hostless_asked pages;
    nj_topic_option *topic;
    nj_arena arena;
    nj_settings settings;
} options;

/* The packet that is looked for, with all that keeps it in memory. */
typedef struct finding {
    nj_decoder *decoder;
    const options *asked;
    nj_feed *feed;
    nj_reader reader;
    nj_batch *batch; /* with one row; NULL = not found yet */
    nj_packet_view view[VIEWS_MOST];
    uint32_t n_views;
    const nj_packet_view *found; /* of the batch's only row */
    nj_buffer packet;            /* all of it, as JSON */
    char where[512];             /* of the present chunk */
    uint64_t seen;
    bool failed;
    nj_error *err;
} finding;

/* ---- finding the packet ---------------------------------------------------------------------- */
static const nj_packet_view *view_of(finding *f, const nj_schema *schema, nj_error *err)
{
    for (uint32_t i = 0; i < f->n_views; i++)
        if (f->view[i].schema == schema) return &f->view[i];
    if (f->n_views == VIEWS_MOST) {
        nj_fail(err, "more than %d different schemas", VIEWS_MOST);
        return NULL;
    }
    nj_packet_view *v = &f->view[f->n_views++];
    return nj_packet_view_build(v, schema, schema->bytes, schema->size, err) ? NULL : v;
}

static const nj_layout *layout_of(void *opaque, const nj_schema *schema, nj_error *err)
{
    const nj_packet_view *view = view_of(opaque, schema, err);
    return view ? &view->layout : NULL;
}

/* A record that cannot be read has a number, too. -1: it is the one that is looked for. */
static int pass_dead(finding *f, const nj_dead *dead)
{
    if (!f->asked->by_candid && (int64_t)f->seen++ == f->asked->record)
        return nj_fail(f->err, "%s: %s", f->where, dead->reason);
    nj_log(NJ_LOG_WARN, "%s: %s", f->where, dead->reason);
    return 0;
}

/* Records come one by one: dead letters first, then at most one row. */
static int look_at(void *opaque, nj_batch **batch)
{
    finding *f = opaque;
    const nj_batch *b = *batch;
    for (uint32_t i = 0; i < b->n_dead; i++)
        if (pass_dead(f, &b->dead[i])) {
            f->failed = true;
            return NJ_READ_STOPPED;
        }
    if (!b->n) return NJ_READ_ON;
    bool is_it = f->asked->by_candid ? b->id[0] == f->asked->candid : (int64_t)f->seen == f->asked->record;
    f->seen++;
    if (!is_it) return NJ_READ_ON;
    for (uint32_t i = 0; i < f->n_views; i++)
        if (&f->view[i].layout == b->layout) f->found = &f->view[i];
    f->batch = *batch;
    *batch = NULL;
    if (!f->found ||
        nj_datum_json(f->found->schema, f->batch->row[0].datum, f->batch->row[0].size, &f->packet)) {
        nj_fail(f->err, "%s: the packet cannot be shown: out of memory, or deeper than 200 levels", f->where);
        f->failed = true;
    }
    return NJ_READ_STOPPED;
}

/* 0 = not in this chunk, 1 = found: the batch holds it; -1 with err. */
static int search_chunk(finding *f, nj_chunk *chunk, nj_error *err)
{
    nj_chunk_where(chunk, f->where, sizeof f->where);
    int rc = nj_reader_take(&f->reader, chunk, err);
    if (rc == NJ_READ_ON && nj_reader_flush(&f->reader, false) == NJ_READ_FAILED)
        return nj_fail(err, "out of memory");
    return rc < 0 || f->failed ? -1 : f->batch != NULL;
}

/* An archive may have an id several times: of another survey, or because a night came twice. */
static void report_others(finding *f, const options *o)
{
    uint64_t n = 0;
    nj_chunk *chunk = NULL;
    nj_error ignored;
    for (; nj_feed_next(f->feed, WAIT_MS, &chunk, &ignored) == NJ_NEXT_CHUNK; n++) nj_chunk_drop(chunk);
    if (n)
        nj_log(NJ_LOG_WARN, "%s: %llu packets have candid %lld; this is the first: %s", o->spec,
               (unsigned long long)n + 1, (long long)o->candid, f->where);
}

static int search(finding *f, options *o, nj_error *err)
{
    f->asked = o;
    f->err = err;
    if (!(f->decoder = nj_decoder_new(&o->settings, err)) ||
        !(f->feed = nj_feed_open(&o->settings, &o->spec, 1, 0, err)))
        return -1;
    f->reader.o = (nj_reader_options){ .decoder = f->decoder,
                                       .batch_rows = 1,
                                       .batch_bytes = SIZE_MAX,
                                       .layout = layout_of,
                                       .full = look_at,
                                       .opaque = f };
    for (;;) {
        nj_chunk *chunk = NULL;
        nj_next next = nj_feed_next(f->feed, WAIT_MS, &chunk, err);
        if (next == NJ_NEXT_ERROR) return -1;
        if (next != NJ_NEXT_CHUNK) break;
        int rc = search_chunk(f, chunk, err);
        nj_chunk_drop(chunk); /* the batch holds it as long as it needs it */
        if (rc > 0 && o->indexed) report_others(f, o);
        if (rc) return rc < 0 ? -1 : 0;
    }
    if (o->indexed) return nj_fail(err, "%s: the archive has no such alert", o->spec);
    if (o->by_candid)
        return nj_fail(err, "%s: no alert with candid %lld among %llu", o->spec, (long long)o->candid,
                       (unsigned long long)f->seen);
    return nj_fail(err, "%s: no record %llu; there are %llu, counted from 0", o->spec,
                   (unsigned long long)o->record, (unsigned long long)f->seen);
}

static void finding_free(finding *f)
{
    nj_buffer_free(&f->packet);
    nj_batch_free(f->batch);
    nj_reader_free(&f->reader);
    nj_feed_close(f->feed);
    nj_decoder_free(f->decoder);
    for (uint32_t i = 0; i < f->n_views; i++) nj_packet_view_free(&f->view[i]);
}

/* ---- light curve and stamps ------------------------------------------------------------------ */
static double series_value(const finding *f, int which, uint32_t i)
{
    int32_t column = f->found->series[which];
    const void *data = column < 0 ? NULL : f->batch->col[column].data;
    if (!data) return NAN;
    if (f->found->column[column].type == NJ_U8) return ((const uint8_t *)data)[i];
    return ((const double *)data)[i];
}

/* Points of the light curve, from malloc; NULL when there are none. Flux in nJy becomes AB magnitude. */
static nj_curve_point *light_curve(const finding *f, uint32_t *n)
{
    int32_t column = f->found->series[NJ_VIEW_JD];
    const uint32_t *off = column < 0 ? NULL : f->batch->col[column].off;
    *n = off ? off[1] - off[0] : 0;
    nj_curve_point *point = *n ? calloc(*n, sizeof *point) : NULL;
    for (uint32_t i = 0; point && i < *n; i++) {
        nj_curve_point *p = &point[i];
        double band = series_value(f, NJ_VIEW_BAND, i), positive = series_value(f, NJ_VIEW_POSITIVE, i),
               flux = series_value(f, NJ_VIEW_FLUX, i);
        *p = (nj_curve_point){
            series_value(f, NJ_VIEW_JD, i),      series_value(f, NJ_VIEW_MAG, i),
            series_value(f, NJ_VIEW_MAG_ERR, i), series_value(f, NJ_VIEW_LIMIT, i),
            isnan(band) ? 255 : (uint8_t)band,   isnan(positive) ? 255 : (uint8_t)positive
        };
        if (isnan(p->mag) && isfinite(flux) && flux != 0) {
            p->mag = nj_mag_of_flux(fabs(flux) / NJ_NJY_OF_MAG0);
            p->mag_err = NJ_MAG_PER_RELATIVE_FLUX * series_value(f, NJ_VIEW_FLUX_ERR, i) / fabs(flux);
            p->positive = flux > 0;
        }
    }
    return point;
}

/* One picture more, of the first image of a stamp or of the HDU of that name.
 * why: of the first that is unreadable. */
static void open_one(finding *f, nj_opener *opener, int which, const char *hdu, nj_picture *picture,
                     uint32_t *n, char *why, size_t n_why)
{
    const nj_stamp *packed = f->batch->stamp[which] ? &f->batch->stamp[which][0] : NULL;
    if (!packed || packed->state == NJ_STAMP_NONE || *n == PICTURES_MOST) return;
    nj_stamp stamp = { .bytes = packed->bytes, .size = packed->size, .state = NJ_STAMP_PACKED, .hdu = hdu };
    const char *reason = NULL, *name = strchr(nj_stamp_name[which], '.') + 1;
    nj_stamp_open(opener, &stamp, &f->batch->arena, &reason);
    char *title = hdu ? nj_arena_printf(&f->batch->arena, "%s_%s", name, hdu) : NULL;
    if (stamp.state == NJ_STAMP_OPEN)
        picture[(*n)++] =
            (nj_picture){ stamp.image.pixel, stamp.image.rows, stamp.image.cols, title ? title : name };
    else if (!why[0])
        snprintf(why, n_why, "%s%s%s%s: %s", nj_stamp_name[which], hdu ? "[" : "", hdu ? hdu : "",
                 hdu ? "]" : "", reason ? reason : "unreadable");
}

/* Opens the stamps, and of each the HDUs that --hdu lists; returns how many pictures there are. */
static uint32_t open_stamps(finding *f, const options *o, nj_picture picture[PICTURES_MOST], char *why,
                            size_t n_why)
{
    nj_opener *opener = nj_opener_new(f->decoder);
    char *list = nj_arena_text(&f->batch->arena, o->hdus ? o->hdus : "", strlen(o->hdus ? o->hdus : "")),
         *save = NULL;
    uint32_t n = 0;
    why[0] = 0;
    for (int s = 0; opener && s < NJ_STAMPS; s++) open_one(f, opener, s, NULL, picture, &n, why, n_why);
    for (char *hdu = list ? strtok_r(list, ",", &save) : NULL; opener && hdu;
         hdu = strtok_r(NULL, ",", &save))
        for (int s = 0; s < NJ_STAMPS; s++) open_one(f, opener, s, hdu, picture, &n, why, n_why);
    nj_opener_free(opener);
    return n;
}

/* "science: PRIMARY 30x30 nJy, UNCERT 30x30, PSFIMAGE 41x41", for stamps of several images. */
static void list_hdus(const finding *f, nj_buffer *out)
{
    for (int s = 0; s < NJ_STAMPS; s++) {
        const nj_stamp *stamp = f->batch->stamp[s] ? &f->batch->stamp[s][0] : NULL;
        const char *why;
        nj_hdu h = { 0 };
        uint32_t n = 0;
        nj_buffer line = { 0 };
        while (stamp && stamp->bytes && nj_hdu_next(stamp->bytes, stamp->size, &h, &why) > 0) {
            const char *name = *h.name ? h.name : h.type;
            if (!h.image || h.naxis != 2) continue;
            nj_buffer_printf(&line, "%s ", n++ ? "," : "");
            if (*name)
                nj_buffer_text(&line, name);
            else
                nj_buffer_printf(&line, "%u", h.number);
            nj_buffer_printf(&line, " %ldx%ld%s%s", h.axis[1], h.axis[0], *h.unit ? " " : "", h.unit);
        }
        if (n > 1) nj_buffer_printf(out, "%-10s HDUs%s\n", strchr(nj_stamp_name[s], '.') + 1, line.data);
        nj_buffer_free(&line);
    }
}

/* ---- output ---------------------------------------------------------------------------------- */
static void text_of(const finding *f, int32_t column, char *text, size_t n)
{
    nj_buffer b = { 0 };
    snprintf(text, n, "-");
    if (column >= 0 && nj_packet_value(f->found, f->batch, column, 0, &b) && b.data)
        snprintf(text, n, "%s", b.data);
    nj_buffer_free(&b);
}

static void show(finding *f, const nj_picture *picture, uint32_t n_pictures, const char *why,
                 const nj_curve_point *point, uint32_t n, nj_buffer *out)
{
    nj_terminal t = nj_terminal_of(STDOUT_FILENO);
    char object[64], candid[32] = "-", title[256];
    text_of(f, f->found->object, object, sizeof object);
    if (f->batch->id[0] != NJ_NO_I64) snprintf(candid, sizeof candid, "%lld", (long long)f->batch->id[0]);
    json_t *packet = nj_json_read_row(f->packet.data, f->packet.n);
    nj_packet_lines(&(nj_packet_text){ f->found, f->batch, packet }, out, &t);
    json_decref(packet);
    snprintf(title, sizeof title, "%s, %u bytes of datum", nj_schema_name(f->found->schema),
             f->batch->row[0].size);
    nj_buffer_printf(out, "\n");
    nj_text_heading(out, &t, 0, object, candid);
    nj_text_dim(out, &t, f->where);
    nj_buffer_text(out, "\n");
    nj_text_dim(out, &t, title);
    nj_buffer_text(out, "\n\n");
    nj_draw_curve(out, point, n, &t);
    nj_buffer_text(out, "\n");
    for (uint32_t i = 0; i < n_pictures; i += NJ_STAMPS) /* the HDUs of one name side by side */
        nj_draw_pictures(out, picture + i, n_pictures - i < NJ_STAMPS ? n_pictures - i : NJ_STAMPS, &t);
    list_hdus(f, out);
    if (why[0]) nj_buffer_printf(out, "%s\n", why);
}

static void as_json(const finding *f, const nj_picture *picture, uint32_t n_pictures, nj_buffer *out)
{
    nj_json json = nj_json_begin_line(out);
    nj_json_put(&json, "where=%s schema=%s survey=%s", f->where, nj_schema_name(f->found->schema),
                nj_schema_survey(f->found->schema));
    nj_json_raw(&json, "packet", f->packet.data, f->packet.n);
    nj_json_open(&json, "stamps", '{');
    for (uint32_t i = 0; i < n_pictures; i++) {
        uint32_t n_nan = 0;
        for (size_t k = 0; k < (size_t)picture[i].rows * picture[i].cols; k++)
            n_nan += isnan(picture[i].pixel[k]) != 0;
        nj_json_open(&json, picture[i].title, '{');
        nj_json_put(&json, "rows=%u cols=%u n_nan=%u", picture[i].rows, picture[i].cols, n_nan);
        nj_json_close(&json);
    }
    nj_json_end(&json);
}

static int inspect(options *o)
{
    finding f = { 0 };
    nj_error err = { "" };
    nj_buffer out = { 0 };
    nj_picture picture[PICTURES_MOST];
    nj_curve_point *point = NULL;
    char why[256];
    uint32_t n;
    int code = NJ_EXIT_SOURCE;
    if (search(&f, o, &err) || !f.found || !f.batch) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        goto done;
    }
    uint32_t n_pictures = open_stamps(&f, o, picture, why, sizeof why);
    point = light_curve(&f, &n);
    code = o->prefix && nj_png_files(o->prefix, picture, n_pictures, point, n) ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
    if (o->json)
        as_json(&f, picture, n_pictures, &out);
    else
        show(&f, picture, n_pictures, why, point, n, &out);
    if (out.failed || fwrite(out.data, 1, out.n, stdout) != out.n || fflush(stdout)) {
        nj_log(NJ_LOG_ERROR, "standard output: %s", out.failed ? "out of memory" : strerror(errno));
        code = NJ_EXIT_LEDGER;
    }
done:
    nj_buffer_free(&out);
    free(point);
    finding_free(&f);
    return code;
}

static int add_topic(void *conf, const char *text, nj_error *err)
{
    options *o = conf;
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (n == 0 || n > 200) return nj_fail(err, "-t %s: expected NAME or NAME='SQL'", text);
    const char *name = nj_arena_text(&o->arena, text, n);
    if (!name) return nj_fail(err, "out of memory");
    o->topic[o->pages.n_topics++] = (nj_topic_option){ name, equals ? equals + 1 : NULL };
    return 0;
}

static int define(void *conf, const char *text, nj_error *err)
{
    return nj_settings_define(&((options *)conf)->settings, text, err);
}

#define AT(x) offsetof(options, x)

static const nj_option table[] = {
    { "record", 0, NJ_OPTION_I64, AT(record), "N", NULL, 0, INT64_MAX,
      .doc = "the N-th alert, counted from 0 (0)" },
    { "candid", 0, NJ_OPTION_I64, AT(candid), "ID", NULL, 0, INT64_MAX, .doc = "the alert of that candid" },
    { "id", 0, NJ_OPTION_I64, AT(candid), "ID", NULL, 0, INT64_MAX,
      .doc = "the same; an archive (-o archive:DIR) has an index and finds it at once" },
    { "stamps", 0, NJ_OPTION_TEXT, AT(prefix), "PREFIX",
      .doc = "also write PREFIX_science.png, ..., PREFIX_lightcurve.png" },
    { "hdu", 0, NJ_OPTION_TEXT, AT(hdus), "LIST",
      .doc = "of stamps with several images also these, by name or number: UNCERT,PSFIMAGE" },
    { "json", 0, NJ_OPTION_FLAG, AT(json), .doc = "all fields as JSON, nothing drawn" },
    { "hostless", 0, NJ_OPTION_FLAG, AT(hostless),
      .doc = "a page for each candidate of FILE with what hostless detection makes of it, and an index that "
             "begins with the most promising; asteroids and rb < 0.55 are last, in grey" },
    { "output", 'o', NJ_OPTION_TEXT, AT(folder), "DIR", .doc = "where the pages of --hostless go" },
    { "where", 'w', NJ_OPTION_TEXT, AT(pages.where), "'SQL'",
      .doc = "of these, those for which this WHERE clause is true (as in `nightjar run`)" },
    { "topic", 't', NJ_OPTION_CALL, .value = "NAME['=SQL']", .take = add_topic,
      .doc = "those of this topic; with several, of any of them (repeatable)" },
    { "limit", 0, NJ_OPTION_I64, AT(pages.limit), "N", NULL, 1, INT64_MAX,
      .doc = "stop after N alerts of FILE" },
    { "all", 0, NJ_OPTION_FLAG, AT(pages.all), .doc = "a page also for each alert that is no candidate" },
    { "modules", 'm', NJ_OPTION_TEXT, AT(pages.select), "LIST",
      .doc = "more modules than hostless and roid, for -w and -t" },
    { "threads", 'j', NJ_OPTION_INT, AT(pages.threads), "THREADS", NULL, 1, 1024,
      .doc = "compute threads (all cores)" },
    { "define", 'D', NJ_OPTION_CALL, .value = "SECTION.KEY=VALUE", .take = define,
      .doc = "a setting: decode.KEY (the schema of bare datums, for instance), module.hostless.KEY" },
    { 0 }
};

static int run(int argc, char **argv);

NJ_COMMAND(inspect) = {
    .name = "inspect",
    .usage = "inspect FILE [--record N] [--stamps PREFIX] [--hdu LIST], or inspect FILE --hostless -o DIR "
             "[-w SQL] [-t TOPIC] [--limit N] [--all]",
    .summary = "one packet for a person: fields with units, light curve, stamps",
    .main = run,
    .options = { table, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "FILE",
                                         "any SOURCE of `nightjar run`: an .avro file, a folder, a tar" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "2", "the source could not be read, or has no such alert" },
                                   { "3", "a picture or a page could not be written" },
                                   { "130", "interrupted; the pages that are written stay" },
                                   { 0 } },
};

/* An option of the other use of this command, that would not be read: of one alert, or of --hostless. */
static const char *unread(const options *o)
{
    const nj_hostless_asked *p = &o->pages;
    if (o->hostless)
        return o->record >= 0   ? "--record"
               : o->candid >= 0 ? "--candid"
               : o->prefix      ? "--stamps"
               : o->hdus        ? "--hdu"
               : o->json        ? "--json"
                                : NULL;
    return p->where      ? "-w"
           : p->n_topics ? "-t"
           : p->limit    ? "--limit"
           : p->all      ? "--all"
           : p->select   ? "-m"
           : p->threads  ? "-j"
                         : NULL;
}

static int parse(int argc, char **argv, options *o, nj_error *err)
{
    nj_words words;
    o->topic = calloc((size_t)argc + 1, sizeof *o->topic);
    if (!o->topic) return nj_fail(err, "out of memory");
    if (nj_command_parse(&nj_command_inspect, o, argc, argv, &words, err)) return -1;
    if (words.n != 1) return nj_fail(err, "expected one FILE");
    o->spec = words.item[0];
    if (o->hostless != (o->folder != NULL)) return nj_fail(err, "--hostless and -o DIR belong together");
    const char *other = unread(o);
    if (other)
        return nj_fail(err, "%s is for %s", other,
                       o->hostless ? "one alert, not for --hostless" : "--hostless -o DIR");
    o->by_candid = o->candid >= 0;
    /* of the whole archive; a question of its own is left alone */
    o->indexed = o->by_candid && !strchr(o->spec, '?') && nj_source_stored.match(o->spec);
    if (o->indexed && !(o->spec = nj_arena_printf(&o->arena, "%s?id=%lld", o->spec, (long long)o->candid)))
        return nj_fail(err, "out of memory");
    if (o->record < 0) o->record = 0;
    return 0;
}

/* A page for each candidate and an index. */
static int review(options *o)
{
    nj_hostless_review n;
    nj_error err = { "" };
    o->pages.source = o->spec;
    o->pages.folder = o->folder;
    o->pages.topic = o->topic;
    int rc = nj_hostless_review_run(&o->pages, &o->settings, &n, &err);
    if (rc != NJ_EXIT_OK && rc != NJ_EXIT_INTERRUPTED) {
        if (!err.said) nj_log(NJ_LOG_ERROR, "%s", err.text);
        return rc;
    }
    printf("%llu alerts, %llu unreadable, %llu with a source in one stamp alone, %llu within both limits",
           (unsigned long long)(n.n_alerts + n.n_filtered), (unsigned long long)n.n_dead,
           (unsigned long long)n.n_candidates, (unsigned long long)n.n_verdicts);
    if (n.n_filtered) printf(" (%llu did not pass -w or -t)", (unsigned long long)n.n_filtered);
    printf(": %s/index.html and %llu pages", o->folder, (unsigned long long)n.n_pages);
    if (n.n_alerts > n.n_pages)
        printf(", none for the %llu that are no candidates (--all)",
               (unsigned long long)(n.n_alerts - n.n_pages));
    printf("\n");
    return rc;
}

static int run(int argc, char **argv)
{
    options o = { .record = -1, .candid = -1 };
    nj_error err = { "" };
    int bad = parse(argc, argv, &o, &err);
    if (bad) nj_log(NJ_LOG_ERROR, "inspect: %s", err.text);
    int code = bad ? NJ_EXIT_USAGE : o.hostless ? review(&o) : inspect(&o);
    nj_settings_free(&o.settings);
    nj_arena_free(&o.arena);
    free(o.topic);
    return code;
}
