/* source.c - a source argument is a path, a URL or `-`; this chooses the class of source and holds what all
 * classes share. */
#include "source.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../base/unpack.h"
#include "classes.h"

/* The first match wins. */
const nj_source_class *const nj_source_classes[] = {
    &nj_source_embedded, &nj_source_kafka,   &nj_source_dead,
    &nj_source_archive,  &nj_source_parquet, &nj_source_stored,
    &nj_source_folder,   &nj_source_file,    NULL
};

nj_source *nj_source_open(const nj_source_args *args, nj_error *err)
{
    if (!args->spec[0]) {
        nj_fail(err, "a source has an empty name");
        return NULL;
    }
    for (const nj_source_class *const *c = nj_source_classes; *c; c++)
        if ((*c)->match(args->spec)) {
            nj_debug(NJ_DEBUG_SOURCE, "%s is a source of kind %s", args->spec, (*c)->name);
            return (*c)->open(args, err);
        }
    nj_fail(err, "%s: no kind of source has this form; `nightjar run --help` lists them", args->spec);
    return NULL;
}

const nj_param nj_source_settings[] = {
    { "contact_s", NJ_F64, "60", offsetof(nj_source_conf, contact_s), 0.1, 86400, "s",
      "a live source without a broker or a partition for so long is an error" },
    { "drain_s", NJ_F64, "10", offsetof(nj_source_conf, drain_s), 0, 240, "s",
      "a rebalance waits at most so long for alerts that are under way" },
    { "lag_s", NJ_F64, "2", offsetof(nj_source_conf, lag_s), 0.1, 3600, "s",
      "how often the brokers are asked where the partitions end" },
    { "zstd_window_log", NJ_I64, "31", offsetof(nj_source_conf, zstd_window_log), 10, NJ_ZSTD_WINDOW, "1",
      "a zstd archive may ask for a window of up to 2^N bytes of memory" },
    { "max_member", NJ_I64, "4G", offsetof(nj_source_conf, max_member), 1024, 1e13, "byte",
      "a packed file or member, unpacked, and a member of an archive" },
    { 0 }
};

int nj_source_configure(nj_settings *settings, nj_source_conf *conf, nj_error *err)
{
    nj_settings none = { 0 };
    return nj_settings_apply(settings ? settings : &none, "source", nj_source_settings, NULL, conf, err);
}

int nj_source_check(nj_settings *settings, nj_error *err)
{
    nj_source_conf ignored;
    return nj_source_configure(settings, &ignored, err);
}

/* How long the name is without the endings of packers. */
static size_t bare_length(const char *name)
{
    static const char *const packer[] = { ".gz", ".zst", ".zstd", ".bz2", ".xz", ".lz4", ".lzma", ".Z" };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof packer / sizeof *packer; i++) {
        size_t k = strlen(packer[i]);
        if (n <= k || strncasecmp(name + n - k, packer[i], k)) continue;
        n -= k;
        i = (size_t)-1; /* .gz.gz */
    }
    return n;
}

static bool ends(const char *name, size_t n, const char *end)
{
    size_t k = strlen(end);
    return n >= k && !strncasecmp(name + n - k, end, k);
}

bool nj_source_is_packet_name(const char *name)
{
    size_t n = bare_length(name);
    return ends(name, n, ".avro") || ends(name, n, ".msg") || ends(name, n, ".datum");
}

bool nj_source_is_json_name(const char *name)
{
    size_t n = bare_length(name);
    return ends(name, n, ".json") || ends(name, n, ".ndjson") || ends(name, n, ".jsonl");
}

bool nj_source_is_archive_name(const char *name)
{
    static const char *const form[] = { ".tar", ".tgz", ".tzst", ".txz", ".tbz2", ".tbz", ".tlz", ".zip" };
    size_t n = bare_length(name);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        if (ends(name, n, form[i])) return true;
    return strcasestr(nj_base_name(name), ".tar.") != NULL;
}

bool nj_source_is_metadata(const char *path)
{
    static const char *const folder[] = {
        "__MACOSX", "PaxHeader",  ".ipynb_checkpoints", ".AppleDouble", ".Trash",
        ".Trashes", ".fseventsd", ".Spotlight-V100",    ".git",         ".snapshot",
        ".zfs",     "@eaDir",     "lost+found",         "$RECYCLE.BIN", ".TemporaryItems"
    };
    for (const char *part = path, *end; (end = strchr(part, '/')); part = end + 1)
        for (size_t i = 0; i < sizeof folder / sizeof *folder; i++) {
            size_t n = strlen(folder[i]), k = (size_t)(end - part);
            /* PaxHeaders.1234 and .Trash-1000 have the number of a process or a user behind them */
            bool numbered = k > n && (part[n] == '.' || part[n] == 's' || part[n] == '-');
            if (k >= n && !strncmp(part, folder[i], n) && (k == n || numbered)) return true;
        }
    const char *base = nj_base_name(path);
    return base[0] == '.' && base[1] && strcmp(base, "..") != 0;
}

static void count(uint64_t *n, char first[256], const char *name)
{
    if ((*n)++ == 0) snprintf(first, 256, "%s", name);
}

void nj_skipped_add(nj_skipped *skipped, const char *name, int empty)
{
    if (empty)
        count(&skipped->empty, skipped->first_empty, name);
    else
        count(&skipped->other, skipped->first_other, name);
}

void nj_skipped_add_metadata(nj_skipped *skipped, const char *name)
{
    count(&skipped->metadata, skipped->first_metadata, name);
}

void nj_skipped_add_special(nj_skipped *skipped, const char *name)
{
    count(&skipped->special, skipped->first_special, name);
}

void nj_skipped_report(const nj_skipped *skipped, const nj_source_host *host, const char *source,
                       const char *unit)
{
    const struct {
        uint64_t n;
        const char *kind, *behind, *first;
    } part[] = { { skipped->other, "", " not an alert", skipped->first_other },
                 { skipped->empty, "empty ", "", skipped->first_empty },
                 { skipped->metadata, "hidden or metadata ", "", skipped->first_metadata },
                 { skipped->special, "", " of another kind: link, pipe, device", skipped->first_special } };
    char text[2048];
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (!part[i].n || n >= sizeof text) continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%" PRIu64 " %s%s%s%s (%s%s)",
                              n ? ", and " : source, n ? "" : ": skipped ", part[i].n, part[i].kind, unit,
                              part[i].n > 1 ? "s" : "", part[i].behind, part[i].first,
                              part[i].n > 1 ? ", ..." : "");
    }
    if (n) host->note(host->opaque, text);
}

void nj_trouble_add(nj_trouble *trouble, const nj_source_host *host, const char *format, ...)
{
    char text[sizeof trouble->first];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (trouble->n++ == 0) memcpy(trouble->first, text, sizeof text);
    host->note(host->opaque, text);
    if (host->early) host->early(host->opaque, text);
}

/* --- a host that only reads --- */

static int nothing_to_drain(void *opaque, nj_stream *stream, int timeout_ms)
{
    (void)opaque, (void)stream, (void)timeout_ms;
    return 0;
}
static void warn(void *opaque, const char *text)
{
    (void)opaque;
    nj_log(NJ_LOG_WARN, "%s", text);
}
static void forget(void *opaque, nj_stream *stream, uint64_t n)
{
    (void)opaque, (void)stream, (void)n;
}

nj_source_host nj_source_reader_host(nj_stream *(*stream)(void *opaque, const char *name, const char *topic,
                                                          int32_t partition),
                                     void *opaque)
{
    return (nj_source_host){ opaque, stream, nothing_to_drain, warn, forget };
}
