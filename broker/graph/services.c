/* services.c - modules must not include host code, so they ask for sky and model services by name; this is
 * the table of names. */
#include "services.h"

#include <stddef.h>
#include <string.h>

typedef struct service {
    const char *name;
    const void *(*find)(uint32_t version); /* in modules/kit/<name>/service.c */
} service;

const void *nj_sky_service(uint32_t version);
const void *nj_model_service_find(uint32_t version);
const void *nj_region_service(uint32_t version);
void nj_model_checks_in(const char *folder);

static const service services[] = {
    { "sky", nj_sky_service },
    { "model", nj_model_service_find },
    { "region", nj_region_service },
    { NULL, NULL },
};

const void *nj_service(const char *name, uint32_t version)
{
    for (const service *s = services; s->name; s++)
        if (!strcmp(s->name, name)) return s->find(version);
    return NULL;
}

void nj_services_remember(const char *folder)
{
    nj_model_checks_in(folder);
}
