#include "services.h"

#include <stddef.h>
#include <string.h>

typedef struct service {
    const char *name;
    const void *(*find)(uint32_t version); /* in modules/kit/<name>/service.c */
} service;

static const service services[] = {
    { NULL, NULL },
};

const void *nj_service(const char *name, uint32_t version)
{
    for (const service *s = services; s->name; s++)
        if (!strcmp(s->name, name)) return s->find(version);
    return NULL;
}
