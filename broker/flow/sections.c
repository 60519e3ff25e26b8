/* sections.c - the one list of settings: who reads a section has its table,
 * this puts the tables side by side. */
#include "sections.h"

#include "../avro/decode.h"
#include "../measure/cost.h"
#include "../measure/energy.h"
#include "../sink/classes.h"
#include "../source/source.h"
#include "internal.h"
#include "supervise.h"
#include "topics.h"

static const nj_param models[] = {
    { "path", NJ_STR, "", 0, 0, 0, "1",
      "folders of models, ':' between them; each model is a folder of its own" },
    { "checked", NJ_STR, "", 0, 0, 0, "1",
      "where a run keeps which golden rows were right, for a week and the same program, processor and bytes; "
      "empty: ~/.cache/nightjar/models; off: each start computes them" },
    { 0 }
};
static const nj_param catalogs[] = {
    { "path", NJ_STR, "", 0, 0, 0, "1", "folders of catalogues (NAME.njx), ':' between them" }, { 0 }
};
static const nj_param module_keys[] = {
    { "kind", NJ_STR, "", 0, 0, 0, "1",
      "the module that this instance is; without it the one of the same name" },
    { "default", NJ_U8, "1", 0, 0, 1, "1", "0: runs only when -m names it or a column of it is used" },
    { "surveys", NJ_STR, "", 0, 0, 0, "1", "off for packets of other surveys than these; empty: for all" },
    { "need.PATH", NJ_STR, "", 0, 0, 0, "1", "another column in the place of the need PATH" },
    { 0 }
};
const nj_section nj_sections[] = {
    { "run", "batches, memory, and what the command line may say too", nj_run_settings },
    { "guard", "what happens when a module crashes, hangs or takes all memory", nj_guard_settings },
    { "decode", "schemas, survey maps, and how large a packet may be", nj_decode_settings },
    { "registry", "the schema registry of Confluent-framed messages", nj_registry_settings },
    { "source", "patience and limits of all sources", nj_source_settings },
    { "kafka", "librdkafka's own settings by their own names, as -X (sasl.username, message.timeout.ms, ...)",
      NULL },
    { "sink.ndjson", "of -o ndjson:", nj_ndjson_settings },
    { "sink.csv", "of -o csv:", nj_csv_settings },
    { "sink.avro", "of -o avro:", nj_avro_settings },
    { "sink.fits", "of -o fits:", nj_fits_settings },
    { "sink.parquet", "of -o parquet:", nj_parquet_settings },
    { "sink.hats", "of -o hats:, besides those of parquet:", nj_hats_settings },
    { "sink.kafka", "of -o kafka:", nj_kafka_sink_settings },
    { "sink.webhook", "of -o webhook:", nj_webhook_settings },
    { "energy", "where energy and carbon come from", nj_energy_settings },
    { "cost", "prices", nj_cost_settings },
    { "models", "where models are", models },
    { "catalogs", "where catalogues are", catalogs },
    { "module.NAME", "an instance of a module; besides these keys those of its module", module_keys },
    { "topic.NAME", "a ready topic for -t", nj_topic_keys },
    { 0 },
};
