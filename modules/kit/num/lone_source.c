/* lone_source.c - a source in one of two stamps alone is the candidate rule of hostless detection; it stands
 * apart from the module because it is a rule about masks, not about alerts.
 *
 * Given:     both stamps, sigma-clipped in the whole and in the central 14 x 14 pixels
 * Returned:  whether one has masked pixels (a source) and the other next to none, and where
 * Notes
 * 1) The whole stamp is clipped twice, as the reference clips what is clipped already; Rubin's variant once.
 * 2) The centre keeps the mask of the whole stamp; Rubin's variant clips its raw pixels afresh.
 * Reference: Pessi et al. 2024, arXiv 2404.18165 (ELEPHANT). */
#include "nightjar/lone_source.h"

#include <math.h>
#include <string.h>

enum { PASSES = 10, KAPPA = 3, CENTRE = NJ_LONE_CENTRE_PX, CENTRE_PIXELS = CENTRE * CENTRE };
/* A source: more than 5 masked pixels; no source: fewer than 3. */
enum { SOME_MASKED = 5, NEXT_TO_NONE = 3, MAX_TEMPLATE_MASKED = 20 };

static void clip_plain(const float *pixel, uint32_t n, double *sorted, nj_clip *clip, uint32_t *n_second)
{
    *clip = (nj_clip){ .lo = -INFINITY, .hi = INFINITY };
    nj_clip_plain(pixel, n, KAPPA, PASSES, sorted, clip);
    if (!n_second) return;
    nj_clip again = *clip;
    nj_clip_plain(pixel, n, KAPPA, PASSES, sorted, &again);
    *n_second = n - again.n_kept;
}

/* n_second: what a second clip masks; NULL: it is not asked for. */
static void clip_pixels(const nj_lone_rules *r, nj_clip_work *work, double *sorted, const float *pixel,
                        uint32_t n, nj_clip *clip, uint32_t *n_second)
{
    if (r->plain) {
        clip_plain(pixel, n, sorted, clip, n_second);
        return;
    }
    nj_clip_begin(work, r->isa, pixel, n, clip);
    nj_clip_passes(work, KAPPA, PASSES, clip);
    if (!n_second) return;
    nj_clip again = *clip;
    if (!clip->converged) nj_clip_passes(work, KAPPA, PASSES, &again); /* else nothing would change */
    *n_second = n - again.n_kept;
}

static uint32_t clip_centre(const nj_lone_rules *r, nj_clip_work *work, double *sorted,
                            const nj_lone_stamp *f)
{
    const uint32_t from = r->side / 2 - CENTRE / 2; /* 24 of 63, 8 of 30 */
    float centre[CENTRE_PIXELS];
    nj_clip c;
    for (uint32_t i = 0; i < CENTRE_PIXELS; i++) {
        float p = f->pixel[(from + i / CENTRE) * r->side + from + i % CENTRE];
        centre[i] = r->rubin || (p >= f->whole.lo && p <= f->whole.hi) ? p : NAN;
    }
    clip_pixels(r, work, sorted, centre, CENTRE_PIXELS, &c, NULL);
    return CENTRE_PIXELS - c.n_kept;
}

void nj_lone_look(const nj_lone_rules *r, nj_clip_work *work, double *sorted, const nj_image *image,
                  nj_lone_stamp *f)
{
    const uint32_t side = r->side, n = side * side;
    const uint32_t top = image->rows / 2 - side / 2, left = image->cols / 2 - side / 2;
    f->n_nan = f->n_bad = 0;
    for (uint32_t row = 0; row < side; row++)
        memcpy(f->pixel + row * side, image->pixel + (top + row) * image->cols + left, side * sizeof(float));
    for (uint32_t i = 0; i < n; i++) {
        f->n_nan += f->pixel[i] != f->pixel[i];
        f->n_bad += fabsf(f->pixel[i]) > r->bad_above;
    }
    clip_pixels(r, work, sorted, f->pixel, n, &f->whole, &f->n_second);
    f->n_centre = clip_centre(r, work, sorted, f);
}

static uint32_t lone_of(const uint32_t masked[NJ_LONE_STAMPS])
{
    if (masked[NJ_LONE_SCIENCE] > SOME_MASKED && masked[NJ_LONE_TEMPLATE] < NEXT_TO_NONE)
        return NJ_LONE_SCIENCE;
    if (masked[NJ_LONE_TEMPLATE] > SOME_MASKED && masked[NJ_LONE_SCIENCE] < NEXT_TO_NONE)
        return NJ_LONE_TEMPLATE;
    return NJ_LONE_STAMPS;
}

nj_lone_source nj_lone_judge(const nj_lone_rules *r, const nj_lone_stamp f[NJ_LONE_STAMPS])
{
    nj_lone_source found = { .lone = NJ_LONE_STAMPS };
    uint32_t whole[NJ_LONE_STAMPS], in_centre[NJ_LONE_STAMPS];
    for (int i = 0; i < NJ_LONE_STAMPS; i++) {
        whole[i] = r->rubin ? f[i].whole.n - f[i].whole.n_kept : f[i].n_second;
        in_centre[i] = f[i].n_centre;
    }
    const bool crowded = r->rubin && whole[NJ_LONE_TEMPLATE] > MAX_TEMPLATE_MASKED;
    const uint32_t *decided = whole;
    if (!crowded && (found.lone = lone_of(whole)) < NJ_LONE_STAMPS) {
        found.stage = 1;
    } else if (!crowded) {
        decided = in_centre;
        found.lone = lone_of(in_centre);
        if (found.lone < NJ_LONE_STAMPS) found.stage = 2;
    }
    memcpy(found.clipped, decided, sizeof found.clipped);
    return found;
}
