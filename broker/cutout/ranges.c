/* ranges.c - range requests by libcurl, whose answers go into a sparse file in memory. */
#include "ranges.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"

enum {
    BLOCK = 16 << 10,   /* what is asked for at least */
    GAP = 64 << 10,     /* so much between two pieces costs less than another request */
    REQUEST = 16 << 20, /* of one request at most */
    TRIES = 4,
    CONNECTIONS = 64,
    CARD = 80,
    FITS = 2880
};
enum { HERE = 1, WANTED = 2 };

struct nj_ranges {
    char url[4096], shown[512], path[64], tag[256]; /* shown: without a password; tag: the ETag, "" = none */
    int fd;                                         /* of the memory file */
    uint64_t size, n_blocks;
    uint8_t *block; /* [n_blocks] HERE, WANTED */
    CURLM *multi;
    struct curl_slist *headers;
    char credentials[600], signature[128];
    nj_ranges_account account;
};

typedef struct request {
    nj_ranges *r;
    CURL *curl;
    uint64_t from, n, got;
    uint64_t total; /* the file's length, as this answer has it */
    int tries;
    char tag[256], why[CURL_ERROR_SIZE];
    bool disk; /* a write failed */
} request;

bool nj_ranges_is(const char *path)
{
    return !strncasecmp(path, "http://", 7) || !strncasecmp(path, "https://", 8) ||
           !strncmp(path, "s3://", 5);
}

/* ---- where it is ----------------------------------------------------------------------------- */

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static int take_s3(nj_ranges *r, const char *url, nj_error *err)
{
    const char *bucket = url + 5, *key = strchr(bucket, '/'),
               *endpoint = environment("AWS_ENDPOINT_URL", NULL),
               *region = environment("AWS_REGION", environment("AWS_DEFAULT_REGION", "us-east-1")),
               *id = environment("AWS_ACCESS_KEY_ID", NULL),
               *secret = environment("AWS_SECRET_ACCESS_KEY", NULL),
               *token = environment("AWS_SESSION_TOKEN", NULL);
    if (!key || key == bucket || !key[1]) return nj_fail(err, "%s: expected s3://BUCKET/KEY", url);
    int n = endpoint ? snprintf(r->url, sizeof r->url, "%s/%s", endpoint, bucket)
                     : snprintf(r->url, sizeof r->url, "https://%.*s.s3.%s.amazonaws.com%s",
                                (int)(key - bucket), bucket, region, key);
    if (n >= (int)sizeof r->url) return nj_fail(err, "%.100s...: the address is too long", url);
    if (!id || !secret) return 0; /* a public bucket */
    snprintf(r->signature, sizeof r->signature, "aws:amz:%s:s3", region);
    n = snprintf(r->credentials, sizeof r->credentials, "%s:%s", id, secret);
    if (n >= (int)sizeof r->credentials) return nj_fail(err, "AWS_SECRET_ACCESS_KEY: is too long");
    r->headers = curl_slist_append(r->headers, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    if (!token) return 0;
    char line[4096];
    if (snprintf(line, sizeof line, "x-amz-security-token: %s", token) >= (int)sizeof line)
        return nj_fail(err, "AWS_SESSION_TOKEN: is too long");
    r->headers = curl_slist_append(r->headers, line);
    return 0;
}

/* For messages: without what stands before an @, and without a query, which may be a signature. */
static void show(nj_ranges *r, const char *url)
{
    const char *host = strstr(url, "://") + 3, *slash = strchr(host, '/'),
               *at = slash ? memchr(host, '@', (size_t)(slash - host)) : NULL;
    const char *from = at ? at + 1 : host;
    snprintf(r->shown, sizeof r->shown, "%.*s%.*s", (int)(host - url), url, (int)strcspn(from, "?"), from);
}

/* ---- requests -------------------------------------------------------------------------------- */

static size_t take_body(char *bytes, size_t size, size_t n, void *opaque)
{
    request *q = opaque;
    long code = 0;
    n *= size;
    curl_easy_getinfo(q->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 206)
        return code == 200 ? 0 : n; /* the text of an error; or the whole file, which is not wanted */
    if (q->got + n > q->n) return 0;
    for (size_t done = 0; done < n;) {
        ssize_t k = pwrite(q->r->fd, bytes + done, n - done, (off_t)(q->from + q->got + done));
        if (k <= 0) return q->disk = true, 0;
        done += (size_t)k;
    }
    q->got += n;
    return n;
}

/* "Content-Range: bytes 0-16383/1073741824", "ETag: "..."". */
static size_t take_header(char *line, size_t size, size_t n, void *opaque)
{
    request *q = opaque;
    char text[600];
    unsigned long long from, to, total;
    n *= size;
    snprintf(text, sizeof text, "%.*s", (int)n, line);
    if (!strncasecmp(text, "HTTP/", 5)) q->total = 0, q->tag[0] = 0; /* of a redirection before */
    if (!strncasecmp(text, "content-range:", 14) &&
        sscanf(text + 14, " bytes %llu-%llu/%llu", &from, &to, &total) == 3 && from == q->from)
        q->total = total;
    if (!strncasecmp(text, "etag:", 5)) sscanf(text + 5, " %255[^\r\n]", q->tag);
    return n;
}

static int begin(request *q, nj_error *err)
{
    nj_ranges *r = q->r;
    char range[64];
    q->got = q->total = 0;
    q->tag[0] = q->why[0] = 0;
    if (!q->curl && !(q->curl = curl_easy_init())) return nj_fail(err, "out of memory");
    curl_easy_reset(q->curl);
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)q->from,
             (unsigned long long)(q->from + q->n - 1));
    curl_easy_setopt(q->curl, CURLOPT_URL, r->url);
    curl_easy_setopt(q->curl, CURLOPT_RANGE, range);
    curl_easy_setopt(q->curl, CURLOPT_PRIVATE, q);
    curl_easy_setopt(q->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(q->curl, CURLOPT_WRITEDATA, q);
    curl_easy_setopt(q->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(q->curl, CURLOPT_HEADERDATA, q);
    curl_easy_setopt(q->curl, CURLOPT_ERRORBUFFER, q->why);
    curl_easy_setopt(q->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(q->curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(q->curl, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(q->curl, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(q->curl, CURLOPT_LOW_SPEED_LIMIT, 100L); /* bytes/s, for 30 s: it stands still */
    curl_easy_setopt(q->curl, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(q->curl, CURLOPT_USERAGENT, "nightjar");
    if (r->headers) curl_easy_setopt(q->curl, CURLOPT_HTTPHEADER, r->headers);
    if (r->signature[0]) {
        curl_easy_setopt(q->curl, CURLOPT_AWS_SIGV4, r->signature);
        curl_easy_setopt(q->curl, CURLOPT_USERPWD, r->credentials);
    }
    if (curl_multi_add_handle(r->multi, q->curl)) return nj_fail(err, "%s: out of memory", r->shown);
    return 0;
}

/* 0, 1 = it is worth another try, -1. */
static int judge(request *q, CURLcode code, nj_error *err)
{
    nj_ranges *r = q->r;
    long status = 0;
    curl_easy_getinfo(q->curl, CURLINFO_RESPONSE_CODE, &status);
    if (q->disk) return nj_fail(err, "%s: no memory for its blocks", r->shown);
    if (status == 200)
        return nj_fail(err, "%s: the server sends the whole file where a range is asked for; download it",
                       r->shown);
    if (status == 206 &&
        (!q->total || (r->size && q->total != r->size) || (r->tag[0] && strcmp(q->tag, r->tag))))
        return nj_fail(err, "%s: has changed while it was read, or the server answers with another range",
                       r->shown);
    if (status == 206 && code == CURLE_OK && q->got == q->n) return 0;
    if (status == 206 && code == CURLE_OK && !r->size && q->got == q->total)
        return 0; /* shorter than a block */
    bool later = status == 429 || status >= 500 ||
                 (status < 400 && code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT &&
                  code != CURLE_PEER_FAILED_VERIFICATION);
    if (status >= 400)
        nj_fail(err, "%s: the server says %ld", r->shown, status);
    else
        nj_fail(err, "%s: %s", r->shown,
                q->why[0] ? q->why
                : code    ? curl_easy_strerror(code)
                          : "ended early");
    return later ? 1 : -1;
}

/* One answer, or a failure of it. */
static int take(request *q, CURLcode code, int *under_way, nj_error *err)
{
    nj_ranges *r = q->r;
    curl_multi_remove_handle(r->multi, q->curl);
    int rc = judge(q, code, err);
    --*under_way;
    if (rc == 0) {
        r->account.requests++;
        r->account.bytes += q->got;
        for (uint64_t b = q->from / BLOCK; r->block && b * BLOCK < q->from + q->n; b++) r->block[b] = HERE;
        return 0;
    }
    if (rc < 0 || ++q->tries == TRIES) return -1;
    nj_log(NJ_LOG_WARN, "%s; once more", err->text);
    nanosleep(&(struct timespec){ 0, 100000000L << q->tries }, NULL);
    rc = begin(q, err);
    *under_way += rc == 0;
    return rc;
}

/* Does all of them, `most` at a time. */
static int perform(nj_ranges *r, request *list, size_t n, int most, nj_error *err)
{
    int under_way = 0, running = 0, left, rc = 0;
    size_t next = 0;
    while (!rc && (next < n || under_way)) {
        for (; !rc && next < n && under_way < most; next++) {
            list[next].r = r;
            rc = begin(&list[next], err);
            under_way += rc == 0;
        }
        if (!rc && (curl_multi_perform(r->multi, &running) || curl_multi_wait(r->multi, NULL, 0, 1000, NULL)))
            rc = nj_fail(err, "%s: libcurl has failed", r->shown);
        for (CURLMsg *m; !rc && (m = curl_multi_info_read(r->multi, &left));) {
            request *q = NULL;
            CURLcode code = m->data.result;
            if (m->msg != CURLMSG_DONE) continue;
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&q);
            rc = take(q, code, &under_way, err);
        }
    }
    return rc;
}

static void end(nj_ranges *r, request *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!list[i].curl) continue;
        curl_multi_remove_handle(r->multi, list[i].curl);
        curl_easy_cleanup(list[i].curl);
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

nj_ranges *nj_ranges_open(const char *url, nj_error *err)
{
    nj_ranges *r = calloc(1, sizeof *r);
    request first = { .n = BLOCK };
    if (!r || curl_global_init(CURL_GLOBAL_DEFAULT))
        return free(r), nj_fail(err, "libcurl cannot be set up"), NULL;
    show(r, url);
    r->fd = memfd_create("nightjar-cutout", MFD_CLOEXEC);
    r->multi = curl_multi_init();
    int rc = r->fd < 0 || !r->multi ? nj_fail(err, "%s: out of memory", r->shown) : 0;
    if (!rc && !strncmp(url, "s3://", 5))
        rc = take_s3(r, url, err);
    else if (!rc && snprintf(r->url, sizeof r->url, "%s", url) >= (int)sizeof r->url)
        rc = nj_fail(err, "%.100s...: the address is too long", url);
    if (!rc) rc = perform(r, &first, 1, 1, err);
    if (!rc) {
        r->size = first.total;
        if (!r->size || r->size > INT64_MAX / 2)
            rc = nj_fail(err, "%s: the server does not say how large it is", r->shown);
    }
    if (!rc) {
        r->n_blocks = (r->size + BLOCK - 1) / BLOCK;
        snprintf(r->tag, sizeof r->tag, "%s", first.tag);
        snprintf(r->path, sizeof r->path, "/proc/self/fd/%d", r->fd);
        r->block = calloc(r->n_blocks + 1, 1);
        if (!r->block || ftruncate(r->fd, (off_t)r->size)) rc = nj_fail(err, "%s: out of memory", r->shown);
        if (!rc) r->block[0] = HERE;
    }
    if (r->multi) end(r, &first, 1);
    if (!rc) return r;
    nj_ranges_close(r);
    return NULL;
}

void nj_ranges_close(nj_ranges *r)
{
    if (!r) return;
    if (r->multi) curl_multi_cleanup(r->multi);
    curl_slist_free_all(r->headers);
    if (r->fd >= 0) close(r->fd);
    free(r->block);
    free(r);
}

const char *nj_ranges_path(const nj_ranges *r)
{
    return r->path;
}

uint64_t nj_ranges_size(const nj_ranges *r)
{
    return r->size;
}

nj_ranges_account nj_ranges_account_of(const nj_ranges *r)
{
    return r->account;
}

void nj_ranges_want(nj_ranges *r, uint64_t from, uint64_t n)
{
    for (uint64_t b = from / BLOCK; n && b < r->n_blocks && b * BLOCK < from + n; b++)
        if (r->block[b] != HERE) r->block[b] = WANTED;
}

int nj_ranges_fetch(nj_ranges *r, int connections, nj_error *err)
{
    request *list = NULL;
    size_t n = 0, cap = 0;
    int rc = 0;
    for (uint64_t b = 0; b < r->n_blocks && !rc; b++) {
        if (r->block[b] != WANTED) continue;
        uint64_t from = b * BLOCK, end = from + BLOCK < r->size ? from + BLOCK : r->size;
        request *last = n ? &list[n - 1] : NULL;
        if (last && from - (last->from + last->n) <= GAP && end - last->from <= REQUEST) {
            last->n = end - last->from;
            continue;
        }
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            request *more = realloc(list, cap * sizeof *more);
            if (!more) rc = nj_fail(err, "%s: out of memory", r->shown);
            if (more) list = more;
        }
        if (!rc && list) list[n++] = (request){ .from = from, .n = end - from };
    }
    if (connections > CONNECTIONS) connections = CONNECTIONS;
    if (!rc) rc = perform(r, list, n, connections, err);
    if (list) end(r, list, n);
    free(list);
    return rc;
}

/* ---- FITS headers ---------------------------------------------------------------------------- */

typedef struct hdu {
    long long bitpix, axes, axis[1000], pcount, gcount;
    bool packed, table, groups;
} hdu;

/* One card; true at END. */
static bool take_card(hdu *h, const char card[CARD])
{
    char key[9], value[72];
    long k;
    snprintf(key, sizeof key, "%.8s", card);
    key[strcspn(key, " ")] = 0;
    snprintf(value, sizeof value, "%.70s", card + 10);
    if (!strcmp(key, "END")) return true;
    if (!strcmp(key, "BITPIX")) h->bitpix = atoll(value);
    if (!strcmp(key, "PCOUNT")) h->pcount = atoll(value);
    if (!strcmp(key, "GCOUNT")) h->gcount = atoll(value);
    if (!strcmp(key, "ZIMAGE")) h->packed = value[strspn(value, " ")] == 'T';
    if (!strcmp(key, "GROUPS")) h->groups = value[strspn(value, " ")] == 'T';
    if (!strcmp(key, "XTENSION")) h->table = strstr(value, "TABLE") != NULL;
    if (!strcmp(key, "NAXIS"))
        h->axes = atoll(value);
    else if (!strncmp(key, "NAXIS", 5) && (k = strtol(key + 5, NULL, 10)) > 0 && k < 1000)
        h->axis[k] = atoll(value);
    return false;
}

/* Bytes of its data, padded. */
static uint64_t data_size(const hdu *h)
{
    double n = h->axes > 0;
    for (long k = 1; k <= h->axes && k < 1000; k++) n *= k == 1 && h->groups ? 1 : (double)h->axis[k];
    n = (n + (double)h->pcount) * (double)h->gcount * (double)llabs(h->bitpix) / 8;
    if (!(n >= 0 && n < 0x1p55)) return UINT64_MAX;
    uint64_t bytes = (uint64_t)n;
    return (bytes + FITS - 1) / FITS * FITS;
}

static bool is_image(const hdu *h)
{
    bool image = h->packed || (!h->table && h->axes > 1);
    for (long k = 1; k <= h->axes && k < 1000; k++) image &= h->axis[k] > 0;
    return image;
}

/* Reads one header: *at moves behind it. 1 = there is none. */
static int read_header(nj_ranges *r, hdu *h, uint64_t *at, nj_error *err)
{
    char block[FITS];
    *h = (hdu){ .gcount = 1 };
    for (bool over = false; !over; *at += FITS) {
        if (*at + FITS > r->size) return 1;
        nj_ranges_want(r, *at, FITS);
        if (nj_ranges_fetch(r, 1, err)) return -1;
        if (pread(r->fd, block, FITS, (off_t)*at) != FITS)
            return nj_fail(err, "%s: cannot be read", r->shown);
        for (int i = 0; i < FITS / CARD && !over; i++) over = take_card(h, block + (size_t)i * CARD);
    }
    return 0;
}

int nj_ranges_headers(nj_ranges *r, bool all, nj_error *err)
{
    hdu *h = malloc(sizeof *h);
    char begins[10] = "";
    if (!h) return nj_fail(err, "out of memory");
    int rc = 0;
    if (pread(r->fd, begins, 9, 0) < 9 || strncmp(begins, "SIMPLE  =", 9) != 0) {
        nj_ranges_want(r, 0, r->size); /* packed as a whole, or no FITS: what reads it will say */
        rc = nj_ranges_fetch(r, 4, err);
        free(h);
        return rc;
    }
    for (uint64_t at = 0; !rc && at < r->size;) {
        rc = read_header(r, h, &at, err);
        if (rc || (!all && is_image(h))) break;
        uint64_t data = data_size(h);
        if (data > r->size - at) break;
        at += data;
    }
    free(h);
    return rc < 0 ? -1 : 0;
}
