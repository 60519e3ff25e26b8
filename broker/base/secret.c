/* secret.c - a password must not be where others look: the process keeps a list of its
 * secrets, and takes them out of what it shows. */
#include "secret.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"

extern char **environ;

enum { LEAST_BYTES = 4, LEAST_KEY = 8, MOST_NAME = 128, PASSING = 256 };

/* Read without a lock, by signal handlers too: an entry is whole when it is linked, and is never freed. The
 * longer ones come first: of two, where one is within the other, nothing of the longer must remain. */
typedef struct entry {
    struct entry *_Atomic next;
    size_t n;
    char text[];
} entry;

static entry *_Atomic known;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

/* Those that others take the place of, as tokens do each hour. One that is pushed out is freed when its place
 * is taken once more, which is long after anybody read it. */
static char *_Atomic passing[PASSING];
static char *gone[PASSING];
static unsigned n_passing;

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

void nj_secret_remember(const char *text)
{
    const size_t n = text ? strlen(text) : 0;
    if (n < LEAST_BYTES) return;
    pthread_mutex_lock(&adding);
    entry *_Atomic *at = &known;
    while (*at && (*at)->n > n) at = &(*at)->next;
    entry *same = *at;
    while (same && same->n == n && memcmp(same->text, text, n)) same = same->next;
    entry *more = same && same->n == n ? NULL : malloc(sizeof *more + n + 1);
    if (more) {
        more->n = n;
        memcpy(more->text, text, n + 1);
        atomic_init(&more->next, *at);
        *at = more;
    }
    pthread_mutex_unlock(&adding);
}

void nj_secret_remember_for_now(const char *text)
{
    char *copy = text && strlen(text) >= LEAST_BYTES ? strdup(text) : NULL;
    if (!copy) return;
    pthread_mutex_lock(&adding);
    const unsigned at = n_passing++ % PASSING;
    free(gone[at]);
    gone[at] = atomic_exchange(&passing[at], copy);
    pthread_mutex_unlock(&adding);
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
    for (const char *at = address; at && (at = password_in(at, &n)) != NULL; at += n) {
        char *secret = strndup(at, n);
        nj_secret_remember(secret);
        free(secret);
    }
}

/* ---- addresses that are keys ------------------------------------------------------------------ */

static struct hidden {
    char *shown, *address;
} * hidden;
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
    struct hidden *more = realloc(hidden, (n_hidden + 1) * sizeof *more);
    if (!more) return NULL;
    hidden = more;
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

static void take_out(char *text, const char *secret, size_t size)
{
    for (char *at = text; (at = strstr(at, secret)) != NULL; at += 3) {
        memcpy(at, "***", 3);
        memmove(at + 3, at + size, strlen(at + size) + 1);
    }
}

void nj_secret_scrub(char *text)
{
    for (const entry *s = known; s; s = s->next) take_out(text, s->text, s->n);
    for (int i = 0; i < PASSING; i++) {
        const char *one = passing[i];
        if (one) take_out(text, one, strlen(one));
    }
}

/* The text's last bytes, where they are the first ones of the secret, become "***". */
static void take_off(char *text, const char *secret, size_t size)
{
    const size_t all = strlen(text);
    for (size_t n = size - 1 < all ? size - 1 : all; n >= LEAST_BYTES; n--)
        if (!memcmp(text + all - n, secret, n)) {
            memcpy(text + all - n, "***", 4);
            return;
        }
}

void nj_secret_scrub_cut(char *text)
{
    nj_secret_scrub(text);
    for (const entry *s = known; s; s = s->next) take_off(text, s->text, s->n);
    for (int i = 0; i < PASSING; i++) {
        const char *one = passing[i];
        if (one) take_off(text, one, strlen(one));
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

/* Where the next secret stands in the word, which has been looked at up to *from, or NULL. */
static char *find(char *word, const char **from, char name[MOST_NAME], size_t *size)
{
    const char *value = *from == word ? key_in(word, size) : NULL;
    if (value) {
        strcpy(name, "the address of a webhook");
        *from = value + *size;
        return word + (value - word);
    }
    /* in kafka://me:PASSWORD@host/topic?sasl.password=VALUE there are both */
    size_t rest;
    const char *address = password_in(*from, &rest), *setting = value_in(*from, name);
    if (address && (!setting || address < setting)) {
        strcpy(name, "a password in an address");
        *size = rest;
        value = address;
    } else if ((value = setting) != NULL) {
        *size = strlen(value);
    }
    if (value) *from = value + *size;
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

static char **words_of(int argc, char **argv)
{
    char **own = malloc(((size_t)argc + 1) * sizeof *own);
    if (own) memcpy(own, argv, ((size_t)argc + 1) * sizeof *own);
    return own;
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
        const char *from = argv[i];
        for (char *at; (at = find(argv[i], &from, name, &size)) != NULL;) {
            if (!own && !(own = words_of(argc, argv))) return argv;
            char *secret = strndup(at, size);
            if (own[i] == argv[i]) own[i] = strdup(argv[i]);
            if (!own[i]) own[i] = argv[i];
            if (own[i] != argv[i] && secret) {
                nj_secret_remember(secret);
                memset(at, '*', size); /* what ps and /proc/PID/cmdline show */
                warn(name);
            }
            free(secret);
        }
    }
    return own ? own : argv;
}
