/* letters.c - the place of dead letters is checked before the first packet, so that a run that cannot write
 * them stops. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

enum { RUNS_MOST = 1000 }; /* in one folder at once */

static const char *default_path(run *r, unsigned number)
{
    const nj_run_options *o = r->options;
    const char *first = NULL, *slash;
    for (uint32_t i = 0; i < o->n_sinks && !first; i++) first = nj_sink_path(o->sink[i]);
    slash = first ? strrchr(first, '/') : NULL;
    int n = slash ? (int)(slash - first) + 1 : 0;
    return number < 2 ? nj_arena_printf(&r->arena, "%.*sdead-letters.avro", n, first ? first : "")
                      : nj_arena_printf(&r->arena, "%.*sdead-letters-%u.avro", n, first ? first : "", number);
}

/* The file, or when there is none its folder, can be written. */
static int can_write(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[4096] = ".";
    if (access(path, F_OK) == 0) return access(path, W_OK);
    if (slash && snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path) >= (int)sizeof folder)
        return -1;
    return access(folder, W_OK);
}

int nj_flow_letters_place(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    r->output.dead_path = o->dead_letters ? o->dead_letters : default_path(r, 1);
    if (!r->output.dead_path) return nj_fail(err, "out of memory");
    if (o->open_source) return 0; /* packets from memory, measured: their letters are not kept */
    /* the file that was asked for is opened now; the one that was not is made at the first letter only */
    if (o->dead_letters)
        return (r->output.dead = nj_dead_letters_open(o->dead_letters, o->mode, NULL, err)) ? 0 : -1;
    if (can_write(r->output.dead_path) == 0) return 0;
    return nj_fail(err,
                   "%s: dead letters would go there, and it cannot be written (%s); say --dead-letters PATH",
                   r->output.dead_path, strerror(errno));
}

int nj_flow_letters_open(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (r->output.dead) return 0;
    if (o->dead_letters)
        return (r->output.dead = nj_dead_letters_open(o->dead_letters, o->mode, NULL, err)) ? 0 : -1;
    /* the default file is only appended to; runs that share a folder have one each */
    bool held = true;
    for (unsigned k = 1; !r->output.dead && held && k < RUNS_MOST; k++) {
        held = false;
        r->output.dead_path = default_path(r, k);
        if (!r->output.dead_path) return nj_fail(err, "out of memory");
        r->output.dead = nj_dead_letters_open(r->output.dead_path, NJ_SINK_APPEND, &held, err);
    }
    return r->output.dead ? 0 : -1;
}
