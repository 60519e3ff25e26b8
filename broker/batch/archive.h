/* archive.h - where an archive of packets keeps them: what its sink writes and its source reads. */
#ifndef NJ_BATCH_ARCHIVE_H
#define NJ_BATCH_ARCHIVE_H

#define NJ_ARCHIVE_FILE "packets.sqlite" /* in the folder */
enum { NJ_ARCHIVE_ZONES = 60 };          /* per degree of declination, from -90 */

#endif
