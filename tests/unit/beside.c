/* beside.c - files that are written beside others: no two processes get one name, whatever their ids, and
 * what killed ones left goes away. */
#include "nightjar/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"

static char path[128];

/* A file of that name, as old as asked; its descriptor. */
static int leave(const char *name, time_t age_s)
{
    int fd = open(in_folder(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const struct timespec at[2] = { { time(NULL) - age_s, 0 }, { time(NULL) - age_s, 0 } };
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, at), 0);
    return fd;
}

static bool is_there(const char *name)
{
    struct stat st;
    return lstat(in_folder(name), &st) == 0;
}

static int begin(void **state)
{
    if (make_folder(state)) return -1;
    snprintf(path, sizeof path, "%.100s/cache", folder);
    return 0;
}

static void a_name_of_its_own(void **state)
{
    (void)state;
    char a[160], b[160], at[160];
    struct stat st;
    mode_t before = umask(027);
    int one = nj_beside_open(AT_FDCWD, path, 0666, a, sizeof a);
    int two = nj_beside_open(AT_FDCWD, path, 0666, b, sizeof b);
    umask(before);
    assert_true(one >= 0);
    assert_true(two >= 0);
    assert_string_not_equal(a, b);
    assert_int_equal(strncmp(a, path, strlen(path)), 0);
    assert_int_equal(strlen(a), strlen(path) + 21);
    assert_string_equal(a + strlen(a) - 4, ".tmp");
    assert_int_equal(fstat(one, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_true(fcntl(one, F_GETFD) & FD_CLOEXEC);
    int dir = open(folder, O_RDONLY | O_DIRECTORY);
    int three = nj_beside_open(dir, "cache", 0600, at, sizeof at);
    assert_true(three >= 0);
    assert_int_equal(strncmp(at, "cache.", 6), 0);
    assert_true(is_there(at));
    unlink(a), unlink(b), unlinkat(dir, at, 0);
    close(one), close(two), close(three), close(dir);
}

static void what_the_dead_left(void **state)
{
    (void)state;
    static const char *const stays[] = {
        "cache.0123456789abcde.tmp",     "cache.0123456789abcdef0.tmp",
        "cache.0123456789ABCDEF.tmp",    "caches.0123456789abcdef.tmp",
        "cache.0123456789abcdef.tmp.gz", "cache.0123456789abcdef",
        "cache.x.0123456789abcdef.tmp",  "cache",
    };
    char name[160];
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++) close(leave(stays[i], 3600));
    close(leave("cache.00000000000000aa.tmp", 3600));
    int used = leave("cache.00000000000000bb.tmp", 3600);
    assert_int_equal(flock(used, LOCK_EX), 0);
    close(leave("cache.00000000000000cc.tmp", 5));
    assert_int_equal(mkfifo(in_folder("cache.00000000000000dd.tmp"), 0600), 0);
    assert_int_equal(symlink("cache", in_folder("cache.00000000000000ee.tmp")), 0);
    assert_int_equal(mkdir(in_folder("cache.00000000000000ff.tmp"), 0700), 0);
    int fd = nj_beside_open(AT_FDCWD, path, 0600, name, sizeof name);
    assert_true(fd >= 0);
    assert_false(is_there("cache.00000000000000aa.tmp"));
    assert_true(is_there("cache.00000000000000bb.tmp"));
    assert_true(is_there("cache.00000000000000cc.tmp"));
    assert_true(is_there("cache.00000000000000dd.tmp"));
    assert_true(is_there("cache.00000000000000ee.tmp"));
    assert_true(is_there("cache.00000000000000ff.tmp"));
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++)
        if (!is_there(stays[i])) fail_msg("%s is gone", stays[i]);
    close(used);
    close(fd);
    assert_int_equal(remove_folder(NULL), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
}

static void a_name_that_does_not_fit(void **state)
{
    (void)state;
    char name[160], most[400];
    assert_int_equal(nj_beside_open(AT_FDCWD, path, 0600, name, strlen(path) + 21), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    snprintf(most, sizeof most, "%s/%0240d", folder, 0);
    char room[500];
    assert_int_equal(nj_beside_open(AT_FDCWD, most, 0600, room, sizeof room), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(nj_beside_open(AT_FDCWD, "/no/such/folder/x", 0600, room, sizeof room), -1);
    assert_int_equal(errno, ENOENT);
}

/* The first process of a new process namespace: makes its file, says its name, and waits. */
static pid_t begin_one(int said, const int hold[2])
{
    pid_t outer = fork();
    if (outer) return outer;
    close(hold[1]);
    if (unshare(CLONE_NEWPID)) _exit(77);
    pid_t inner = fork();
    if (inner == 0) {
        char name[160], byte;
        int fd = nj_beside_open(AT_FDCWD, path, 0600, name, sizeof name);
        bool good = getpid() == 1 && fd >= 0 && write(said, name, sizeof name) == (ssize_t)sizeof name;
        _exit(good && read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(inner, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* As two containers with one folder: both are process 1. */
static void two_processes_of_one_id(void **state)
{
    (void)state;
    int said[2], hold[2], status[2];
    char name[2][160] = { "", "" };
    assert_int_equal(pipe(said), 0);
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    pid_t one = begin_one(said[1], hold);
    pid_t two = begin_one(said[1], hold);
    close(said[1]);
    ssize_t n = read(said[0], name[0], sizeof name[0]);
    ssize_t m = n > 0 ? read(said[0], name[1], sizeof name[1]) : 0;
    close(hold[1]);
    waitpid(one, &status[0], 0);
    waitpid(two, &status[1], 0);
    if (WIFEXITED(status[0]) && WEXITSTATUS(status[0]) == 77) skip();
    assert_int_equal(n, sizeof name[0]);
    assert_int_equal(m, sizeof name[1]);
    assert_string_not_equal(name[0], name[1]);
    assert_int_equal(unlink(name[0]), 0);
    assert_int_equal(unlink(name[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_of_its_own),
        cmocka_unit_test(what_the_dead_left),
        cmocka_unit_test(a_name_that_does_not_fit),
        cmocka_unit_test(two_processes_of_one_id),
    };
    return cmocka_run_group_tests(tests, begin, remove_folder);
}
