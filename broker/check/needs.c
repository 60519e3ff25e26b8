/* needs.c - can every need be had: from the packets of some survey, or from what another module gives? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/graph.h"
#include "rules.h"

/* What there is of a path: by the survey maps and built-in layouts, or by a module. */
static bool find(const nj_check *c, const char *path, nj_offer *offer)
{
    nj_decoder_offer(c->decoder, path, offer);
    if (offer->type || offer->shape == NJ_IMAGE) return true;
    for (uint32_t i = 0; i < c->set->n; i++) {
        const nj_instance *in = &c->set->item[i];
        size_t n = strlen(in->name);
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *g = &in->give[k];
            bool own = !(g->flags & NJ_GIVE_CANONICAL);
            if (own ? strncmp(path, in->name, n) || path[n] != '.' || strcmp(path + n + 1, g->name)
                    : strcmp(path, g->name) != 0)
                continue;
            *offer =
                (nj_offer){ .type = g->type, .shape = g->width ? NJ_SCALAR : NJ_SERIES, .unit = g->unit };
            return true;
        }
    }
    return false;
}

/* The path that it may have been meant to be, or NULL. */
static const char *nearest(const nj_check *c, const char *path)
{
    const char *known[2048];
    nj_known at;
    size_t n = 0;
    for (uint32_t k = 0; n < 2048 && nj_decoder_known(c->decoder, k, &at); k++) known[n++] = at.path;
    return nj_nearest(path, known, n);
}

static const char *shape_name(nj_shape shape)
{
    return shape == NJ_SERIES ? "a series" : shape == NJ_IMAGE ? "an image" : "one value";
}

/* "lc.mag@r": is that a view of a series? */
static void look_at_view(nj_check *c, const nj_need *need, const char *at)
{
    bool band = at[1] && !at[2] && strchr("ugrizy", at[1]);
    if (strcmp(at, "@time") && strcmp(at, "@sorted") && !band)
        nj_check_wrong(c, "@time (or @sorted) for the order of time, @u @g @r @i @z @y for one band",
                       "need %s: there is no view '%s'", need->path, at);
    else if (need->shape != NJ_SERIES)
        nj_check_wrong(c, ".shape = NJ_SERIES", "need %s: a view is a series, not %s", need->path,
                       shape_name(need->shape));
}

static bool fits(nj_check *c, const nj_need *need, const nj_offer *offer)
{
    if (offer->shape && offer->shape != need->shape)
        nj_check_wrong(c, NULL, "need %s: it is %s, asked for as %s", need->path, shape_name(offer->shape),
                       shape_name(need->shape));
    else if (need->shape != NJ_IMAGE && !offer->mixed && strncmp(need->path, "packet.", 7) &&
             (offer->type == NJ_STR) != (need->type == NJ_STR))
        nj_check_wrong(c, NULL, "need %s: it is %s, asked for as %s", need->path,
                       offer->type == NJ_STR ? "a text" : "a number",
                       need->type == NJ_STR ? "a text" : "a number");
    else if (isnan(nj_unit_factor(offer->unit, need->unit)))
        nj_check_wrong(c,
                       "the host converts between linear units (nJy and Jy, deg and arcsec, d and s) and "
                       "no others",
                       "need %s: it is in %s, asked for in %s", need->path, offer->unit, need->unit);
    return c->verdict != NJ_CHECKED_WRONG;
}

static bool look_at_need(nj_check *c, const nj_need *need, uint32_t *n_raw, uint32_t *n_others)
{
    char path[256], owner[128];
    nj_offer offer = { 0 };
    const char *at = strchr(need->path, '@');
    size_t n = at ? (size_t)(at - need->path) : strlen(need->path);
    if (!at && need->shape == NJ_IMAGE) n = strcspn(need->path, "["); /* an HDU of a stamp */
    snprintf(path, sizeof path, "%.*s", n < sizeof path ? (int)n : (int)sizeof path - 1, need->path);
    if (at) look_at_view(c, need, at);
    if (c->verdict == NJ_CHECKED_WRONG) return false;
    if (find(c, path, &offer)) return fits(c, need, &offer);
    if (!strncmp(path, "packet.", 7)) return ++*n_raw;
    const char *dot =
        strchr(path, '.'); /* of an instance that does not run here: its columns are not known */
    snprintf(owner, sizeof owner, "%.*s", dot ? (int)(dot - path) : 0, path);
    if (owner[0] && nj_instances_could(c->set, owner)) return true;
    const char *meant = nearest(c, path);
    if (dot && !meant && need->flags & NJ_NEED_OPTIONAL) return ++*n_others; /* a run may define it */
    nj_check_wrong(c, "`nightjar columns` lists all names; packet.PATH is any field of a packet",
                   "need %s: no survey and no module gives it%s%s%s", need->path,
                   meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
    return false;
}

/* Do packets of that survey have all that is not optional, as far as its map says? */
static bool survey_has(const nj_check *c, const char *survey)
{
    for (uint32_t k = 0; k < c->in->n_needs; k++) {
        const nj_need *need = &c->in->need[k];
        size_t n = strcspn(need->path, "@[");
        nj_known known;
        bool anywhere = false, here = false;
        if (need->flags & NJ_NEED_OPTIONAL) continue;
        for (uint32_t i = 0; nj_decoder_known(c->decoder, i, &known); i++) {
            if (strncmp(known.path, need->path, n) || known.path[n]) continue;
            anywhere = true;
            here |= !strcmp(known.survey, survey);
        }
        if (anywhere && !here) return false;
    }
    return true;
}

void nj_check_needs(nj_check *c)
{
    uint32_t n_raw = 0, n_others = 0, n;
    const char *survey[64];
    char list[400] = "";
    if (!c->decoder) return nj_check_none(c, "no survey maps");
    for (uint32_t k = 0; k < c->in->n_needs; k++)
        if (!look_at_need(c, &c->in->need[k], &n_raw, &n_others)) return;
    n = nj_decoder_surveys(c->decoder, survey, 64);
    for (uint32_t i = 0; i < n; i++)
        if (survey_has(c, survey[i])) {
            size_t at = strlen(list);
            snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", survey[i]);
        }
    char more[160] = "";
    if (n_raw) snprintf(more, sizeof more, "; %u of packet fields that no built-in layout has", n_raw);
    size_t at = strlen(more);
    if (n_others)
        snprintf(more + at, sizeof more - at, "; %u optional, of instances that a run may define", n_others);
    nj_check_note(c, "%u needs%s; surveys whose packets have them: %s", c->in->n_needs, more,
                  list[0] ? list : "none without an adapter");
}
