/* write.c - rows of a .njx file to be are collected here in bounded memory; seal.c makes the file of them. */
#include "write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nightjar/beside.h"

int njx_refuse(char *why, size_t why_size, const char *format, ...)
{
    if (why_size) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(why, why_size, format, ap);
        va_end(ap);
    }
    return -1;
}

njx_writer *njx_create(const njx_options *o, char *why, size_t why_size)
{
    if (o->n_columns > NJX_COLUMNS) {
        njx_refuse(why, why_size, "%s: %u columns, but at most %d fit", o->path, o->n_columns, NJX_COLUMNS);
        return NULL;
    }
    njx_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->path = strdup(o->path)) || !(w->temp = malloc(strlen(o->path) + 32))) {
        njx_refuse(why, why_size, "%s: no memory", o->path);
        if (w) free(w->path);
        free(w);
        return NULL;
    }
    w->o = *o;
    if (!w->o.memory_bytes) w->o.memory_bytes = (size_t)1 << 30;
    if (!(w->o.fast_mas > 0)) w->o.fast_mas = 50;
    snprintf(w->source, sizeof w->source, "%s", o->source ? o->source : "");
    snprintf(w->frame, sizeof w->frame, "%s", o->frame ? o->frame : "icrs");
    for (uint32_t c = 0; c < o->n_columns; c++) {
        snprintf(w->name[c], sizeof w->name[c], "%s", o->column[c].name);
        snprintf(w->unit[c], sizeof w->unit[c], "%s", o->column[c].unit ? o->column[c].unit : "");
        w->column[c] = (nj_sky_column){ w->name[c], o->column[c].type, w->unit[c] };
    }
    w->motion_at = 16;
    w->values_at = 16 + (o->has_motion ? 8 : 0);
    w->stride = w->values_at + 8 * (size_t)o->n_columns;
    for (int g = 0; g < NJX_GRIDS; g++)
        for (int b = 0; b < NJX_BUCKETS; b++) w->bucket[g][b].fd = -1;
    w->fd = nj_beside_open(AT_FDCWD, w->path, 0666, w->temp, strlen(o->path) + 32);
    if (w->fd < 0) {
        njx_refuse(why, why_size, "%s: cannot be written: %s", w->path, strerror(errno));
        njx_abandon(w);
        return NULL;
    }
    return w;
}

int njx_write_all(int fd, const char *data, size_t n, uint64_t at)
{
    while (n) {
        ssize_t put = pwrite(fd, data, n, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return -1;
        data += put;
        n -= (size_t)put;
        at += (uint64_t)put;
    }
    return 0;
}

/* Puts every bucket's rows into its temporary file, which has no name any more. */
static int spill(njx_writer *w)
{
    for (int g = 0; g < NJX_GRIDS; g++)
        for (int k = 0; k < NJX_BUCKETS; k++) {
            njx_bucket *b = &w->bucket[g][k];
            if (b->n && b->fd < 0) {
                char *name;
                if (asprintf(&name, "%s.XXXXXX", w->temp) < 0) return -1;
                b->fd = mkostemp(name, O_CLOEXEC);
                if (b->fd >= 0) unlink(name);
                free(name);
                if (b->fd < 0) return -1;
            }
            if (b->n && njx_write_all(b->fd, b->data, b->n, b->n_out)) return -1;
            b->n_out += b->n;
            free(b->data);
            b->data = NULL;
            b->n = b->cap = 0;
        }
    w->in_memory = 0;
    w->spilled = 1;
    return 0;
}

static char *new_record(njx_writer *w, int grid, double dec)
{
    njx_bucket *b = &w->bucket[grid][njx_dec_u32(dec) >> 24];
    if (b->cap - b->n < w->stride) {
        size_t cap = b->cap ? b->cap + b->cap / 2 : 16 * w->stride;
        char *data = realloc(b->data, cap);
        if (!data) return NULL;
        w->in_memory += cap - b->cap;
        b->data = data;
        b->cap = cap;
    }
    b->n += w->stride;
    return b->data + b->n - w->stride;
}

static int put_value(njx_writer *w, uint32_t c, const njx_value *v, char *to)
{
    switch (w->column[c].type) {
    case NJ_F64:
    case NJ_F32: memcpy(to, &v->number, 8); return 0;
    case NJ_STR: {
        uint64_t code = v->text ? njx_encode(&w->dictionary[c], v->text, v->n_text) : NJX_NO_CODE;
        memcpy(to, &code, 8);
        return v->text && code == NJX_NO_CODE ? -1 : 0;
    }
    default: memcpy(to, &v->integer, 8); return 0;
    }
}

int njx_add(njx_writer *w, double ra, double dec, double pm_ra, double pm_dec, const njx_value *value,
            char *why, size_t why_size)
{
    if (!isfinite(ra) || !(dec >= -90 && dec <= 90) || ra < -180 || ra > 360) {
        w->n_rejected++;
        return 0;
    }
    if (!(ra >= 0 && ra < 360)) ra -= 360 * floor(ra / 360);
    if (ra >= 360) ra = 0; /* -1e-20 + 360 */
    double motion = w->o.has_motion ? hypot(isfinite(pm_ra) ? pm_ra : 0, isfinite(pm_dec) ? pm_dec : 0) : 0;
    int grid = motion > w->o.fast_mas;
    char *record = new_record(w, grid, dec);
    if (!record) return njx_refuse(why, why_size, "%s: no memory", w->path);
    memcpy(record, &ra, 8);
    memcpy(record + 8, &dec, 8);
    if (w->o.has_motion) {
        float pm[2] = { isfinite(pm_ra) ? (float)pm_ra : NAN, isfinite(pm_dec) ? (float)pm_dec : NAN };
        memcpy(record + w->motion_at, pm, 8);
    }
    for (uint32_t c = 0; c < w->o.n_columns; c++)
        if (put_value(w, c, &value[c], record + w->values_at + 8 * c))
            return njx_refuse(why, why_size, "%s: too many different texts in column '%s'", w->path,
                              w->name[c]);
    w->n_rows[grid]++;
    if (motion > w->max_motion[grid]) w->max_motion[grid] = motion;
    if (w->in_memory > w->o.memory_bytes && spill(w))
        return njx_refuse(why, why_size, "%s: temporary file: %s", w->path, strerror(errno));
    return 1;
}

uint64_t njx_rejected(const njx_writer *w)
{
    return w->n_rejected;
}

void njx_abandon(njx_writer *w)
{
    if (!w) return;
    for (int g = 0; g < NJX_GRIDS; g++)
        for (int k = 0; k < NJX_BUCKETS; k++) {
            free(w->bucket[g][k].data);
            if (w->bucket[g][k].fd >= 0) close(w->bucket[g][k].fd);
        }
    for (uint32_t c = 0; c < w->o.n_columns; c++) njx_dictionary_free(&w->dictionary[c]);
    if (w->fd >= 0) {
        unlink(w->temp);
        close(w->fd);
    }
    free(w->temp);
    free(w->path);
    free(w);
}
