/* oauth.c - GCN lets readers in by OpenID Connect, and librdkafka as Debian builds it has no HTTP client: the
 * token is fetched here. */
#include "oauth.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/buffer.h"
#include "../base/log.h"
#include "../base/secret.h"

enum { MOST = 4096, TIMEOUT_S = 20, MOST_BODY = 1 << 20 };
static const char place[] = "sasl.oauthbearer.config"; /* a text of ours, which the callback gets: NAME=VALUE,
                                                        * a line each */
static const char stem[] = "sasl.oauthbearer.";

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* The value of a line of the text. */
static bool value_of(const char *text, const char *name, char value[MOST])
{
    size_t n = strlen(name);
    for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] != 0)) {
        if (strncmp(line, name, n) || line[n] != '=') continue;
        snprintf(value, MOST, "%.*s", (int)strcspn(line + n + 1, "\n"), line + n + 1);
        return true;
    }
    return false;
}

static size_t take_body(char *data, size_t size, size_t n, void *body)
{
    nj_buffer *b = body;
    if (b->n + size * n > MOST_BODY) return 0;
    nj_buffer_add(b, data, size * n);
    return b->failed ? 0 : size * n;
}

/* The answer's body; 0, or -1 with why. */
static int ask(const char *config, nj_buffer *body, char why[256])
{
    char url[MOST], id[MOST], secret[MOST], scope[MOST] = "", said[CURL_ERROR_SIZE] = "";
    char form[3 * MOST + 64] = "grant_type=client_credentials";
    long status = 0;
    if (!value_of(config, "token.endpoint.url", url) || !value_of(config, "client.id", id) ||
        !value_of(config, "client.secret", secret)) {
        snprintf(why, 256, "sasl.oauthbearer.token.endpoint.url, .client.id and .client.secret are needed");
        return -1;
    }
    pthread_once(&once, set_up);
    CURL *curl = curl_easy_init();
    if (!curl) return snprintf(why, 256, "libcurl cannot be set up"), -1;
    if (value_of(config, "scope", scope)) {
        char *escaped = curl_easy_escape(curl, scope, 0);
        snprintf(form + strlen(form), sizeof form - strlen(form), "&scope=%s", escaped ? escaped : "");
        curl_free(escaped);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, said);
    curl_easy_setopt(curl, CURLOPT_USERNAME, id);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, secret);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "nightjar");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (rc == CURLE_WRITE_ERROR && body->n)
        snprintf(why, 256, "the token's server sends an answer of more than %d bytes", MOST_BODY);
    else if (rc != CURLE_OK)
        snprintf(why, 256, "%.200s", *said ? said : curl_easy_strerror(rc));
    else if (status != 200)
        snprintf(why, 256, "the token's server answers %ld", status);
    return rc == CURLE_OK && status == 200 ? 0 : -1;
}

/* In a thread of librdkafka's: at the start, and before each token ends. */
static void refresh(rd_kafka_t *rk, const char *config, void *opaque)
{
    (void)opaque;
    char why[256] = "", id[MOST] = "";
    nj_buffer body = { 0 };
    json_error_t error;
    int failed = ask(config ? config : "", &body, why);
    json_t *answer = failed ? NULL : json_loadb(body.data ? body.data : "", body.n, 0, &error);
    const char *token = json_string_value(json_object_get(answer, "access_token"));
    json_int_t lasts = json_integer_value(json_object_get(answer, "expires_in"));
    if (!failed && (!token || lasts <= 0)) {
        snprintf(why, sizeof why, "the token's server sends no access_token with an expires_in");
        failed = 1;
    }
    value_of(config ? config : "", "client.id", id);
    if (!failed) {
        nj_secret_remember_for_now(token);
        failed = rd_kafka_oauthbearer_set_token(rk, token, ((int64_t)time(NULL) + lasts) * 1000, id, NULL, 0,
                                                why, sizeof why) != RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (failed) rd_kafka_oauthbearer_set_token_failure(rk, why);
    json_decref(answer);
    nj_buffer_free(&body);
}

bool nj_oauth_take(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    static const char *const ours[] = { "method", "client.id", "client.secret", "scope",
                                        "token.endpoint.url" };
    char text[4 * MOST] = "";
    size_t n = sizeof text;
    if (strncmp(name, stem, sizeof stem - 1)) return false;
    name += sizeof stem - 1;
    for (size_t k = 0; k < sizeof ours / sizeof *ours; k++) {
        if (strcmp(name, ours[k])) continue;
        if (!strcmp(name, "method") && strcmp(value, "oidc")) return false;
        if (strchr(value, '\n') || strlen(value) >= MOST) return false;
        if (rd_kafka_conf_get(conf, place, text, &n) != RD_KAFKA_CONF_OK) text[0] = 0;
        /* the last one counts, so it stands first */
        char more[5 * MOST + 64], why[256];
        snprintf(more, sizeof more, "%s=%s\n%s", name, value, text);
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, refresh);
        rd_kafka_conf_enable_sasl_queue(conf, 1);
        return strlen(more) < sizeof text &&
               rd_kafka_conf_set(conf, place, more, why, sizeof why) == RD_KAFKA_CONF_OK;
    }
    return false;
}

rd_kafka_t *nj_kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *why, size_t size)
{
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, size);
    /* an error where there is nothing to serve */
    rd_kafka_error_t *error = rk ? rd_kafka_sasl_background_callbacks_enable(rk) : NULL;
    if (error) rd_kafka_error_destroy(error);
    return rk;
}
