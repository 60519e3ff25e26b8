/* service.h - the finder that the host's table of services calls; everything else is in nightjar/model.h. */
#ifndef NJ_MODEL_SERVICE_H
#define NJ_MODEL_SERVICE_H

#include <stdint.h>

/* The const nj_model_service of that version, or NULL. */
__attribute__((visibility("default"))) const void *nj_model_service_find(uint32_t version);

#endif
