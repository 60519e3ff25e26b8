/* hostless_words.c - a review page states in words why a candidate is probably real or not; the rules are
 * here. */
#include "hostless_words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Thresholds of the words alone; none of them changes an answer.
 * They follow the cuts of the clean topics and common use. */
enum { KNOWN_SSO_ARCSEC = 5, HOST_ARCSEC = 2, PLANE_DEG = 10 };
static const double least_rb = 0.55, star_score = 0.5, ref_near = 1.5;

typedef struct reasons {
    nj_template_values *values;
    json_t *list;
} reasons;

__attribute__((format(printf, 2, 3))) static void item(const reasons *to, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    nj_template_item(to->values, to->list, text);
}

static const char *const image_name[2] = { "science", "template" };

static void add_for(const reasons *out, const nj_hostless_page *p)
{
    if (p->candidate == 1) {
        int source = p->lone && !strcmp(p->lone, "template");
        item(out, "%s: %d masked pixels in the %s stamp, %d in the other (%s)",
             source ? "A source that went away" : "A new source", p->clipped[source], image_name[source],
             p->clipped[!source], p->stage == 1 ? "whole stamp" : "central 14 × 14 pixels");
    }
    for (int k = 0; k < 2; k++)
        if (p->ks[k] <= p->limit[k] - (isnan(p->sd[k]) ? 0 : 2 * p->sd[k]))
            item(out, "The %s stamp looks like its own shuffles: D = %.3f, clearly below %.2f", image_name[k],
                 p->ks[k], p->limit[k]);
    if (p->positive == 1) item(out, "Brighter than the template");
    if (p->rb >= least_rb)
        item(out, "A real detection by the survey's score: rb = %.2f%s", p->rb,
             p->drb >= 0.5 ? ", and the deep one agrees" : "");
    if (p->ps1_dist > HOST_ARCSEC || p->ps1_dist < 0)
        item(out, "No Pan-STARRS source within %d″", HOST_ARCSEC);
    if (p->roid == 0) item(out, "Not taken for an asteroid");
    if (p->ndethist > 2) item(out, "Detected %d times", p->ndethist);
}

static void add_against(const reasons *out, const nj_hostless_page *p)
{
    if (p->candidate == 0)
        item(out, "Both stamps have a source, or neither has: %d and %d masked pixels", p->clipped[0],
             p->clipped[1]);
    if (strcmp(p->reason, "done")) item(out, "The test has no answer: %s", p->reason);
    if (p->lone && !strcmp(p->lone, "template"))
        item(out, "The source is in the template, not in the science stamp");
    for (int k = 0; k < 2; k++) {
        double sd = isnan(p->sd[k]) ? 0 : p->sd[k];
        if (p->ks[k] > p->limit[k] + 2 * sd)
            item(out, "The %s stamp has structure: D = %.3f, above %.2f", image_name[k], p->ks[k],
                 p->limit[k]);
        else if (p->ks[k] > p->limit[k] - 2 * sd && sd > 0)
            item(out, "D of the %s stamp, %.3f ± %.3f a draw, is too near its limit of %.2f to be sure",
                 image_name[k], p->ks[k], sd, p->limit[k]);
    }
    if (p->positive == 0) item(out, "A negative subtraction: fainter than the template");
    if (p->rb < least_rb) item(out, "Low score rb = %.2f", p->rb);
    if (p->roid == 3)
        item(out, "A known asteroid: %.1f″ from its predicted place", p->sso_dist);
    else if (p->roid == 2)
        item(out, "Looks like an unknown asteroid");
    else if (p->sso_dist >= 0 && p->sso_dist < KNOWN_SSO_ARCSEC)
        item(out, "A Solar System object %.1f″ away", p->sso_dist);
    if (p->ps1_dist >= 0 && p->ps1_dist <= HOST_ARCSEC)
        item(out, "A Pan-STARRS %s %.2f″ away", p->ps1_star > star_score ? "star" : "source (a galaxy?)",
             p->ps1_dist);
    if (p->ref_dist >= 0 && p->ref_dist <= ref_near)
        item(out, "A source of the reference image %.2f px away, %.1f mag", p->ref_dist, p->ref_mag);
    if (p->n_bad > 0) item(out, "%d pixels of no sensible value", p->n_bad);
    if (p->n_nan > 0) item(out, "%d missing pixels", p->n_nan);
    if (p->nbad > 0) item(out, "%d bad pixels near the source, as the survey counts", p->nbad);
    if (p->ndethist == 1) item(out, "Seen once only");
    if (fabs(p->gal_b) < PLANE_DEG) item(out, "In the Milky Way's plane: b = %+.1f°", p->gal_b);
}

void nj_hostless_reasons(nj_template_values *v, const nj_hostless_page *page)
{
    add_for(&(reasons){ v, nj_template_list(v, NULL, "for") }, page);
    add_against(&(reasons){ v, nj_template_list(v, NULL, "against") }, page);
}

void nj_hostless_doubt(const nj_hostless_page *p, char *text, size_t size)
{
    const char *asteroid = p->roid == 3                                         ? "known asteroid"
                           : p->roid == 2                                       ? "looks like an asteroid"
                           : p->sso_dist >= 0 && p->sso_dist < KNOWN_SSO_ARCSEC ? "at a Solar System object"
                                                                                : NULL;
    char low[32] = "";
    if (p->rb < least_rb) snprintf(low, sizeof low, "rb %.2f", p->rb);
    snprintf(text, size, "%s%s%s", asteroid ? asteroid : "", asteroid && *low ? ", " : "", low);
}
