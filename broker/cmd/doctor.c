/* doctor.c - nightjar doctor: what this machine has, what it lacks, and how to get it. */
#include <archive.h>
#include <curl/curl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fftw3.h>
#include <fitsio.h>
#include <gsl/gsl_version.h>
#include <jansson.h>
#include <libdeflate.h>
#include <librdkafka/rdkafka.h>
#include <linux/perf_event.h>
#include <math.h>
#include <microhttpd.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "../base/debug.h"
#include "../base/buffer.h"
#include "../base/log.h"
#include "../base/version.h"
#include "../flow/cli.h"
#include "../engine/engine.h"
#include "../measure/energy.h"
#include "../measure/energy_look.h"
#include "command.h"

typedef enum { FINE, NOTE, LACKS } state;

static int lacking;

/* One line, and below it the cure. */
__attribute__((format(printf, 4, 5))) static void show(state s, const char *name, const char *cure,
                                                       const char *format, ...)
{
    static const char *const word[] = { "ok", "note", "LACKS" };
    va_list ap;
    va_start(ap, format);
    printf("%-6s %-18s ", word[s], name);
    vprintf(format, ap);
    printf("\n");
    va_end(ap);
    if (cure) printf("       %-18s -> %s\n", "", cure);
    lacking += s == LACKS;
}

static void libraries(void)
{
    float fits = 0;
    fits_get_version(&fits);
    show(FINE, "nightjar", NULL, "%s (%s), %s, %s", nj_version, nj_revision, nj_compiler, nj_flags);
    int scram = rd_kafka_version() >= 0x020601ff;
    show(scram ? FINE : NOTE, "librdkafka",
         scram ? NULL : "2.6.1 or later (Debian 13, or Confluent's packages) if your brokers ask for SCRAM",
         "%s%s", rd_kafka_version_str(),
         scram ? "" : ": cannot do SCRAM with Apache Kafka 4 and later; PLAINTEXT, SSL and SASL PLAIN work");
    show(FINE, "sqlite", NULL, "%s", sqlite3_libversion());
    show(FINE, "libarchive", NULL, "%s", archive_version_string());
    show(FINE, "cfitsio", NULL, "%.2f", fits);
    show(FINE, "compression", NULL, "libdeflate %s, zlib %s, zstd %s", LIBDEFLATE_VERSION_STRING,
         zlibVersion(), ZSTD_versionString());
    show(FINE, "mathematics", NULL, "%s, gsl %s", fftw_version, gsl_version);
    show(FINE, "services", NULL, "libcurl %s, libmicrohttpd %s, jansson %s",
         curl_version_info(CURLVERSION_NOW)->version, MHD_get_version(), JANSSON_VERSION);
}

/* As the model service looks for it: $ORT_DYLIB_PATH, .onnxruntime beside the program and here,
 * the system's. */
static void onnx_runtime(void)
{
    struct api_base {
        const void *(*api)(uint32_t);
        const char *(*version)(void);
    };
    char self[3900] = "", beside[4096] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0 && strrchr(self, '/')) {
        *strrchr(self, '/') = 0;
        snprintf(beside, sizeof beside, "%s/.onnxruntime/libonnxruntime.so", self);
    }
    const char *path[] = { getenv("ORT_DYLIB_PATH"), beside, "./.onnxruntime/libonnxruntime.so",
                           "libonnxruntime.so.1", "libonnxruntime.so" };
    for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
        void *library = path[i] && *path[i] ? dlopen(path[i], RTLD_NOW | RTLD_LOCAL) : NULL;
        const struct api_base *(*base)(void);
        if (!library && i == 0 && path[0] && *path[0])
            return show(LACKS, "ONNX Runtime", "unset ORT_DYLIB_PATH, or let it name a library", "%s",
                        dlerror());
        if (!library) continue;
        *(void **)&base = dlsym(library, "OrtGetApiBase");
        if (base) {
            show(FINE, "ONNX Runtime", NULL, "%s (%s)", base()->version(), path[i]);
            return;
        }
    }
    show(NOTE, "ONNX Runtime",
         "make onnxruntime, or ORT_DYLIB_PATH=/path/libonnxruntime.so; the built-in engine does without it",
         "not here");
}

static void one_folder(const char *path, const char *what, const char *cure)
{
    DIR *d = opendir(path);
    if (!d) return show(LACKS, what, cure, "%s: %s", path, strerror(errno));
    int n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    show(FINE, what, NULL, "%s: %d entries", path, n);
}

/* [section] path: one folder, or several with ':' between them. */
static void folders(nj_settings *s, const char *section, const char *what, const char *source)
{
    const char *path = nj_settings_get(s, section, "path");
    char cure[256];
    snprintf(cure, sizeof cure, "%s; then -D %s.path=DIR, or [%s] path = DIR in the file of -c", source,
             section, section);
    if (!path || !*path) return show(NOTE, what, cure, "no folder is set: the modules that need one are off");
    char *text = strdup(path), *rest = text;
    for (char *one; text && (one = strsep(&rest, ":")) != NULL;)
        if (*one) one_folder(one, what, cure);
    free(text);
}

/* With a folder of models each module that is off has its reason;
 * without one, those that want a model have the same. */
static void what_is_off(const nj_instances *set, bool models)
{
    nj_buffer names = { 0 };
    for (uint32_t i = 0; i < set->n_off; i++) {
        const nj_off *off = &set->off[i];
        if (models || off->status != NJ_ENO_MODEL)
            show(NOTE, "", NULL, "%s is off: %s", off->name, off->why);
        else
            nj_buffer_printf(&names, "%s%s", names.n ? ", " : "", off->name);
    }
    if (names.n) show(NOTE, "", NULL, "off, as no model is there: %s", names.data);
    nj_buffer_free(&names);
}

/* The default modules, as a run would open them: those that are off, with their reasons. */
static void modules(nj_settings *settings)
{
    nj_engine engine = { 0 };
    nj_error err = { "" };
    const char *models = nj_settings_get(settings, "models", "path");
    int rc = nj_engine_load(&engine, settings, NULL, 0, &err);
    if (rc == 0) rc = nj_engine_choose(&engine, NULL, &err);
    if (rc == 0) rc = nj_engine_open(&engine, NULL, &err);
    if (rc)
        show(LACKS, "modules", NULL, "%s", err.text);
    else
        show(FINE, "modules", NULL, "%u built in; %u of the default set are off", engine.modules.n,
             engine.instances.n_off);
    if (rc == 0) what_is_off(&engine.instances, models && *models);
    nj_engine_close(&engine);
}

static bool on_path(const char *program)
{
    char path[4096];
    const char *all = getenv("PATH");
    char *text = strdup(all ? all : ""), *rest = text;
    bool found = strchr(program, '/') && access(program, X_OK) == 0;
    for (char *one; text && !found && (one = strsep(&rest, ":")) != NULL;)
        found =
            snprintf(path, sizeof path, "%s/%s", one, program) < (int)sizeof path && access(path, X_OK) == 0;
    free(text);
    return found;
}

/* What `nightjar profile` calls. */
static void compiler(void)
{
    const char *cc = getenv("CC"), *gcov = getenv("GCOV");
    if (!cc || !*cc) cc = "cc";
    if (!gcov || !*gcov) gcov = "gcov";
    bool have_cc = on_path(cc), have_gcov = on_path(gcov);
    show(have_cc && have_gcov ? FINE : NOTE, "compiler",
         have_cc && have_gcov
             ? NULL
             : "nightjar profile needs both: apt-get install gcc, or $CC and $GCOV name them",
         "%s%s, %s%s", cc, have_cc ? "" : " is not here", gcov, have_gcov ? "" : " is not here");
}

static void machine(void)
{
    char governor[64] = "not readable";
    double load[3] = { 0 };
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "r");
    if (f) {
        if (!fgets(governor, sizeof governor, f)) strcpy(governor, "not readable");
        governor[strcspn(governor, "\n")] = 0;
        fclose(f);
    }
    if (getloadavg(load, 3) < 1) load[0] = NAN;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    show(FINE, "cores", NULL, "%ld, frequency governor %s", cores, governor);
    int busy = load[0] > 0.5 * (double)cores;
    show(busy ? NOTE : FINE, "load", busy ? "measure when the machine is quiet" : NULL,
         "%.1f in the last minute", load[0]);
    show(FINE, "memory", NULL, "%.1f GB",
         (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE) / 1e9);
#ifdef __x86_64__
    __builtin_cpu_init();
    show(FINE, "vectors", NULL, "%s",
         __builtin_cpu_supports("avx512f") ? "AVX-512"
         : __builtin_cpu_supports("avx2")  ? "AVX2"
                                           : "SSE2");
#endif
}

/* A hardware counter, and a software one that samples need. */
static int can_count(uint32_t type, uint64_t config)
{
    struct perf_event_attr attr = {
        .type = type, .size = sizeof attr, .config = config, .exclude_kernel = 1
    };
    int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : errno;
}

static void counters(nj_settings *settings)
{
    nj_error err = { "" };
    int hard = can_count(PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS),
        soft = can_count(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK);
    show(hard ? NOTE : FINE, "hardware counters",
         hard == EACCES || hard == EPERM
             ? "sysctl kernel.perf_event_paranoid=2; nothing but instruction counts needs them"
         : hard ? "many virtual machines have none; nothing but instruction counts needs them"
                : NULL,
         "%s", hard ? strerror(hard) : "instructions are countable");
    show(soft ? NOTE : FINE, "task clock",
         soft ? "sysctl kernel.perf_event_paranoid=2; timers do without it" : NULL, "%s",
         soft ? strerror(soft) : "countable");
    nj_energy *e = nj_energy_open(settings, &err);
    if (!e) return show(LACKS, "energy", NULL, "%s", err.text);
    nj_energy_source s;
    nj_energy_split split;
    nj_energy_begin(e);
    usleep(20000); /* some steps of a RAPL counter */
    nj_energy_end(e, &s, &split);
    int measured = !strcmp(s.kind, "measured");
    const char *hint = nj_energy_hint(e);
    show(measured ? FINE : NOTE, "energy",
         measured ? NULL
         : hint   ? hint
                  : "no RAPL here; [energy] meter_command or meter_file names a meter, cpu_model the CPU",
         "%s, %s: %s", s.tier, s.kind, s.source);
    nj_energy_free(e);
}

/* Each source of energy, the best first, and how to open it. */
static void energy_sources(nj_settings *settings)
{
    nj_energy_look look[NJ_ENERGY_LOOKS];
    nj_energy_look_at(look, settings);
    for (int i = 0; i < NJ_ENERGY_LOOKS; i++)
        show(look[i].works ? FINE : NOTE, "", look[i].cure[0] ? look[i].cure : NULL, "%s: %s", look[i].source,
             look[i].what);
}

static void disk(const char *path)
{
    struct statvfs v;
    if (statvfs(path, &v)) return show(LACKS, "disk", NULL, "%s: %s", path, strerror(errno));
    double gb = (double)v.f_bavail * (double)v.f_frsize / 1e9;
    show(gb < 1 ? NOTE : FINE, "disk", gb < 1 ? "an output of a night takes some GB" : NULL,
         "%s: %.1f GB free%s", path, gb, access(path, W_OK) ? ", not writable" : "");
}

static int doctor(int argc, char **argv);

NJ_COMMAND(doctor) = {
    .name = "doctor",
    .usage = "doctor [-c FILE] [-D SECTION.KEY=VALUE]",
    .summary = "what this machine lacks and how to get it",
    .help =
        "The settings are those of the run that is to be looked at (models.path, catalogs.path, energy.*).\n",
    .main = doctor,
    .options = { nj_cli_settings, nj_options_of_debug },
    .exits = (const nj_meaning[]){ { "0", "everything that a run needs is here, whatever the notes say" },
                                   { "1", "something is not, or wrong usage or settings" },
                                   { 0 } },
};

static int doctor(int argc, char **argv)
{
    nj_cli cli;
    nj_error err = { "" };
    int rc = nj_cli_read(&cli, nj_command_doctor.options, argc, argv, &err);
    if (rc == 0 && cli.options.n_sources) rc = nj_fail(&err, "doctor takes settings only, no SOURCE");
    if (rc) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        nj_cli_free(&cli);
        return NJ_EXIT_USAGE;
    }
    nj_log_level(NJ_LOG_ERROR); /* what modules say while they open stands in the table */
    libraries();
    onnx_runtime();
    folders(&cli.settings, "models", "models",
            "a folder each; modules/MODELS.md says where published ones are, and how to make one of yours");
    folders(&cli.settings, "catalogs", "catalogues",
            "`nightjar catalog build` makes them, recipes in broker/catalog/README.md");
    modules(&cli.settings);
    compiler();
    machine();
    counters(&cli.settings);
    energy_sources(&cli.settings);
    disk(".");
    disk("/tmp");
    printf("%s\n",
           lacking ? "something is missing that these settings need" : "all that a run needs is here");
    nj_cli_free(&cli);
    return lacking ? NJ_EXIT_USAGE : NJ_EXIT_OK;
}
