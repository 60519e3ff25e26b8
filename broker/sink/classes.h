/* classes.h - the sinks that are built in, one per file. */
#ifndef NJ_SINK_CLASSES_H
#define NJ_SINK_CLASSES_H

#include "sink.h"

extern const nj_sink_class nj_sink_ndjson, nj_sink_avro, nj_sink_sqlite, nj_sink_fits, nj_sink_kafka, nj_sink_null;

#endif
