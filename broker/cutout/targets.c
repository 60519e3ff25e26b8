/* targets.c - the places that stamps are wanted of, from a CSV table. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nightjar/csv.h"
#include "stamps.h"

static int column(const nj_csv *csv, const char *const *names)
{
    for (; *names; names++)
        for (uint32_t i = 0; i < csv->n; i++)
            if (!strcasecmp(csv->cell[i], *names)) return (int)i;
    return -1;
}

static bool degrees(const char *cell, double lo, double hi, double *value)
{
    char *end;
    *value = strtod(cell, &end);
    while (isspace((unsigned char)*end)) end++;
    return end != cell && !*end && *value >= lo && *value <= hi;
}

static char *file_name(const char *cell, uint32_t row)
{
    char number[16];
    snprintf(number, sizeof number, "%06u", row);
    char *name = strdup(cell && *cell ? cell : number);
    for (char *p = name; p && *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._+-", *p)) *p = '_';
    if (name && *name == '.') *name = '_';
    return name;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int refuse_equal_names(const char *path, const nj_cut_target *t, uint32_t n, nj_error *err)
{
    char **name = malloc((n + 1) * sizeof *name);
    int rc = name ? 0 : nj_fail(err, "out of memory");
    for (uint32_t i = 0; name && i < n; i++) name[i] = t[i].name;
    if (name) qsort(name, n, sizeof *name, by_name);
    for (uint32_t i = 1; name && i < n && rc == 0; i++)
        if (!strcmp(name[i - 1], name[i])) rc = nj_fail(err, "%s: two targets would both be %s.fits", path, name[i]);
    free(name);
    return rc;
}

static int read_rows(nj_csv *csv, const char *path, nj_cut_target **target, uint32_t *n, nj_error *err)
{
    static const char *const ra_names[] = { "ra", NULL }, *const dec_names[] = { "dec", NULL },
                             *const id_names[] = { "name", "id", "object", "candid", NULL };
    uint32_t cap = 0;
    int state = nj_csv_row(csv), ra = column(csv, ra_names), dec = column(csv, dec_names), id = column(csv, id_names);
    if (state <= 0 || ra < 0 || dec < 0) return nj_fail(err, "%s: line 1 must name the columns, ra and dec among them", path);
    const uint32_t width = csv->n;
    while ((state = nj_csv_row(csv)) > 0) {
        nj_cut_target t;
        if (csv->n != width) return nj_fail(err, "%s: line %u has %u cells, not %u", path, csv->line, csv->n, width);
        if (!degrees(csv->cell[ra], -360, 360, &t.ra) || !degrees(csv->cell[dec], -90, 90, &t.dec))
            return nj_fail(err, "%s: line %u: '%s', '%s' is no position in degrees", path, csv->line, csv->cell[ra],
                           csv->cell[dec]);
        if (*n == cap) {
            nj_cut_target *more = realloc(*target, (cap = cap ? 2 * cap : 256) * sizeof **target);
            if (!more) return nj_fail(err, "out of memory");
            *target = more;
        }
        if (!(t.name = file_name(id >= 0 ? csv->cell[id] : NULL, *n))) return nj_fail(err, "out of memory");
        (*target)[(*n)++] = t;
    }
    if (state < 0) return nj_fail(err, "%s: line %u is malformed", path, csv->line);
    return *n ? 0 : nj_fail(err, "%s: has no targets", path);
}

int nj_cut_targets_read(const char *path, nj_cut_target **target, uint32_t *n, nj_error *err)
{
    *target = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0) close(fd);
        return nj_fail(err, "%s: %s", path, strerror(errno));
    }
    size_t size = (size_t)st.st_size;
    char *text = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (text == MAP_FAILED) return nj_fail(err, "%s: is empty or cannot be read", path);
    nj_csv csv = { .at = text, .end = text + size };
    int rc = read_rows(&csv, path, target, n, err);
    if (rc == 0) rc = refuse_equal_names(path, *target, *n, err);
    nj_csv_free(&csv);
    munmap(text, size);
    return rc;
}

void nj_cut_targets_free(nj_cut_target *target, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) free(target[i].name);
    free(target);
}
