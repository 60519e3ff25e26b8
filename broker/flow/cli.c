#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/option.h"
#include "../base/embed.h"
#include "../base/exit.h"
#include "../base/log.h"
#include "../base/output.h"
#include "../graph/services.h"
#include "nightjar/sky.h"

const char nj_run_help[] =
    "\nSOURCE: FILE.avro, FOLDER (Avro or Parquet), FILE.tar, FILE.tar.gz, - (stdin: OCF or tar), "
    "kafka://HOST:PORT/TOPIC[,TOPIC] or /^REGEX\n"
    "  with ?group=G&from=committed|earliest|latest|OFFSET|TIMESTAMP&until=idle:SECONDS|end|count:N, embedded://SOURCE\n"
    "  -c FILE              settings (INI); `-c night`: the night configuration that is built in\n"
    "  -D section.key=value one setting\n"
    "  -m LIST              modules: names replace the default set; +x and -x change it\n"
    "  -w 'SQL'             keep the rows for which this WHERE clause is true; the others count as filtered\n"
    "  -t NAME['=SQL']      a topic: rows carry the names of the topics they match; others count as filtered\n"
    "  -o SINK              ndjson:PATH, ndjson:-, avro:PATH, sqlite:PATH, fits:PATH, kafka://HOST:PORT/TOPIC, null: "
    "(repeatable)\n"
    "  -j THREADS           compute threads (all cores)\n"
    "  -X name=value        a librdkafka setting\n"
    "  --columns LIST       more output columns: lc.mag, packet.candidate.sgscore1, ...\n"
    "  --survey NAME        survey of packets that no map recognises\n"
    "  --registry URL       schema registry of Confluent-framed messages (LSST)\n"
    "  --schemas DIR        their schemas from files: DIR/9/0/*.avsc or DIR/900.avsc\n"
    "  --schema FILE        the schema of bare datums\n"
    "  --limit N            stop after N alerts\n"
    "  --dead-letters PATH  where bad packets go with their bytes (dead-letters.avro beside the first output)\n"
    "  --report RUN.json    the run report\n"
    "  --metrics HOST:PORT  its counters while it runs, for Prometheus: http://HOST:PORT/metrics\n"
    "  --module-path DIR    modules from shared objects\n"
    "  --overwrite --append what to do with an output that exists\n"
    "  --strict             exit code 4 when there are dead letters\n"
    "  -q, -v               quiet, verbose\n";

static _Atomic int stop; /* set by a handler, read by every thread */

static _Atomic bool terminal;

static void on_signal(int number)
{
    static const char text[] = "\r\033[Knightjar: finishing what was read; once more to stop at once\n";
    const size_t clear = 4; /* over the line of progress */
    (void)number;
    if (stop) _exit(NJ_EXIT_INTERRUPTED); /* asked twice */
    stop = 1;
    int error = errno;
    if (write(STDERR_FILENO, terminal ? text : text + clear, sizeof text - 1 - (terminal ? 0 : clear)) < 0) stop = 1;
    errno = error;
}

static const nj_sky *sky; /* the table; constant once set */

static void on_hangup(int number)
{
    (void)number;
    if (sky) sky->recheck();
}

void nj_stop_on_signals(void)
{
    struct sigaction again = { .sa_handler = on_hangup, .sa_flags = SA_RESTART };
    sky = nj_service("sky", NJ_SKY_VERSION);
    terminal = isatty(STDERR_FILENO);
    sigaction(SIGHUP, &again, NULL); /* look at the catalogues' files now */
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

const _Atomic int *nj_stop_flag(void)
{
    return &stop;
}

enum {
    OPT_COLUMNS = 256,
    OPT_LIMIT,
    OPT_DEAD,
    OPT_REPORT,
    OPT_MODULE_PATH,
    OPT_OVERWRITE,
    OPT_APPEND,
    OPT_STRICT,
    OPT_DOT,
    OPT_SURVEY,
    OPT_REGISTRY,
    OPT_SCHEMAS,
    OPT_SCHEMA,
    OPT_METRICS
};

static const struct option longs[] = {
    { "columns", required_argument, NULL, OPT_COLUMNS },
    { "limit", required_argument, NULL, OPT_LIMIT },
    { "dead-letters", required_argument, NULL, OPT_DEAD },
    { "report", required_argument, NULL, OPT_REPORT },
    { "module-path", required_argument, NULL, OPT_MODULE_PATH },
    { "overwrite", no_argument, NULL, OPT_OVERWRITE },
    { "append", no_argument, NULL, OPT_APPEND },
    { "strict", no_argument, NULL, OPT_STRICT },
    { "survey", required_argument, NULL, OPT_SURVEY },
    { "registry", required_argument, NULL, OPT_REGISTRY },
    { "schemas", required_argument, NULL, OPT_SCHEMAS },
    { "schema", required_argument, NULL, OPT_SCHEMA },
    { "metrics", required_argument, NULL, OPT_METRICS },
    { "dot", no_argument, NULL, OPT_DOT },
    { "quiet", no_argument, NULL, 'q' },
    { "verbose", no_argument, NULL, 'v' },
    { 0 },
};

static int whole_number(const char *text, int64_t lo, int64_t hi, const char *option, int64_t *value, nj_error *err)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || v < lo || v > hi)
        return nj_fail(err, "%s %s: expected a whole number from %lld to %lld", option, text, (long long)lo, (long long)hi);
    *value = v;
    return 0;
}

static int add_topic(nj_cli *cli, const char *text, nj_error *err)
{
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (n == 0 || n > 200) return nj_fail(err, "-t %s: expected NAME or NAME='SQL'", text);
    const char *name = nj_arena_text(&cli->arena, text, n);
    if (!name) return nj_fail(err, "out of memory");
    cli->topic[cli->options.n_topics++] = (nj_topic_option){ name, equals ? equals + 1 : NULL };
    return 0;
}

static int add_kafka(nj_cli *cli, const char *text, nj_error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) return nj_fail(err, "-X %s: expected name=value", text);
    char *name = nj_arena_text(&cli->arena, text, (size_t)(equals - text));
    return name && nj_settings_set(&cli->settings, "kafka", name, equals + 1, "-X") == 0 ? 0 : nj_fail(err, "out of memory");
}

static int add_setting(nj_cli *cli, const char *section, const char *key, const char *option, nj_error *err)
{
    return nj_settings_set(&cli->settings, section, key, optarg, option) == 0 ? 0 : nj_fail(err, "out of memory");
}

/* A file, or the name of a configuration that is built in (data/NAME.ini). */
static int add_config(nj_cli *cli, const char *name, nj_error *err)
{
    const nj_embedded *built_in = NULL;
    const char *inside = nj_arena_printf(&cli->arena, "data/%s.ini", name),
               *shown = nj_arena_printf(&cli->arena, "%s.ini (built in)", name);
    if (!inside || !shown) return nj_fail(err, "out of memory");
    if (access(name, F_OK) && !strpbrk(name, "./")) built_in = nj_embedded_find(inside);
    if (built_in) return nj_settings_ini(&cli->settings, shown, built_in->data, err);
    const char *near = access(name, F_OK) ? nj_nearest(name, (const char *const[]){ "night" }, 1) : NULL;
    if (near) return nj_fail(err, "-c %s: neither a file nor built in; did you mean '%s'?", name, near);
    return nj_settings_file(&cli->settings, name, err);
}

/* The next word of a list with blanks or commas between them, copied; NULL at its end, or when memory is short (*failed). */
static const char *next_word(nj_cli *cli, const char **list, const char *between, bool *failed)
{
    *list += strspn(*list, between);
    size_t n = strcspn(*list, between);
    const char *word = n ? nj_arena_text(&cli->arena, *list, n) : NULL;
    *failed |= n && !word;
    *list += n;
    return word;
}

/* [run] says what the command line did not. */
static int take_from_settings(nj_cli *cli, nj_error *err)
{
    nj_run_options *o = &cli->options;
    nj_settings *s = &cli->settings;
    if (!o->select) o->select = nj_settings_get(s, "run", "modules");
    if (!o->where) o->where = nj_settings_get(s, "run", "where");
    if (!o->columns) o->columns = nj_settings_get(s, "run", "columns");
    if (!o->metrics) o->metrics = nj_settings_get(s, "run", "metrics");
    const char *sinks = o->n_sinks ? NULL : nj_settings_get(s, "run", "sinks");
    const char *topics = o->n_topics ? NULL : nj_settings_get(s, "run", "topics");
    size_t room = (sinks ? strlen(sinks) : 0) + (topics ? strlen(topics) : 0) + 1; /* a word needs a letter */
    if (sinks) cli->sink = realloc(cli->sink, room * sizeof *cli->sink);
    if (topics) cli->topic = realloc(cli->topic, room * sizeof *cli->topic);
    if (!cli->sink || !cli->topic) return nj_fail(err, "out of memory");
    o->sink = cli->sink;
    o->topic = cli->topic;
    bool failed = false;
    for (const char *word; sinks && (word = next_word(cli, &sinks, " \t\n", &failed));) cli->sink[o->n_sinks++] = word;
    for (const char *word; topics && (word = next_word(cli, &topics, " \t\n,", &failed));)
        cli->topic[o->n_topics++] = (nj_topic_option){ word, NULL };
    return failed ? nj_fail(err, "out of memory") : 0;
}

static int one_option(nj_cli *cli, int option, nj_error *err)
{
    nj_run_options *o = &cli->options;
    int64_t v = 0;
    switch (option) {
    case 'c': return add_config(cli, optarg, err);
    case 'D': return nj_settings_define(&cli->settings, optarg, err);
    case 'm': o->select = optarg; return 0;
    case 'w': o->where = optarg; return 0;
    case 't': return add_topic(cli, optarg, err);
    case 'o': cli->sink[o->n_sinks++] = optarg; return 0;
    case 'j':
        if (whole_number(optarg, 1, 1024, "-j", &v, err)) return -1;
        o->threads = (int)v;
        return 0;
    case 'X': return add_kafka(cli, optarg, err);
    case 'q':
        cli->quiet = true;
        nj_log_level(NJ_LOG_WARN);
        return 0;
    case 'v': nj_log_level(NJ_LOG_DEBUG); return 0;
    case OPT_COLUMNS: o->columns = optarg; return 0;
    case OPT_LIMIT:
        if (whole_number(optarg, 1, INT64_MAX, "--limit", &v, err)) return -1;
        o->limit = v;
        return 0;
    case OPT_DEAD: o->dead_letters = optarg; return 0;
    case OPT_REPORT: cli->report_path = optarg; return 0;
    case OPT_MODULE_PATH: cli->module_path[o->n_module_paths++] = optarg; return 0;
    case OPT_OVERWRITE: o->mode = NJ_SINK_OVERWRITE; return 0;
    case OPT_APPEND: o->mode = NJ_SINK_APPEND; return 0;
    case OPT_STRICT: o->strict = true; return 0;
    case OPT_SURVEY: return add_setting(cli, "decode", "survey", "--survey", err);
    case OPT_REGISTRY: return add_setting(cli, "registry", "url", "--registry", err);
    case OPT_SCHEMAS: return add_setting(cli, "registry", "schemas", "--schemas", err);
    case OPT_SCHEMA: return add_setting(cli, "decode", "schema", "--schema", err);
    case OPT_METRICS: o->metrics = optarg; return 0;
    case OPT_DOT: cli->dot = true; return 0;
    default: return -1; /* nj_getopt() has said why */
    }
}

int nj_cli_parse(nj_cli *cli, int argc, char **argv, nj_error *err)
{
    memset(cli, 0, sizeof *cli);
    size_t n = (size_t)argc + 1;
    cli->source = calloc(n, sizeof *cli->source);
    cli->sink = calloc(n, sizeof *cli->sink);
    cli->module_path = calloc(n, sizeof *cli->module_path);
    cli->topic = calloc(n, sizeof *cli->topic);
    if (!cli->source || !cli->sink || !cli->module_path || !cli->topic) return nj_fail(err, "out of memory");
    cli->options = (nj_run_options){ .settings = &cli->settings,
                                     .topic = cli->topic,
                                     .source = cli->source,
                                     .sink = cli->sink,
                                     .module_path = cli->module_path,
                                     .progress = isatty(STDERR_FILENO) };
    const nj_embedded *defaults = nj_embedded_find("data/instances.ini");
    if (defaults && nj_settings_ini(&cli->settings, "instances.ini (built in)", defaults->data, err)) return -1;
    optind = 1;
    for (int option; (option = nj_getopt(argc, argv, "c:D:m:w:t:o:j:X:qv", longs, err)) != -1;)
        if (one_option(cli, option, err)) return -1;
    for (; optind < argc; optind++) cli->source[cli->options.n_sources++] = argv[optind];
    if (take_from_settings(cli, err)) return -1;
    if (cli->quiet) cli->options.progress = false;
    return 0;
}

int nj_cli_begin(nj_cli *cli, nj_error *err)
{
    nj_error why;
    if (!cli->report_path) return 0;
    /* an old report stays until the new one is there */
    if (nj_outfile_open(&cli->report, cli->report_path, NJ_SINK_APPEND, &why) == 0) return 0;
    return nj_fail(err, "--report %s", why.text);
}

static int write_report(nj_cli *cli, const nj_buffer *text, nj_error *err)
{
    struct stat st, now;
    nj_outfile *file = &cli->report;
    bool regular = !fstat(file->fd, &st) && S_ISREG(st.st_mode);
    /* somebody moved or removed it while the run went on: what the path names is what counts */
    if (regular && (stat(cli->report_path, &now) || st.st_dev != now.st_dev || st.st_ino != now.st_ino)) {
        nj_outfile_close(file, false, NULL);
        if (nj_outfile_open(file, cli->report_path, NJ_SINK_OVERWRITE, err)) return -1;
    }
    if (regular && (ftruncate(file->fd, 0) || lseek(file->fd, 0, SEEK_SET) < 0))
        return nj_fail(err, "%s: %s", cli->report_path, strerror(errno));
    return nj_outfile_write(file, text->data, text->n, err);
}

int nj_cli_report(nj_cli *cli, const nj_report *report, int rc, const nj_error *err)
{
    bool ran = report->n_stages > 0;
    if (ran && !cli->quiet) nj_report_terminal(report, nj_output_taken() ? stderr : stdout);
    if (rc != NJ_EXIT_OK && rc != NJ_EXIT_INTERRUPTED && err->text[0] && !err->said) nj_log(NJ_LOG_ERROR, "%s", err->text);
    if (!ran || !cli->report_path) return rc;
    nj_buffer json = { 0 };
    nj_report_json(report, &json);
    nj_error why = { "out of memory" };
    if (json.failed || write_report(cli, &json, &why)) {
        nj_log(NJ_LOG_ERROR, "the report cannot be written: %s", why.text);
        if (rc == NJ_EXIT_OK) rc = NJ_EXIT_USAGE;
    }
    nj_outfile_close(&cli->report, false, NULL);
    nj_buffer_free(&json);
    return rc;
}

void nj_cli_free(nj_cli *cli)
{
    if (cli->report.path) nj_outfile_close(&cli->report, true, NULL); /* nothing was written */
    nj_settings_free(&cli->settings);
    nj_arena_free(&cli->arena);
    free(cli->source);
    free(cli->sink);
    free(cli->module_path);
    free(cli->topic);
    memset(cli, 0, sizeof *cli);
}
