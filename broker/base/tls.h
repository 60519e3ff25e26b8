/* tls.h - the certificates of a Kafka connection as files: looked at before a client is made with them. */
#ifndef NJ_BASE_TLS_H
#define NJ_BASE_TLS_H

#include <stdint.h>

#include "settings.h"

/* What the files that [kafka] ssl.*.location names are now: another number when one was replaced. 0 = none is
 * named. */
uint64_t nj_tls_state(nj_settings *settings);
/* Can they be used? Certificates are read, the key is read with its password and must belong to the
 * certificate. -1 with err: which one, and why. */
int nj_tls_check(nj_settings *settings, nj_error *err);

#endif
