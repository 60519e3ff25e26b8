/* follow.h - files whose change is to be noticed while a run goes on. */
#ifndef NJ_FLOW_FOLLOW_H
#define NJ_FLOW_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* One file, and the state of it that was read. */
typedef struct nj_followed {
    const char *name;
    struct stat taken;
    bool there; /* false: `taken` says nothing, for there was no such file */
    struct stat seen;
    bool seen_there;
    int64_t since_ns; /* since when it is as `seen` says; 0 = it is as taken */
} nj_followed;

/* Before the file is read: this state is the one taken. */
void nj_follow_take(nj_followed *file);
/* Has it changed, and been left alone for a second since? An editor writes in steps. Then that state is the
 * one taken. False, with a warning, when the file is gone. */
bool nj_follow_changed(nj_followed *file, int64_t now_ns);

#endif
