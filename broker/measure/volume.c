/* volume.c - a figure per alert means little until it is multiplied by a survey; this has the surveys'
 * numbers. */
#include "volume.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers to plan with, and no paper's: 600 alerts per exposure is what Fink's plots take; 10,000 per visit
 * of 39 s and ten million a night are the nominal ones of LSST; the others are assumed. */
static const nj_volume known[] = {
    { "ztf", "assumed, to plan with", 600, 40, 300e3, 300, 70e3 },
    { "lsst", "nominal; nights and bytes assumed", 10000, 39, 10e6, 300, 82e3 },
};

static int take_number(const char **text, double *value)
{
    char *end;
    double v = strtod(*text, &end);
    if (end == *text || !(v > 0) || !isfinite(v)) return -1;
    if (*end == 'k') v *= 1e3, end++;
    if (*end == 'M') v *= 1e6, end++;
    if (*end && *end != ',') return -1;
    *value = v;
    *text = *end ? end + 1 : end;
    return 0;
}

int nj_volume_of(nj_volume *v, const char *text, nj_error *err)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text, known[i].name)) return *v = known[i], 0;
    const char *at = text;
    *v = known[0];
    snprintf(v->name, sizeof v->name, "%.60s", text);
    v->source = "as given";
    double *const field[] = { &v->per_night, &v->per_exposure, &v->exposure_s, &v->nights, &v->bytes };
    for (size_t i = 0; i < 5 && (*at || i == 0); i++)
        if (take_number(&at, field[i]))
            return nj_fail(
                err,
                "%s: expected ztf, lsst or ALERTS[,PER_EXPOSURE[,SECONDS[,NIGHTS[,BYTES]]]], numbers above 0",
                text);
    return *at ? nj_fail(err, "%s: more than five numbers", text) : 0;
}
