/* merge.c - `nightjar merge`: the outputs of shards become those of one run. */
#include <stdio.h>
#include <sys/stat.h>

#include "../base/exit.h"
#include "../base/log.h"
#include "../merge/merge.h"
#include "command.h"

typedef struct options {
    bool anyway, overwrite;
} options;

static const nj_option table[] = {
    { "overwrite", 0, NJ_OPTION_FLAG, offsetof(options, overwrite), .doc = "replace an OUT that exists" },
    { "anyway", 0, NJ_OPTION_FLAG, offsetof(options, anyway),
      .doc = "write what there is when shards are missing or did not come to their end; the account does not "
             "close then" },
    { 0 }
};

static int merge(int argc, char **argv);

NJ_COMMAND(merge) = {
    .name = "merge",
    .usage = "merge [options] OUT SHARD...",
    .summary = "the outputs, reports and accounts of `run --shard K/N` as one run would have them",
    .main = merge,
    .options = { table },
    .arguments =
        (const nj_meaning[]){
            { "OUT", "the file, or with folders the folder, that is written" },
            { "SHARD",
              "a file of each shard, in any order: NDJSON, CSV, Avro, SQLite, FITS, Parquet, dead "
              "letters, packets or a report; or a folder of each, whose files are merged by their names" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "1", "wrong usage, or a file that cannot be read or written" },
                                   { "3", "a shard is missing, doubled, broken off or of another night" },
                                   { 0 } },
};

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int merge(int argc, char **argv)
{
    options o = { 0 };
    nj_error err = { "" };
    nj_words words;
    if (nj_command_parse(&nj_command_merge, &o, argc, argv, &words, &err)) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        return NJ_EXIT_USAGE;
    }
    if (words.n < 2) {
        nj_log(NJ_LOG_ERROR, "merge: expected OUT SHARD...; see `nightjar merge --help`");
        return NJ_EXIT_USAGE;
    }
    const nj_merge_options how = { .anyway = o.anyway,
                                   .mode = o.overwrite ? NJ_SINK_OVERWRITE : NJ_SINK_CREATE };
    const char *const *shard = (const char *const *)words.item + 1;
    uint32_t n = (uint32_t)words.n - 1, folders = 0;
    for (uint32_t i = 0; i < n; i++) folders += is_folder(shard[i]);
    int rc = folders && folders < n ? nj_fail(&err, "merge: files or folders, not both")
             : folders              ? nj_merge_folders(words.item[0], shard, n, &how, &err)
                                    : nj_merge_files(words.item[0], shard, n, &how, &err);
    if (rc < 0) nj_log(NJ_LOG_ERROR, "%s", err.text);
    return rc < 0 ? NJ_EXIT_USAGE : rc ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
}
