/* packets.h - packets in memory, and a source that hands them to a run without copying: what the subjects
 * share that time the host and not the disk. */
#ifndef NJ_BENCH_PACKETS_H
#define NJ_BENCH_PACKETS_H

#include "../flow/run.h"
#include "harness.h"

typedef struct nj_bench_packet {
    uint8_t *bytes;
    size_t size;
} nj_bench_packet;

typedef struct nj_bench_packets {
    nj_bench_packet *packet; /* [n]: the files of the folder, then copies of them all in
                              * buffers of their own */
    size_t n, n_real, bytes;
    uint64_t digest; /* FNV-1a of the real packets' bytes, in the order of their names */
    char folder[4096];
} nj_bench_packets;

/* Reads --data, a folder of *.avro or any other source (512 MB of it at most), and copies the packets until
 * the sum reaches at_least_bytes (so that the caches do not hold them). Without --data:
 * $NIGHTJAR_SHARED/real/ztf, and where that is not there 500 simulated alerts.
 * 0 = loaded; -1 = no packets: said. */
int nj_bench_packets_load(nj_bench_run *run, nj_bench_packets *packets, size_t at_least_bytes);
void nj_bench_packets_free(nj_bench_packets *packets);
/* A chunk of bytes that stay the caller's; it lives where the caller puts it. */
nj_chunk nj_bench_chunk(uint8_t *bytes, size_t size, nj_stream *stream);

/* What one run is to do. */
typedef struct nj_bench_host {
    nj_bench_packets *packets; /* in memory; NULL: from the files at `source` */
    const char *source, *sink; /* sink NULL = null: */
    int threads;
    const char *define; /* one more setting, as -D takes it; NULL = none */
    const char *select; /* as -m takes it; NULL = the default modules */
} nj_bench_host;

/* One whole run as `nightjar run -q` does it, with the default modules unless it selects.
 * 0 and the report (caller frees), or -1: said. */
int nj_bench_host_run(nj_bench_run *run, const nj_bench_host *host, nj_report *report);

#endif
