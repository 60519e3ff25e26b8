/* ledger.h - closed accounts: every alert that was consumed is emitted, filtered, dead, a dropped duplicate,
 * or returned (polled but not committed: it will come again). It counts alerts, not output rows. */
#ifndef NJ_MEASURE_LEDGER_H
#define NJ_MEASURE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nj_ledger {
    uint64_t chunks;   /* messages, files or members handed over by the source (ingest thread) */
    uint64_t settled;  /* of these, done with: acknowledged or returned (output thread) */
    uint64_t consumed; /* alerts found in them, bad ones included (workers, atomically) */
    uint64_t emitted, filtered, dead, duplicates, returned; /* acknowledged by every sink (output thread) */
    /* Chunks handed over whose partition was lost before they were acknowledged (ingest thread): they stand
     * among the sums above, and whoever has the partition now gets them too. Not in the balance. */
    uint64_t again;
    /* What should have come and never will, as far as the source can see: offsets that the broker deleted
     * before they were read (ingest thread). Not in the balance. */
    uint64_t missing;
    /* Alerts that were looked at and are another shard's (output thread). Not in the balance. */
    uint64_t others;
} nj_ledger;

/* consumed = emitted + filtered + dead + duplicates + returned, and every chunk is settled. */
bool nj_ledger_closed(const nj_ledger *ledger);
void nj_ledger_add(nj_ledger *into, const nj_ledger *from);

#endif
