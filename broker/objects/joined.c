/* joined.c - the histories of an object's alerts overlap: each point of a series once.
 *
 * A point is told apart by its time, band and kind (a detection and a limit of one time are two), and by what
 * else names it: candid, pid, exposure. An alert that lacks such a name (older schemas) does not
 * contradict. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static nj_type type_of(const nj_joined *j, uint32_t k)
{
    return j->layout->col[j->group->column[k]].type;
}

static double number(const nj_joined *j, uint32_t k, uint32_t i)
{
    return k == NJ_NO_INDEX ? 0 : nj_number(type_of(j, k), j->value[k], i);
}

static bool is_null(const nj_joined *j, uint32_t k, uint32_t i)
{
    return type_of(j, k) == NJ_STR ? !((const char *const *)j->value[k])[i] : isnan(number(j, k, i));
}

/* Both are there. */
static bool same_value(const nj_joined *j, uint32_t k, uint32_t a, uint32_t b)
{
    const nj_type type = type_of(j, k);
    if (type == NJ_STR)
        return !strcmp(((const char *const *)j->value[k])[a], ((const char *const *)j->value[k])[b]);
    if (type == NJ_I64) return ((const int64_t *)j->value[k])[a] == ((const int64_t *)j->value[k])[b];
    return number(j, k, a) == number(j, k, b);
}

static void copy_value(nj_joined *j, uint32_t k, uint32_t to, uint32_t from)
{
    const size_t size = nj_type_size(type_of(j, k));
    memcpy((char *)j->value[k] + to * size, (const char *)j->value[k] + from * size, size);
}

int nj_joined_room(nj_joined *j, uint32_t n)
{
    if (!j->value && !(j->value = calloc(j->group->n, sizeof *j->value))) return -1;
    if (n <= j->cap - j->n) return 0;
    uint32_t cap = j->cap ? j->cap : 64;
    while (cap < j->n + n) {
        if (cap > UINT32_MAX / 2) return -1;
        cap *= 2;
    }
    for (uint32_t k = 0; k < j->group->n; k++) {
        void *more = realloc(j->value[k], cap * nj_type_size(type_of(j, k)));
        if (!more) return -1;
        j->value[k] = more;
    }
    j->cap = cap;
    return 0;
}

/* By time; of one time limits before detections (kind 1, 0), then by band; then as they came. */
static int compare(const void *a_, const void *b_, void *joined)
{
    const nj_joined *j = joined;
    const uint32_t a = *(const uint32_t *)a_, b = *(const uint32_t *)b_;
    const double x = number(j, j->group->jd, a), y = number(j, j->group->jd, b);
    if (x != y) return x < y ? -1 : 1;
    const double p = number(j, j->group->kind, a), q = number(j, j->group->kind, b);
    if (p != q && !(isnan(p) && isnan(q))) return isnan(p) || p > q ? -1 : 1;
    const double u = number(j, j->group->band, a), v = number(j, j->group->band, b);
    if (u != v && !(isnan(u) && isnan(v))) return isnan(u) || u < v ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool one_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool one_moment(const nj_joined *j, uint32_t a, uint32_t b)
{
    const nj_objects_group *g = j->group;
    return number(j, g->jd, a) == number(j, g->jd, b) &&
           one_number(number(j, g->kind, a), number(j, g->kind, b)) &&
           one_number(number(j, g->band, a), number(j, g->band, b));
}

static bool contradict(const nj_joined *j, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < j->group->n_identities; i++) {
        const uint32_t k = j->group->identity[i];
        if (!is_null(j, k, a) && !is_null(j, k, b) && !same_value(j, k, a, b)) return true;
    }
    return false;
}

/* The newer one stays; what it lacks comes from the older one. */
static void take_over(nj_joined *j, uint32_t newer, uint32_t older, const char *key)
{
    nj_objects_series *told = j->group->told;
    const char *differs = NULL;
    for (uint32_t k = 0; k < j->group->n; k++) {
        if (is_null(j, k, older)) continue;
        if (is_null(j, k, newer))
            copy_value(j, k, newer, older);
        else if (!differs && !same_value(j, k, newer, older))
            differs = j->layout->col[j->group->column[k]].path;
    }
    if (!told) return;
    told->repeated++;
    if (!differs) return;
    if (!told->differing++)
        snprintf(told->first_differing, sizeof told->first_differing, "%s of %s", differs, key);
}

/* Of order[from .. to), points of one moment, those that stay: to the front. Their number. */
static uint32_t settle_moment(nj_joined *j, uint32_t *order, uint32_t n, const char *key)
{
    uint32_t kept = 0;
    for (uint32_t i = n; i-- > 0;) { /* the newest first; kept ones gather at the end */
        uint32_t k = n - kept;
        while (k < n && contradict(j, order[k], order[i])) k++;
        if (k < n) {
            take_over(j, order[k], order[i], key);
            continue;
        }
        kept++;
        const uint32_t point = order[i];
        memmove(order + i, order + i + 1, (n - kept - i) * sizeof *order);
        order[n - kept] = point;
    }
    memmove(order, order + n - kept, kept * sizeof *order);
    return kept;
}

/* Points without a time cannot be put anywhere. */
static uint32_t with_time(nj_joined *j)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < j->n; i++) {
        if (!isfinite(number(j, j->group->jd, i))) {
            if (j->group->told) j->group->told->untimed++;
            continue;
        }
        j->order[n++] = i;
    }
    return n;
}

/* The values in the order of the points that stay. */
static int apply(nj_joined *j, uint32_t n)
{
    void *copy = malloc((n + 1) * sizeof(int64_t));
    if (!copy) return -1;
    for (uint32_t k = 0; k < j->group->n; k++) {
        const size_t size = nj_type_size(type_of(j, k));
        for (uint32_t i = 0; i < n; i++)
            memcpy((char *)copy + i * size, (char *)j->value[k] + j->order[i] * size, size);
        memcpy(j->value[k], copy, n * size);
    }
    free(copy);
    j->n = j->sorted = n;
    return 0;
}

int nj_joined_settle(nj_joined *j, const char *key)
{
    if (!j->n) return 0;
    if (j->n > j->cap_order) {
        uint32_t *more = realloc(j->order, j->cap * sizeof *more);
        if (!more) return -1;
        j->order = more;
        j->cap_order = j->cap;
    }
    const uint32_t n = with_time(j);
    uint32_t kept = 0;
    qsort_r(j->order, n, sizeof *j->order, compare, j);
    for (uint32_t i = 0, to; i < n; i = to) {
        for (to = i + 1; to < n && one_moment(j, j->order[i], j->order[to]);) to++;
        const uint32_t of_it = settle_moment(j, j->order + i, to - i, key);
        memmove(j->order + kept, j->order + i, of_it * sizeof *j->order);
        kept += of_it;
    }
    return apply(j, kept);
}

void nj_joined_free(nj_joined *j)
{
    for (uint32_t k = 0; j->value && k < j->group->n; k++) free(j->value[k]);
    free(j->value);
    free(j->order);
}
