/* notify.c - systemd wants to know when a service is ready, that it still moves, and that it stops: one
 * datagram each, which needs no library. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const char *socket_name(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    return name && name[0] ? name : NULL;
}

bool nj_notify_wanted(void)
{
    return socket_name() != NULL;
}

int nj_notify(const char *text)
{
    const char *name = socket_name();
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t n = name ? strlen(name) : 0;
    if (!n || n >= sizeof to.sun_path || (name[0] != '/' && name[0] != '@')) return errno = EINVAL, -1;
    memcpy(to.sun_path, name, n);
    if (name[0] == '@') to.sun_path[0] = '\0'; /* Linux's abstract names: no file */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    const struct timeval most = { .tv_sec = 1 }; /* some ten datagrams fit into the listener's queue */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    int error = errno;
    close(fd);
    errno = error;
    return sent < 0 ? -1 : 0;
}

int64_t nj_notify_watchdog_ns(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    char *end;
    long long us = text && socket_name() ? strtoll(text, &end, 10) : 0;
    return us > 0 && us < INT64_MAX / 1000 && !*end ? us * 1000 : 0;
}
