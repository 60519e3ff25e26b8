/* kind.c - the kind of a file or payload is decided by its first bytes and not by its name; this is the
 * table of kinds. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "unpack.h"

static bool begins(const uint8_t *bytes, size_t n, const char *magic, size_t size)
{
    return n >= size && !memcmp(bytes, magic, size);
}

nj_packing nj_packing_of(const uint8_t *b, size_t n)
{
    /* more than the two bytes of the magic, so that a number of a bare datum is not taken for it */
    if (n >= 10 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8 && !(b[3] & 0xe0)) return NJ_PACKED_GZIP;
    if (begins(b, n, "\x28\xb5\x2f\xfd", 4)) return NJ_PACKED_ZSTD;
    /* skippable */
    if (n >= 8 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18)
        return NJ_PACKED_ZSTD;
    if (n >= 10 && begins(b, n, "BZh", 3) && b[3] >= '1' && b[3] <= '9' &&
        (!memcmp(b + 4, "\x31\x41\x59\x26\x53\x59", 6) || !memcmp(b + 4, "\x17\x72\x45\x38\x50\x90", 6)))
        return NJ_PACKED_BZIP2;
    return begins(b, n, "\xfd\x37zXZ\0", 6) ? NJ_PACKED_XZ : NJ_PACKED_NOT;
}

bool nj_is_packed_otherwise(const uint8_t *b, size_t n)
{
    return begins(b, n, "\x04\x22\x4d\x18", 4) || (n >= 3 && begins(b, n, "\x1f\x9d", 2) && !(b[2] & 0x60)) ||
           begins(b, n, "LZIP", 4);
}

bool nj_is_tar(const uint8_t *b, size_t n)
{
    if (n < 512) return false;
    if (!memcmp(b + 257, "ustar", 5)) return true;
    unsigned sum = 8 * ' ', declared = 0, digits = 0;
    for (unsigned i = 148; i < 156; i++) /* first, since a packet fails here at once */
        if (b[i] >= '0' && b[i] <= '7') {
            declared = 8 * declared + (unsigned)(b[i] - '0');
            digits++;
        } else if (b[i] != ' ' && b[i] != 0) {
            return false;
        }
    if (!b[0] || !digits) return false;
    for (unsigned i = 0; i < 512; i++)
        if (i < 148 || i >= 156) sum += b[i];
    return declared == sum;
}

bool nj_is_zip(const uint8_t *b, size_t n)
{
    return begins(b, n, "PK\3\4", 4) || begins(b, n, "PK\5\6", 4);
}

/* "<!DOCTYPE html>", "<html>", "<VOTABLE>" behind blanks and a byte order mark. */
static const char *markup_of(const uint8_t *b, size_t n)
{
    char text[NJ_KIND_BYTES + 1];
    if (begins(b, n, "\xef\xbb\xbf", 3)) b += 3, n -= 3;
    while (n && isspace(*b)) b++, n--;
    if (!n || *b != '<') return NULL;
    if (n > NJ_KIND_BYTES) n = NJ_KIND_BYTES;
    for (size_t i = 0; i < n; i++) text[i] = b[i] ? (char)b[i] : ' ';
    text[n] = 0;
    if (strcasestr(text, "<votable")) return "a VOTable";
    if (!strncasecmp(text, "<!doctype html", 14) || strcasestr(text, "<html") || strcasestr(text, "<head"))
        return "an HTML page";
    return !strncmp(text, "<?xml", 5) ? "an XML document" : NULL;
}

/* One value that ends with the bytes, or a beginning of 512 bytes that can be one. */
static bool is_json(const uint8_t *b, size_t n)
{
    size_t i = 0;
    if (n < 2 || (b[0] != '{' && b[0] != '[')) return false;
    for (i = 0; i < n && i < NJ_KIND_BYTES; i++)
        if (b[i] < ' ' && !isspace(b[i])) return false;
    for (i = 1; i < n && isspace(b[i]);) i++;
    return i < n && strchr("\"{[}]-0123456789tfn", b[i]);
}

const char *nj_kind_of(const uint8_t *b, size_t n)
{
    static const struct {
        const char *magic;
        size_t size;
        const char *name;
    } kind[] = {
        { "\x89PNG\r\n\x1a\n", 8, "a PNG image" },
        { "\xff\xd8\xff", 3, "a JPEG image" },
        { "GIF8", 4, "a GIF image" },
        { "II*\0", 4, "a TIFF image" },
        { "MM\0*", 4, "a TIFF image" },
        { "SIMPLE  =", 9, "a FITS file" },
        { "PAR1", 4, "a Parquet file" },
        { "ORC", 3, "an ORC file" },
        { "ARROW1", 6, "an Arrow file" },
        { "\x89HDF\r\n\x1a\n", 8, "an HDF5 file" },
        { "CDF\1", 4, "a netCDF file" },
        { "SQLite format 3", 16, "a SQLite database" },
        { "\x93NUMPY", 6, "a NumPy array" },
        { "%PDF-", 5, "a PDF document" },
        { "\x7f"
          "ELF",
          4, "a program" },
        { "#!", 2, "a script" },
        { "7z\xbc\xaf\x27\x1c", 6, "a 7-Zip archive" },
        { "Rar!", 4, "a RAR archive" },
        { "\x04\x22\x4d\x18", 4, "lz4 data" },
        { "LZIP", 4, "lzip data" },
        { "\0\5\x16\7", 4, "an AppleDouble file" },
        { "version https://git-lfs", 23, "a pointer of Git LFS, not the file it stands for" },
        { "%ECSV", 5, "an ECSV table" },
        { "# %ECSV", 7, "an ECSV table" },
    };
    static const char *const packed[] = { NULL, "gzip data", "zstandard data", "bzip2 data", "xz data" };
    nj_packing p = nj_packing_of(b, n);
    if (p) return packed[p];
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        if (begins(b, n, kind[i].magic, kind[i].size)) return kind[i].name;
    if (nj_is_packed_otherwise(b, n)) return "compress data (.Z)";
    if (nj_is_zip(b, n)) return "a zip archive";
    if (nj_is_tar(b, n)) return "a tar archive";
    const char *markup = markup_of(b, n);
    return markup ? markup : is_json(b, n) ? "JSON text" : NULL;
}
