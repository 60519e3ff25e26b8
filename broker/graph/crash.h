/* crash.h - one line before the process dies of a module: which one, where, on which alert. */
#ifndef NJ_GRAPH_CRASH_H
#define NJ_GRAPH_CRASH_H

/* Handlers for the signals of a crash, and for an exit() inside a module; once, in the main thread, and once
 * more in a process that was forked to run modules. The process still dies
 * of the signal. A handler that is there already (a sanitizer's) stays. */
void nj_crash_watch(void);
/* In a process that was forked to try rows: what kills it is kept in its slot, and not printed. */
void nj_crash_child(void);
/* After each call. Is this process one that a module forked, and that came back from it? Then it ends. */
void nj_crash_came_back(const char *module);
/* For pthread_cleanup_push() around calls of such a process: a module ended the thread. */
void nj_crash_thread_left(void *ignored);
/* Gives this thread a stack for the handler, so that a stack overflow is reported too; freed when the thread
 * ends. Cheap from the second call on, and without nj_crash_watch(). */
void nj_crash_thread(void);
/* The module whose file this function is in: named when a thread of its own crashes.
 * name: kept, not copied. */
void nj_crash_file(const char *name, const void *function);
/* _exit() without the question whether a module called it: for signal handlers, which interrupt modules. */
_Noreturn void nj_exit_at_once(int code);

#endif
