/* follow.c - whoever edits a file of topics wants them in the running stream; what is half written must not
 * be taken, so a file counts when nothing has happened to it for a second. */
#include "follow.h"

#include "../base/log.h"

enum { SETTLED_NS = 1000000000 };

static bool look(const char *name, struct stat *st)
{
    *st = (struct stat){ 0 };
    return stat(name, st) == 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void nj_follow_take(nj_followed *f)
{
    f->there = look(f->name, &f->taken);
    f->since_ns = 0;
}

bool nj_follow_changed(nj_followed *f, int64_t now_ns)
{
    struct stat now;
    const bool there = look(f->name, &now);
    if (there == f->there && (!there || is_same(&now, &f->taken))) {
        f->since_ns = 0;
        return false;
    }
    if (!f->since_ns || there != f->seen_there || (there && !is_same(&now, &f->seen))) {
        f->seen = now;
        f->seen_there = there;
        f->since_ns = now_ns;
        return false;
    }
    if (now_ns - f->since_ns < SETTLED_NS) return false;
    f->taken = now;
    f->there = there;
    f->since_ns = 0;
    if (!there) nj_log(NJ_LOG_WARN, "%s: is not there any more; its topics stay as they were", f->name);
    return there;
}
