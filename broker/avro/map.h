/* map.h - survey maps: which canonical column is which path of a survey's packets (schemas/README.md has the
 * format). Read-only once read. */
#ifndef NJ_AVRO_MAP_H
#define NJ_AVRO_MAP_H

#include <stdbool.h>

#include "../base/arena.h"
#include "../base/error.h"
#include "nightjar/module.h"

enum { NJ_MAP_ALTERNATIVES = 8, NJ_MAP_PARTS = 6, NJ_MAP_NO_GROUP = 255 };

/* A word of the packet and what stands for it: {t:1 f:0}, {1:g 2:r}. */
typedef struct nj_word {
    const char *from;   /* text of the packet; a number as decimal digits */
    const char *text;   /* to, as text */
    double number;      /* to, as a number; NaN when it is none */
    double from_number; /* from as a number (true 1, false 0); NaN when it is none */
} nj_word;

/* What happens to a value on its way, in this order. */
typedef struct nj_change {
    bool has_null; /* values equal to null_value are no answer */
    double null_value;
    const nj_word *word; /* translation; words that are not listed are no answer */
    uint32_t n_words;
    bool iso;  /* a time in ISO 8601 becomes a Julian Date */
    bool hash; /* a whole number made from a text (63 bits): for surveys that name their alerts by text */
    bool asks; /* present ? if_present : if_absent */
    double if_present, if_absent;
    bool asks_sign;       /* the sign decides instead of presence: above 0 / not above 0 */
    double scale, offset; /* 1 and 0 = as it stands */
} nj_change;

typedef struct nj_source_path {
    const char *prefix; /* text put in front ("sso:"), or NULL */
    const char *path;
} nj_source_path;

/* The alternatives of one column (of one part of its series): the first that the schema has; for scalars the
 * first that also has an answer. */
typedef struct nj_choice {
    nj_source_path alternative[NJ_MAP_ALTERNATIVES];
    uint32_t n;
} nj_choice;

typedef struct nj_map_column {
    const char *name, *unit;
    nj_type type;
    nj_shape shape;
    uint8_t group;                /* of a series: index in nj_map.group */
    const char *constant;         /* the same in every row; NULL = from the packet */
    nj_choice part[NJ_MAP_PARTS]; /* scalars and images: part[0]; series:
                                   * one per part of the group, relative to it */
    nj_change change;
    int line;
} nj_map_column;

typedef struct nj_map_group {
    const char *name;               /* "lc" */
    const char *part[NJ_MAP_PARTS]; /* "prv_candidates[]", "candidate" */
    uint32_t n_parts;
} nj_map_group;

typedef struct nj_map_rule {
    enum { NJ_RULE_NAME, NJ_RULE_BOTH, NJ_RULE_TOPIC, NJ_RULE_FIELDS } kind;
    const char *word[16]; /* patterns (*, ?) of which one must match; fields that must all be there */
    uint32_t n;
} nj_map_rule;

enum { NJ_PUBLIC_PROGRAMS = 8 };

/* What its packets do not say of themselves: directives of the map. */
typedef struct nj_survey_facts {
    bool has_time;                        /* time SCALE REF SECONDS: what jd is */
    double exposure_end_s;                /* jd + so many seconds = end of the exposure, UTC */
    const char *scale, *moment;           /* "UTC", "start of exposure": for people;
                                           * NULL = the map does not say */
    int64_t programs[NJ_PUBLIC_PROGRAMS]; /* public ID...: values of programid that are public;
                                           * of others only with leave */
    uint32_t n_programs;                  /* 0 = all are public */
    bool builtin_schemas;                 /* schemas builtin: ids are those of the layouts in the binary */
} nj_survey_facts;

typedef struct nj_map {
    nj_arena arena;
    const char *survey;
    const char *serves; /* serves SURVEY: whose alerts these are, in another form; NULL = its own */
    nj_survey_facts facts;
    nj_map_rule *rule;
    nj_map_group *group;
    nj_map_column *column;
    uint32_t n_rules, n_groups, n_columns;
    const char **name; /* of all columns, NULL-terminated */
} nj_map;

/* Reads a map from text; where names it in messages. NULL with file and line in err. */
nj_map *nj_map_read(const char *where, const char *text, nj_error *err);
/* Does the text change a map instead of being one ("amend SURVEY" as its first line)? survey: whose. */
bool nj_map_amends(const char *text, char *survey, size_t size);
/* Puts such a text into the map of its survey. -1 with file and line in err, the map then half changed. */
int nj_map_amend(nj_map *map, const char *where, const char *text, nj_error *err);
void nj_map_free(nj_map *map);
const nj_map_column *nj_map_find(const nj_map *map, const char *name);

#endif
