/* night.h - nights and the sites that they are of: one definition for the names of outputs, the archive's
 * index, the caps of topics and night(jd) in a clause. */
#ifndef NJ_BASE_NIGHT_H
#define NJ_BASE_NIGHT_H

#include <stdint.h>

#include "error.h"

/* What to say where a night is asked for and [run] site is empty. */
#define NJ_NIGHT_NO_SITE                                                                                     \
    "goes from noon to noon of a place, and there is none: say [run] site (-D run.site=palomar, rubin, LON " \
    "or UTC-7)"

enum { NJ_NIGHT_UNKNOWN = INT32_MIN }; /* of no usable time */

/* [run] site: palomar, ...; UTC-7, UTC+5:30; LON or LON,LAT,HEIGHT in degrees east, north and metres. */
int nj_site_parse(const char *text, double *longitude, nj_error *err);
/* A night goes from local mean noon to local mean noon (degrees east), and is called by the date of its first
 * noon: days since 1970-01-01 of that date. NJ_NIGHT_UNKNOWN outside of the years 1 to 9999. */
int32_t nj_night_of(double jd, double longitude);
/* 20260315: such days as a date of the Gregorian calendar. 0 for NJ_NIGHT_UNKNOWN. */
int32_t nj_date_of(int32_t days);

#endif
