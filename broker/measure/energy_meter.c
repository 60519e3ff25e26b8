/* energy_meter.c - one reading of the user's own meter, by a command or from a file, which may hang, fail or
 * print without an end. */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/clock.h"
#include "energy_counter.h"

extern char **environ;

/* Behind one of the words that BMCs use; else from the begin. */
static const char *where_the_watts_are(const char *text)
{
    static const char *const word[] = { "Instantaneous power reading", "\"PowerConsumedWatts\"",
                                        "\"PowerWatts\"" };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++) {
        const char *at = strstr(text, word[i]);
        if (!at) continue;
        at += strlen(word[i]);
        const char *reading = i == 2 ? strstr(at, "\"Reading\"") : NULL;
        if (reading) at = reading + strlen("\"Reading\"");
        return at + strspn(at, ": \t\r\n");
    }
    return text;
}

static double number_in(const char *text)
{
    char *end;
    const char *at = where_the_watts_are(text);
    double value = strtod(at, &end);
    return end != at && isfinite(value) && value >= 0 ? value : NAN;
}

/* The command in a process group of its own, its output in *from; -1: it cannot be started. */
static pid_t start(const char *command, int *from)
{
    char *argv[] = { "sh", "-c", (char *)command, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    int end[2];
    pid_t pid = -1;
    if (pipe2(end, O_CLOEXEC)) return -1;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, end[1], STDOUT_FILENO);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP);
    if (posix_spawn(&pid, "/bin/sh", &files, &how, argv, environ)) pid = -1;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    close(end[1]);
    *from = end[0];
    if (pid < 0) close(end[0]);
    return pid;
}

/* Reads to the end, keeping the first bytes; false: there is none before the time is over. */
static bool read_all(int fd, char *text, size_t room, int64_t until_ns)
{
    char rest[4096];
    size_t n = 0;
    for (;;) {
        const int64_t left_ms = (until_ns - nj_now_ns()) / 1000000;
        struct pollfd p = { fd, POLLIN, 0 };
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0) return false;
        const bool full = n + 1 == room;
        const ssize_t k = read(fd, full ? rest : text + n, full ? sizeof rest : room - 1 - n);
        if (k < 0) return false;
        if (!full) text[n += (size_t)k] = 0;
        if (!k) return true;
    }
}

static double ask(const char *command, char *text, size_t room)
{
    int fd, status = -1;
    const int64_t until_ns = nj_now_ns() + NJ_METER_MOST_S * INT64_C(1000000000);
    const pid_t pid = start(command, &fd);
    if (pid < 0) return NAN;
    bool ended = read_all(fd, text, room, until_ns);
    close(fd);
    while (ended && waitpid(pid, &status, WNOHANG) == 0) { /* its output has an end, itself not yet */
        poll(NULL, 0, 10);
        ended = nj_now_ns() < until_ns;
    }
    if (!ended) {
        kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        return NAN;
    }
    return status ? NAN : number_in(text);
}

double nj_energy_meter_read(const char *command, const char *file)
{
    char text[16384] = "";
    if (command && *command) return ask(command, text, sizeof text);
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    if (fd < 0) return NAN;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return NAN;
    text[n] = 0;
    return number_in(text);
}
