/* secret.c - a password must not be where others look: the process keeps a list of its
 * secrets, and takes them out of what it shows. */
#include "secret.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"

extern char **environ;

enum { MOST = 64, LEAST_BYTES = 4, LEAST_KEY = 8, MOST_NAME = 128 };

static char *known[MOST];
static _Atomic unsigned n_known; /* those before it are whole; set-up is one thread */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcasecmp(text + n - m, end);
}

bool nj_secret_is(const char *name)
{
    static const char *const place[] = { ".file", "_file", ".location", ".path", ".url", "file" };
    static const char *const part[] = { "password",    "passphrase",         "passwd",  "secret",
                                        "ssl.key.pem", "oauthbearer.config", "api_key", "private.key.pem" };
    for (size_t i = 0; i < sizeof place / sizeof *place; i++)
        if (ends_with(name, place[i])) return false;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (strcasestr(name, part[i])) return true;
    return ends_with(name, "token");
}

void nj_secret_remember(const char *secret)
{
    unsigned n = n_known;
    if (!secret || strlen(secret) < LEAST_BYTES || n == MOST) return;
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(known[i], secret)) return;
    if ((known[n] = strdup(secret)) != NULL) n_known = n + 1;
}

/* The password of the first scheme://user:password@host in a text, or NULL. */
static const char *password_in(const char *text, size_t *size)
{
    for (const char *at = strstr(text, "://"); at; at = strstr(at + 3, "://")) {
        const char *user = at + 3, *host = user + strcspn(user, "/? \t\n,;");
        const char *colon = memchr(user, ':', (size_t)(host - user));
        const char *end = NULL; /* the last @ before the path */
        for (const char *p = user; p < host; p++)
            if (*p == '@') end = p;
        if (!colon || !end || colon > end) continue;
        *size = (size_t)(end - colon - 1);
        if (*size) return colon + 1;
    }
    return NULL;
}

void nj_secret_remember_address(const char *address)
{
    size_t n;
    const char *at = address ? password_in(address, &n) : NULL;
    char *secret = at ? strndup(at, n) : NULL;
    nj_secret_remember(secret);
    free(secret);
}

/* ---- addresses that are keys ------------------------------------------------------------------ */

static struct {
    char *shown, *address;
} hidden[MOST];
static unsigned n_hidden;

/* What is secret in the first "webhook:http..." of a text: all behind the host, from its '/' or '?' on. NULL
 * when there is none. */
static const char *key_in(const char *text, size_t *size)
{
    const char *at = strstr(text, "webhook:http");
    const char *host = at ? strstr(at, "://") : NULL;
    if (!host) return NULL;
    host += 3;
    const char *path = host + strcspn(host, "/?# \t\n");
    *size = strcspn(path, " \t\n");
    return *size > 1 && *path != '#' ? path : NULL;
}

void nj_secret_remember_webhooks(const char *list)
{
    size_t n;
    for (const char *at = list; (at = key_in(at, &n)) != NULL; at += n) {
        char *key = n >= LEAST_KEY ? strndup(at, n) : NULL;
        nj_secret_remember(key);
        free(key);
    }
}

static char *name_of(const char *spec, const char *path, unsigned number)
{
    char *name = malloc((size_t)(path - spec) + 24);
    if (!name) return NULL;
    const int n = sprintf(name, "%.*s#***", (int)(path - spec), spec);
    if (number) sprintf(name + n, "%u", number + 1);
    return name;
}

const char *nj_secret_hide(const char *spec)
{
    size_t n;
    const char *path = strncmp(spec, "webhook:", 8) ? NULL : key_in(spec, &n);
    if (!path || path[n]) return spec;
    unsigned same = 0; /* of this host */
    for (unsigned i = 0; i < n_hidden; i++) {
        if (!strcmp(hidden[i].address, spec + 8)) return hidden[i].shown;
        same += !strncmp(hidden[i].address, spec + 8, (size_t)(path - spec - 8)) &&
                strchr("/?", hidden[i].address[path - spec - 8]);
    }
    if (n_hidden == MOST) return NULL;
    char *shown = name_of(spec, path, same), *address = strdup(spec + 8);
    if (!shown || !address) return free(shown), free(address), NULL;
    if (n >= LEAST_KEY) nj_secret_remember(path);
    hidden[n_hidden].shown = shown;
    hidden[n_hidden++].address = address;
    return shown;
}

const char *nj_secret_address(const char *shown)
{
    for (unsigned i = 0; i < n_hidden; i++)
        if (!strcmp(hidden[i].shown + 8, shown)) return hidden[i].address;
    return shown;
}

void nj_secret_scrub(char *text)
{
    unsigned n = n_known;
    for (unsigned i = 0; i < n; i++) {
        size_t size = strlen(known[i]);
        for (char *at = text; (at = strstr(at, known[i])) != NULL; at += 3) {
            memcpy(at, "***", 3);
            memmove(at + 3, at + size, strlen(at + size) + 1);
        }
    }
}

/* ---- the command line ------------------------------------------------------------------------ */

/* The value in "-Xsasl.password=VALUE", "--define=registry.password=VALUE" ..., or NULL; its name. */
static const char *value_in(const char *word, char name[MOST_NAME])
{
    for (const char *equals = strchr(word, '='); equals; equals = strchr(equals + 1, '=')) {
        const char *begin = equals;
        while (begin > word && (isalnum((unsigned char)begin[-1]) || strchr("._-", begin[-1]))) begin--;
        size_t n = (size_t)(equals - begin);
        if (n >= MOST_NAME) continue;
        memcpy(name, begin, n);
        name[n] = '\0';
        if (nj_secret_is(name) && equals[1]) return equals + 1;
    }
    return NULL;
}

/* Where a secret stands in the word, or NULL. */
static char *find(char *word, char name[MOST_NAME], size_t *size)
{
    const char *value = key_in(word, size);
    if (value) {
        strcpy(name, "the address of a webhook");
    } else if ((value = value_in(word, name)) != NULL) {
        *size = strlen(value);
    } else if ((value = password_in(word, size)) != NULL) {
        strcpy(name, "a password in an address");
    }
    return value ? word + (value - word) : NULL;
}

static void warn(const char *name)
{
    nj_log(
        NJ_LOG_WARN,
        "%s is on the command line, where every user of this machine can read it (ps). It is masked now; "
        "better in a file (-X sasl.password.file=PATH, [registry] password_file, -o webhook:FILE), in a file "
        "of settings (-c) or in $NIGHTJAR_KAFKA_PASSWORD or $NIGHTJAR_REGISTRY_PASSWORD",
        name);
}

char **nj_secret_command_line(int argc, char **argv)
{
    static char **own;
    char name[MOST_NAME];
    size_t size;
    for (char **e = environ; e && *e; e++) {
        const char *equals = strchr(*e, '=');
        if (strncmp(*e, "NIGHTJAR_", 9) || !equals) continue;
        nj_secret_remember_address(equals + 1);
        if (value_in(*e, name)) nj_secret_remember(equals + 1);
    }
    for (int i = 1; i < argc; i++) {
        char *at = find(argv[i], name, &size);
        if (!at) continue;
        if (!own) {
            own = malloc(((size_t)argc + 1) * sizeof *own);
            if (!own) return argv;
            memcpy(own, argv, ((size_t)argc + 1) * sizeof *own);
        }
        char *copy = strdup(argv[i]), *secret = strndup(at, size);
        if (copy && secret) {
            own[i] = copy;
            nj_secret_remember(secret);
            memset(at, '*', size); /* what ps and /proc/PID/cmdline show */
            warn(name);
        }
        free(secret);
    }
    return own ? own : argv;
}
