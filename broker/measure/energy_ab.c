/* energy_ab.c - a watt in a hundred is seen only in differences of runs that the machine's drift meets
 * alike; this is the protocol. */
#include "energy_ab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

enum { LEAST_PAIRS = 9, SAMPLES = 4000 };
static const double TAIL = 0.025, LEAST_WATT = 0.001; /* no source shows less */

static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static const char *why_rejected(const nj_ab_pair *p, double most_foreign)
{
    if (!isfinite(p->on.joule) || !isfinite(p->off.joule)) return "the source gave nothing";
    if (!(p->on.seconds > 0) || !(p->off.seconds > 0)) return "a run without length";
    if (p->on.foreign > most_foreign || p->off.foreign > most_foreign) return "other processes were busy";
    return NULL;
}

static int take_pair(nj_ab_pair *p, const nj_ab_options *o, nj_error *err)
{
    nj_ab_reading *first = p->on_first ? &p->on : &p->off, *second = p->on_first ? &p->off : &p->on;
    if (o->run(o->opaque, p->on_first, o->seconds, first, err) ||
        o->run(o->opaque, !p->on_first, o->seconds, second, err))
        return -1;
    p->rejected = why_rejected(p, o->most_foreign);
    return 0;
}

int nj_ab_measure(nj_ab *ab, const nj_ab_options *o, nj_error *err)
{
    uint64_t state = o->seed;
    bool heads = false;
    nj_ab_reading warm = { 0 };
    *ab = (nj_ab){ .pair = calloc(3 * (size_t)o->pairs + 1, sizeof *ab->pair) };
    if (!ab->pair) return nj_fail(err, "out of memory");
    if (o->run(o->opaque, true, o->seconds, &warm, err)) return -1;
    while (ab->counted < o->pairs && ab->n < 3 * o->pairs) {
        heads = ab->n % 2 ? !heads : draw(&state) >> 63;
        ab->pair[ab->n].on_first = heads;
        if (take_pair(&ab->pair[ab->n], o, err)) return -1;
        ab->counted += !ab->pair[ab->n++].rejected;
    }
    nj_ab_judge(ab);
    return 0;
}

static double watt(const nj_ab_reading *r)
{
    return r->joule / r->seconds;
}

static void set_rates(nj_ab *ab, double *room)
{
    double alerts = 0, seconds = 0, cpu = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < ab->n; i++)
        if (!ab->pair[i].rejected) room[n++] = watt(&ab->pair[i].off);
    ab->rest_watt = nj_quantile(room, n, 0.5);
    n = 0;
    for (uint32_t i = 0; i < ab->n; i++) {
        const nj_ab_reading *on = &ab->pair[i].on;
        if (ab->pair[i].rejected) continue;
        room[n++] = watt(on);
        alerts += on->alerts, seconds += on->seconds, cpu += on->cpu_s;
    }
    ab->on_watt = nj_quantile(room, n, 0.5);
    ab->alerts_per_s = seconds > 0 ? alerts / seconds : NAN;
    ab->core_s_per_alert = alerts > 0 ? cpu / alerts : NAN;
}

void nj_ab_judge(nj_ab *ab)
{
    double *difference = calloc(2 * (size_t)ab->n + SAMPLES + 1, sizeof *difference);
    if (!difference) return;
    double *one = difference + ab->n, *median = one + ab->n;
    uint64_t state = 1;
    ab->watt = ab->low = ab->high = NAN;
    ab->counted = 0;
    for (uint32_t i = 0; i < ab->n; i++)
        if (!ab->pair[i].rejected) difference[ab->counted++] = watt(&ab->pair[i].on) - watt(&ab->pair[i].off);
    uint32_t n = ab->counted;
    set_rates(ab, one);
    ab->verdict = NJ_AB_TOO_FEW;
    if (n >= LEAST_PAIRS) {
        for (uint32_t k = 0; k < SAMPLES; k++) {
            for (uint32_t i = 0; i < n; i++) one[i] = difference[(draw(&state) >> 32) * n >> 32];
            median[k] = nj_quantile(one, n, 0.5);
        }
        ab->watt = nj_quantile(difference, n, 0.5);
        ab->low = nj_quantile(median, SAMPLES, TAIL);
        ab->high = nj_quantile(median, SAMPLES, 1 - TAIL);
        ab->verdict = ab->low > 0 ? NJ_AB_ABOVE : ab->high < 0 ? NJ_AB_BELOW : NJ_AB_NOT_SEEN;
    }
    free(difference);
}

const char *nj_ab_words(char text[256], const nj_ab *ab, const char *source)
{
    double most = fmax(fmax(fabs(ab->low), fabs(ab->high)), LEAST_WATT);
    switch (ab->verdict) {
    case NJ_AB_REFUSED:
        snprintf(
            text, 256,
            "A-B: not observable with this source (%s): it gives an idle and a busy machine the same watts",
            source);
        break;
    case NJ_AB_TOO_FEW:
        snprintf(text, 256, "cannot tell: %u of %u pairs count, %d are the least", ab->counted, ab->n,
                 LEAST_PAIRS);
        break;
    case NJ_AB_ABOVE:
        snprintf(text, 256, "%.3g W [%.3g, %.3g] above the machine at rest", ab->watt, ab->low, ab->high);
        break;
    case NJ_AB_BELOW:
        snprintf(text, 256, "%.3g W [%.3g, %.3g] below the machine at rest: something else changed",
                 -ab->watt, -ab->high, -ab->low);
        break;
    case NJ_AB_NOT_SEEN:
        snprintf(
            text, 256,
            "below %.2g W: not distinguishable from the machine at rest after %u pairs; %u would resolve "
            "%.2g W",
            most, ab->counted, 4 * ab->counted, most / 2);
        break;
    }
    return text;
}

void nj_ab_free(nj_ab *ab)
{
    free(ab->pair);
    *ab = (nj_ab){ 0 };
}
