/* xmatch.c - cross-match with a local catalogue: the nearest row within a radius, at the position of this
 * detection.
 *
 *     [module.gcvs]
 *     kind = xmatch
 *     catalog = gcvs.njx        ; made by `nightjar catalog build`
 *     radius_arcsec = 1.5
 *     columns = type            ; of the catalogue; title:name gives another name; empty = all
 *
 * The nearest row strictly nearer than the radius counts. Fink's own code asks each catalogue row for its
 * nearest alert instead and so loses matches when a batch holds two alerts of one source; the answers are
 * those of its table `computed`.
 *
 * Rules that narrow the match (one of them at most):
 * - error circles: sep < sqrt(radius_arcsec^2 + error_k^2 (error_arcsec^2 + error_column^2)),
 * searched within max_radius_arcsec;
 * - a physical radius: sep < kpc * 0.05 / z arcsec (1 kpc is 1 arcsec at z = 0.05),
 * at most radius_arcsec, which also holds
 *   below z = 0.01; rows without z do not count;
 * - hosts: the smallest sep / DLR counts, DLR being the galaxy's radius towards the alert, if it is below
 * dlr_max. With a rule, the max_matches nearest rows within the radius are judged.
 *
 * Reference: DLR: Gupta et al. 2016, AJ 152, 154, eq. 3, doi:10.3847/0004-6256/152/6/154; kpc rule: as the
 * brokers Kowalski and BOOM apply it to galaxies of NED. */
#include <ctype.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "nightjar/column.h"
#include "nightjar/list.h"
#include "nightjar/sky.h"

enum { RA, DEC, JD };
enum { N, SEP, STATE, FIXED_GIVES };
enum { MOST_COLUMNS = 64, MOST_MATCHES = 4096 };

typedef struct conf {
    const char *catalog, *columns, *error_column, *redshift_column, *dlr_a, *dlr_b, *dlr_pa;
    double radius_arcsec, max_radius_arcsec, error_k, error_arcsec, kpc, dlr_max;
    int64_t max_matches, motion, with_hash;
} conf;

typedef enum rule { RULE_NONE, RULE_ERROR, RULE_KPC, RULE_DLR } rule;

typedef struct column {
    char title[64], name[64]; /* in the catalogue, here */
    nj_type type;
} column;

typedef struct match {
    const nj_host *host;
    const nj_sky *sky;
    nj_sky_catalog *cat;
    conf c;
    rule rule;
    bool motion;
    uint32_t cap, n_columns, dlr, hash, first_column; /* numbers of gives */
    double radius;                                    /* of the search */
    uint64_t opened;                                  /* generation of the file then */
    column column[MOST_COLUMNS];
    _Atomic uint64_t *reported; /* newest generation that was logged: the one thing here that changes */
} match;

/* --- settings --- */

static int complain(const nj_host *host, const conf *c, const char *what, const char *which)
{
    host->log(host->opaque, 0, "xmatch: %s: %s%s%s", c->catalog, what, *which ? " " : "", which);
    return NJ_ECONF;
}

/* Cuts "title[:name]" off the list; false at its end. */
static bool next_item(const char **list, column *col)
{
    if (!nj_list_item(list, col->title, col->name, sizeof col->name)) return false;
    for (char *c = col->name; *c; c++) *c = (char)tolower((unsigned char)*c);
    return true;
}

static int add_column(match *m, const nj_sky_info *info, int at, column *col)
{
    static const char *const own[] = { "n", "sep_arcsec", "state", "dlr", "catalog" };
    for (size_t k = 0; k < sizeof own / sizeof *own; k++)
        if (!strcmp(own[k], col->name))
            return complain(m->host, &m->c, "a column of its own is already called", col->name);
    for (uint32_t k = 0; k < m->n_columns; k++)
        if (!strcmp(m->column[k].name, col->name))
            return complain(m->host, &m->c, "two columns would be called", col->name);
    if (m->n_columns == MOST_COLUMNS) return complain(m->host, &m->c, "too many columns", "");
    col->type = info->column[at].type;
    m->column[m->n_columns++] = *col;
    return NJ_OK;
}

static int choose_columns(match *m, const nj_sky_view *view)
{
    const nj_sky_info *info = m->sky->info(view);
    column col = { 0 };
    for (const char *list = m->c.columns; next_item(&list, &col);) {
        int at = m->sky->column(view, col.title);
        if (at < 0) {
            char known[400] = "";
            for (uint32_t c = 0; c < info->n_columns && strlen(known) < sizeof known - 66; c++) {
                strcat(known, c ? ", " : "");
                strcat(known, info->column[c].name);
            }
            m->host->log(m->host->opaque, 0, "xmatch: %s: no column '%s' (there are: %s)", m->c.catalog,
                         col.title, known);
            return NJ_ECONF;
        }
        if (add_column(m, info, at, &col)) return NJ_ECONF;
    }
    for (uint32_t c = 0; !*m->c.columns && c < info->n_columns; c++) {
        snprintf(col.title, sizeof col.title, "%s", info->column[c].name);
        snprintf(col.name, sizeof col.name, "%s", info->column[c].name);
        if (add_column(m, info, (int)c, &col)) return NJ_ECONF;
    }
    return NJ_OK;
}

static int is_numeric(const match *m, const nj_sky_view *view, const char *name)
{
    int at = m->sky->column(view, name);
    return at >= 0 && m->sky->info(view)->column[at].type != NJ_STR;
}

static int choose_rule(match *m, const nj_sky_view *view)
{
    const conf *c = &m->c;
    if (!!*c->error_column + !!(c->kpc > 0) + !!*c->dlr_a > 1)
        return complain(m->host, c, "error_column, kpc and dlr_a exclude each other", "");
    m->rule = *c->error_column ? RULE_ERROR : c->kpc > 0 ? RULE_KPC : *c->dlr_a ? RULE_DLR : RULE_NONE;
    m->radius = m->rule == RULE_ERROR ? c->max_radius_arcsec : c->radius_arcsec;
    m->cap = m->rule ? (uint32_t)c->max_matches : 1;
    const char *needed[3] = { m->rule == RULE_ERROR ? c->error_column
                              : m->rule == RULE_KPC ? c->redshift_column
                              : m->rule == RULE_DLR ? c->dlr_a
                                                    : NULL };
    if (m->rule == RULE_DLR) {
        needed[1] = c->dlr_b;
        needed[2] = c->dlr_pa;
    }
    for (int k = 0; k < 3; k++)
        if (needed[k] && !is_numeric(m, view, needed[k]))
            return complain(m->host, c, "has no numeric column", needed[k]);
    return NJ_OK;
}

/* All that follows from settings and catalogue; leaves the catalogue open. */
static int set_up(const nj_host *host, const conf *c, match *m)
{
    char why[600];
    *m = (match){ .host = host, .c = *c, .sky = host->service(host->opaque, "sky", NJ_SKY_VERSION) };
    if (!*c->catalog) return complain(host, c, "catalog = FILE.njx is missing", "");
    if (!m->sky) {
        complain(host, c, "this program has no catalogue service", "");
        return NJ_ENO_SERVICE;
    }
    int rc = m->sky->try_open(c->catalog, &m->cat, why, sizeof why);
    if (rc != NJ_OK) {
        host->log(host->opaque, 0, "xmatch: %s", why);
        return rc;
    }
    const nj_sky_view *view = m->sky->begin(m->cat);
    rc = choose_columns(m, view);
    if (rc == NJ_OK) rc = choose_rule(m, view);
    m->motion = c->motion && m->sky->info(view)->has_motion;
    m->opened = m->sky->info(view)->generation;
    m->sky->end(m->cat, view);
    m->dlr = FIXED_GIVES;
    m->hash = m->dlr + (m->rule == RULE_DLR);
    m->first_column = m->hash + (c->with_hash != 0);
    if (rc != NJ_OK) m->sky->close(m->cat);
    return rc;
}

static int declare(const nj_host *host, const void *conf_, nj_tables *tables)
{
    const conf *c = conf_;
    match *m = host->alloc(host->opaque, sizeof *m); /* names of gives point into it */
    if (!m) return NJ_ENOMEM;
    int rc = set_up(host, c, m);
    if (rc != NJ_OK) return rc;
    m->sky->close(m->cat);
    nj_need *need = host->alloc(host->opaque, 4 * sizeof *need);
    nj_give *give = host->alloc(host->opaque, (m->first_column + m->n_columns + 1) * sizeof *give);
    if (!need || !give) return NJ_ENOMEM;
    need[RA] = (nj_need){ "ra", NJ_F64, NJ_SCALAR, "deg", 0 };
    need[DEC] = (nj_need){ "dec", NJ_F64, NJ_SCALAR, "deg", 0 };
    need[JD] = m->motion ? (nj_need){ "jd", NJ_F64, NJ_SCALAR, "d", NJ_NEED_OPTIONAL } : (nj_need){ 0 };
    need[JD + 1] = (nj_need){ 0 };
    /* clang-format off */
    give[N] = (nj_give){ "n", NJ_I32, 1, -1, "1", 0, INFINITY, 0, 0,
                         "rows of the catalogue that match; none without a position" };
    give[SEP] = (nj_give){ "sep_arcsec", NJ_F64, 1, -1, "arcsec", 0, 648000, NAN, 0,
                           "separation of the row that counts; none without a match" };
    give[STATE] = (nj_give){ "state", NJ_STR, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
                             "match, none or unavailable; none without a position" };
    if (m->rule == RULE_DLR)
        give[m->dlr] = (nj_give){ "dlr", NJ_F64, 1, -1, "1", 0, INFINITY, NAN, 0,
                                  "separation in directional light radii; none without a match" };
    if (c->with_hash)
        give[m->hash] = (nj_give){ "catalog", NJ_STR, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
                                   "first 16 digits of the hash of the catalogue that answered; none without "
                                   "a position" };
    /* clang-format on */
    for (uint32_t k = 0; k < m->n_columns; k++) {
        const column *col = &m->column[k];
        size_t length = strlen(col->title) + strlen(c->catalog) + 64;
        char *doc = host->alloc(host->opaque, length);
        if (!doc) return NJ_ENOMEM;
        snprintf(doc, length, "%s of the matching row of %s; none without a match", col->title, c->catalog);
        give[m->first_column + k] =
            (nj_give){ col->name, col->type, 1, -1, "1", -INFINITY, INFINITY, NAN, 0, doc };
    }
    give[m->first_column + m->n_columns] = (nj_give){ 0 };
    *tables = (nj_tables){ need, give };
    return NJ_OK;
}

static int open_match(const nj_host *host, const void *conf_, void **self)
{
    match *m = host->alloc(host->opaque, sizeof *m);
    _Atomic uint64_t *reported = host->alloc(host->opaque, sizeof *reported);
    if (!m || !reported) return NJ_ENOMEM;
    int rc = set_up(host, conf_, m);
    if (rc != NJ_OK) return rc;
    atomic_init(reported, m->opened);
    m->reported = reported;
    *self = m;
    return NJ_OK;
}

static void close_match(void *self)
{
    match *m = self;
    if (m) m->sky->close(m->cat);
}

/* --- rows --- */

typedef struct columns_now { /* where the columns stand in this state of the file */
    int chosen[MOST_COLUMNS], error, redshift, a, b, pa;
} columns_now;

static void find_columns(const match *m, const nj_sky_view *view, columns_now *at)
{
    for (uint32_t k = 0; k < m->n_columns; k++) at->chosen[k] = m->sky->column(view, m->column[k].title);
    at->error = m->sky->column(view, m->c.error_column);
    at->redshift = m->sky->column(view, m->c.redshift_column);
    at->a = m->sky->column(view, m->c.dlr_a);
    at->b = m->sky->column(view, m->c.dlr_b);
    at->pa = m->sky->column(view, m->c.dlr_pa);
}

/* Separation in units of the ellipse's radius in the alert's direction; NaN when the row has no ellipse.
 * Given: axes in arcsec, position angle in deg, north to east.
 * On the tangent plane: good while the ellipse is small. */
static double light_radii(const match *m, const nj_sky_view *view, const columns_now *at, uint64_t row,
                          double ra, double dec, double sep)
{
    double a = m->sky->number(view, at->a, row), b = m->sky->number(view, at->b, row),
           pa = m->sky->number(view, at->pa, row);
    double galaxy_ra, galaxy_dec, deg = M_PI / 180;
    if (isnan(b)) b = a;
    if (isnan(pa)) pa = 0;
    if (!(a > 0 && b > 0)) return NAN;
    m->sky->position(view, row, &galaxy_ra, &galaxy_dec);
    double east = remainder(ra - galaxy_ra, 360) * cos(galaxy_dec * deg), north = dec - galaxy_dec;
    double angle = atan2(east, north) - pa * deg;
    double radius = a * b / hypot(a * sin(angle), b * cos(angle));
    return sep / radius;
}

/* Does the row count, and how good is it (smaller = better)? NaN = it does not. */
static double judge(const match *m, const nj_sky_view *view, const columns_now *at, uint64_t row, double ra,
                    double dec, double sep)
{
    const conf *c = &m->c;
    double v;
    switch (m->rule) {
    case RULE_ERROR:
        v = m->sky->number(view, at->error, row);
        if (isnan(v)) v = 0;
        return sep < sqrt(c->radius_arcsec * c->radius_arcsec +
                          c->error_k * c->error_k * (c->error_arcsec * c->error_arcsec + v * v))
                   ? sep
                   : NAN;
    case RULE_KPC:
        v = m->sky->number(view, at->redshift, row);
        return !(v > 0) ? NAN : v < 0.01 || sep < c->kpc * 0.05 / v ? sep : NAN;
    case RULE_DLR: v = light_radii(m, view, at, row, ra, dec, sep); return v < c->dlr_max ? v : NAN;
    default: return sep;
    }
}

static void put_columns(const match *m, const nj_work *w, const nj_sky_view *view, const columns_now *at,
                        uint64_t from, uint32_t row)
{
    for (uint32_t k = 0; k < m->n_columns; k++) {
        uint32_t give = m->first_column + k;
        int col = at->chosen[k];
        if (m->column[k].type == NJ_STR) {
            const char *text = m->sky->text(view, col, from);
            nj_put_text(w, give, row, text ? w->text(w, text, strlen(text)) : NJ_NO_STR);
            continue;
        }
        double v = m->sky->number(view, col, from);
        int64_t i = m->sky->integer(view, col, from);
        switch (m->column[k].type) {
        case NJ_F64: nj_put_f64(w, give, row, v); break;
        case NJ_F32: ((float *)w->out[give])[row] = (float)v; break;
        case NJ_I64: ((int64_t *)w->out[give])[row] = i; break;
        case NJ_I32: nj_put_i32(w, give, row, i == NJ_NO_I64 ? NJ_NO_I32 : (int32_t)i); break;
        default: nj_put_u8(w, give, row, i == NJ_NO_I64 ? NJ_NO_U8 : (uint8_t)i); break;
        }
    }
}

typedef struct found { /* of one search: the arrays that it fills */
    nj_sky_cones cones;
    nj_sky_matches matches;
} found;

static void put_row(const match *m, const nj_work *w, const nj_sky_view *view, const columns_now *at,
                    const found *f, uint32_t k)
{
    static const char match_text[] = "match", none_text[] = "none";
    uint32_t row = w->row[k];
    if (f->matches.state[k] == NJ_SKY_NO_INPUT) {
        w->reason[row] = NJ_NO_INPUT;
        return;
    }
    uint32_t n = f->matches.n[k], kept = n < f->cones.cap ? n : f->cones.cap, best = kept, counted = 0;
    double best_is = INFINITY;
    for (uint32_t i = 0; i < kept; i++) {
        size_t j = (size_t)k * f->cones.cap + i;
        double is =
            judge(m, view, at, f->matches.row[j], f->cones.ra[k], f->cones.dec[k], f->matches.sep_arcsec[j]);
        if (isnan(is)) continue;
        counted++;
        if (is < best_is) best_is = is, best = i;
    }
    uint32_t shown = m->rule ? counted : n;
    nj_put_i32(w, N, row, shown > INT32_MAX ? INT32_MAX : (int32_t)shown);
    nj_put_text(w, STATE, row, best < kept ? match_text : none_text);
    if (m->c.with_hash) nj_put_text(w, m->hash, row, w->text(w, m->sky->info(view)->hash, 16));
    if (best < kept) {
        size_t j = (size_t)k * f->cones.cap + best;
        nj_put_f64(w, SEP, row, f->matches.sep_arcsec[j]);
        if (m->rule == RULE_DLR) nj_put_f64(w, m->dlr, row, best_is);
        put_columns(m, w, view, at, f->matches.row[j], row);
    }
    w->reason[row] = NJ_DONE;
}

/* Says once that the file was replaced, or that its new state was refused. */
static void report(const match *m, const nj_sky_view *view)
{
    char why[600];
    const nj_sky_info *info = m->sky->info(view);
    uint64_t was = atomic_load_explicit(m->reported, memory_order_relaxed);
    if (info->generation > was && atomic_compare_exchange_strong(m->reported, &was, info->generation))
        m->host->log(m->host->opaque, 2, "%s: now with %llu rows, hash %.16s", info->path,
                     (unsigned long long)info->n_rows, info->hash);
    if (m->sky->problem(m->cat, why, sizeof why)) m->host->log(m->host->opaque, 1, "%s", why);
}

/* What search() must equal. */
static int search_plainly(const match *m, const nj_sky_view *view, const nj_sky_cones *cones,
                          const nj_sky_matches *out)
{
    if (m->motion) return m->sky->search(view, cones, out); /* the service keeps the motions to itself */
    return nj_sky_search_plain(m->sky, view, cones, out);
}

typedef int search_fn(const match *m, const nj_sky_view *view, const nj_sky_cones *cones,
                      const nj_sky_matches *out);

static int search_batch(const match *m, const nj_sky_view *view, const nj_sky_cones *cones,
                        const nj_sky_matches *out)
{
    return m->sky->search(view, cones, out);
}

static int match_rows(const match *m, const nj_work *w, search_fn *search)
{
    uint32_t n = w->n, cap = m->cap;
    double *ra = w->scratch(w, n * sizeof *ra), *dec = w->scratch(w, n * sizeof *dec),
           *epoch = w->scratch(w, n * sizeof *epoch);
    found f = { .cones = { .n = n,
                           .cap = cap,
                           .ra = ra,
                           .dec = dec,
                           .one_radius_arcsec = m->radius,
                           .epoch_year = m->motion ? epoch : NULL },
                .matches = { .state = w->scratch(w, n),
                             .n = w->scratch(w, n * sizeof(uint32_t)),
                             .row = w->scratch(w, (size_t)n * cap * sizeof(uint64_t)),
                             .sep_arcsec = w->scratch(w, (size_t)n * cap * sizeof(double)) } };
    if (!ra || !dec || !epoch || !f.matches.state || !f.matches.n || !f.matches.row || !f.matches.sep_arcsec)
        return NJ_ENOMEM;
    for (uint32_t k = 0; k < n; k++) {
        ra[k] = nj_f64_of(w, RA, w->row[k]);
        dec[k] = nj_f64_of(w, DEC, w->row[k]);
        if (m->motion) epoch[k] = 2000 + (nj_f64_of(w, JD, w->row[k]) - 2451545.0) / 365.25;
    }
    const nj_sky_view *view = m->sky->begin(m->cat); /* one state of the file for the whole batch */
    columns_now at;
    find_columns(m, view, &at);
    report(m, view);
    int rc = search(m, view, &f.cones, &f.matches) ? NJ_EINTERNAL : NJ_OK;
    for (uint32_t k = 0; rc == NJ_OK && k < n; k++) put_row(m, w, view, &at, &f, k);
    m->sky->end(m->cat, view);
    return rc;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    return match_rows(self, w, search_batch);
}

static int process_ref(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    return match_rows(self, w, search_plainly);
}

NJ_MODULE(xmatch) = {
    NJ_HEADER,
    .name = "xmatch",
    .version = "1.0",
    .summary = "the nearest row of a local catalogue within a radius, at this detection",
    .paper = "doi:10.3847/0004-6256/152/6/154 (directional light radius); none for the rest: great-circle "
             "separations",
    .flags = NJ_MODULE_WHOLE_BATCH, /* one state of the catalogue per batch,
                                     * and prefetching wants many cones */
    .params =
        (const nj_param[]){
            { "catalog", NJ_STR, "", offsetof(conf, catalog), 0, 0, "1",
              "the .njx file, looked for along the data path" },
            { "radius_arcsec", NJ_F64, "1.5", offsetof(conf, radius_arcsec), 0, 36000, "arcsec",
              "a row counts when it is nearer than this" },
            { "columns", NJ_STR, "", offsetof(conf, columns), 0, 0, "1",
              "columns of the catalogue to give, comma-separated, title:name to rename; empty = all" },
            { "error_column", NJ_STR, "", offsetof(conf, error_column), 0, 0, "1",
              "column with the row's position error (arcsec): radii by error circles" },
            { "error_k", NJ_F64, "3", offsetof(conf, error_k), 0, 100, "1",
              "error circles: how many standard errors" },
            { "error_arcsec", NJ_F64, "0", offsetof(conf, error_arcsec), 0, 3600, "arcsec",
              "error circles: the alert's own error" },
            { "max_radius_arcsec", NJ_F64, "60", offsetof(conf, max_radius_arcsec), 0, 36000, "arcsec",
              "error circles: no row farther than this counts" },
            { "kpc", NJ_F64, "0", offsetof(conf, kpc), 0, 10000, "kpc",
              "physical radius at the row's redshift; 0 = off" },
            { "redshift_column", NJ_STR, "z", offsetof(conf, redshift_column), 0, 0, "1",
              "physical radius: the column with the redshift" },
            { "dlr_a", NJ_STR, "", offsetof(conf, dlr_a), 0, 0, "1",
              "hosts: column with the semi-major axis (arcsec); empty = off" },
            { "dlr_b", NJ_STR, "b", offsetof(conf, dlr_b), 0, 0, "1",
              "hosts: column with the semi-minor axis (arcsec)" },
            { "dlr_pa", NJ_STR, "pa", offsetof(conf, dlr_pa), 0, 0, "1",
              "hosts: column with the position angle (deg, north to east)" },
            { "dlr_max", NJ_F64, "4", offsetof(conf, dlr_max), 0, 1000, "1",
              "hosts: farthest host in directional light radii" },
            { "max_matches", NJ_I64, "64", offsetof(conf, max_matches), 1, MOST_MATCHES, "1",
              "with a rule: how many of the nearest rows are judged" },
            { "motion", NJ_I64, "1", offsetof(conf, motion), 0, 1, "1",
              "apply proper motions up to the alert's time, if the catalogue has them" },
            { "with_hash", NJ_I64, "0", offsetof(conf, with_hash), 0, 1, "1",
              "give the column catalog: the hash of the file's state that answered" },
            { 0 } },
    .conf_size = sizeof(conf),
    .declare = declare,
    .open = open_match,
    .process = process,
    .process_ref = process_ref,
    .close = close_match
};
