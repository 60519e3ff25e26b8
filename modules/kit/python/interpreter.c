/* interpreter.c - threads that run modules may start no programs, and importing NumPy takes longer than a
 * batch: so one interpreter imports a file once, and forks a worker whenever it is asked by a message. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nightjar/python.h"

enum { MOST_BYTES = 1 << 17, NAP_MS = 20, PATIENCE_S = 5, MOST_EARLY = 3, EARLY_S = 2 };

struct nj_python {
    nj_python_options o;
    char *says;
    pid_t owner; /* the process that started it: a fork of that has copies of the descriptors only */
    const nj_host *host;
    pthread_mutex_t lock; /* control, pid */
    int control;
    pid_t pid;
    pthread_t keeper;
    bool kept;
    atomic_int ending, given_up;
    nj_python *next; /* parked */
};

static pthread_mutex_t parked_lock = PTHREAD_MUTEX_INITIALIZER;
static nj_python *parked;

static void nap(int ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* ---- one process ----------------------------------------------------------------------------- */

/* The package may not be there: that is said over the socket, as everything is. */
static const char first_lines[] =
    "import os, sys\n"
    "try:\n"
    "    from nightjar.worker import main\n"
    "except ImportError as e:\n"
    "    os.write(3, ('error\\t%s has no package nightjar that can be imported (%s): pip install "
    "./modules/python\\n' % (sys.executable, e)).encode())\n"
    "    os._exit(1)\n"
    "main()\n";

/* A worker has one thread. What the user has set stays. */
static const char *const more_environment[] = { "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1",
                                                "MKL_NUM_THREADS=1", "PYTHONSAFEPATH=1" };
enum { N_MORE = sizeof more_environment / sizeof *more_environment };

static char **environment(void)
{
    size_t n = 0;
    while (environ[n]) n++;
    char **e = calloc(n + N_MORE + 1, sizeof *e);
    if (!e) return NULL;
    size_t all = n;
    n = 0;
    for (size_t k = 0; k < all;
         k++) /* $NIGHTJAR_KAFKA_PASSWORD and the like are none of a module's business */
        if (strncmp(environ[k], "NIGHTJAR_", 9) ||
            !memmem(environ[k], strcspn(environ[k], "="), "PASSWORD", 8))
            e[n++] = environ[k];
    for (int k = 0; k < N_MORE; k++) {
        char name[40];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(more_environment[k], "="), more_environment[k]);
        if (!getenv(name)) e[n++] = (char *)(uintptr_t)more_environment[k];
    }
    return e;
}

/* Of the child: the control socket is 3, nothing else stays open, and what it prints is no row. */
static int spawn(nj_python *p, int socket)
{
    char sandbox[4];
    snprintf(sandbox, sizeof sandbox, "%d", p->o.sandbox);
    const char *const arguments[] = { p->o.python,   "-c",    first_lines,  p->o.file,
                                      p->o.settings, sandbox, p->o.profile, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    char **e = environment();
    if (!e) return ENOMEM;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_adddup2(&files, socket, 3);
    posix_spawn_file_actions_adddup2(&files, 2, 1);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, 4);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawnp(&p->pid, p->o.python, &files, &how, (char *const *)(uintptr_t)arguments, e);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    free(e);
    return rc;
}

/* Until it has imported the file, and says what that declares; NULL with why. */
static char *hear(const nj_python *p, char *why, size_t size)
{
    char *text = malloc(MOST_BYTES), same[32];
    struct pollfd f = { .fd = p->control, .events = POLLIN };
    int rc = text ? poll(&f, 1, (int)(p->o.start_s * 1000)) : -1;
    ssize_t n = rc > 0 ? recv(p->control, text, MOST_BYTES - 1, 0) : -1;
    if (rc == 0)
        snprintf(why, size, "%s: it was not imported within %g s (start_s)", p->o.file, p->o.start_s);
    else if (n <= 0)
        snprintf(why, size, "%s: %s ended before it had imported it", p->o.file, p->o.python);
    if (n > 0) text[n] = 0;
    if (n > 6 && !strncmp(text, "error\t", 6)) {
        snprintf(why, size, "%s: %.*s", p->o.file, (int)strcspn(text + 6, "\n"), text + 6);
        n = -1;
    }
    snprintf(same, sizeof same, "protocol\t%d\n", NJ_PYTHON_PROTOCOL);
    if (n > 0 && !strncmp(text, same, strlen(same))) return text;
    if (n > 0)
        snprintf(
            why, size,
            "%s: the package nightjar that %s imports is of another version than this program: pip install "
            "./modules/python",
            p->o.file, p->o.python);
    free(text);
    return NULL;
}

static void forget_process(nj_python *p)
{
    if (p->control >= 0) close(p->control);
    p->control = -1;
}

static int start_process(nj_python *p, char **says, char *why, size_t size)
{
    int end[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end))
        return snprintf(why, size, "%s: %s", p->o.file, strerror(errno)), -1;
    int rc = spawn(p, end[1]);
    close(end[1]);
    p->control = end[0];
    if (rc) {
        snprintf(why, size, "%s: %s cannot be started: %s", p->o.file, p->o.python, strerror(rc));
        forget_process(p);
        return -1;
    }
    *says = hear(p, why, size);
    if (*says) return 0;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    forget_process(p);
    return -1;
}

/* ---- parked ones ----------------------------------------------------------------------------- */

static bool is_same(const nj_python_options *a, const nj_python_options *b)
{
    return !strcmp(a->python, b->python) && !strcmp(a->file, b->file) && !strcmp(a->settings, b->settings) &&
           !strcmp(a->profile, b->profile) && a->sandbox == b->sandbox;
}

static nj_python *unpark(const nj_python_options *o)
{
    nj_python *found = NULL;
    pthread_mutex_lock(&parked_lock);
    for (nj_python **at = &parked; *at; at = &(*at)->next) {
        if (!is_same(&(*at)->o, o) || (*at)->owner != getpid()) continue;
        found = *at;
        *at = found->next;
        break;
    }
    pthread_mutex_unlock(&parked_lock);
    return found;
}

void nj_python_park(nj_python *p)
{
    pthread_mutex_lock(&parked_lock);
    p->next = parked;
    parked = p;
    pthread_mutex_unlock(&parked_lock);
}

static void free_one(nj_python *p)
{
    free((char *)(uintptr_t)p->o.python);
    free((char *)(uintptr_t)p->o.file);
    free((char *)(uintptr_t)p->o.settings);
    free((char *)(uintptr_t)p->o.profile);
    free(p->says);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

nj_python *nj_python_start(const nj_python_options *o, const char **says, char *why, size_t size)
{
    nj_python *p = unpark(o);
    if (p) return *says = p->says, p;
    p = calloc(1, sizeof *p);
    if (!p) return snprintf(why, size, "out of memory"), NULL;
    /* its own texts: a parked one outlives the settings */
    *p = (nj_python){ .o = { strdup(o->python), strdup(o->file), strdup(o->settings), strdup(o->profile),
                             o->sandbox, o->start_s },
                      .owner = getpid(),
                      .control = -1 };
    pthread_mutex_init(&p->lock, NULL);
    if (!p->o.python || !p->o.file || !p->o.settings || !p->o.profile) {
        snprintf(why, size, "out of memory");
    } else if (start_process(p, &p->says, why, size) == 0) {
        *says = p->says;
        return p;
    }
    free_one(p);
    return NULL;
}

/* ---- another one, when it ends --------------------------------------------------------------- */

static void say(const nj_python *p, int level, const char *what, const char *why)
{
    p->host->log(p->host->opaque, level, "%s: its interpreter %s%s%s", p->o.file, what, *why ? ": " : "",
                 why);
}

static bool start_again(nj_python *p)
{
    char why[512] = "", *says = NULL;
    forget_process(p);
    if (start_process(p, &says, why, sizeof why)) {
        say(p, 0, "ended, and cannot be started again", why);
        return false;
    }
    bool same = !strcmp(says, p->says);
    free(says);
    if (!same) say(p, 0, "ended, and the file declares other columns now", "");
    return same;
}

static void *keep(void *python)
{
    nj_python *p = python;
    for (int early = 0; !atomic_load(&p->ending);) {
        struct timespec since, now;
        int status = 0;
        clock_gettime(CLOCK_MONOTONIC, &since);
        if (waitpid(p->pid, &status, 0) < 0 && errno == EINTR) continue;
        if (atomic_load(&p->ending)) break;
        clock_gettime(CLOCK_MONOTONIC, &now);
        early = now.tv_sec - since.tv_sec < EARLY_S ? early + 1 : 0;
        char how[80];
        snprintf(how, sizeof how, WIFSIGNALED(status) ? "signal %d" : "exit code %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        say(p, 1, "ended; another one is started", how);
        pthread_mutex_lock(&p->lock);
        bool again = early < MOST_EARLY && start_again(p);
        if (!again) {
            forget_process(p);
            atomic_store(&p->given_up, 1);
        }
        pthread_mutex_unlock(&p->lock);
        if (!again) break;
    }
    return NULL;
}

void nj_python_keep(nj_python *p, const nj_host *host)
{
    p->host = host;
    p->kept = pthread_create(&p->keeper, NULL, keep, p) == 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

enum { PASSED = 4 };

static int send_descriptors(int control, const int passed[PASSED])
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(PASSED * sizeof(int))];
    } more = { .room = { 0 } };
    char byte = 'w';
    struct iovec part = { &byte, 1 };
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = more.room, .msg_controllen = sizeof more.room
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(PASSED * sizeof(int));
    memcpy(CMSG_DATA(c), passed, PASSED * sizeof(int));
    return sendmsg(control, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

void nj_python_close(nj_python_peer *peer)
{
    for (int *fd = (int[]){ peer->socket, peer->call, peer->answer, -1 }; *fd >= 0; fd++)
        if (*fd > 0) close(*fd);
    *peer = (nj_python_peer){ 0 };
}

int nj_python_worker(nj_python *p, int memory, nj_python_peer *peer)
{
    int end[2], rc = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end)) return -1;
    *peer = (nj_python_peer){ end[0], eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC), 0, 0 };
    if (peer->call < 0) peer->call = 0;
    if (peer->answer < 0) peer->answer = 0;
    const int naps = (int)((p->o.start_s + PATIENCE_S) * 1000) / NAP_MS;
    for (int k = 0; rc && peer->call && peer->answer && k < naps && !atomic_load(&p->given_up); k++) {
        pthread_mutex_lock(&p->lock);
        if (p->control >= 0)
            rc = send_descriptors(p->control, (int[PASSED]){ end[1], memory, peer->call, peer->answer });
        pthread_mutex_unlock(&p->lock);
        if (rc && !p->kept) break;
        if (rc) nap(NAP_MS); /* the keeper is starting another one */
    }
    close(end[1]);
    if (rc) nj_python_close(peer);
    return rc;
}

void nj_python_near(nj_python_peer *peer, const nj_python_memory *memory)
{
    const int64_t *head = nj_python_head(memory);
    const int64_t pid = head[NJ_PYTHON_PID];
    const int cpu = sched_getcpu();
    if (head[NJ_PYTHON_ALONE] != 1 || pid < 2 || cpu < 0 || cpu >= CPU_SETSIZE) return;
    if (pid == peer->near && cpu == peer->cpu) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    peer->near = sched_setaffinity((pid_t)pid, sizeof one, &one) ? 0 : pid;
    peer->cpu = cpu;
}

void nj_python_end(nj_python *p)
{
    if (!p) return;
    atomic_store(&p->ending, 1);
    forget_process(p); /* it ends when it reads that nobody is there */
    if (p->owner != getpid()) return;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    if (p->kept) {
        if (pthread_timedjoin_np(p->keeper, NULL, &until)) {
            kill(p->pid, SIGKILL);
            pthread_join(p->keeper, NULL);
        }
    } else {
        int left = PATIENCE_S * 1000 / NAP_MS;
        while (left-- > 0 && waitpid(p->pid, NULL, WNOHANG) == 0) nap(NAP_MS);
        if (left < 0) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, NULL, 0);
        }
    }
    free_one(p);
}
