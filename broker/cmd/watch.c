/* watch.c - nightjar watch: a list of positions becomes a catalogue, settings and a topic in one line. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/settings.h"
#include "../catalog/build.h"
#include "../catalog/watchlist.h"
#include "command.h"

enum { NAMED = 20, PATH_SIZE = 4096 }; /* bad rows that are named; the others are counted */

typedef struct watch_options {
    nj_watchlist list;
    const char *output, *name, *settings, *unit;
    bool force;
} watch_options;

#define AT(x) offsetof(watch_options, x)
static const nj_option table[] = {
    { "name", 0, NJ_OPTION_TEXT, AT(name), "NAME",
      .doc = "of the instance and the topic (else that of LIST)" },
    { "output", 'o', NJ_OPTION_TEXT, AT(output), "CAT.njx", .doc = "the catalogue (NAME.njx)" },
    { "settings", 0, NJ_OPTION_TEXT, AT(settings), "FILE.ini", .doc = "the settings (NAME.ini)" },
    { "force", 0, NJ_OPTION_FLAG, AT(force), .doc = "write the settings anew, also when they were changed" },
    { "radius", 0, NJ_OPTION_F64, AT(list.radius_arcsec), "ARCSEC", "2", 0.001, 36000,
      .doc = "of rows that say none" },
    { "ra", 0, NJ_OPTION_TEXT, AT(list.ra), "COL",
      .doc = "column of the right ascension (else a usual name)" },
    { "dec", 0, NJ_OPTION_TEXT, AT(list.dec), "COL", .doc = "column of the declination (else a usual name)" },
    { "unit", 0, NJ_OPTION_WORD, AT(unit), "deg|hms|rad", "auto", .words = "auto|deg|hms|rad",
      .doc = "of the positions, as of `catalog build`" },
    { "id", 0, NJ_OPTION_TEXT, AT(list.id), "COL",
      .doc = "column of the name (else id, name, objname, ...)" },
    { "radius-column", 0, NJ_OPTION_TEXT, AT(list.radius), "COL",
      .doc = "column of the radius of each row, arcsec or by its unit (else radius, radius_arcsec, ...)" },
    { "owner", 0, NJ_OPTION_TEXT, AT(list.owner), "COL",
      .doc = "column of whoever wants to know (else owner, user, contact, ...)" },
    { "expires", 0, NJ_OPTION_TEXT, AT(list.expires), "COL",
      .doc = "column of the date up to which a row counts: 2026-12-31, with a time, JD or MJD (else expires, "
             "expiry, until, ...)" },
    { "columns", 0, NJ_OPTION_TEXT, AT(list.columns), "LIST", .doc = "further columns to give, by commas" },
    { 0 }
};
#undef AT

static int watch(int argc, char **argv);

NJ_COMMAND(watch) = {
    .name = "watch",
    .usage = "watch LIST [options]",
    .summary = "a watchlist in one line: the catalogue, its settings and topic",
    .help = "Writes NAME.njx and NAME.ini, and prints how to run them. A row without a position, or with a "
            "radius or a date that is none, is named and left out; one that has expired is left out. To "
            "change a watchlist, also under a run, say the same again: the file is replaced, and the next "
            "batch of alerts sees it.\n",
    .main = watch,
    .options = { table },
    .arguments = (const nj_meaning[]){ { "LIST",
                                         "CSV (also .gz, tab-separated, ECSV, the daily file of the TNS), a "
                                         "VOTable, a FITS table, Parquet" },
                                       { 0 } },
    .exits =
        (const nj_meaning[]){
            { "2", "the list cannot be read, has no row that is right, or something cannot be written" },
            { 0 } },
};

static void bad_row(void *opaque, const char *row)
{
    uint32_t *n = opaque;
    if ((*n)++ < NAMED) fprintf(stderr, "nightjar watch: left out: %s\n", row);
}

/* my_list of dir/my-list.csv.gz */
static void name_of(const char *path, char name[48])
{
    char base[256];
    snprintf(base, sizeof base, "%s", nj_base_name(path));
    base[strcspn(base, ".") ? strcspn(base, ".") : strlen(base)] = 0;
    nj_catalog_name(base, name);
}

static void write_settings(const char *name, const char *catalog, const watch_options *o,
                           const nj_watched *got, nj_buffer *out)
{
    const char *from = o->list.path;
    nj_buffer_printf(out,
                     "; made of %s by `nightjar watch`\n[module.%s]\nkind = xmatch\ndefault = 0\ncatalog = "
                     "%s\n",
                     from, name, catalog);
    /* the rule of error circles, with an error that is the row's own radius */
    nj_buffer_printf(out,
                     "radius_arcsec = 0\nerror_column = radius\nerror_k = 1\nmax_radius_arcsec = %.10g\n",
                     fmax(60, ceil(got->widest)));
    nj_buffer_text(out, "columns = ");
    nj_buffer_printf(out, "%sradius", got->id[0] ? "id, " : "");
    if (got->owner[0]) nj_buffer_text(out, ", owner");
    if (got->expires[0]) nj_buffer_text(out, ", expires");
    for (uint32_t k = 0; k < got->n_extra; k++) {
        char column[48];
        nj_catalog_name(got->extra[k], column);
        nj_buffer_printf(out, ", %s", column);
    }
    nj_buffer_printf(out, "\n\n[topic.%s]\nwhere = %s.n > 0", name, name);
    if (got->expires[0]) nj_buffer_printf(out, " and (%s.expires is null or jd < %s.expires)", name, name);
    nj_buffer_text(out, "\n");
}

/* The clean list through a file beside the catalogue: 0, or an exit code. */
static int build(const char *catalog, const nj_buffer *csv, const nj_watched *got, nj_error *err)
{
    char path[PATH_SIZE + 40], columns[2600];
    const char *input[] = { path };
    snprintf(path, sizeof path, "%s.list", catalog);
    size_t n = (size_t)snprintf(columns, sizeof columns,
                                "id:id:str,radius:radius:f64,owner:owner:str,"
                                "expires:expires:f64");
    for (uint32_t k = 0; k < got->n_extra; k++) {
        char column[48];
        nj_catalog_name(got->extra[k], column);
        n += (size_t)snprintf(columns + n, sizeof columns - n, ",%s", column);
    }
    if (nj_file_write(path, csv->data, csv->n)) return nj_fail(err, "%s: %s", path, strerror(errno));
    nj_catalog_build b = { .input = input,
                           .n_inputs = 1,
                           .output = catalog,
                           .ra = "ra",
                           .dec = "dec",
                           .unit = NJ_ANGLE_DEG,
                           .columns = columns,
                           .epoch_year = NAN,
                           .radius_arcsec = fmax(got->widest, 1) };
    nj_catalog_built built;
    int rc = nj_catalog_make(&b, &built, err);
    unlink(path);
    return rc;
}

/* Settings that somebody changed stay, unless --force says otherwise. */
static int keep_settings(const char *path, const nj_buffer *text, bool force, nj_error *err)
{
    size_t n;
    char *have = nj_file_read(path, 1 << 20, &n);
    bool same = have && n == text->n && !memcmp(have, text->data, n);
    bool there = have || errno != ENOENT;
    free(have);
    if (same) return printf("%s: as it was\n", path), 0;
    if (there && !force) {
        fprintf(stderr, "nightjar watch: %s is there and is kept; --force writes it anew. It would be:\n",
                path);
        fprintf(stderr, "%s", text->data);
        return 0;
    }
    if (nj_file_write(path, text->data, text->n)) return nj_fail(err, "%s: %s", path, strerror(errno));
    printf("%s:\n", path);
    for (const char *at = text->data; *at; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != 0))
        printf("    %.*s\n", (int)strcspn(at, "\n"), at);
    return 0;
}

static int fail(const nj_error *err)
{
    fprintf(stderr, "nightjar watch: %s\n", err->text);
    return NJ_EXIT_SOURCE;
}

static void say_columns(const nj_watched *g)
{
    printf("  position %s, %s", g->ra, g->dec);
    const struct {
        const char *what, *column;
    } all[] = {
        { "name", g->id }, { "radius", g->radius }, { "owner", g->owner }, { "expires", g->expires }
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (all[k].column[0]) printf("; %s %s", all[k].what, all[k].column);
    printf("\n");
}

static int watch(int argc, char **argv)
{
    static const struct {
        const char *name;
        nj_angle unit;
    } unit[] = { { "deg", NJ_ANGLE_DEG }, { "hms", NJ_ANGLE_HMS }, { "rad", NJ_ANGLE_RAD } };
    watch_options o = { 0 };
    nj_words words;
    nj_error err;
    nj_watched got;
    nj_buffer csv = { 0 }, settings = { 0 };
    char name[48], catalog[PATH_SIZE], ini[PATH_SIZE];
    uint32_t n_bad = 0;
    if (nj_command_parse(&nj_command_watch, &o, argc, argv, &words, &err) ||
        (words.n != 1 && nj_fail(&err, words.n ? "one LIST at a time" : "which LIST?"))) {
        fprintf(stderr, "nightjar watch: %s\n", err.text);
        return NJ_EXIT_USAGE;
    }
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++)
        if (!strcmp(o.unit, unit[k].name)) o.list.unit = unit[k].unit;
    o.list.path = words.item[0];
    o.list.now_ms = (int64_t)time(NULL) * 1000;
    o.list.bad = bad_row;
    o.list.opaque = &n_bad;
    if (o.name)
        snprintf(name, sizeof name, "%s", o.name);
    else
        name_of(o.list.path, name);
    if (!nj_name_is_valid(name)) {
        fprintf(stderr, "nightjar watch: --name %s: must be [a-z][a-z0-9_]*\n", name);
        return NJ_EXIT_USAGE;
    }
    snprintf(catalog, sizeof catalog, "%s%s", o.output ? o.output : name, o.output ? "" : ".njx");
    snprintf(ini, sizeof ini, "%s%s", o.settings ? o.settings : name, o.settings ? "" : ".ini");
    int rc = nj_watchlist_read(&o.list, &csv, &got, &err);
    if (!rc && n_bad > NAMED) fprintf(stderr, "nightjar watch: and %u more rows\n", n_bad - NAMED);
    if (!rc && !got.n_rows)
        rc = nj_fail(&err, "%s: no row is left of %llu", o.list.path,
                     (unsigned long long)(got.n_bad + got.n_expired));
    if (!rc) rc = build(catalog, &csv, &got, &err);
    if (!rc) {
        printf("%s: %llu rows", catalog, (unsigned long long)got.n_rows);
        if (got.n_bad) printf(", %llu bad ones left out", (unsigned long long)got.n_bad);
        if (got.n_expired) printf(", %llu expired ones left out", (unsigned long long)got.n_expired);
        printf("\n");
        say_columns(&got);
        write_settings(name, catalog, &o, &got, &settings);
        rc = keep_settings(ini, &settings, o.force, &err);
    }
    if (!rc)
        printf("run it:\n    nightjar run -c %s -m %s -t %s -o ndjson:%s.ndjson SOURCE\n", ini, name, name,
               name);
    nj_buffer_free(&csv);
    nj_buffer_free(&settings);
    return rc ? fail(&err) : NJ_EXIT_OK;
}
