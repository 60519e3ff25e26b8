/* services.h - the tables that modules reach through host->service(). */
#ifndef NJ_GRAPH_SERVICES_H
#define NJ_GRAPH_SERVICES_H

#include <stdint.h>

/* The service's table of functions, or NULL when this binary has none of that name and version. */
const void *nj_service(const char *name, uint32_t version);

/* Models that are opened from now on remember in this folder which golden rows were right, and do not
 * compute them again while neither program, processor nor bytes have changed; "" = nowhere. Before threads
 * start. */
void nj_services_remember(const char *folder);

#endif
