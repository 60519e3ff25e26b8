/* classes.h - the sinks that are built in, one per file. */
#ifndef NJ_SINK_CLASSES_H
#define NJ_SINK_CLASSES_H

#include "sink.h"

extern const nj_sink_class nj_sink_ndjson, nj_sink_csv, nj_sink_avro, nj_sink_sqlite, nj_sink_fits,
    nj_sink_parquet, nj_sink_hats, nj_sink_packets, nj_sink_archive, nj_sink_kafka, nj_sink_kafka_packets,
    nj_sink_kafka_skyportal, nj_sink_webhook, nj_sink_null;

/* What [sink.ndjson], ... may say; each ends with {0}. */
extern const nj_param nj_ndjson_settings[], nj_csv_settings[], nj_avro_settings[], nj_fits_settings[],
    nj_parquet_settings[], nj_hats_settings[], nj_kafka_sink_settings[], nj_webhook_settings[];

/* What [sink.parquet] says of the pages. */
int nj_parquet_packing(nj_settings *settings, int *codec, int *level, int64_t *page_bytes, nj_error *err);

#endif
