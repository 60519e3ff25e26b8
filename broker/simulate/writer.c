/* writer.c - simulated packets go to a tar, a folder, standard output or Kafka through one interface. */
#include "writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/file.h"
#include "../base/patience.h"
#include "../kafka/end.h"
#include "../base/patience.h"
#include "../kafka/end.h"
#include "../kafka/kafka.h"

enum { GZIP_BLOCK = 4 << 20, GZIP_LEVEL = 1, FLUSH_MS = 60000 };

typedef struct output {
    const char *form;
    int (*match)(const char *spec);
    int (*open)(nj_sim_writer *w, const nj_sim_writer_args *args, nj_error *err);
    int (*add)(nj_sim_writer *w, const char *member, const void *bytes, size_t n, int64_t mtime,
               nj_error *err);
    int (*close)(nj_sim_writer *w, nj_error *err);
} output;

struct nj_sim_writer {
    const output *output;
    char *spec;
    int fd;
    struct archive *archive;
    struct libdeflate_compressor *compressor; /* tar.gz */
    nj_buffer block, packed;
    rd_kafka_t *kafka;
    char *topic;
    uint64_t lost; /* messages that Kafka refused; counted in its delivery reports */
    char why[256];
};

static int write_all(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* ---- tar and tar.gz -------------------------------------------------------------------------- */
/* A gzip file may have many members: each block becomes one,
 * which lets libdeflate (which does not stream) pack them. */
static int write_block(nj_sim_writer *w)
{
    size_t most = libdeflate_gzip_compress_bound(w->compressor, w->block.n);
    char *room = nj_buffer_room(&w->packed, most);
    size_t n = room ? libdeflate_gzip_compress(w->compressor, w->block.data, w->block.n, room, most) : 0;
    w->block.n = 0;
    return n ? write_all(w->fd, room, n) : -1;
}

static la_ssize_t on_tar_bytes(struct archive *a, void *opaque, const void *bytes, size_t n)
{
    nj_sim_writer *w = opaque;
    int rc = 0;
    if (w->compressor) {
        nj_buffer_add(&w->block, bytes, n);
        if (w->block.failed)
            errno = ENOMEM, rc = -1;
        else if (w->block.n >= GZIP_BLOCK)
            rc = write_block(w);
    } else {
        rc = write_all(w->fd, bytes, n);
    }
    if (rc) archive_set_error(a, errno, "%s", strerror(errno));
    return rc ? -1 : (la_ssize_t)n;
}

static int is_tar(const char *spec)
{
    return nj_ends_with(spec, ".tar") || nj_ends_with(spec, ".tar.gz") || nj_ends_with(spec, ".tgz") ||
           !strcmp(spec, "-");
}

static int tar_open(nj_sim_writer *w, const nj_sim_writer_args *args, nj_error *err)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (args->overwrite ? O_TRUNC : O_EXCL);
    if (!strcmp(args->spec, "-")) {
        if (isatty(STDOUT_FILENO))
            return nj_fail(
                err,
                "-o -: a tar on a terminal is of no use; pipe it: nightjar simulate -o - | nightjar run -");
        w->fd = dup(STDOUT_FILENO);
    } else {
        w->fd = open(args->spec, flags, 0666);
    }
    if (w->fd < 0)
        return nj_fail(err, "%s: %s%s", args->spec, strerror(errno),
                       errno == EEXIST ? "; --overwrite replaces it" : "");
    if (nj_ends_with(args->spec, "gz") && !(w->compressor = libdeflate_alloc_compressor(GZIP_LEVEL)))
        return nj_fail(err, "out of memory");
    w->archive = archive_write_new();
    if (!w->archive || archive_write_set_format_ustar(w->archive) ||
        archive_write_set_bytes_per_block(w->archive, 1 << 20) ||
        archive_write_set_bytes_in_last_block(w->archive, 1) ||
        archive_write_open(w->archive, w, NULL, on_tar_bytes, NULL))
        return nj_fail(err, "%s: %s", args->spec,
                       w->archive ? archive_error_string(w->archive) : "out of memory");
    return 0;
}

static int tar_add(nj_sim_writer *w, const char *member, const void *bytes, size_t n, int64_t mtime,
                   nj_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    int rc = -1;
    if (!entry) return nj_fail(err, "out of memory");
    archive_entry_set_pathname(entry, member);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)n);
    archive_entry_set_mtime(entry, mtime, 0);
    if (archive_write_header(w->archive, entry) == ARCHIVE_OK &&
        archive_write_data(w->archive, bytes, n) == (la_ssize_t)n)
        rc = 0;
    else
        nj_fail(err, "%s: %s", w->spec, archive_error_string(w->archive));
    archive_entry_free(entry);
    return rc;
}

static int tar_close(nj_sim_writer *w, nj_error *err)
{
    int rc = 0;
    if (w->archive && archive_write_close(w->archive))
        rc = nj_fail(err, "%s: %s", w->spec, archive_error_string(w->archive));
    if (!rc && w->compressor && w->block.n && write_block(w))
        rc = nj_fail(err, "%s: %s", w->spec, strerror(errno));
    if (w->archive) archive_write_free(w->archive);
    if (w->fd >= 0 && close(w->fd) && !rc) rc = nj_fail(err, "%s: %s", w->spec, strerror(errno));
    libdeflate_free_compressor(w->compressor);
    return rc;
}

/* ---- a folder -------------------------------------------------------------------------------- */
static int any(const char *spec)
{
    return spec[0] != 0;
}

static int folder_open(nj_sim_writer *w, const nj_sim_writer_args *args, nj_error *err)
{
    struct stat st;
    if (mkdir(args->spec, 0777)) {
        if (errno != EEXIST || stat(args->spec, &st) || !S_ISDIR(st.st_mode))
            return nj_fail(err, "%s: %s (expected a folder, a .tar, a .tar.gz, - or kafka://...)", args->spec,
                           strerror(errno));
        if (!args->overwrite)
            return nj_fail(err, "%s: the folder exists; --overwrite adds to it", args->spec);
    }
    w->fd = open(args->spec, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return w->fd < 0 ? nj_fail(err, "%s: %s", args->spec, strerror(errno)) : 0;
}

static int folder_add(nj_sim_writer *w, const char *member, const void *bytes, size_t n, int64_t mtime,
                      nj_error *err)
{
    (void)mtime;
    int fd = openat(w->fd, member, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int rc = fd < 0 ? -1 : write_all(fd, bytes, n);
    if (rc) nj_fail(err, "%s/%s: %s", w->spec, member, strerror(errno));
    if (fd >= 0 && close(fd) && !rc) rc = nj_fail(err, "%s/%s: %s", w->spec, member, strerror(errno));
    return rc;
}

static int folder_close(nj_sim_writer *w, nj_error *err)
{
    (void)err;
    if (w->fd >= 0) close(w->fd);
    return 0;
}

/* ---- Kafka ----------------------------------------------------------------------------------- */
static int is_kafka(const char *spec)
{
    return !strncmp(spec, "kafka://", 8);
}

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
    nj_sim_writer *w = opaque;
    (void)kafka;
    if (!message->err) return;
    if (!w->lost++) nj_kafka_cause(message->err, rd_kafka_err2str(message->err), w->why, sizeof w->why);
}

static int kafka_open(nj_sim_writer *w, const nj_sim_writer_args *args, nj_error *err)
{
    static const nj_kafka_pair preset[] = { { "linger.ms", "20" },
                                            { "queue.buffering.max.kbytes", "65536" },
                                            { 0 } };
    nj_kafka_target target = { 0 };
    char text[512] = "";
    int rc = -1;
    if (nj_kafka_target_parse(&target, args->spec, err)) return -1;
    rd_kafka_conf_t *conf = nj_kafka_conf(target.hosts, preset, NULL, args->settings, err);
    if (!conf) goto done;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, w);
    w->topic = strdup(target.topic);
    w->kafka = nj_kafka_client(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!w->kafka || !w->topic) {
        if (!w->kafka) rd_kafka_conf_destroy(conf);
        nj_fail(err, "%s: %s", args->spec, text);
        goto done;
    }
    rc = 0;
done:
    nj_kafka_target_free(&target);
    return rc;
}

static int kafka_add(nj_sim_writer *w, const char *member, const void *bytes, size_t n, int64_t mtime,
                     nj_error *err)
{
    (void)member;
    (void)mtime;
    for (;;) {
        rd_kafka_resp_err_t rc =
            rd_kafka_producev(w->kafka, RD_KAFKA_V_TOPIC(w->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_VALUE((void *)(uintptr_t)bytes, n), RD_KAFKA_V_END);
        rd_kafka_poll(w->kafka, rc == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 50 : 0);
        if (w->lost) return nj_fail(err, "%s: %s", w->spec, w->why);
        if (!rc) return 0;
        if (rc != RD_KAFKA_RESP_ERR__QUEUE_FULL) return nj_fail(err, "%s: %s", w->spec, rd_kafka_err2str(rc));
    }
}

static int kafka_close(nj_sim_writer *w, nj_error *err)
{
    int rc = 0;
    if (w->kafka) {
        rd_kafka_flush(w->kafka, nj_patience_ms(FLUSH_MS));
        int waiting = rd_kafka_outq_len(w->kafka);
        if (w->lost || waiting)
            rc = nj_fail(err, "%s: %llu messages did not arrive: %s", w->spec,
                         (unsigned long long)w->lost + (unsigned long long)waiting,
                         w->lost ? w->why : "no answer in a minute");
        rd_kafka_purge(w->kafka, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        nj_kafka_end(w->kafka, 0, w->spec);
    }
    free(w->topic);
    return rc;
}

/* ---- the table; the first match wins --------------------------------------------------------- */
static const output outputs[] = { { "kafka://HOST:PORT/TOPIC", is_kafka, kafka_open, kafka_add, kafka_close },
                                  { "OUT.tar, OUT.tar.gz, -", is_tar, tar_open, tar_add, tar_close },
                                  { "DIR", any, folder_open, folder_add, folder_close } };

nj_sim_writer *nj_sim_writer_open(const nj_sim_writer_args *args, nj_error *err)
{
    nj_sim_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->spec = strdup(args->spec))) {
        free(w);
        nj_fail(err, "out of memory");
        return NULL;
    }
    w->fd = -1;
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs && !w->output; i++)
        if (outputs[i].match(args->spec)) w->output = &outputs[i];
    if (w->output && !w->output->open(w, args, err)) return w;
    if (!w->output)
        nj_fail(err, "-o: no such output ''");
    else
        w->output->close(w, NULL);
    free(w->spec);
    free(w);
    return NULL;
}

int nj_sim_writer_add(nj_sim_writer *w, const char *member, const void *bytes, size_t n, int64_t mtime,
                      nj_error *err)
{
    return w->output->add(w, member, bytes, n, mtime, err);
}

int nj_sim_writer_close(nj_sim_writer *w, nj_error *err)
{
    int rc = w->output->close(w, err);
    nj_buffer_free(&w->block);
    nj_buffer_free(&w->packed);
    free(w->spec);
    free(w);
    return rc;
}
