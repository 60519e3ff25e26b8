/* unit.c - linear units that the host rescales between; anything else must be equal. */
#include "graph.h"

#include <string.h>

typedef struct unit {
    const char *name;
    int dimension;
    double factor; /* to the dimension's first unit */
} unit;

static const unit units[] = {
    { "nJy", 1, 1 },
    { "uJy", 1, 1e3 },
    { "mJy", 1, 1e6 },
    { "Jy", 1, 1e9 },
    { "deg", 2, 1 },
    { "arcmin", 2, 1.0 / 60 },
    { "arcsec", 2, 1.0 / 3600 },
    { "mas", 2, 1.0 / 3.6e6 },
    { "rad", 2, 57.295779513082320877 },
    { "d", 3, 1 },
    { "h", 3, 1.0 / 24 },
    { "min", 3, 1.0 / 1440 },
    { "s", 3, 1.0 / 86400 },
};

static const unit *find(const char *name)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(units[i].name, name)) return &units[i];
    return NULL;
}

double nj_unit_factor(const char *from, const char *to)
{
    if (!from || !to || !*from || !*to || !strcmp(from, to)) return 1;
    const unit *a = find(from), *b = find(to);
    return a && b && a->dimension == b->dimension ? a->factor / b->factor : NAN;
}
