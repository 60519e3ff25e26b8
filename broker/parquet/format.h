/* format.h - the numbers of the Parquet format (its parquet.thrift): the reader and the writer mean the
 * same by them. Names of fields begin with the letters of their struct. */
#ifndef NJ_PARQUET_FORMAT_H
#define NJ_PARQUET_FORMAT_H

/* physical types */
enum {
    NJ_PQ_BOOLEAN,
    NJ_PQ_INT32,
    NJ_PQ_INT64,
    NJ_PQ_INT96,
    NJ_PQ_FLOAT,
    NJ_PQ_DOUBLE,
    NJ_PQ_BYTE_ARRAY,
    NJ_PQ_FIXED
};
enum { NJ_PQ_REQUIRED, NJ_PQ_OPTIONAL, NJ_PQ_REPEATED };
/* encodings */
enum {
    NJ_PQ_PLAIN = 0,
    NJ_PQ_PLAIN_DICTIONARY = 2,
    NJ_PQ_RLE = 3,
    NJ_PQ_DELTA_BINARY_PACKED = 5,
    NJ_PQ_DELTA_LENGTH_BYTE_ARRAY = 6,
    NJ_PQ_DELTA_BYTE_ARRAY = 7,
    NJ_PQ_RLE_DICTIONARY = 8,
    NJ_PQ_BYTE_STREAM_SPLIT = 9
};
/* codecs */
enum { NJ_PQ_NONE = 0, NJ_PQ_SNAPPY = 1, NJ_PQ_GZIP = 2, NJ_PQ_ZSTD = 6 };
/* kinds of pages */
enum { NJ_PQ_DATA_PAGE = 0, NJ_PQ_INDEX_PAGE = 1, NJ_PQ_DICTIONARY_PAGE = 2, NJ_PQ_DATA_PAGE_2 = 3 };
/* ConvertedType, the older names of what values mean */
enum {
    NJ_PQ_UTF8 = 0,
    NJ_PQ_MAP = 1,
    NJ_PQ_MAP_KEY_VALUE = 2,
    NJ_PQ_LIST = 3,
    NJ_PQ_ENUM = 4,
    NJ_PQ_DECIMAL = 5,
    NJ_PQ_TIME_STAMP_MS = 9,
    NJ_PQ_TIME_STAMP_US = 10,
    NJ_PQ_UINT_8 = 11,
    NJ_PQ_UINT_64 = 14,
    NJ_PQ_JSON = 19
};
/* LogicalType, a union: the field says which */
enum {
    NJ_PQ_LT_STRING = 1,
    NJ_PQ_LT_MAP = 2,
    NJ_PQ_LT_LIST = 3,
    NJ_PQ_LT_ENUM = 4,
    NJ_PQ_LT_TIME_STAMP = 8,
    NJ_PQ_LT_INTEGER = 10,
    NJ_PQ_LT_JSON = 12
};
enum { NJ_PQ_TS_UNIT = 2, NJ_PQ_TU_MS = 1, NJ_PQ_TU_NS = 3 }; /* TimestampType, TimeUnit */
enum { NJ_PQ_IT_WIDTH = 1, NJ_PQ_IT_SIGNED = 2 };             /* IntType */
enum { NJ_PQ_CO_TYPE = 1 };                                   /* ColumnOrder: that of the type */

enum {
    NJ_PQ_SE_TYPE = 1, /* SchemaElement */
    NJ_PQ_SE_SIZE = 2,
    NJ_PQ_SE_REPETITION = 3,
    NJ_PQ_SE_NAME = 4,
    NJ_PQ_SE_CHILDREN = 5,
    NJ_PQ_SE_CONVERTED = 6,
    NJ_PQ_SE_SCALE = 7,
    NJ_PQ_SE_LOGICAL = 10
};
enum {
    NJ_PQ_FM_VERSION = 1, /* FileMetaData */
    NJ_PQ_FM_SCHEMA = 2,
    NJ_PQ_FM_ROWS = 3,
    NJ_PQ_FM_GROUPS = 4,
    NJ_PQ_FM_KEYS = 5,
    NJ_PQ_FM_CREATED_BY = 6,
    NJ_PQ_FM_ORDERS = 7
};
enum { NJ_PQ_KV_KEY = 1, NJ_PQ_KV_VALUE = 2 }; /* KeyValue */
enum {
    NJ_PQ_RG_COLUMNS = 1, /* RowGroup */
    NJ_PQ_RG_BYTES = 2,
    NJ_PQ_RG_ROWS = 3,
    NJ_PQ_RG_OFFSET = 5,
    NJ_PQ_RG_PACKED = 6
};
enum { NJ_PQ_CC_FILE = 1, NJ_PQ_CC_OFFSET = 2, NJ_PQ_CC_METADATA = 3 }; /* ColumnChunk */
enum {
    NJ_PQ_CM_TYPE = 1, /* ColumnMetaData */
    NJ_PQ_CM_ENCODINGS = 2,
    NJ_PQ_CM_PATH = 3,
    NJ_PQ_CM_CODEC = 4,
    NJ_PQ_CM_VALUES = 5,
    NJ_PQ_CM_BYTES = 6,
    NJ_PQ_CM_PACKED = 7,
    NJ_PQ_CM_DATA = 9,
    NJ_PQ_CM_DICTIONARY = 11,
    NJ_PQ_CM_STATISTICS = 12
};
enum { NJ_PQ_ST_NULLS = 3, NJ_PQ_ST_MAX = 5, NJ_PQ_ST_MIN = 6 }; /* Statistics */
enum {
    NJ_PQ_PH_KIND = 1, /* PageHeader */
    NJ_PQ_PH_PLAIN = 2,
    NJ_PQ_PH_PACKED = 3,
    NJ_PQ_PH_CRC = 4,
    NJ_PQ_PH_DATA = 5,
    NJ_PQ_PH_DICTIONARY = 7,
    NJ_PQ_PH_DATA_2 = 8
};
enum {
    NJ_PQ_DP_VALUES = 1, /* DataPageHeader; of a dictionary's the first two */
    NJ_PQ_DP_ENCODING = 2,
    NJ_PQ_DP_DEF_ENCODING = 3,
    NJ_PQ_DP_REP_ENCODING = 4
};
enum {
    NJ_PQ_D2_VALUES = 1, /* DataPageHeaderV2 */
    NJ_PQ_D2_ENCODING = 4,
    NJ_PQ_D2_DEF_BYTES = 5,
    NJ_PQ_D2_REP_BYTES = 6,
    NJ_PQ_D2_COMPRESSED = 7
};

#endif
