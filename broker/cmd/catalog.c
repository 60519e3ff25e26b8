/* catalog.c - nightjar catalog: build, info, query, check. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../modules/kit/sky/njx.h"
#include "../base/json.h"
#include "../base/buffer.h"
#include "../base/clock.h"
#include "../catalog/build.h"
#include "command.h"

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "nightjar catalog: %s%s\n", what, which);
    return NJ_EXIT_USAGE;
}

/* ---- build ---- */

typedef struct bar {
    int64_t next_ns;
    int shown;
} bar;

static void show_progress(void *opaque, double done, uint64_t rows)
{
    bar *b = opaque;
    int64_t now = nj_now_ns();
    if (now < b->next_ns) return;
    b->next_ns = now + 200000000;
    b->shown = 1;
    char blocks[31];
    for (int i = 0; i < 30; i++) blocks[i] = i < done * 30 ? '#' : '.';
    blocks[30] = 0;
    fprintf(stderr, "\r[%s] %3.0f %%  %llu rows ", blocks, 100 * done, (unsigned long long)rows);
}

typedef struct build_options {
    nj_catalog_build b;
    const char *unit, *pm_unit;
    double memory_mb;
    bool compact, quiet;
} build_options;

#define AT(x) offsetof(build_options, x)

static const nj_option build_table[] = {
    { "output", 'o', NJ_OPTION_TEXT, AT(b.output), "CAT.njx", .doc = "the catalogue (required)" },
    { "ra", 0, NJ_OPTION_TEXT, AT(b.ra), "COL",
      .doc = "column of the right ascension (else the usual names: ra, RAdeg, RAJ2000, ...)" },
    { "dec", 0, NJ_OPTION_TEXT, AT(b.dec), "COL", .doc = "column of the declination (else the usual names)" },
    { "unit", 0, NJ_OPTION_WORD, AT(unit), "deg|hms|rad", "auto", .words = "auto|deg|hms|rad",
      .doc = "of the positions; auto: hms when they are written in parts, or by the column's unit, or deg" },
    { "columns", 0, NJ_OPTION_TEXT, AT(b.columns), "FIELDS",
      .doc = "SOURCE[:NAME[:TYPE]],...; types u8 i32 i64 f32 f64 str; else all; '' for none" },
    { "number", 0, NJ_OPTION_TEXT, AT(b.number), "NAME",
      .doc = "add a column with the row's number in the source, from 0" },
    { "epoch", 0, NJ_OPTION_F64, AT(b.epoch_year), "YEAR", NULL, 1000, 3000,
      .doc = "Julian year of the positions, such as 2016.0" },
    { "pmra", 0, NJ_OPTION_TEXT, AT(b.pm_ra), "COL",
      .doc = "proper motion, ra * cos(dec), per year; needs --pmdec and --epoch" },
    { "pmdec", 0, NJ_OPTION_TEXT, AT(b.pm_dec), "COL", .doc = "proper motion in declination" },
    { "pm-unit", 0, NJ_OPTION_WORD, AT(pm_unit), "mas|arcsec", .words = "mas|arcsec",
      .doc = "of the proper motions, per year (else the columns' unit, or mas)" },
    { "radius", 0, NJ_OPTION_F64, AT(b.radius_arcsec), "ARCSEC", "5", 0.001, 36000,
      .doc = "search radius that it is meant for; sets how fine the sky is cut" },
    { "frame", 0, NJ_OPTION_TEXT, AT(b.frame), "NAME",
      .doc = "for the record (icrs; a file that says otherwise is refused without it)" },
    { "memory", 0, NJ_OPTION_F64, AT(memory_mb), "MB", "1024", 1, 1 << 20,
      .doc = "rows beyond this go through temporary files beside CAT.njx" },
    { "compact", 0, NJ_OPTION_FLAG, AT(compact),
      .doc = "8 bytes per position instead of 24, good to 0.2 mas" },
    { "quiet", 'q', NJ_OPTION_FLAG, AT(quiet), .doc = "no progress" },
    { 0 }
};
#undef AT

static int build(int argc, char **argv);

static const nj_command build_command = {
    .name = "build",
    .usage = "build FILE... -o CAT.njx [options]",
    .summary = "a catalogue from tables",
    .main = build,
    .options = { build_table },
    .arguments =
        (const nj_meaning[]){
            { "FILE", "CSV (also .gz, tab-separated, ECSV), a FITS table, Parquet: a file or a folder" },
            { 0 } },
    .exits =
        (const nj_meaning[]){ { "2", "a table could not be read, or the catalogue not be written" }, { 0 } },
};

static int build_parse(build_options *o, int argc, char **argv, nj_error *err)
{
    nj_catalog_build *b = &o->b;
    nj_words words;
    if (nj_command_parse(&build_command, o, argc, argv, &words, err)) return -1;
    b->input = (const char *const *)words.item;
    b->n_inputs = (uint32_t)words.n;
    static const struct {
        const char *name;
        nj_angle unit;
    } unit[] = { { "deg", NJ_ANGLE_DEG }, { "hms", NJ_ANGLE_HMS }, { "rad", NJ_ANGLE_RAD } };
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++)
        if (!strcmp(o->unit, unit[k].name)) b->unit = unit[k].unit;
    if (o->pm_unit) b->pm_scale = strcmp(o->pm_unit, "mas") ? 1000 : 1;
    b->memory_bytes = (size_t)(o->memory_mb * (1 << 20));
    b->compact = o->compact;
    if (!b->n_inputs) return nj_fail(err, "which FILE?");
    if (!b->output) return nj_fail(err, "-o CAT.njx is missing");
    if (!b->pm_ra != !b->pm_dec) return nj_fail(err, "--pmra and --pmdec go together");
    if (b->pm_ra && isnan(b->epoch_year)) return nj_fail(err, "proper motions need --epoch");
    return 0;
}

static int build(int argc, char **argv)
{
    build_options o = { .b = { .epoch_year = NAN } };
    nj_catalog_build *b = &o.b;
    nj_catalog_built built;
    nj_error err = { "" };
    bar progress = { 0 };
    if (build_parse(&o, argc, argv, &err)) return usage("build: ", err.text);
    if (!o.quiet && isatty(2)) {
        b->progress = show_progress;
        b->opaque = &progress;
    }
    int64_t start = nj_now_ns();
    int rc = nj_catalog_make(b, &built, &err);
    if (progress.shown) fprintf(stderr, "\r%70s\r", "");
    if (rc) {
        fprintf(stderr, "nightjar catalog: %s\n", err.text);
        return NJ_EXIT_SOURCE;
    }
    printf("%s: %llu rows", b->output, (unsigned long long)built.n_rows);
    if (built.n_rejected)
        printf(", %llu rejected (no position, or out of range)", (unsigned long long)built.n_rejected);
    printf(", %.2f s\n", (double)(nj_now_ns() - start) * 1e-9);
    if (built.n_rejected) printf("  the first rejected: %s\n", built.first_rejected);
    if (built.n_bad_values)
        printf("  %llu cells became null; the first: %s\n", (unsigned long long)built.n_bad_values,
               built.first_bad);
    for (const char *p = built.notes; *p; p += strcspn(p, "\n") + 1)
        printf("  %.*s\n", (int)strcspn(p, "\n"), p);
    return NJ_EXIT_OK;
}

/* ---- info, query, check ---- */

static njx_file *open_file(const char *path, int sums)
{
    char why[512];
    njx_file *f = njx_open(path, sums, why, sizeof why);
    if (!f) fprintf(stderr, "nightjar catalog: %s\n", why);
    return f;
}

/* A catalogue of nothing matches nothing, for good: an error, whatever else is right. */
static int no_rows(const njx_file *f)
{
    if (f->info.n_rows) return NJ_EXIT_OK;
    fprintf(stderr, "nightjar catalog: %s has no row: nothing to match with\n", f->info.path);
    return NJ_EXIT_SOURCE;
}

static const char *type_name(nj_type type)
{
    static const char *const names[] = { [NJ_U8] = "u8",   [NJ_I32] = "i32", [NJ_I64] = "i64",
                                         [NJ_F32] = "f32", [NJ_F64] = "f64", [NJ_STR] = "str" };
    return names[type];
}

static void info_json(const njx_file *f)
{
    const nj_sky_info *i = &f->info;
    nj_buffer b = { 0 };
    nj_json json = nj_json_begin_line(&b), *j = &json;
    nj_json_put(j, "path=%s rows=%llu rejected=%llu hash=%s source=%s source_sha256=%s frame=%s epoch=%g",
                i->path, (unsigned long long)i->n_rows, (unsigned long long)i->n_rejected, i->hash, i->source,
                i->source_hash, i->frame, i->epoch_year);
    nj_json_put(j, "proper_motion=%hhd bytes=%zu", i->has_motion, f->size);
    nj_json_open(j, "columns", '[');
    for (uint32_t c = 0; c < i->n_columns; c++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s type=%s unit=%s", i->column[c].name, type_name(i->column[c].type),
                    i->column[c].unit);
        nj_json_close(j);
    }
    nj_json_end(j);
    fwrite(b.data, 1, b.n, stdout);
    nj_buffer_free(&b);
}

typedef struct look_options {
    double epoch_year;
    int max, cones;
    int64_t seed;
    bool json;
} look_options;

#define AT(x) offsetof(look_options, x)
static const nj_option json_table[] = { { "json", 0, NJ_OPTION_FLAG, AT(json), .doc = "as JSON" }, { 0 } };
static const nj_option query_table[] = { { "epoch", 0, NJ_OPTION_F64, AT(epoch_year), "YEAR", NULL, 1000,
                                           3000, .doc = "positions of this Julian year" },
                                         { "max", 0, NJ_OPTION_INT, AT(max), "N", "1000", 1, 1e8,
                                           .doc = "the nearest N rows" },
                                         { 0 } };
static const nj_option check_table[] = {
    { "cones", 0, NJ_OPTION_INT, AT(cones), "N", "200", 1, 1e6, .doc = "cones that are searched" },
    { "seed", 0, NJ_OPTION_I64, AT(seed), "S", "1", 1, 1e15, .doc = "the same seed gives the same cones" },
    { 0 }
};
#undef AT

static int info(int argc, char **argv);
static int query(int argc, char **argv);
static int check(int argc, char **argv);

static const nj_command info_command = {
    .name = "info",
    .usage = "info CAT.njx [--json]",
    .summary = "rows, columns, where they are from",
    .main = info,
    .options = { json_table },
    .exits = (const nj_meaning[]){ { "2", "the catalogue could not be read" }, { 0 } },
};
static const nj_command query_command = {
    .name = "query",
    .usage = "query CAT.njx RA DEC RADIUS_ARCSEC [--epoch YEAR] [--max N] [--json]",
    .summary = "all columns of the rows around a position, nearest first",
    .main = query,
    .options = { query_table, json_table },
    .arguments = (const nj_meaning[]){ { "RA, DEC", "degrees, or in parts (12:34:56.7 is hours for RA)" },
                                       { "RADIUS_ARCSEC", "in arcseconds" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "2", "the catalogue could not be read" }, { 0 } },
};
static const nj_command check_command = {
    .name = "check",
    .usage = "check CAT.njx [--cones N] [--seed S]",
    .summary = "all checksums, and N cones against every row",
    .main = check,
    .options = { check_table },
    .exits = (const nj_meaning[]){ { "2", "the catalogue could not be read" },
                                   { "3", "a cone has other rows than it should" },
                                   { 0 } },
};

static int catalog(int argc, char **argv);

NJ_COMMAND(catalog) = {
    .name = "catalog",
    .usage = "catalog build|info|query|check ...",
    .summary = "local catalogues for cross-matching (.njx)",
    .main = catalog,
    .verbs = (const nj_command *const[]){ &build_command, &info_command, &query_command, &check_command,
                                          NULL },
};

static int info(int argc, char **argv)
{
    look_options o = { 0 };
    nj_words words;
    nj_error err;
    if (nj_command_parse(&info_command, &o, argc, argv, &words, &err)) return usage("info: ", err.text);
    if (words.n != 1) return usage("info: which CAT.njx?", "");
    njx_file *f = open_file(words.item[0], 0);
    if (!f) return NJ_EXIT_SOURCE;
    const nj_sky_info *i = &f->info;
    if (o.json) {
        info_json(f);
    } else {
        printf("%s\n  rows      %llu (%llu rejected)\n  bytes     %zu\n  hash      %s\n  source    %s\n  "
               "sha256    %s\n  frame     %s",
               i->path, (unsigned long long)i->n_rows, (unsigned long long)i->n_rejected, f->size, i->hash,
               i->source, i->source_hash, i->frame);
        if (!isnan(i->epoch_year)) printf(", epoch %.6g", i->epoch_year);
        printf(", %s positions\n", f->exact ? "exact" : "compact");
        for (uint32_t g = 0; g < f->header->n_grids; g++)
            printf("  grid %u    %llu rows in %u bands%s\n", g, (unsigned long long)f->grid[g].n_rows,
                   f->grid[g].n_bands, g ? " (fast proper motions)" : "");
        for (uint32_t c = 0; c < i->n_columns; c++) {
            printf("  %-24s %s %s", i->column[c].name, type_name(i->column[c].type), i->column[c].unit);
            if (i->column[c].type == NJ_STR) printf("%u different texts", f->column_head[c].n_text);
            printf("\n");
        }
    }
    int rc = no_rows(f);
    njx_close(f);
    return rc;
}

static void put_value(nj_buffer *b, const njx_file *f, uint32_t c, uint64_t row, int json)
{
    nj_type type = f->info.column[c].type;
    if (type == NJ_STR) {
        const char *text = njx_text(f, (int)c, row);
        if (json)
            nj_json_text(b, text);
        else
            nj_buffer_text(b, text ? text : "");
    } else if (type == NJ_F64 || type == NJ_F32) {
        double v = njx_number(f, (int)c, row);
        if (!json && isnan(v)) return;
        if (!json && isinf(v))
            nj_buffer_text(b, v > 0 ? "inf" : "-inf");
        else if (type == NJ_F32)
            nj_json_value_f32(b, (float)v);
        else
            nj_json_value_f64(b, v);
    } else {
        int64_t v = njx_integer(f, (int)c, row);
        if (v != NJ_NO_I64)
            nj_json_i64(b, v);
        else if (json)
            nj_buffer_text(b, "null");
    }
}

static void match_text(const njx_file *f, uint64_t row, double sep, double ra, double dec, nj_buffer *b)
{
    nj_buffer_printf(b, "%.6f\t", sep);
    nj_json_f64(b, ra);
    nj_buffer_text(b, "\t");
    nj_json_f64(b, dec);
    for (uint32_t c = 0; c < f->info.n_columns; c++) {
        nj_buffer_text(b, "\t");
        put_value(b, f, c, row, 0);
    }
    nj_buffer_text(b, "\n");
}

static void match_json(const njx_file *f, uint64_t row, double sep, double ra, double dec, nj_buffer *b)
{
    nj_json json = nj_json_begin_line(b);
    nj_json_put(&json, "sep_arcsec=%g ra=%g dec=%g", sep, ra, dec);
    for (uint32_t c = 0; c < f->info.n_columns; c++) {
        const char *name = f->info.column[c].name;
        /* a key stands once */
        const bool taken = !strcmp(name, "ra") || !strcmp(name, "dec") || !strcmp(name, "sep_arcsec");
        nj_buffer value = { 0 };
        char key[80];
        snprintf(key, sizeof key, "%s%s", taken ? "column." : "", name);
        put_value(&value, f, c, row, 1);
        nj_json_raw(&json, key, value.data ? value.data : "", value.n);
        b->failed |= value.failed;
        nj_buffer_free(&value);
    }
    nj_json_end(&json);
}

static void print_match(const njx_file *f, uint64_t row, double sep, int json)
{
    nj_buffer b = { 0 };
    double ra, dec;
    njx_position(f, row, &ra, &dec);
    (json ? match_json : match_text)(f, row, sep, ra, dec, &b);
    fwrite(b.data, 1, b.n, stdout);
    nj_buffer_free(&b);
}

static int run_query(const njx_file *f, const nj_sky_cones *cone, int json)
{
    uint8_t state;
    uint32_t n;
    uint64_t *row = malloc(cone->cap * sizeof *row);
    double *sep = malloc(cone->cap * sizeof *sep);
    int rc = NJ_EXIT_SOURCE;
    if (row && sep &&
        !njx_search(f->grid, f->header->n_grids, f->header->epoch_year, cone,
                    &(nj_sky_matches){ &state, &n, row, sep })) {
        rc = state == NJ_SKY_NO_INPUT ? usage("query: the position or the radius is out of range", "")
                                      : NJ_EXIT_OK;
        if (!json && !rc) {
            printf("sep_arcsec\tra\tdec");
            for (uint32_t c = 0; c < f->info.n_columns; c++) printf("\t%s", f->info.column[c].name);
            printf("\n");
        }
        for (uint32_t k = 0; !rc && k < n && k < cone->cap; k++) print_match(f, row[k], sep[k], json);
        if (state == NJ_SKY_OVERFLOW)
            fprintf(stderr, "nightjar catalog: %u rows are inside; the nearest %u are shown (--max)\n", n,
                    cone->cap);
    }
    free(row);
    free(sep);
    return rc;
}

static int to_number(const char *text, double low, double high, double *v)
{
    char *end;
    *v = strtod(text, &end);
    return end == text || *end || !(*v >= low && *v <= high) ? -1 : 0;
}

static int query(int argc, char **argv)
{
    look_options o = { .epoch_year = NAN };
    double radius;
    nj_words words;
    nj_error err;
    if (nj_command_parse(&query_command, &o, argc, argv, &words, &err)) return usage("query: ", err.text);
    if (words.n != 4) return usage("query: CAT.njx RA DEC RADIUS_ARCSEC", "");
    char **arg = words.item;
    double ra = nj_parse_angle(arg[1], strlen(arg[1]), nj_angle_has_parts(arg[1], strlen(arg[1]))),
           dec = nj_parse_angle(arg[2], strlen(arg[2]), 0);
    if (isnan(ra) || isnan(dec) || to_number(arg[3], 0, 648000, &radius))
        return usage("query: RA and DEC in degrees or in parts, RADIUS in arcsec", "");
    njx_file *f = open_file(arg[0], 0);
    if (!f) return NJ_EXIT_SOURCE;
    int rc = run_query(f,
                       &(nj_sky_cones){ .n = 1,
                                        .cap = (uint32_t)o.max,
                                        .ra = &ra,
                                        .dec = &dec,
                                        .one_radius_arcsec = radius,
                                        .epoch_year = &o.epoch_year },
                       o.json);
    njx_close(f);
    return rc;
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Cones at random rows and anywhere, of 0.5" to 1 deg, against a plain look at every row. */
static int check_cones(const njx_file *f, uint32_t n_cones, uint64_t seed)
{
    double *ra = calloc(n_cones, 8), *dec = calloc(n_cones, 8), *radius = calloc(n_cones, 8),
           *sep = calloc(n_cones, 8), *least = calloc(n_cones, 8);
    uint32_t *n = calloc(n_cones, 4), *plain = calloc(n_cones, 4);
    uint64_t *row = calloc(n_cones, 8), n_matches = 0;
    uint8_t *state = calloc(n_cones, 1);
    int wrong = -1;
    if (!ra || !dec || !radius || !sep || !least || !n || !plain || !row || !state) goto done;
    for (uint32_t i = 0; i < n_cones; i++) {
        double u = (double)(next_random(&seed) >> 11) * 0x1p-53;
        ra[i] = 360 * u;
        dec[i] = asin(2 * ((double)(next_random(&seed) >> 11) * 0x1p-53) - 1) * 180 / M_PI;
        if (i % 2 && f->info.n_rows) njx_position(f, next_random(&seed) % f->info.n_rows, &ra[i], &dec[i]);
        radius[i] = 0.5 * pow(7200, u);
        least[i] = INFINITY;
    }
    nj_sky_cones cones = { .n = n_cones, .cap = 1, .ra = ra, .dec = dec, .radius_arcsec = radius };
    njx_search(f->grid, f->header->n_grids, NAN, &cones, &(nj_sky_matches){ state, n, row, sep });
    for (uint64_t r = 0; r < f->info.n_rows; r++) {
        double a, d;
        njx_position(f, r, &a, &d);
        for (uint32_t i = 0; i < n_cones; i++) {
            if (fabs(d - dec[i]) * 3600 > radius[i] + 1) continue;
            double s = njx_separation(ra[i], dec[i], a, d);
            if (s >= radius[i]) continue;
            plain[i]++;
            if (s < least[i]) least[i] = s;
        }
    }
    wrong = 0;
    for (uint32_t i = 0; i < n_cones; i++) {
        n_matches += plain[i];
        /* the same formula:
         * rounding of cos(dec) at most */
        wrong += plain[i] != n[i] || (n[i] && fabs(sep[i] - least[i]) > 1e-9);
    }
    printf("%s: checksums good, %u cones with %llu matches, %d wrong\n", f->info.path, n_cones,
           (unsigned long long)n_matches, wrong);
done:
    free(ra), free(dec), free(radius), free(sep), free(least), free(n), free(plain), free(row), free(state);
    return wrong;
}

static int check(int argc, char **argv)
{
    look_options o = { 0 };
    nj_words words;
    nj_error err;
    if (nj_command_parse(&check_command, &o, argc, argv, &words, &err)) return usage("check: ", err.text);
    if (words.n != 1) return usage("check: which CAT.njx?", "");
    njx_file *f = open_file(words.item[0], 1);
    if (!f) return NJ_EXIT_SOURCE;
    int wrong = check_cones(f, (uint32_t)o.cones, (uint64_t)o.seed * 0x9e3779b97f4a7c15u), rc = no_rows(f);
    njx_close(f);
    return wrong ? NJ_EXIT_LEDGER : rc;
}

static int catalog(int argc, char **argv)
{
    return nj_command_verb(&nj_command_catalog, argc, argv);
}
