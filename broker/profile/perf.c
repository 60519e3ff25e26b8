/* perf.c - cycles, instructions and cache misses come from perf_event_open, which many machines restrict in
 * some way. */
#include "perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const nj_perf_name[NJ_PERF_EVENTS] = { "cycles",        "instructions", "cache-misses",
                                                   "branch-misses", "task-clock",   "page-faults" };

static const struct {
    uint32_t type, group; /* group: index of the event that leads it */
    uint64_t config;
} table[NJ_PERF_EVENTS] = {
    [NJ_PERF_CYCLES] = { PERF_TYPE_HARDWARE, 0, PERF_COUNT_HW_CPU_CYCLES },
    [NJ_PERF_INSTRUCTIONS] = { PERF_TYPE_HARDWARE, 0, PERF_COUNT_HW_INSTRUCTIONS },
    [NJ_PERF_CACHE_MISSES] = { PERF_TYPE_HARDWARE, 0, PERF_COUNT_HW_CACHE_MISSES },
    [NJ_PERF_BRANCH_MISSES] = { PERF_TYPE_HARDWARE, 0, PERF_COUNT_HW_BRANCH_MISSES },
    [NJ_PERF_TASK_CLOCK] = { PERF_TYPE_SOFTWARE, NJ_PERF_TASK_CLOCK, PERF_COUNT_SW_TASK_CLOCK },
    [NJ_PERF_PAGE_FAULTS] = { PERF_TYPE_SOFTWARE, NJ_PERF_TASK_CLOCK, PERF_COUNT_SW_PAGE_FAULTS },
};

void nj_perf_open(nj_perf *p)
{
    for (int i = 0; i < NJ_PERF_EVENTS; i++) {
        struct perf_event_attr a = { .type = table[i].type,
                                     .size = sizeof a,
                                     .config = table[i].config,
                                     .disabled = 1,
                                     .exclude_kernel = 1,
                                     .exclude_hv = 1,
                                     .read_format =
                                         PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING };
        int leader = (int)table[i].group < i ? p->fd[table[i].group] : -1;
        p->fd[i] = (int)syscall(SYS_perf_event_open, &a, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
        p->error[i] = p->fd[i] < 0 ? errno : 0;
    }
}

void nj_perf_start(const nj_perf *p)
{
    for (int i = 0; i < NJ_PERF_EVENTS; i++) {
        if (p->fd[i] < 0) continue;
        ioctl(p->fd[i], PERF_EVENT_IOC_RESET, 0);
        ioctl(p->fd[i], PERF_EVENT_IOC_ENABLE, 0);
    }
}

void nj_perf_stop(const nj_perf *p)
{
    for (int i = 0; i < NJ_PERF_EVENTS; i++)
        if (p->fd[i] >= 0) ioctl(p->fd[i], PERF_EVENT_IOC_DISABLE, 0);
}

void nj_perf_read(const nj_perf *p, nj_perf_count count[NJ_PERF_EVENTS])
{
    for (int i = 0; i < NJ_PERF_EVENTS; i++) {
        struct {
            uint64_t value, enabled, running;
        } got;
        count[i] = (nj_perf_count){ NAN, 0, p->error[i] };
        if (p->fd[i] < 0 || read(p->fd[i], &got, sizeof got) != sizeof got || !got.running) continue;
        count[i].share = (double)got.running / (double)got.enabled;
        count[i].value = (double)got.value / count[i].share;
    }
}

void nj_perf_close(nj_perf *p)
{
    for (int i = 0; i < NJ_PERF_EVENTS; i++)
        if (p->fd[i] >= 0) close(p->fd[i]);
}

static bool paranoid(int *level)
{
    FILE *f = fopen("/proc/sys/kernel/perf_event_paranoid", "r");
    bool read = f && fscanf(f, "%d", level) == 1;
    if (f) fclose(f);
    return read;
}

void nj_perf_why(nj_perf_event event, int error, char *text, size_t size)
{
    int level = 0;
    bool known = paranoid(&level), hardware = table[event].type == PERF_TYPE_HARDWARE;
    if (!error)
        snprintf(text, size, "the CPU's counters were taken all the time");
    else if (hardware && (error == ENOENT || error == EOPNOTSUPP || error == ENODEV))
        snprintf(text, size, "not supported: %s",
                 access("/sys/bus/event_source/devices/cpu", F_OK)
                     ? "this machine shows no counters of its CPU (a virtual machine?)"
                     : "the CPU has no such counter");
    else if ((error == EACCES || error == EPERM) && known && level > 2)
        snprintf(text, size,
                 "refused: kernel.perf_event_paranoid is %d; up to 2 would do, or the capability CAP_PERFMON",
                 level);
    else if (error == EACCES || error == EPERM)
        snprintf(text, size,
                 "refused (%s), though kernel.perf_event_paranoid is %d: a container's seccomp filter?",
                 strerror(error), level);
    else if (error == ENOSYS)
        snprintf(text, size, "%s",
                 known ? "refused (no such call): a seccomp filter?" : "this kernel has no perf events");
    else
        snprintf(text, size, "%s", strerror(error));
}
