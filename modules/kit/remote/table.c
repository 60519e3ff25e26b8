/* table.c - positions, their answers and the queue are kept in one table, which a file preserves between
 * runs. */
#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nightjar/beside.h"

enum { PROBES = 16 };

int64_t nj_remote_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int32_t nj_remote_today(void)
{
    return (int32_t)(time(NULL) / 86400);
}

uint64_t nj_remote_mix(uint64_t h)
{
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return h ^ h >> 31;
}

static uint64_t hash_text(uint64_t h, const char *s)
{
    while (*s) h = (h ^ (uint8_t)*s++) * 1099511628211u;
    return nj_remote_mix(h);
}

void nj_remote_titles(const nj_remote *r, char *to, size_t cap)
{
    size_t at = 0;
    to[0] = 0;
    for (uint32_t k = 0; k < r->n_columns && at < cap; k++)
        at += (size_t)snprintf(to + at, cap - at, "%s%s", k ? "," : "", r->title[k]);
}

uint64_t nj_remote_salt(const nj_remote *r)
{
    char titles[600], radius[32];
    nj_remote_titles(r, titles, sizeof titles);
    snprintf(radius, sizeof radius, "%.9g %.9g", r->c.radius_arcsec, r->c.cell_arcsec);
    return hash_text(hash_text(hash_text(hash_text(1469598103934665603u, r->c.url), r->c.cat2), titles),
                     radius);
}

/* A position's cell: steps of cell_arcsec in dec, and in ra on the band's own circle. */
uint64_t nj_remote_key(const nj_remote *r, double ra, double dec)
{
    double step = r->c.cell_arcsec / 3600, band = floor((dec + 90) / step);
    double c = cos((band * step - 90) * M_PI / 180);
    ra -= 360 * floor(ra / 360);
    uint64_t key = nj_remote_mix(
        r->salt ^ nj_remote_mix((uint64_t)band + 1) ^
        nj_remote_mix((uint64_t)floor(ra * (c > 1e-9 ? c : 1e-9) / step) + 0x9e3779b97f4a7c15u));
    return key ? key : 1;
}

bool nj_entry_is_answer(const nj_entry *e)
{
    return e->state == ENTRY_NONE || e->state == ENTRY_MATCH;
}
bool nj_entry_is_waiting(const nj_entry *e)
{
    return e->state == ENTRY_QUEUED || e->state == ENTRY_SENT;
}

nj_entry *nj_remote_entry(const nj_remote *r, uint64_t key, bool *found)
{
    nj_entry *spare = NULL;
    for (uint32_t i = 0; i < PROBES; i++) {
        nj_entry *e = &r->table[(uint32_t)(key + i) & r->mask];
        if (e->state != ENTRY_FREE && e->key == key) {
            *found = true;
            return e;
        }
        if (nj_entry_is_waiting(e) || (spare && spare->state == ENTRY_FREE)) continue;
        if (!spare || e->state == ENTRY_FREE || e->day < spare->day) spare = e;
    }
    *found = false;
    return spare;
}

int nj_remote_enqueue(nj_remote *r, nj_entry *e)
{
    if (r->n_queued > r->mask) return -1;
    r->queue[(r->head + r->n_queued++) & r->mask] = (uint32_t)(e - r->table);
    e->state = ENTRY_QUEUED;
    return 0;
}

/* --- the disk: lines "DAY KEY STATE SEP TEXT", tab-separated --- */

void nj_entry_write(FILE *f, const nj_entry *e)
{
    fprintf(f, "%d\t%016llx\t%c\t%.9g\t%s\n", e->day, (unsigned long long)e->key,
            e->state == ENTRY_MATCH ? 'm' : 'n', e->sep_arcsec, e->text);
}

static void read_disk(nj_remote *r)
{
    char line[NJ_REMOTE_TEXT_BYTES + 128];
    FILE *f = fopen(r->c.cache, "r");
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long key;
        int day, at = 0;
        char state;
        double sep;
        size_t n = strlen(line);
        if (!n || line[n - 1] != '\n') continue; /* torn */
        line[n - 1] = 0;
        if (sscanf(line, "%d\t%llx\t%c\t%lf%n", &day, &key, &state, &sep, &at) != 4 || line[at] != '\t' ||
            (state != 'm' && state != 'n'))
            continue;
        if (nj_remote_today() - day >= r->c.cache_days || strlen(line + at + 1) >= NJ_REMOTE_TEXT_BYTES)
            continue;
        bool found;
        nj_entry *e = nj_remote_entry(r, key, &found);
        if (!e) continue;
        *e = (nj_entry){
            .key = key, .day = day, .sep_arcsec = sep, .state = state == 'm' ? ENTRY_MATCH : ENTRY_NONE
        };
        memcpy(e->text, line + at + 1, strlen(line + at + 1) + 1);
    }
    if (f) fclose(f);
}

int nj_remote_open_disk(nj_remote *r)
{
    if (!*r->c.cache) return NJ_OK;
    read_disk(r);
    char temp[4096];
    int fd = nj_beside_open(AT_FDCWD, r->c.cache, 0666, temp, sizeof temp);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    for (uint32_t i = 0; f && i <= r->mask; i++)
        if (nj_entry_is_answer(&r->table[i])) nj_entry_write(f, &r->table[i]);
    if (!f || fflush(f) || rename(temp, r->c.cache)) {
        r->host->log(r->host->opaque, 0, "xmatch_remote: %s: cannot be written: %s", r->c.cache,
                     strerror(errno));
        if (f)
            fclose(f);
        else if (fd >= 0)
            close(fd);
        if (fd >= 0) unlink(temp);
        return NJ_ECONF;
    }
    r->disk = f;
    return NJ_OK;
}
