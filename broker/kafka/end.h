/* end.h - ends clients of Kafka within a time that is known. rd_kafka_destroy() waits for the library's
 * threads, and with librdkafka 2.0.2 such a wait may have no end (a topic of the
 * subscription was deleted). */
#ifndef NJ_KAFKA_END_H
#define NJ_KAFKA_END_H

#include <librdkafka/rdkafka.h>

/* Destroys the client in a thread of its own. One that is not through in time is left behind with a message
 * that names it, and the process ends without waiting for it. Its callbacks are not called any more. */
void nj_kafka_end(rd_kafka_t *client, int flags, const char *name);

#endif
