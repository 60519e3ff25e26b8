/* metrics_server.c - `--metrics HOST:PORT`: answers over HTTP, in a thread of its own, and keeps room for the
 * next question whoever else is connected. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "health.h"
#include "metrics.h"

enum { CALLERS_MOST = 128, CROWDED = 48, NEWEST = 16, CALL_S = 10 };

/* A connection. One that sends a byte now and then is never idle, and would keep its place forever. */
typedef struct caller {
    int fd;
    int64_t since_ns; /* it was opened, or its last answer was out */
} caller;

struct nj_metrics {
    struct MHD_Daemon *daemon;
    nj_metrics_of of;
    pthread_mutex_t lock;
    caller *caller[CALLERS_MOST]; /* connections that are open */
    uint32_t n_callers;
};

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, const char *type, const char *text,
                             size_t n)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(n, (void *)text, MHD_RESPMEM_MUST_COPY);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result rc = MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result answer(void *opaque, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **connection)
{
    static const char elsewhere[] = "the counters are at /metrics; there are /health and /ready, too\n",
                      not_that[] = "GET only\n";
    (void)version, (void)upload, (void)upload_size, (void)connection;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return reply(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", not_that, sizeof not_that - 1);
    const nj_metrics *m = opaque;
    if (!strcmp(url, "/health") || !strcmp(url, "/ready")) {
        nj_health_state now = nj_health_now(m->of.r->health);
        bool yes = url[1] == 'h' ? now.alive : now.ready;
        char text[sizeof now.text + 1];
        int n = snprintf(text, sizeof text, "%s\n", now.text);
        return reply(c, yes ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text,
                     (size_t)n);
    }
    if (strcmp(url, "/metrics") != 0)
        return reply(c, MHD_HTTP_NOT_FOUND, "text/plain", elsewhere, sizeof elsewhere - 1);
    nj_buffer b = { 0 };
    nj_metrics_text(&m->of, &b);
    enum MHD_Result rc =
        b.failed ? MHD_NO : reply(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", b.data, b.n);
    nj_buffer_free(&b);
    return rc;
}

/* A new connection makes room: those that are not through after CALL_S are closed, and in a crowd all but the
 * newest. */
static void make_room(nj_metrics *m)
{
    int64_t now = nj_now_ns();
    for (uint32_t i = 0; i < m->n_callers; i++) {
        const caller *c = m->caller[i];
        uint32_t newer = 0;
        for (uint32_t k = 0; k < m->n_callers; k++) newer += m->caller[k]->since_ns > c->since_ns;
        if (now - c->since_ns > CALL_S * INT64_C(1000000000) || (m->n_callers >= CROWDED && newer >= NEWEST))
            shutdown(c->fd, SHUT_RDWR);
    }
}

static void on_connection(void *opaque, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    nj_metrics *m = opaque;
    caller *it = *context;
    pthread_mutex_lock(&m->lock);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        make_room(m);
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info && m->n_callers < CALLERS_MOST && (it = malloc(sizeof *it)) != NULL) {
            *it = (caller){ info->connect_fd, nj_now_ns() };
            m->caller[m->n_callers++] = it;
        }
        *context = it;
    } else if (it) {
        for (uint32_t i = 0; i < m->n_callers; i++)
            if (m->caller[i] == it) m->caller[i--] = m->caller[--m->n_callers];
        free(it);
        *context = NULL;
    }
    pthread_mutex_unlock(&m->lock);
}

/* An answer is out: the connection may stay for the next question, as Prometheus' do. */
static void on_answered(void *opaque, struct MHD_Connection *c, void **request,
                        enum MHD_RequestTerminationCode code)
{
    nj_metrics *m = opaque;
    (void)request, (void)code;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    caller *it = info ? info->socket_context : NULL;
    pthread_mutex_lock(&m->lock);
    if (it) it->since_ns = nj_now_ns();
    pthread_mutex_unlock(&m->lock);
}

/* "HOST:PORT", "[::1]:PORT"; ":PORT" is this machine alone. The caller frees the list. */
static struct addrinfo *address_of(const char *where, nj_error *err)
{
    char host[256];
    const char *colon = strrchr(where, ':');
    size_t n = colon ? (size_t)(colon - where) : 0;
    if (!colon || n >= sizeof host || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || atoi(colon + 1) > 65535)
        return nj_fail(err, "--metrics %s: expected HOST:PORT, or :PORT for 127.0.0.1", where), NULL;
    int bracketed = n > 1 && where[0] == '[' && where[n - 1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(n - 2 * (size_t)bracketed), where + bracketed);
    if (!n) strcpy(host, "127.0.0.1");
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
    int rc = getaddrinfo(host, colon + 1, &hints, &list);
    if (rc) return nj_fail(err, "--metrics %s: %s", where, gai_strerror(rc)), NULL;
    return list;
}

nj_metrics *nj_metrics_start(const char *where, run *r, nj_error *err)
{
    struct addrinfo *at = address_of(where, err);
    nj_metrics *m = at ? calloc(1, sizeof *m) : NULL;
    if (m) {
        *m = (nj_metrics){ .of = { r, (double)nj_calendar_ns() / 1e9, nj_metrics_spent_new() } };
        pthread_mutex_init(&m->lock, NULL);
        unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | (at->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0);
        m->daemon =
            MHD_start_daemon(flags, 0, NULL, NULL, answer, m, MHD_OPTION_SOCK_ADDR, at->ai_addr,
                             MHD_OPTION_CONNECTION_LIMIT, (unsigned)CALLERS_MOST,
                             MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CALL_S, MHD_OPTION_NOTIFY_CONNECTION,
                             on_connection, m, MHD_OPTION_NOTIFY_COMPLETED, on_answered, m, MHD_OPTION_END);
        if (!m->daemon) {
            nj_fail(err, "--metrics %s: cannot listen there (%m)", where);
            pthread_mutex_destroy(&m->lock);
            nj_metrics_spent_free(m->of.spent);
            free(m);
            m = NULL;
        }
    }
    if (at) freeaddrinfo(at);
    if (!m) return NULL;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_BIND_PORT);
    int n = (int)(strrchr(where, ':') - where);
    nj_log(NJ_LOG_INFO, "metrics at http://%.*s:%u/metrics", n ? n : 9, n ? where : "127.0.0.1",
           info ? (unsigned)info->port : 0);
    return m;
}

void nj_metrics_stop(nj_metrics *m)
{
    if (!m) return;
    MHD_stop_daemon(m->daemon);
    pthread_mutex_destroy(&m->lock);
    nj_metrics_spent_free(m->of.spent);
    free(m);
}
