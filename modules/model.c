/* model.c - a trained model as a module, by settings alone: columns or expressions of columns, and stamps,
 * into any model folder.
 *
 * Given: `features`, a comma-separated list of columns or expressions in the model's order;
 * empty: the names of the
 *   manifest's features are columns; "lc.features": they are columns of the module features. `stamps`: the
 *   stamps of the model's image input [N, side, side, channels], each divided by its norm.
 * Returned: one column per output value, named score, or after the manifest's classes, or as the settings
 *   say; an output of more than 32 values per row (an embedding) is one column.
 * Notes: a row with a null feature has no answer, unless missing says what the model gets in its place. */
#include <ctype.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nightjar/column.h"
#include "nightjar/expression.h"
#include "nightjar/model.h"
#include "nightjar/stamp.h"

/* More values of an output than MAX_SCALARS are one column. */
enum { MAX_FEATURES = 512, MAX_STAMPS = 3, MAX_SCALARS = 32, MAX_WIDTH = 8192, ROWS = 32, IMAGE_ROWS = 8 };

typedef struct conf {
    const char *model, *features, *stamps, *missing, *engine, *device, *sum, *small_stamps;
    const char *outputs, *flag, *flag_above;
} conf;

typedef struct state {
    const nj_model_service *service;
    nj_model *model;
    nj_expression *feature; /* [n_features] */
    const char **column;    /* [n_columns] */
    const char *stamp[MAX_STAMPS];
    uint32_t n_features, n_columns, n_stamps, side, width, max_rows;
    int feature_input, image_input; /* of the model; -1 = none */
    int keep_nan, small;
    float missing; /* in place of a null feature; NaN: none */
    uint32_t n_gives, *give_width;
    const nj_host *host;
    const char *name;    /* the model's */
    atomic_int *rounded; /* reported once */
} state;

typedef struct thread {
    nj_model_thread *model;
} thread;

/* --- reading the settings --- */

static char *copy_text(void *opaque, const char *text, uint32_t n)
{
    const nj_host *host = opaque;
    char *copy = host->alloc(host->opaque, n + 1);
    if (copy) memcpy(copy, text, n);
    return copy;
}

static int refuse(const nj_host *host, const conf *c, const char *what, const char *word)
{
    host->log(host->opaque, 0, "model = %s: %s%s", c->model, what, word);
    return NJ_ECONF;
}

/* The end of an item of a list: a comma outside parentheses. */
static const char *item_end(const char *p)
{
    for (int depth = 0; *p && (depth || *p != ','); p++) depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
    return p;
}

static int add_feature(state *s, const nj_host *host, const conf *c, const char *text, uint32_t n,
                       nj_expression_names *names)
{
    const char *why;
    uint32_t at;
    if (s->n_features == MAX_FEATURES) return refuse(host, c, "too many features", "");
    if (!nj_expression_compile(&s->feature[s->n_features], text, n, names, &why, &at)) {
        s->n_features++;
        return NJ_OK;
    }
    host->log(host->opaque, 0, "model = %s: features: '%.*s': %s (character %u)", c->model, (int)n, text, why,
              at + 1);
    return NJ_ECONF;
}

/* features.<name of the manifest, in lower case>, or the name as it stands. */
static int manifest_features(state *s, const nj_host *host, const conf *c, const char *prefix,
                             nj_expression_names *names)
{
    const nj_model_info *info = s->service->info(s->model);
    for (uint32_t k = 0; k < info->n_features; k++) {
        char name[256];
        int n = snprintf(name, sizeof name, "%s%s", prefix, info->feature[k]);
        if (n >= (int)sizeof name) return refuse(host, c, "a feature's name is too long", "");
        for (char *p = name; *prefix && *p; p++) *p = (char)tolower((unsigned char)*p);
        int rc = add_feature(s, host, c, name, (uint32_t)n, names);
        if (rc != NJ_OK) return rc;
    }
    return NJ_OK;
}

static int read_features(state *s, const nj_host *host, const conf *c)
{
    nj_expression_names names = { .cap = MAX_FEATURES, .copy = copy_text, .opaque = (void *)(uintptr_t)host };
    names.name = host->alloc(host->opaque, MAX_FEATURES * sizeof *names.name);
    s->feature = host->alloc(host->opaque, MAX_FEATURES * sizeof *s->feature);
    if (!names.name || !s->feature) return NJ_ENOMEM;
    int rc = NJ_OK;
    if (s->feature_input < 0) {
        if (c->features[0])
            return refuse(host, c, "features are given, but it has no input [N, features]", "");
    } else if (!c->features[0] || !strcmp(c->features, "lc.features"))
        rc = manifest_features(s, host, c, c->features[0] ? "features." : "", &names);
    else
        for (const char *p = c->features, *end; rc == NJ_OK && *p; p = *end ? end + 1 : end) {
            end = item_end(p);
            rc = add_feature(s, host, c, p, (uint32_t)(end - p), &names);
        }
    s->column = names.name;
    s->n_columns = names.n;
    return rc;
}

static int read_stamps(state *s, const nj_host *host, const conf *c)
{
    static const char *const known[] = { "science", "template", "difference" };
    for (const char *p = c->stamps, *end; *p; p = *end ? end + 1 : end) {
        end = strchrnul(p, ',');
        while (*p == ' ') p++;
        size_t n = (size_t)(end - p), k = 0;
        while (n && p[n - 1] == ' ') n--;
        while (k < 3 && (strlen(known[k]) != n || strncmp(known[k], p, n))) k++;
        if (k == 3 || s->n_stamps == MAX_STAMPS)
            return refuse(host, c, "stamps: science, template, difference, each once: ", c->stamps);
        char path[32];
        int len = snprintf(path, sizeof path, "stamp.%s", known[k]);
        s->stamp[s->n_stamps++] = copy_text((void *)(uintptr_t)host, path, (uint32_t)len);
    }
    return NJ_OK;
}

/* Which input takes what, and do the counts fit? */
static int match_inputs(state *s, const nj_host *host, const conf *c)
{
    const nj_model_info *info = s->service->info(s->model);
    s->feature_input = s->image_input = -1;
    for (uint32_t i = 0; i < info->n_inputs; i++) {
        const nj_model_port *p = &info->input[i];
        if (p->type == NJ_F32 && p->rank == 2 && s->feature_input < 0)
            s->feature_input = (int)i;
        else if (p->type == NJ_F32 && p->rank == 4 && p->dim[1] == p->dim[2] && s->image_input < 0)
            s->image_input = (int)i;
        else
            return refuse(host, c,
                          "this kind takes one input [N, features] and one [N, side, side, stamps]; not ",
                          p->name);
    }
    return NJ_OK;
}

static int check_counts(const state *s, const nj_host *host, const conf *c)
{
    const nj_model_info *info = s->service->info(s->model);
    char text[160];
    if (s->feature_input >= 0 && info->input[s->feature_input].row_elements != s->n_features) {
        snprintf(text, sizeof text, "its input %s has %u features, the settings give %u",
                 info->input[s->feature_input].name, info->input[s->feature_input].row_elements,
                 s->n_features);
        return refuse(host, c, text, "");
    }
    if (s->image_input >= 0 ? info->input[s->image_input].dim[3] != (int32_t)s->n_stamps : s->n_stamps != 0) {
        snprintf(text, sizeof text, "it takes %d stamps, the settings give %u",
                 s->image_input >= 0 ? info->input[s->image_input].dim[3] : 0, s->n_stamps);
        return refuse(host, c, text, "");
    }
    if (info->width > MAX_WIDTH) return refuse(host, c, "it has too many outputs", "");
    if (nj_stamp_small(c->small_stamps) < 0)
        return refuse(host, c, "small_stamps must be boom or kowalski, not ", c->small_stamps);
    char *end;
    if (strcmp(c->missing, "skip") && (strtod(c->missing, &end), !c->missing[0] || *end))
        return refuse(host, c, "missing must be skip, nan or a number, not ", c->missing);
    if (c->flag_above[0] && (strtod(c->flag_above, &end), *end))
        return refuse(host, c, "flag_above must be a number, not ", c->flag_above);
    return NJ_OK;
}

/* A column per value, or per output where it has too many. */
static int count_gives(state *s, const nj_host *host)
{
    const nj_model_info *info = s->service->info(s->model);
    s->give_width = host->alloc(host->opaque, (info->width + 1) * sizeof *s->give_width);
    for (uint32_t i = 0; s->give_width && i < info->n_outputs; i++) {
        const uint32_t n = info->output[i].row_elements;
        for (uint32_t e = 0; e < (n > MAX_SCALARS ? 1 : n); e++)
            s->give_width[s->n_gives++] = n > MAX_SCALARS ? n : 1;
    }
    return s->give_width ? NJ_OK : NJ_ENOMEM;
}

static int open_state(state *s, const nj_host *host, const conf *c)
{
    *s = (state){ .service = host->service(host->opaque, NJ_MODEL_SERVICE, 1),
                  .small = nj_stamp_small(c->small_stamps),
                  .keep_nan = !strcmp(c->missing, "nan"),
                  .missing = strcmp(c->missing, "skip") ? strtof(c->missing, NULL) : NAN };
    if (!c->model[0]) return refuse(host, c, "the setting names no model", "");
    int rc = nj_model_open(
        s->service, host, c->model,
        &(nj_model_options){
            .size = sizeof(nj_model_options), .engine = c->engine, .device = c->device, .sum = c->sum },
        &s->model);
    if (rc != NJ_OK) return rc;
    rc = match_inputs(s, host, c);
    if (rc == NJ_OK) rc = read_features(s, host, c);
    if (rc == NJ_OK) rc = read_stamps(s, host, c);
    if (rc == NJ_OK) rc = check_counts(s, host, c);
    if (rc == NJ_OK) rc = count_gives(s, host);
    if (rc != NJ_OK) {
        s->service->close(s->model);
        return rc;
    }
    s->host = host;
    s->name = s->service->info(s->model)->folder;
    s->rounded = host->alloc(host->opaque, sizeof *s->rounded);
    if (!s->rounded) {
        s->service->close(s->model);
        return NJ_ENOMEM;
    }
    s->width = s->service->info(s->model)->width;
    s->side = s->image_input >= 0 ? (uint32_t)s->service->info(s->model)->input[s->image_input].dim[1] : 0;
    s->max_rows = s->image_input >= 0 ? IMAGE_ROWS : ROWS;
    return NJ_OK;
}

/* --- tables --- */

/* A class's name as a column's: lower case, everything else becomes one underscore. */
static const char *column_name(const nj_host *host, const char *text, const char *otherwise, uint32_t k)
{
    char name[64];
    uint32_t n = 0;
    for (const char *p = text ? text : ""; *p && n < sizeof name - 8; p++) {
        char c = (char)tolower((unsigned char)*p);
        if (isalnum((unsigned char)c))
            name[n++] = c;
        else if (n && name[n - 1] != '_')
            name[n++] = '_';
    }
    while (n && name[n - 1] == '_') n--;
    if (!n || !isalpha((unsigned char)name[0]))
        n = (uint32_t)snprintf(name, sizeof name, "%s_%u", otherwise, k);
    return copy_text((void *)(uintptr_t)host, name, n);
}

/* The k-th name of `outputs`; NULL when there is none. */
static const char *given_name(const nj_host *host, const conf *c, uint32_t k)
{
    const char *p = c->outputs;
    for (; *p && k; k--) p += strcspn(p, ","), p += *p == ',';
    while (*p == ' ') p++;
    uint32_t n = (uint32_t)strcspn(p, ", ");
    return n ? copy_text((void *)(uintptr_t)host, p, n) : NULL;
}

static int set_flag(const state *s, const nj_host *host, const conf *c, nj_give *give)
{
    uint32_t k = s->n_gives - 1; /* of two classes the second is the one that is looked for */
    if (!c->flag_above[0]) return NJ_OK;
    for (k = c->flag[0] ? 0 : k; k < s->n_gives && c->flag[0] && strcmp(give[k].name, c->flag); k++) {
    }
    if (k == s->n_gives) return refuse(host, c, "flag names no output: ", c->flag);
    give[k].flag_above = strtod(c->flag_above, NULL);
    return NJ_OK;
}

static int make_gives(const state *s, const nj_host *host, const conf *c, const nj_give **gives)
{
    const nj_model_info *info = s->service->info(s->model);
    nj_give *give = host->alloc(host->opaque, (s->n_gives + 1) * sizeof *give);
    uint32_t n_names = c->outputs[0] != 0;
    if (!give) return NJ_ENOMEM;
    for (const char *q = c->outputs; *q; q++) n_names += *q == ',';
    if (n_names && n_names != s->n_gives)
        return refuse(host, c, "outputs names another number of columns", "");
    for (uint32_t i = 0, k = 0; i < info->n_outputs; i++)
        for (uint32_t e = 0; e < info->output[i].row_elements; e++, k++) {
            const uint32_t width = s->give_width[k];
            char path[64];
            snprintf(path, sizeof path, "outputs.%u.classes.%u", i, e);
            const char *usual = width > 1 ? info->output[i].name : s->service->text(s->model, path);
            const char *own = given_name(host, c, k);
            give[k] = (nj_give){ .name = own ? own
                                         : s->n_gives == 1 && width == 1
                                             ? "score"
                                             : column_name(host, usual, width > 1 ? "vector" : "p", k),
                                 .type = NJ_F64,
                                 .width = width,
                                 .like = -1,
                                 .unit = "1",
                                 .lo = -INFINITY,
                                 .hi = INFINITY,
                                 .flag_above = NAN,
                                 .doc = "an output of the model; none when an input is missing" };
            for (uint32_t j = 0; !own && give[k].name && j < k; j++)
                if (!strcmp(give[j].name, give[k].name)) give[k].name = column_name(host, NULL, "p", k);
            if (!give[k].name) return NJ_ENOMEM;
            if (width > 1) e = info->output[i].row_elements;
        }
    *gives = give;
    return set_flag(s, host, c, give);
}

static const nj_need *make_needs(const state *s, const nj_host *host)
{
    nj_need *need = host->alloc(host->opaque, (s->n_columns + s->n_stamps + 1) * sizeof *need);
    for (uint32_t k = 0; need && k < s->n_columns; k++)
        need[k] = (nj_need){ s->column[k], NJ_F64, NJ_SCALAR, "", 0 };
    for (uint32_t k = 0; need && k < s->n_stamps; k++)
        need[s->n_columns + k] = (nj_need){ s->stamp[k], NJ_F32, NJ_IMAGE, "DN", 0 };
    return need;
}

static int declare(const nj_host *host, const void *c, nj_tables *tables)
{
    state s;
    int rc = open_state(&s, host, c);
    if (rc != NJ_OK) return rc;
    *tables = (nj_tables){ make_needs(&s, host), NULL };
    rc = tables->needs ? make_gives(&s, host, c, &tables->gives) : NJ_ENOMEM;
    s.service->close(s.model);
    return rc;
}

static int open_model(const nj_host *host, const void *c, void **self)
{
    state *s = host->alloc(host->opaque, sizeof *s);
    int rc = s ? open_state(s, host, c) : NJ_ENOMEM;
    if (rc == NJ_OK) *self = s;
    return rc;
}

static void close_model(void *self)
{
    state *s = self;
    if (s) s->service->close(s->model);
}

static int thread_open(const void *self, void *memory)
{
    const state *s = self;
    thread *t = memory;
    t->model = s->service->thread_open(s->model, s->max_rows, 0);
    return t->model ? NJ_OK : NJ_ENOMEM;
}

static void thread_close(const void *self, void *memory)
{
    ((const state *)self)->service->thread_close(((thread *)memory)->model);
}

/* --- rows --- */

typedef struct block {
    uint32_t n, *row;
    float *features, *images;
    double *column, *out;
} block;

/* A number of 64 bits is a double when it comes here, and a float32 in the model. */
static void report_rounded(const state *s, uint32_t column, double value)
{
    if (!atomic_exchange(s->rounded, 1))
        s->host->log(s->host->opaque, 1,
                     "model = %s: column %s holds %.17g: whole numbers beyond 2^53 are rounded before the "
                     "model sees them, and it sees 24 bits (reported once)",
                     s->name, s->column[column], value);
}

static nj_reason add_row(const state *s, block *b, const nj_work *w, uint32_t row)
{
    float *x = b->features + (size_t)b->n * s->n_features;
    for (uint32_t k = 0; k < s->n_columns; k++) {
        b->column[k] = nj_f64_of(w, k, row);
        if (fabs(b->column[k]) > 0x1p53 && isfinite(b->column[k])) report_rounded(s, k, b->column[k]);
    }
    for (uint32_t k = 0; k < s->n_features; k++) {
        x[k] = (float)nj_expression_value(&s->feature[k], b->column);
        if (isnan(x[k]) && isnan(s->missing) && !s->keep_nan) return NJ_NO_INPUT;
        if (isnan(x[k])) x[k] = s->missing;
    }
    float *image = b->images + (size_t)b->n * s->side * s->side * s->n_stamps;
    for (uint32_t k = 0; k < s->n_stamps; k++) {
        nj_reason reason = nj_stamp_plane(w->image(w, s->n_columns + k, row), (nj_small_stamp)s->small,
                                          s->side, image + k, s->n_stamps);
        if (reason != NJ_DONE) return reason;
    }
    b->row[b->n++] = row;
    return NJ_DONE;
}

static int score(const state *s, const thread *t, block *b, const nj_work *w, int reference)
{
    const void *input[2];
    if (s->feature_input >= 0) input[s->feature_input] = b->features;
    if (s->image_input >= 0) input[s->image_input] = b->images;
    nj_model_call call = { .n_rows = b->n, .input = input, .out = b->out, .reference = (uint32_t)reference };
    int rc = b->n ? s->service->predict(s->model, t->model, &call) : NJ_OK;
    for (uint32_t i = 0; rc == NJ_OK && i < b->n; i++) {
        const double *out = b->out + (size_t)i * s->width;
        for (uint32_t k = 0; k < s->n_gives; k++)
            for (uint32_t e = 0; e < s->give_width[k]; e++, out++)
                if (!isfinite(*out))
                    w->reason[b->row[i]] = NJ_RANGE;
                else
                    ((double *)w->out[k])[(size_t)b->row[i] * s->give_width[k] + e] = *out;
    }
    b->n = 0;
    return rc;
}

static int all(const state *s, const thread *t, const nj_work *w, int reference)
{
    block b = { .row = w->scratch(w, s->max_rows * sizeof *b.row),
                .features = w->scratch(w, (size_t)s->max_rows * (s->n_features + 1) * sizeof *b.features),
                .images = w->scratch(
                    w, (size_t)s->max_rows * s->side * s->side * s->n_stamps * sizeof *b.images + 64),
                .column = w->scratch(w, (s->n_columns + 1) * sizeof *b.column),
                .out = w->scratch(w, (size_t)s->max_rows * s->width * sizeof *b.out) };
    if (!b.row || !b.features || !b.images || !b.column || !b.out) return NJ_ENOMEM;
    int rc = NJ_OK;
    for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) {
        w->reason[w->row[k]] = (uint8_t)add_row(s, &b, w, w->row[k]);
        if (b.n == s->max_rows) rc = score(s, t, &b, w, reference);
    }
    return rc == NJ_OK ? score(s, t, &b, w, reference) : rc;
}

static int process(const void *self, void *memory, const nj_work *w)
{
    return all(self, memory, w, 0);
}

NJ_MODULE(model) = {
    NJ_HEADER,
    .name = "model",
    .version = "1.0",
    .summary = "any ONNX model by settings: features from columns or expressions, and stamps",
    .paper = "none: the model's own",
    .params =
        (const nj_param[]){
            { "model", NJ_STR, "", offsetof(conf, model), 0, 0, "1",
              "the model's folder, along the data path" },
            { "features", NJ_STR, "", offsetof(conf, features), 0, 0, "1",
              "columns or expressions, comma-separated, in the model's order; empty: the manifest's names" },
            { "stamps", NJ_STR, "", offsetof(conf, stamps), 0, 0, "1",
              "of science, template, difference: the channels of the model's image input" },
            { "missing", NJ_STR, "skip", offsetof(conf, missing), 0, 0, "1",
              "skip: a null feature means no answer; nan: the model gets NaN; a number: it gets that" },
            { "outputs", NJ_STR, "", offsetof(conf, outputs), 0, 0, "1",
              "names of the columns, comma-separated; empty: score, or after the manifest's classes" },
            { "flag_above", NJ_STR, "", offsetof(conf, flag_above), 0, 0, "1",
              "a row counts as flagged when the column of `flag` is above this; empty: never" },
            { "flag", NJ_STR, "", offsetof(conf, flag), 0, 0, "1", "of flag_above; empty: the last column" },
            { "engine", NJ_STR, "auto", offsetof(conf, engine), 0, 0, "1",
              "auto, builtin or ort (ONNX Runtime)" },
            { "device", NJ_STR, "cpu", offsetof(conf, device), 0, 0, "1",
              "cpu, or cuda with an ONNX Runtime that has it" },
            { "sum", NJ_STR, "double", offsetof(conf, sum), 0, 0, "1",
              "of forests: double, or float as ONNX Runtime" },
            { "small_stamps", NJ_STR, "boom", offsetof(conf, small_stamps), 0, 0, "1",
              "stamps below the model's size: boom (centred in zeros) or kowalski (1e-9 behind)" },
            { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = sizeof(thread),
    .rows_hint = ROWS,
    .declare = declare,
    .open = open_model,
    .thread_open = thread_open,
    .process = process,
    .thread_close = thread_close,
    .close = close_model
};
