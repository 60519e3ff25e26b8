/* relay.c - systemd takes READY=1 and the watchdog's signs of life from the main process alone, and the one
 * that lives is its child. */
#include "relay.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../base/log.h"
#include "notify.h"

static int in = -1;
static char *to;    /* systemd's own socket */
static char own[8]; /* ours, as $NOTIFY_SOCKET has it: "@00a1f" */
static bool held;   /* a worker said that it stops, and systemd was not told */

/* The kernel chooses a name that is free. One made of the process id would not be: containers that share a
 * network share these names, and each begins to count processes anew. */
static int bind_anywhere(int fd)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    socklen_t size = sizeof at;
    if (bind(fd, (struct sockaddr *)&at, sizeof at.sun_family) ||
        getsockname(fd, (struct sockaddr *)&at, &size))
        return -1;
    const size_t n = size - offsetof(struct sockaddr_un, sun_path);
    if (n < 2 || n >= sizeof own || at.sun_path[0]) return errno = EADDRNOTAVAIL, -1;
    memcpy(own, at.sun_path, n);
    own[0] = '@', own[n] = 0; /* an abstract name: no file */
    return 0;
}

void nj_relay_begin(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    const int on = 1;
    if (!name || !nj_notify_wanted() || !(to = strdup(name))) return;
    in = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (in >= 0) setsockopt(in, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    if (in >= 0 && bind_anywhere(in) == 0 && setenv("NOTIFY_SOCKET", own, 1) == 0) return;
    nj_log(NJ_LOG_WARN, "the worker notifies systemd itself (%m): NotifyAccess=all allows this");
    nj_relay_end();
}

/* An abstract name has no owner: each user may write to it; only messages of our own user are read. */
static ssize_t receive(char *text, size_t room, bool *ours)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct iovec part = { text, room };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(in, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    struct ucred who;
    *ours = c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS;
    if (*ours) memcpy(&who, CMSG_DATA(c), sizeof who);
    *ours = *ours && who.uid == geteuid();
    return n;
}

void nj_relay_pass(bool last)
{
    static const char stopping[] = "STOPPING=1\n";
    char text[1024];
    bool ours;
    for (ssize_t n; in >= 0 && (n = receive(text, sizeof text - 1, &ours)) > 0;) {
        static nj_log_limit foreign;
        if (!ours)
            nj_log_limited(&foreign, 1, NJ_LOG_WARN,
                           "another user wrote to the socket for systemd: not passed on");
        if (!ours) continue;
        text[n] = 0;
        const bool stops = !strncmp(text, stopping, sizeof stopping - 1);
        const char *passed = stops && !last ? text + sizeof stopping - 1 : text;
        if (stops) held = !last;
        setenv("NOTIFY_SOCKET", to, 1);
        static nj_log_limit said;
        if (nj_notify(passed))
            nj_log_limited(&said, 1, NJ_LOG_WARN, "$NOTIFY_SOCKET %s: %s", to, strerror(errno));
        setenv("NOTIFY_SOCKET", own, 1); /* of the next worker */
    }
}

void nj_relay_end(void)
{
    if (in >= 0) {
        nj_relay_pass(true);
        close(in);
        setenv("NOTIFY_SOCKET", to, 1);
        if (held) nj_notify("STOPPING=1");
    }
    in = -1;
    held = false;
    free(to);
    to = NULL;
}
