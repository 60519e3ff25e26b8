/* registry.h - schemas of Confluent-framed messages by their id: a folder of .avsc files, a cache on disk, a
 * schema registry. Thread-safe; one fetch at a time. */
#ifndef NJ_SCHEMA_REGISTRY_H
#define NJ_SCHEMA_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"
#include "../base/settings.h"

typedef struct nj_registry nj_registry;

/* Reads [registry]. NULL with err. Call it before there are threads (it sets libcurl up). */
nj_registry *nj_registry_new(nj_settings *settings, nj_error *err);
void nj_registry_free(nj_registry *registry);
/* Neither a registry nor a folder is set. */
bool nj_registry_is_empty(const nj_registry *registry);
/* The schema of an id ("902", or a GUID as "89791762-2336-186f-9674-299b90a8e2e4") as one JSON text, those
 * that it refers to in it (free it), or NULL with the reason. An unavailable registry, or one whose answers
 * are not a registry's, is asked again while the caller waits (back-pressure on its stream): for [registry]
 * wait_s, by default in a run until it is back. An id that it does not know is asked for again for unknown_s,
 * then not for negative_s. err->later: the run ends before there is an answer, and the alert is not to blame.
 * patient: false = one question only (the caller has another way). */
char *nj_registry_get(nj_registry *registry, const char *name, bool patient, size_t *size, nj_error *err);
/* This is a run: it may wait without end, and looks every 0.1 s whether it is to stop. Before there are
 * threads. */
void nj_registry_waits(nj_registry *registry, bool (*stopped)(void *opaque), void *opaque);
/* Alerts wait for it now. Any thread. */
bool nj_registry_waiting(const nj_registry *registry);
/* [registry] builtin */
bool nj_registry_allows_builtin(const nj_registry *registry);

/* Keeps a fetched schema on disk for the next run: call it when the text has proved to be a schema. A cache
 * that takes no files is reported once. */
void nj_registry_keep(nj_registry *registry, const char *name, const char *text, size_t size);
/* The sandbox: what asks may write no files. Before there are threads. */
void nj_registry_keeps_nothing(nj_registry *registry);

/* One schema document from the files of a folder that refer to each other by name, id = 100 major + minor:
 * FOLDER[/lsst]/MAJOR/MINOR with all its .avsc, or FOLDER/NAME.avsc or .json. NULL with the reason. */
char *nj_schema_from_folder(const char *folder, const char *name, size_t *size, nj_error *err);

/* The first of these schemas as one text, with the others put where it first uses them.
 * NULL: out of memory. */
char *nj_schema_join(json_t **schema, size_t n);

/* The layout of an LSST release that travels in the binary, by LSST's numbering of ids (100 major + minor);
 * NULL = not here. Whether an id is one of LSST's is for the caller to know. */
const char *nj_schema_builtin(uint32_t id, size_t *size);
uint32_t nj_schema_newest_builtin(void);

#endif
