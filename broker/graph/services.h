/* services.h - the tables that modules reach through host->service(). */
#ifndef NJ_GRAPH_SERVICES_H
#define NJ_GRAPH_SERVICES_H

#include <stdint.h>

/* The service's table of functions, or NULL when this binary has none of that name and version. */
const void *nj_service(const char *name, uint32_t version);

#endif
