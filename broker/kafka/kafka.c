/* kafka.c - source, sink, replayer and `nightjar lag` must read targets, settings and errors of Kafka in the
 * same way. */
#include "kafka.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../base/secret.h"

/* Nagle is off and keepalive on since librdkafka 2.10 only; without them TLS pays 40 ms a round trip, and a
 * firewall that drops an idle connection is not noticed.
 * The nightly topic appears every evening: look for it every 10 s. */
static const nj_kafka_pair always[] = { { "client.id", "nightjar" },
                                        { "socket.nagle.disable", "true" },
                                        { "socket.keepalive.enable", "true" },
                                        { "topic.metadata.refresh.interval.ms", "10000" },
                                        { 0 } };

static char *copy(const char *text, size_t n)
{
    char *c = malloc(n + 1);
    if (!c) return NULL;
    memcpy(c, text, n);
    c[n] = '\0';
    return c;
}

/* A regular expression may hold '?' too: the query is what looks like one. A key that there is none of is one
 * as well (?sasl.password=X): as part of a topic's name it would be shown. */
static const char *find_query(const char *text)
{
    const char *query = NULL;
    for (const char *p = strchr(text, '?'); p; p = strchr(p + 1, '?')) {
        const char *q = p + 1;
        while (isalnum((unsigned char)*q) || (*q && strchr("._-", *q))) q++;
        if (q > p + 1 && *q == '=') query = p;
    }
    return query;
}

static int refuse_password(const char *address, nj_error *err)
{
    nj_secret_remember_address(address);
    return nj_fail(err,
                   "%s: an address of Kafka has no user and password: -X sasl.username=NAME, and the "
                   "password in $NIGHTJAR_KAFKA_PASSWORD or -X sasl.password.file=PATH",
                   address);
}

int nj_kafka_target_parse(nj_kafka_target *target, const char *spec, nj_error *err)
{
    static const char scheme[] = "kafka://";
    const char *hosts = !strncmp(spec, scheme, sizeof scheme - 1) ? spec + sizeof scheme - 1 : spec;
    const char *slash = strchr(hosts, '/');
    *target = (nj_kafka_target){ 0 };
    if (slash && memchr(hosts, '@', (size_t)(slash - hosts))) return refuse_password(spec, err);
    if (!slash || slash == hosts || !slash[1])
        return nj_fail(err, "%s: expected kafka://HOST:PORT[,HOST:PORT]/TOPIC", spec);
    const char *topic = slash + 1, *query = find_query(topic);
    target->hosts = copy(hosts, (size_t)(slash - hosts));
    target->topic = copy(topic, query ? (size_t)(query - topic) : strlen(topic));
    if (query) target->query = copy(query + 1, strlen(query + 1));
    if (target->hosts && target->topic && target->topic[0] && (!query || target->query)) return 0;
    int no_topic = target->topic && !target->topic[0];
    nj_kafka_target_free(target);
    return no_topic ? nj_fail(err, "%s: expected a topic after the hosts", spec)
                    : nj_fail(err, "%s: out of memory", spec);
}

void nj_kafka_target_free(nj_kafka_target *target)
{
    free(target->hosts);
    free(target->topic);
    free(target->query);
    *target = (nj_kafka_target){ 0 };
}

char *nj_kafka_query(char **rest, char **value)
{
    char *key = *rest;
    if (!key || !*key) return NULL;
    char *end = key + strcspn(key, "&");
    *rest = *end ? end + 1 : NULL;
    *end = '\0';
    *value = strchr(key, '=');
    if (*value)
        *(*value)++ = '\0';
    else
        *value = end;
    return key;
}

/* Of one kind so many lines a minute: an unreachable broker makes thousands in a night. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    enum { KINDS = 16, A_MINUTE = 5 };
    static nj_log_limit limit[KINDS];
    uint32_t kind = 0;
    (void)rk;
    for (const char *c = facility; *c; c++) kind = kind * 31 + (uint8_t)*c;
    if (level > 6)
        nj_debug(NJ_DEBUG_KAFKA, "%s: %s", facility, text);
    else /* syslog's levels; what librdkafka calls an error it retries, so it is a warning here */
        nj_log_limited(&limit[kind % KINDS], A_MINUTE, level <= 4 ? NJ_LOG_WARN : NJ_LOG_INFO,
                       "kafka: %s: %s", facility, text);
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, const char *where, nj_error *err)
{
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK) return 0;
    if (nj_oauth_take(conf, name, value)) return 0;
    /* librdkafka quotes the value, which may be a password given to the wrong key */
    if (nj_secret_is(name)) return nj_fail(err, "%s: [kafka] %s is not accepted", where, name);
    return nj_fail(err, "%s: [kafka] %s: %s", where, name, why);
}

static int set_all(rd_kafka_conf_t *conf, const nj_kafka_pair *pair, nj_error *err)
{
    for (; pair && pair->name; pair++)
        if (set(conf, pair->name, pair->value, "default", err)) return -1;
    return 0;
}

/* NAME.file for a secret NAME: its value is in that file. */
static int read_secret(rd_kafka_conf_t *conf, const char *name, const char *path, nj_error *err)
{
    char text[16384]; /* a key in PEM */
    FILE *f = fopen(path, "re");
    if (!f) return nj_fail(err, "[kafka] %s.file: %s cannot be read: %s", name, path, strerror(errno));
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
    text[n] = '\0';
    if (!n) return nj_fail(err, "[kafka] %s.file: %s is empty", name, path);
    nj_secret_remember(text);
    return set(conf, name, text, path, err);
}

/* librdkafka's name of a setting of [kafka], or NULL:
 * -D kafka.sasl.username=x arrives as section "kafka.sasl". */
static const char *full_name(const nj_setting *t, char *text, size_t size)
{
    if (!strcmp(t->section, "kafka")) return t->key;
    if (strncmp(t->section, "kafka.", 6) != 0) return NULL;
    snprintf(text, size, "%s.%s", t->section + 6, t->key);
    return text;
}

static int set_users(rd_kafka_conf_t *conf, nj_settings *settings, const char *const *fixed, nj_error *err)
{
    const char *password_file = NULL;
    int username = 0, password = 0;
    for (size_t i = 0; settings && i < settings->n; i++) {
        nj_setting *t = &settings->item[i];
        char text[256];
        const char *name = full_name(t, text, sizeof text);
        if (!name) continue;
        t->used = 1;
        for (const char *const *f = fixed; f && *f; f++)
            if (!strcmp(*f, name))
                return nj_fail(err,
                               "%s: [kafka] %s cannot be changed: with another value alerts could be lost",
                               t->where, name);
        if (!strcmp(name, "group_instance")) continue; /* member.h */
        size_t stem = strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".file") ? strlen(name) - 5 : 0;
        char secret[256];
        snprintf(secret, sizeof secret, "%.*s", (int)stem, name);
        if (!strcmp(secret, "sasl.password")) {
            password_file = t->value;
            continue;
        }
        if (nj_secret_is(secret)) {
            if (read_secret(conf, secret, t->value, err)) return -1;
            continue;
        }
        username |= !strcmp(name, "sasl.username");
        password |= !strcmp(name, "sasl.password");
        if (set(conf, name, t->value, t->where, err)) return -1;
    }
    const char *environment = getenv("NIGHTJAR_KAFKA_PASSWORD");
    if (password) return 0;
    if (password_file) return read_secret(conf, "sasl.password", password_file, err);
    if (username && environment)
        return set(conf, "sasl.password", environment, "$NIGHTJAR_KAFKA_PASSWORD", err);
    return 0;
}

rd_kafka_conf_t *nj_kafka_conf(const char *hosts, const nj_kafka_pair *preset, const char *const *fixed,
                               nj_settings *settings, nj_error *err)
{
    if (hosts && strchr(hosts, '@')) { /* librdkafka would look for a host of that name */
        char address[1024];
        snprintf(address, sizeof address, "kafka://%s", hosts);
        refuse_password(address, err);
        return NULL;
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (set_all(conf, always, err) || (hosts && set(conf, "bootstrap.servers", hosts, hosts, err)) ||
        set_all(conf, preset, err) || set_users(conf, settings, fixed, err)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

int nj_kafka_set_group(rd_kafka_conf_t *conf, const char *said, nj_error *err)
{
    char group[384] = "", user[256] = "";
    size_t n = sizeof group, m = sizeof user;
    if (said)
        snprintf(group, sizeof group, "%s", said);
    else if (rd_kafka_conf_get(conf, "group.id", group, &n) != RD_KAFKA_CONF_OK)
        group[0] = '\0';
    if (!group[0]) {
        int named = rd_kafka_conf_get(conf, "sasl.username", user, &m) == RD_KAFKA_CONF_OK && user[0];
        snprintf(group, sizeof group, "%s%snightjar", named ? user : "", named ? "-" : "");
    }
    return set(conf, "group.id", group, "group", err);
}

int nj_kafka_is_final(rd_kafka_resp_err_t error)
{
    static const rd_kafka_resp_err_t final[] = {
        RD_KAFKA_RESP_ERR__FATAL,
        RD_KAFKA_RESP_ERR__AUTHENTICATION,
        RD_KAFKA_RESP_ERR__SSL,
        RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL,
        RD_KAFKA_RESP_ERR_INVALID_GROUP_ID,
    };
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        if (error == final[i]) return 1;
    return 0;
}

const char *nj_kafka_cause(rd_kafka_resp_err_t error, const char *reason, char *text, size_t size)
{
    const char *hint = "";
    if (strstr(reason, "SCRAM") && rd_kafka_version() < 0x020601ff)
        hint = "; if the password is right: librdkafka before 2.6.1 cannot do SCRAM with Apache Kafka 4 and "
               "later";
    else if (strstr(reason, "certificate verify failed"))
        hint = "; name the authority's certificate with -X ssl.ca.location=FILE";
    else if (error == RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL)
        hint = "; other members of the group use another partition.assignment.strategy than "
               "cooperative-sticky: give theirs by -X (range,roundrobin is librdkafka's and was nightjar's), "
               "or stop them first";
    else if (error == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        hint = "; another run has the same group.instance.id, on a host of the same name: give each its own "
               "by -D kafka.group_instance=NAME (or off)";
    snprintf(text, size, "%s (librdkafka %s)%s", reason, rd_kafka_version_str(), hint);
    return text;
}
