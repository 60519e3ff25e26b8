/* catalog.c - nightjar catalog: build, info, query, check. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/option.h"
#include "../../modules/kit/sky/njx.h"
#include "../base/buffer.h"
#include "../base/clock.h"
#include "../catalog/build.h"
#include "command.h"

static const char help[] =
    "  catalog build FILE... -o CAT.njx   from CSV (also .gz, tab-separated, ECSV), FITS tables, Parquet files or folders\n"
    "      --ra COL, --dec COL       columns of the position (else the usual names: ra, RAdeg, RAJ2000, ...)\n"
    "      --unit deg|hms|rad        of the positions (else: hms when they are written in parts, or by the column's unit, or "
    "deg)\n"
    "      --columns LIST            SOURCE[:NAME[:TYPE]],...; types u8 i32 i64 f32 f64 str; else all; '' for none\n"
    "      --number NAME             add a column with the row's number in the source, from 0\n"
    "      --epoch YEAR              Julian year of the positions\n"
    "      --pmra COL, --pmdec COL   proper motions, ra * cos(dec), in --pm-unit mas or arcsec (else the columns' unit, or mas) "
    "per year\n"
    "      --radius ARCSEC           search radius that it is meant for (default 5; sets how fine the sky is cut)\n"
    "      --frame NAME              for the record (default icrs; a file that says otherwise is refused without it)\n"
    "      --memory MB               rows beyond this go through temporary files beside CAT.njx (default 1024)\n"
    "      --compact                 8 bytes per position instead of 24, good to 0.2 mas\n"
    "      -q                        no progress\n"
    "  catalog info CAT.njx [--json]\n"
    "  catalog query CAT.njx RA DEC RADIUS_ARCSEC [--epoch YEAR] [--max N] [--json]   all columns, nearest first\n"
    "  catalog check CAT.njx [--cones N] [--seed S]   all checksums, and N cones against every row (default 200)\n"
    "RA and DEC: degrees, or in parts (12:34:56.7 is hours for RA).\n";

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

enum {
    OPT_RA = 256,
    OPT_DEC,
    OPT_UNIT,
    OPT_COLUMNS,
    OPT_NUMBER,
    OPT_EPOCH,
    OPT_PMRA,
    OPT_PMDEC,
    OPT_PM_UNIT,
    OPT_RADIUS,
    OPT_FRAME,
    OPT_MEMORY,
    OPT_COMPACT,
    OPT_MAX,
    OPT_JSON,
    OPT_CONES,
    OPT_SEED
};

static int number_option(const char *text, double low, double high, double *v)
{
    char *end;
    *v = strtod(text, &end);
    return end == text || *end || !(*v >= low && *v <= high) ? -1 : 0;
}

/* -1 = go on */
static int build_options(int argc, char **argv, nj_catalog_build *b, int *quiet)
{
    static const struct option options[] = { { "ra", 1, 0, OPT_RA },           { "dec", 1, 0, OPT_DEC },
                                             { "unit", 1, 0, OPT_UNIT },       { "columns", 1, 0, OPT_COLUMNS },
                                             { "number", 1, 0, OPT_NUMBER },   { "epoch", 1, 0, OPT_EPOCH },
                                             { "pmra", 1, 0, OPT_PMRA },       { "pmdec", 1, 0, OPT_PMDEC },
                                             { "pm-unit", 1, 0, OPT_PM_UNIT }, { "radius", 1, 0, OPT_RADIUS },
                                             { "frame", 1, 0, OPT_FRAME },     { "memory", 1, 0, OPT_MEMORY },
                                             { "compact", 0, 0, OPT_COMPACT }, { 0 } };
    static const char *const units[] = { "auto", "deg", "hms", "rad" };
    double v;
    int k = 0;
    nj_error err;
    for (int o; (o = nj_getopt(argc, argv, "o:q", options, &err)) != -1;) {
        switch (o) {
        case 'o': b->output = optarg; break;
        case 'q': *quiet = 1; break;
        case OPT_RA: b->ra = optarg; break;
        case OPT_DEC: b->dec = optarg; break;
        case OPT_UNIT:
            for (k = 0; k < 4 && strcmp(units[k], optarg);) k++;
            if (k == 4) return usage("--unit is deg, hms, rad or auto, not ", optarg);
            b->unit = (nj_angle)k;
            break;
        case OPT_COLUMNS: b->columns = optarg; break;
        case OPT_NUMBER: b->number = optarg; break;
        case OPT_EPOCH:
            if (number_option(optarg, 1000, 3000, &b->epoch_year)) return usage("--epoch is a year such as 2016.0, not ", optarg);
            break;
        case OPT_PMRA: b->pm_ra = optarg; break;
        case OPT_PMDEC: b->pm_dec = optarg; break;
        case OPT_PM_UNIT:
            if (strcmp(optarg, "mas") && strcmp(optarg, "arcsec")) return usage("--pm-unit is mas or arcsec, not ", optarg);
            b->pm_scale = strcmp(optarg, "mas") ? 1000 : 1;
            break;
        case OPT_RADIUS:
            if (number_option(optarg, 0.001, 36000, &b->radius_arcsec))
                return usage("--radius is 0.001 to 36000 arcsec, not ", optarg);
            break;
        case OPT_FRAME: b->frame = optarg; break;
        case OPT_MEMORY:
            if (number_option(optarg, 1, 1 << 20, &v)) return usage("--memory is a number of MB, not ", optarg);
            b->memory_bytes = (size_t)(v * (1 << 20));
            break;
        case OPT_COMPACT: b->compact = 1; break;
        default: return usage("build: ", err.text);
        }
    }
    return -1;
}

static int build(int argc, char **argv)
{
    nj_catalog_build b = { .epoch_year = NAN, .radius_arcsec = 5 };
    nj_catalog_built built;
    nj_error err = { "" };
    int quiet = !isatty(2);
    bar progress = { 0 };
    int rc = build_options(argc, argv, &b, &quiet);
    if (rc >= 0) return rc;
    b.input = (const char *const *)argv + optind;
    b.n_inputs = (uint32_t)(argc - optind);
    if (!b.n_inputs) return usage("build: which FILE?", "");
    if (!b.output) return usage("build: -o CAT.njx is missing", "");
    if (!b.pm_ra != !b.pm_dec) return usage("build: --pmra and --pmdec go together", "");
    if (b.pm_ra && isnan(b.epoch_year)) return usage("build: proper motions need --epoch", "");
    if (!quiet) {
        b.progress = show_progress;
        b.opaque = &progress;
    }
    int64_t start = nj_now_ns();
    rc = nj_catalog_make(&b, &built, &err);
    if (progress.shown) fprintf(stderr, "\r%70s\r", "");
    if (rc) {
        fprintf(stderr, "nightjar catalog: %s\n", err.text);
        return NJ_EXIT_SOURCE;
    }
    printf("%s: %llu rows", b.output, (unsigned long long)built.n_rows);
    if (built.n_rejected) printf(", %llu rejected (no position, or out of range)", (unsigned long long)built.n_rejected);
    printf(", %.2f s\n", (double)(nj_now_ns() - start) * 1e-9);
    if (built.n_rejected) printf("  the first rejected: %s\n", built.first_rejected);
    if (built.n_bad_values)
        printf("  %llu cells became null; the first: %s\n", (unsigned long long)built.n_bad_values, built.first_bad);
    for (const char *p = built.notes; *p; p += strcspn(p, "\n") + 1) printf("  %.*s\n", (int)strcspn(p, "\n"), p);
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
    static const char *const names[] = {
        [NJ_U8] = "u8", [NJ_I32] = "i32", [NJ_I64] = "i64", [NJ_F32] = "f32", [NJ_F64] = "f64", [NJ_STR] = "str"
    };
    return names[type];
}

static void info_json(const njx_file *f)
{
    const nj_sky_info *i = &f->info;
    nj_buffer b = { 0 };
    nj_buffer_text(&b, "{\"path\": ");
    nj_json_text(&b, i->path);
    nj_buffer_printf(&b, ", \"rows\": %llu, \"rejected\": %llu, \"hash\": \"%s\", \"source\": ", (unsigned long long)i->n_rows,
                     (unsigned long long)i->n_rejected, i->hash);
    nj_json_text(&b, i->source);
    nj_buffer_printf(&b, ", \"source_sha256\": \"%s\", \"frame\": ", i->source_hash);
    nj_json_text(&b, i->frame);
    nj_buffer_text(&b, ", \"epoch\": ");
    nj_json_f64(&b, i->epoch_year);
    nj_buffer_printf(&b, ", \"proper_motion\": %s, \"bytes\": %zu, \"columns\": [", i->has_motion ? "true" : "false", f->size);
    for (uint32_t c = 0; c < i->n_columns; c++) {
        nj_buffer_text(&b, c ? ", {\"name\": " : "{\"name\": ");
        nj_json_text(&b, i->column[c].name);
        nj_buffer_printf(&b, ", \"type\": \"%s\", \"unit\": ", type_name(i->column[c].type));
        nj_json_text(&b, i->column[c].unit);
        nj_buffer_text(&b, "}");
    }
    nj_buffer_text(&b, "]}\n");
    fwrite(b.data, 1, b.n, stdout);
    nj_buffer_free(&b);
}

static int info(int argc, char **argv)
{
    static const struct option options[] = { { "json", 0, 0, OPT_JSON }, { 0 } };
    int json = 0;
    nj_error err;
    for (int o; (o = nj_getopt(argc, argv, "", options, &err)) != -1;) {
        if (o != OPT_JSON) return usage("info: ", err.text);
        json = 1;
    }
    if (argc - optind != 1) return usage("info: which CAT.njx?", "");
    njx_file *f = open_file(argv[optind], 0);
    if (!f) return NJ_EXIT_SOURCE;
    const nj_sky_info *i = &f->info;
    if (json) {
        info_json(f);
    } else {
        printf("%s\n  rows      %llu (%llu rejected)\n  bytes     %zu\n  hash      %s\n  source    %s\n  sha256    %s\n  frame   "
               "  %s",
               i->path, (unsigned long long)i->n_rows, (unsigned long long)i->n_rejected, f->size, i->hash, i->source,
               i->source_hash, i->frame);
        if (!isnan(i->epoch_year)) printf(", epoch %.6g", i->epoch_year);
        printf(", %s positions\n", f->exact ? "exact" : "compact");
        for (uint32_t g = 0; g < f->header->n_grids; g++)
            printf("  grid %u    %llu rows in %u bands%s\n", g, (unsigned long long)f->grid[g].n_rows, f->grid[g].n_bands,
                   g ? " (fast proper motions)" : "");
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

static void print_match(const njx_file *f, uint64_t row, double sep, int json)
{
    nj_buffer b = { 0 };
    double ra, dec;
    njx_position(f, row, &ra, &dec);
    nj_buffer_text(&b, json ? "{\"sep_arcsec\": " : "");
    if (json)
        nj_json_f64(&b, sep);
    else
        nj_buffer_printf(&b, "%.6f", sep);
    nj_buffer_text(&b, json ? ", \"ra\": " : "\t");
    nj_json_f64(&b, ra);
    nj_buffer_text(&b, json ? ", \"dec\": " : "\t");
    nj_json_f64(&b, dec);
    for (uint32_t c = 0; c < f->info.n_columns; c++) {
        nj_buffer_text(&b, json ? ", " : "\t");
        if (json) nj_json_text(&b, f->info.column[c].name);
        if (json) nj_buffer_text(&b, ": ");
        put_value(&b, f, c, row, json);
    }
    nj_buffer_text(&b, json ? "}\n" : "\n");
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
        !njx_search(f->grid, f->header->n_grids, f->header->epoch_year, cone, &(nj_sky_matches){ &state, &n, row, sep })) {
        rc = state == NJ_SKY_NO_INPUT ? usage("query: the position or the radius is out of range", "") : NJ_EXIT_OK;
        if (!json && !rc) {
            printf("sep_arcsec\tra\tdec");
            for (uint32_t c = 0; c < f->info.n_columns; c++) printf("\t%s", f->info.column[c].name);
            printf("\n");
        }
        for (uint32_t k = 0; !rc && k < n && k < cone->cap; k++) print_match(f, row[k], sep[k], json);
        if (state == NJ_SKY_OVERFLOW)
            fprintf(stderr, "nightjar catalog: %u rows are inside; the nearest %u are shown (--max)\n", n, cone->cap);
    }
    free(row);
    free(sep);
    return rc;
}

static int query(int argc, char **argv)
{
    static const struct option options[] = {
        { "epoch", 1, 0, OPT_EPOCH }, { "max", 1, 0, OPT_MAX }, { "json", 0, 0, OPT_JSON }, { 0 }
    };
    double epoch = NAN, max = 1000, radius;
    int json = 0;
    nj_error err;
    int before = nj_getopt(argc, argv, "+", options, &err);
    if (before == '?') return usage("query: ", err.text);
    if (before != -1) return usage("query: options stand behind RADIUS", "");
    int first = optind;
    if (argc - first < 4) return usage("query: CAT.njx RA DEC RADIUS_ARCSEC", "");
    optind = first + 4; /* a declination of -5 is no option */
    for (int o; (o = nj_getopt(argc, argv, "", options, &err)) != -1;) {
        if (o == '?') return usage("query: ", err.text);
        if (o == OPT_JSON)
            json = 1;
        else if (o == OPT_EPOCH && !number_option(optarg, 1000, 3000, &epoch))
            continue;
        else if (o == OPT_MAX && !number_option(optarg, 1, 1e8, &max))
            continue;
        else
            return usage("query: --epoch YEAR, --max N, --json", "");
    }
    char **arg = argv + first;
    double ra = nj_parse_angle(arg[1], strlen(arg[1]), nj_angle_has_parts(arg[1], strlen(arg[1]))),
           dec = nj_parse_angle(arg[2], strlen(arg[2]), 0);
    if (isnan(ra) || isnan(dec) || number_option(arg[3], 0, 648000, &radius))
        return usage("query: RA and DEC in degrees or in parts, RADIUS in arcsec", "");
    njx_file *f = open_file(arg[0], 0);
    if (!f) return NJ_EXIT_SOURCE;
    int rc =
        run_query(f,
                  &(nj_sky_cones){
                      .n = 1, .cap = (uint32_t)max, .ra = &ra, .dec = &dec, .one_radius_arcsec = radius, .epoch_year = &epoch },
                  json);
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
    double *ra = calloc(n_cones, 8), *dec = calloc(n_cones, 8), *radius = calloc(n_cones, 8), *sep = calloc(n_cones, 8),
           *least = calloc(n_cones, 8);
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
        wrong +=
            plain[i] != n[i] || (n[i] && fabs(sep[i] - least[i]) > 1e-9); /* the same formula: rounding of cos(dec) at most */
    }
    printf("%s: checksums good, %u cones with %llu matches, %d wrong\n", f->info.path, n_cones, (unsigned long long)n_matches,
           wrong);
done:
    free(ra), free(dec), free(radius), free(sep), free(least), free(n), free(plain), free(row), free(state);
    return wrong;
}

static int check(int argc, char **argv)
{
    static const struct option options[] = { { "cones", 1, 0, OPT_CONES }, { "seed", 1, 0, OPT_SEED }, { 0 } };
    double cones = 200, seed = 1;
    nj_error err;
    for (int o; (o = nj_getopt(argc, argv, "", options, &err)) != -1;) {
        if (o == '?') return usage("check: ", err.text);
        if ((o != OPT_CONES || number_option(optarg, 1, 1e6, &cones)) && (o != OPT_SEED || number_option(optarg, 1, 1e15, &seed)))
            return usage("check: --cones N, --seed S", "");
    }
    if (argc - optind != 1) return usage("check: which CAT.njx?", "");
    njx_file *f = open_file(argv[optind], 1);
    if (!f) return NJ_EXIT_SOURCE;
    int wrong = check_cones(f, (uint32_t)cones, (uint64_t)seed * 0x9e3779b97f4a7c15u), rc = no_rows(f);
    njx_close(f);
    return wrong ? NJ_EXIT_LEDGER : rc;
}

static int catalog(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*main)(int, char **);
    } verbs[] = { { "build", build }, { "info", info }, { "query", query }, { "check", check } };
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(argv[1], verbs[i].name)) {
            if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
                fputs(help, stdout);
                return NJ_EXIT_OK;
            }
            return verbs[i].main(argc - 1, argv + 1);
        }
    const char *names[] = { "build", "info", "query", "check", NULL };
    nj_error err;
    if (argc > 1) {
        nj_word_wrong("command", argv[1], names, &err);
        return usage(err.text, "");
    }
    fputs(help, stderr);
    return NJ_EXIT_USAGE;
}

NJ_COMMAND(catalog) = { "catalog", "catalog build|info|query|check ...", "local catalogues for cross-matching (.njx)", help,
                        catalog };
