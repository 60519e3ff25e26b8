/* letters.c - the place of dead letters is checked before the first packet, so that a run that cannot write
 * them stops. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../base/night.h"
#include "../sink/rolled_name.h"
#include "resume.h"

enum { RUNS_MOST = 1000 }; /* in one folder at once */

const char *nj_flow_letters_path(run *r, unsigned number)
{
    const nj_run_options *o = r->options;
    const char *first = NULL;
    for (uint32_t i = 0; i < o->n_sinks && !first; i++) first = nj_sink_path(o->sink[i]);
    bool tree = false; /* its readers skip what begins with `_` */
    const int n = first ? (int)nj_rolled_root(first, &tree) : 0;
    const char *name = tree ? "_dead-letters" : "dead-letters";
    return number < 2 ? nj_arena_printf(&r->arena, "%.*s%s.avro", n, first ? first : "", name)
                      : nj_arena_printf(&r->arena, "%.*s%s-%u.avro", n, first ? first : "", name, number);
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

const char *nj_flow_letters_owner(run *r)
{
    const nj_run_options *o = r->options;
    return nj_arena_printf(&r->arena, "letters of %s\n", o->n_sinks ? o->sink[0] : "a run without outputs");
}

static int open_letters(run *r, const char *path, nj_sink_mode mode, bool *held, nj_error *err)
{
    const struct run_resume *z = r->resume;
    bool ours = z->letters && !strcmp(z->letters, path);
    nj_sink_args args = { .target = path,
                          .mode = mode,
                          .disk = r->conf.durable,
                          .run = z->run,
                          .configuration = nj_flow_letters_owner(r),
                          .mark = ours ? &z->of[z->n - 1].mark : NULL,
                          .site = r->conf.site[0] != 0,
                          .open_files = (uint32_t)r->conf.open_files };
    if (!args.configuration) return nj_fail(err, "out of memory");
    if (args.site && nj_site_parse(r->conf.site, &args.longitude, err)) return -1;
    r->output.dead_path = path;
    return (r->output.dead = nj_dead_letters_open_for(&args, held, err)) ? 0 : -1;
}

/* Letters of a run that was broken off are cut back when it is resumed: no other run may add to them. */
static bool belongs_to_another(run *r, const char *path)
{
    nj_mark mark = { 0 };
    nj_error ignored;
    const char *owner = nj_flow_letters_owner(r);
    bool other = !nj_journal_look(path, &mark, &ignored) && mark.kind == NJ_MARK_THERE && !mark.complete &&
                 owner && strcmp(mark.configuration, owner) != 0;
    nj_mark_free(&mark);
    return other;
}

int nj_flow_letters_place(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    r->output.dead_path = o->dead_letters ? o->dead_letters : nj_flow_letters_path(r, 1);
    if (!r->output.dead_path) return nj_fail(err, "out of memory");
    if (o->open_source) return 0; /* packets from memory, measured: their letters are not kept */
    if (r->resume->letters) return open_letters(r, r->resume->letters, NJ_SINK_APPEND, NULL, err);
    /* the file that was asked for is opened now; the one that was not is made at the first letter only */
    if (o->dead_letters) return open_letters(r, o->dead_letters, o->mode, NULL, err);
    if (can_write(r->output.dead_path) == 0) return 0;
    return nj_fail(err, "%s: dead letters go there, and it cannot be written (%s); use --dead-letters PATH",
                   r->output.dead_path, strerror(errno));
}

int nj_flow_letters_open(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (r->output.dead) return 0;
    if (o->dead_letters) return open_letters(r, o->dead_letters, o->mode, NULL, err);
    /* the default file is only appended to; runs that share a folder have one each */
    bool held = true;
    for (unsigned k = 1; !r->output.dead && held && k < RUNS_MOST; k++) {
        const char *path = nj_flow_letters_path(r, k);
        if (!path) return nj_fail(err, "out of memory");
        if (belongs_to_another(r, path)) continue;
        held = false;
        if (open_letters(r, path, NJ_SINK_APPEND, &held, err) && !held) return -1;
    }
    return r->output.dead ? 0 : -1;
}
