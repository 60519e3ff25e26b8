/* options.c - the options of a run, in tables that `run`, `demo`, `graph` and others share: what they mean
 * to nj_run_options. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/embed.h"
#include "../base/log.h"
#include "../base/secret.h"
#include "cli.h"
#include "topics.h"

/* ---- what an option does that is more than a value in its place ------------------------------ */

/* A file, or the name of a configuration or a file of topics that is built in (data/NAME.ini,
 * data/topics/NAME.ini). */
static int add_config(void *conf, const char *name, nj_error *err)
{
    nj_cli *cli = conf;
    const nj_embedded *built_in = NULL;
    const char *inside = nj_arena_printf(&cli->arena, "data/%s.ini", name),
               *shown = nj_arena_printf(&cli->arena, "%s.ini (built in)", name);
    const char *topics = nj_arena_printf(&cli->arena, "data/topics/%s.ini", name);
    if (!inside || !shown || !topics) return nj_fail(err, "out of memory");
    if (access(name, F_OK) && !strpbrk(name, "./")) built_in = nj_embedded_find(inside);
    if (!built_in && access(name, F_OK) && !strpbrk(name, "./")) built_in = nj_embedded_find(topics);
    if (built_in) return nj_settings_ini(&cli->settings, shown, built_in->data, err);
    const char *near = access(name, F_OK) ? nj_nearest(name, (const char *const[]){ "night" }, 1) : NULL;
    if (near) return nj_fail(err, "-c %s: neither a file nor built in; did you mean '%s'?", name, near);
    return nj_settings_file(&cli->settings, name, err);
}

static int add_topic(void *conf, const char *text, nj_error *err)
{
    nj_cli *cli = conf;
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (n == 0 || n > 200) return nj_fail(err, "-t %s: expected NAME or NAME='SQL'", text);
    const char *name = nj_arena_text(&cli->arena, text, n);
    if (!name) return nj_fail(err, "out of memory");
    nj_topic_option *more = realloc(cli->topic, (cli->options.n_topics + 2) * sizeof *more);
    if (!more) return nj_fail(err, "out of memory");
    cli->options.topic = cli->topic = more;
    cli->topic[cli->options.n_topics++] = (nj_topic_option){ name, equals ? equals + 1 : NULL };
    return 0;
}

static int add_topics(void *conf, const char *name, nj_error *err)
{
    return nj_topics_file(conf, name, err);
}

static int add_kafka(void *conf, const char *text, nj_error *err)
{
    return nj_settings_kafka(&((nj_cli *)conf)->settings, text, err);
}

static int define(void *conf, const char *text, nj_error *err)
{
    return nj_settings_define(&((nj_cli *)conf)->settings, text, err);
}

static int add_sink(void *conf, const char *spec, nj_error *err)
{
    nj_cli *cli = conf;
    spec = nj_secret_hide(spec);
    if (!spec) return nj_fail(err, "out of memory, or too many webhooks");
    cli->sink[cli->options.n_sinks++] = spec;
    return 0;
}

static int add_trace(void *conf, const char *text, nj_error *err)
{
    nj_cli *cli = conf;
    char *end;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    if (!*text || *end || errno || isspace((unsigned char)*text))
        return nj_fail(err, "--trace %s: the id of an alert is a whole number (candid, diaSourceId)", text);
    cli->trace[cli->options.n_traces++] = id;
    return 0;
}

static int add_seen(void *conf, const char *spec, nj_error *err)
{
    nj_cli *cli = conf;
    const char **more = realloc(cli->seen, (cli->options.n_seen + 1) * sizeof *more);
    if (!more) return nj_fail(err, "out of memory");
    cli->options.seen = cli->seen = more;
    cli->seen[cli->options.n_seen++] = spec;
    return 0;
}

static int add_module_path(void *conf, const char *path, nj_error *err)
{
    nj_cli *cli = conf;
    (void)err;
    cli->module_path[cli->options.n_module_paths++] = path;
    return 0;
}

static int set(void *conf, const char *section, const char *key, const char *value, const char *option,
               nj_error *err)
{
    nj_cli *cli = conf;
    return nj_settings_set(&cli->settings, section, key, value, option) == 0 ? 0
                                                                             : nj_fail(err, "out of memory");
}

static int set_survey(void *conf, const char *value, nj_error *err)
{
    return set(conf, "decode", "survey", value, "--survey", err);
}

static int set_registry(void *conf, const char *value, nj_error *err)
{
    return set(conf, "registry", "url", value, "--registry", err);
}

static int set_schemas(void *conf, const char *value, nj_error *err)
{
    return set(conf, "registry", "schemas", value, "--schemas", err);
}

static int set_schema(void *conf, const char *value, nj_error *err)
{
    return set(conf, "decode", "schema", value, "--schema", err);
}

static int set_mode(nj_cli *cli, nj_sink_mode mode, nj_sink_mode other, nj_error *err)
{
    if (cli->options.mode == other) return nj_fail(err, "--overwrite and --append do not go together");
    cli->options.mode = mode;
    return 0;
}

static int overwrite(void *conf, const char *none, nj_error *err)
{
    (void)none;
    return set_mode(conf, NJ_SINK_OVERWRITE, NJ_SINK_APPEND, err);
}

static int append(void *conf, const char *none, nj_error *err)
{
    (void)none;
    return set_mode(conf, NJ_SINK_APPEND, NJ_SINK_OVERWRITE, err);
}

static int be_quiet(void *conf, const char *none, nj_error *err)
{
    (void)none;
    (void)err;
    ((nj_cli *)conf)->quiet = true;
    nj_log_level(NJ_LOG_WARN);
    return 0;
}

static int log_time(void *conf, const char *when, nj_error *err)
{
    nj_cli *cli = conf;
    static const char *const word[] = { "auto", "no", "yes" };
    for (int i = 0; i < 3; i++)
        if (!strcmp(when, word[i])) return cli->log_time = i, 0;
    return nj_fail(err, "--log-time %s: expected auto, yes or no", when);
}

static int log_json(void *conf, const char *none, nj_error *err)
{
    (void)conf;
    (void)none;
    (void)err;
    nj_log_as_json(true);
    return 0;
}

static int log_level(void *conf, const char *list, nj_error *err)
{
    (void)conf;
    return nj_log_levels_take(list, err);
}

static int be_verbose(void *conf, const char *none, nj_error *err)
{
    (void)conf;
    (void)none;
    (void)err;
    nj_log_level(NJ_LOG_DEBUG);
    nj_debug_contexts = ~0u;
    return 0;
}

/* ---- the tables ------------------------------------------------------------------------------ */

#define AT(x) offsetof(nj_cli, x)

const nj_option nj_cli_settings[] = {
    { "config", 'c', NJ_OPTION_CALL, .value = "FILE", .take = add_config,
      .doc = "settings (INI); `-c night`: the night configuration that is built in" },
    { "define", 'D', NJ_OPTION_CALL, .value = "SECTION.KEY=VALUE", .take = define,
      .doc = "one setting; `nightjar settings` lists them" },
    { 0 }
};

const nj_option nj_cli_modules[] = { { "modules", 'm', NJ_OPTION_TEXT, AT(options.select), "LIST",
                                       .doc = "modules: names replace the default set; +x and -x change it" },
                                     { 0 } };

const nj_option nj_cli_paths[] = {
    { "module-path", 0, NJ_OPTION_CALL, .value = "PATH", .take = add_module_path,
      .doc = "modules from a shared object or a file of Python (.py), or all .so of a folder (repeatable)" },
    { 0 }
};

const nj_option nj_cli_run[] = {
    { "where", 'w', NJ_OPTION_TEXT, AT(options.where), "'SQL'",
      .doc = "keep the rows for which this WHERE clause is true; the others count as filtered; `nightjar "
             "columns` lists what it may name and call" },
    { "topic", 't', NJ_OPTION_CALL, .value = "NAME['=SQL']", .take = add_topic,
      .doc =
          "a topic: rows carry the names of the topics they match; others count as filtered (repeatable)" },
    { "topics", 0, NJ_OPTION_CALL, .value = "FILE", .take = add_topics,
      .doc = "all topics of a file, or of a built-in one (ready, ...); `nightjar topics check` tries them" },
    { "output", 'o', NJ_OPTION_CALL, .value = "SINK", .take = add_sink,
      .doc =
          "ndjson:PATH, ndjson:-, csv:PATH, avro:PATH, sqlite:PATH, fits:PATH, parquet:PATH, packets:PATH, "
          "hats:DIR, archive:DIR, kafka://HOST:PORT/TOPIC, kafka+packets://..., kafka+skyportal://..., "
          "webhook:URL, null: (repeatable)" },
    { "threads", 'j', NJ_OPTION_INT, AT(options.threads), "THREADS", NULL, 1, 1024,
      .doc = "compute threads (all cores)" },
    { "kafka", 'X', NJ_OPTION_CALL, .value = "NAME=VALUE", .take = add_kafka, .doc = "a librdkafka setting" },
    { "columns", 0, NJ_OPTION_TEXT, AT(options.columns), "LIST",
      .doc = "more output columns: lc.mag, packet.candidate.sgscore1, ...; `nightjar columns` lists them" },
    { "survey", 0, NJ_OPTION_CALL, .value = "NAME", .take = set_survey,
      .doc = "survey of packets that no map recognises" },
    { "registry", 0, NJ_OPTION_CALL, .value = "URL", .take = set_registry,
      .doc = "schema registry of Confluent-framed messages (LSST)" },
    { "schemas", 0, NJ_OPTION_CALL, .value = "DIR", .take = set_schemas,
      .doc = "their schemas from files: DIR/9/0/*.avsc or DIR/900.avsc" },
    { "schema", 0, NJ_OPTION_CALL, .value = "FILE", .take = set_schema, .doc = "the schema of bare datums" },
    { "limit", 0, NJ_OPTION_I64, AT(options.limit), "N", NULL, 1, INT64_MAX, .doc = "stop after N alerts" },
    { "dead-letters", 0, NJ_OPTION_TEXT, AT(options.dead_letters), "PATH",
      .doc = "where bad packets go with their bytes (dead-letters.avro beside the first output); a name with "
             "places, as of outputs, makes several files" },
    { "report", 0, NJ_OPTION_TEXT, AT(report_path), "RUN.json", .doc = "the run report" },
    { "metrics", 0, NJ_OPTION_TEXT, AT(options.metrics), "HOST:PORT",
      .doc = "its counters while it runs, for Prometheus: http://HOST:PORT/metrics, and /health, /ready; "
             ":PORT is 127.0.0.1" },
    { "trace", 0, NJ_OPTION_CALL, .value = "ID", .take = add_trace,
      .doc =
          "print all that happens to the alert of this id: columns, answers, filters, outputs (repeatable)" },
    { "trace-file", 0, NJ_OPTION_TEXT, AT(options.trace_file), "FILE",
      .doc = "where --trace prints (standard error)" },
    { "overwrite", 0, NJ_OPTION_CALL, .take = overwrite, .doc = "replace an output that exists" },
    { "append", 0, NJ_OPTION_CALL, .take = append, .doc = "add to an output that exists" },
    { "missing", 0, NJ_OPTION_TEXT, AT(options.missing), "OUT",
      .doc = "only the alerts that an earlier run's output (a file) has without a module that was left out "
             "under load" },
    { "seen", 0, NJ_OPTION_CALL, .value = "OUT", .take = add_seen,
      .doc = "alerts that an earlier run's output (a file) has count as duplicates, by survey and id "
             "(repeatable)" },
    { "resume", 0, NJ_OPTION_FLAG, AT(options.resume),
      .doc = "continue where a run of the same command was broken off; its output files say where" },
    { "strict", 0, NJ_OPTION_FLAG, AT(options.strict),
      .doc = "exit code 4 when there are dead letters, or alerts that never came" },
    { "eos", 0, NJ_OPTION_FLAG, AT(options.eos),
      .doc = "a Kafka sink's rows and the source's offsets in one transaction: each row once for who reads "
             "committed ones" },
    { "quiet", 'q', NJ_OPTION_CALL, .take = be_quiet,
      .doc = "no table and no progress; warnings and errors only" },
    { "verbose", 'v', NJ_OPTION_CALL, .take = be_verbose,
      .doc = "more about what is done: all that -d can show" },
    { "log-time", 0, NJ_OPTION_CALL, .value = "WHEN", .take = log_time,
      .doc = "messages begin with the time: yes, no, or auto = when stderr is neither a terminal nor the "
             "journal" },
    { "log-json", 0, NJ_OPTION_CALL, .take = log_json,
      .doc = "messages as JSON, one object a line: time, level, room, text, fields; no line of progress" },
    { "log-level", 0, NJ_OPTION_CALL, .value = "LIST", .take = log_level,
      .doc =
          "which messages: error, warning, note or debug, of all or by room: warning,kafka=error,sink=debug; "
          "rooms: source, kafka, decode, module, graph, flow, query, sink, other" },
    { 0 }
};

/* ---- the command line ------------------------------------------------------------------------ */

/* The next word of a list with blanks or commas between them, copied;
 * NULL at its end, or when memory is short (*failed). */
static const char *next_word(nj_cli *cli, const char **list, const char *between, bool *failed)
{
    *list += strspn(*list, between);
    size_t n = strcspn(*list, between);
    const char *word = n ? nj_arena_text(&cli->arena, *list, n) : NULL;
    *failed |= n && !word;
    *list += n;
    return word;
}

/* A key of [run]; NULL when it is not given, or empty, which is the default. */
static const char *said_in_run(nj_settings *s, const char *key)
{
    const char *value = nj_settings_get(s, "run", key);
    return value && *value ? value : NULL;
}

/* [run] says what the command line did not. */
static int take_from_settings(nj_cli *cli, nj_error *err)
{
    nj_run_options *o = &cli->options;
    nj_settings *s = &cli->settings;
    if (!o->select) o->select = said_in_run(s, "modules");
    if (!o->where) o->where = said_in_run(s, "where");
    if (!o->columns) o->columns = said_in_run(s, "columns");
    if (!o->metrics) o->metrics = said_in_run(s, "metrics");
    const char *sinks = o->n_sinks ? NULL : said_in_run(s, "sinks");
    const char *topics = o->n_topics ? NULL : said_in_run(s, "topics");
    size_t room = (sinks ? strlen(sinks) : 0) + (topics ? strlen(topics) : 0) + 1; /* a word needs a letter */
    if (sinks) cli->sink = realloc(cli->sink, room * sizeof *cli->sink);
    if (topics) cli->topic = realloc(cli->topic, room * sizeof *cli->topic);
    if (!cli->sink || !cli->topic) return nj_fail(err, "out of memory");
    o->sink = cli->sink;
    o->topic = cli->topic;
    bool failed = false;
    for (const char *word; sinks && (word = next_word(cli, &sinks, " \t\n", &failed));)
        if (!(cli->sink[o->n_sinks++] = nj_secret_hide(word))) failed = true;
    for (const char *word; topics && (word = next_word(cli, &topics, " \t\n,", &failed));)
        cli->topic[o->n_topics++] = (nj_topic_option){ word, NULL };
    return failed ? nj_fail(err, "out of memory") : nj_topics_sinks(cli, err);
}

int nj_run_defaults(nj_settings *settings, nj_error *err)
{
    const nj_embedded *defaults = nj_embedded_find("data/instances.ini");
    return defaults ? nj_settings_ini(settings, "instances.ini (built in)", defaults->data, err) : 0;
}

static int begin(nj_cli *cli, int argc, nj_error *err)
{
    size_t n = (size_t)argc + 1;
    memset(cli, 0, sizeof *cli);
    cli->source = calloc(n, sizeof *cli->source);
    cli->sink = calloc(n, sizeof *cli->sink);
    cli->module_path = calloc(n, sizeof *cli->module_path);
    cli->topic = calloc(n, sizeof *cli->topic);
    cli->trace = calloc(n, sizeof *cli->trace);
    if (!cli->source || !cli->sink || !cli->module_path || !cli->topic || !cli->trace)
        return nj_fail(err, "out of memory");
    cli->options = (nj_run_options){ .settings = &cli->settings,
                                     .topic = cli->topic,
                                     .trace = cli->trace,
                                     .source = cli->source,
                                     .sink = cli->sink,
                                     .module_path = cli->module_path,
                                     .progress = isatty(STDERR_FILENO) };
    return nj_run_defaults(&cli->settings, err);
}

int nj_cli_read(nj_cli *cli, const nj_option *const *tables, int argc, char **argv, nj_error *err)
{
    nj_words words;
    if (begin(cli, argc, err) || nj_options_parse(tables, cli, argc, argv, &words, err)) return -1;
    for (int i = 0; i < words.n; i++) cli->source[cli->options.n_sources++] = words.item[i];
    if (take_from_settings(cli, err)) return -1;
    if (cli->quiet || nj_log_is_json()) cli->options.progress = false;
    return 0;
}

int nj_cli_parse(nj_cli *cli, int argc, char **argv, nj_error *err)
{
    static const nj_option *const tables[] = { nj_cli_settings, nj_cli_modules,      nj_cli_paths,
                                               nj_cli_run,      nj_options_of_debug, NULL };
    return nj_cli_read(cli, tables, argc, argv, err);
}
