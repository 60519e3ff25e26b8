/* feed.h - the chunks of some sources, one source after the other, for whoever has no
 * ledger; nothing is acknowledged but by nj_feed_ack(). */
#ifndef NJ_ENGINE_FEED_H
#define NJ_ENGINE_FEED_H

#include "../source/source.h"

typedef struct nj_feed nj_feed;

/* Sources as the user wrote them; each is opened when the one before it has ended. `limit` is the hint of
 * nj_source_args (0 = all). The settings and the texts must live as long as the feed. NULL with err. */
nj_feed *nj_feed_open(nj_settings *settings, const char *const *spec, uint32_t n, int64_t limit,
                      nj_error *err);
/* The next chunk, which the caller drops. IDLE: a live stream had nothing within timeout_ms.
 * END: behind the last source. */
nj_next nj_feed_next(nj_feed *feed, int timeout_ms, nj_chunk **chunk, nj_error *err);
/* The chunk and all before it of its stream are done: a consumer group is told. */
void nj_feed_ack(nj_feed *feed, const nj_chunk *chunk);
/* Streams end here: no chunk of the feed may be held any more. */
void nj_feed_close(nj_feed *feed);

#endif
