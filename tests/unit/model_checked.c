/* model_checked.c - golden rows that were right are not computed again, and are whenever anything that their
 * answers depend on is another one, or the note about them cannot be trusted. */
#include "../kernel/model_host.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "modules/kit/model/checked.h"
#include "nightjar/num.h"

static char folder[64];

static int begin(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/nj-checked-XXXXXX");
    unsetenv("NIGHTJAR_ISA");
    if (!mkdtemp(folder)) return -1;
    nj_model_checks_in(folder);
    return 0;
}

/* Calls what for each note; how many there are. */
static int each_note(void (*what)(const char *path))
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n++;
        if (what) what(path);
    }
    if (d) closedir(d);
    return n;
}

static void remove_note(const char *path)
{
    unlink(path);
}

static int end(void **state)
{
    (void)state;
    nj_model_checks_in("");
    chmod(folder, 0700);
    each_note(remove_note);
    return rmdir(folder);
}

typedef enum { COMPUTED, KNOWN, REFUSED, NOT_KEPT } answer;

/* Opens a toy whose manifest or golden file may be another text. */
static answer open_toy(const char *name, const char *file, const char *text, size_t n,
                       const nj_model_options *options)
{
    model_host h;
    model_host_open(&h, "data/models");
    if (file) {
        h.put[0].name = file;
        h.put[0].bytes = text;
        h.put[0].n = n;
        h.n_put = 1;
    }
    nj_model *m = model_service()->open(&h.host, name, options);
    answer a = !m                                      ? REFUSED
               : strstr(h.log, "were computed before") ? KNOWN
               : strstr(h.log, "cannot be kept")       ? NOT_KEPT
                                                       : COMPUTED;
    if (m) assert_true(model_service()->info(m)->golden_rows > 0);
    model_service()->close(m);
    model_host_close(&h);
    return a;
}

static answer open_as_it_is(const char *name)
{
    return open_toy(name, NULL, NULL, 0, NULL);
}

static void once_and_not_again(void **state)
{
    (void)state;
    static const char *const toys[] = { "toy_forest", "toy_braai", "toy_acai", "toy_snn" };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(open_as_it_is(toys[i]), COMPUTED);
        assert_int_equal(open_as_it_is(toys[i]), KNOWN);
    }
    assert_int_equal(each_note(NULL), 4);
}

static void the_difference_is_kept(void **state)
{
    (void)state;
    double difference[2];
    for (int i = 0; i < 2; i++) {
        model_host h;
        model_host_open(&h, "data/models");
        nj_model *m = model_service()->open(&h.host, "toy_snn", NULL);
        assert_non_null(m);
        difference[i] = model_service()->info(m)->golden_difference;
        model_service()->close(m);
        model_host_close(&h);
    }
    assert_true(difference[0] == difference[1]);
}

static char *text_of(const char *path, size_t *n)
{
    char *text = nj_file_read(path, SIZE_MAX, n);
    assert_non_null(text);
    return text;
}

/* One more blank at its end: the same model, but not the same bytes. */
static void another_manifest(void **state)
{
    (void)state;
    size_t n;
    char *text = text_of("data/models/toy_forest/manifest.json", &n);
    assert_int_equal(open_as_it_is("toy_forest"), COMPUTED);
    text[n] = ' '; /* in the place of the NUL */
    assert_int_equal(open_toy("toy_forest", "manifest.json", text, n + 1, NULL), COMPUTED);
    free(text);
}

static void another_golden_file(void **state)
{
    (void)state;
    size_t n;
    char *text = text_of("data/models/toy_braai/golden.bin", &n);
    float last;
    assert_int_equal(open_as_it_is("toy_braai"), COMPUTED);
    memcpy(&last, text + n - 4, 4);
    last += 0.5f;
    memcpy(text + n - 4, &last, 4);
    assert_int_equal(open_toy("toy_braai", "golden.bin", text, n, NULL), REFUSED);
    assert_int_equal(open_toy("toy_braai", "golden.bin", text, n, NULL), REFUSED);
    assert_int_equal(each_note(NULL), 1);
    free(text);
}

static void another_model(void **state)
{
    (void)state;
    size_t n;
    char *text = text_of("data/models/toy_snn/model.onnx", &n);
    assert_int_equal(open_as_it_is("toy_snn"), COMPUTED);
    text[n / 2] ^= 1;
    assert_int_equal(open_toy("toy_snn", "model.onnx", text, n, NULL), REFUSED);
    free(text);
}

static void another_option(void **state)
{
    (void)state;
    const nj_model_options o = { .size = sizeof o, .sum = "float" };
    assert_int_equal(open_as_it_is("toy_forest"), COMPUTED);
    assert_int_equal(open_toy("toy_forest", NULL, NULL, 0, &o), COMPUTED);
    assert_int_equal(open_toy("toy_forest", NULL, NULL, 0, &o), KNOWN);
}

static void another_instruction_set(void **state)
{
    (void)state;
    if (nj_isa_best() == NJ_ISA_PORTABLE) skip();
    assert_int_equal(open_as_it_is("toy_acai"), COMPUTED);
    setenv("NIGHTJAR_ISA", "portable", 1);
    assert_int_equal(open_as_it_is("toy_acai"), COMPUTED);
    unsetenv("NIGHTJAR_ISA");
    assert_int_equal(open_as_it_is("toy_acai"), KNOWN);
}

static void age(const char *path, long days)
{
    const time_t then = time(NULL) - days * 86400;
    const struct timespec t[2] = { { .tv_sec = then }, { .tv_sec = then } };
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void make_old(const char *path)
{
    age(path, NJ_MODEL_CHECK_DAYS + 1);
}

static void make_future(const char *path)
{
    age(path, -1);
}

static void make_shared(const char *path)
{
    assert_int_equal(chmod(path, 0666), 0);
}

static void cut_off(const char *path)
{
    assert_int_equal(truncate(path, 66), 0);
}

/* A note with the right name and another key in it. */
static void change(const char *path)
{
    int fd = open(path, O_WRONLY);
    assert_int_equal(write(fd, "0000", 4), 4);
    close(fd);
}

static void add_to(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, " x", 2), 2);
    close(fd);
}

static void notes_that_do_not_count(void **state)
{
    (void)state;
    void (*const spoil[])(const char *) = { make_old, make_future, make_shared, cut_off, change, add_to };
    for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
        open_as_it_is("toy_forest");
        assert_int_equal(open_as_it_is("toy_forest"), KNOWN);
        assert_int_equal(each_note(spoil[i]), 1);
        assert_int_equal(open_as_it_is("toy_forest"), COMPUTED);
    }
    assert_int_equal(open_as_it_is("toy_forest"), KNOWN); /* each new note took the place of the bad one */
}

static void a_folder_that_others_write(void **state)
{
    (void)state;
    assert_int_equal(open_as_it_is("toy_forest"), COMPUTED);
    chmod(folder, 0777);
    assert_int_equal(open_as_it_is("toy_forest"), NOT_KEPT);
    chmod(folder, 0700);
    assert_int_equal(open_as_it_is("toy_forest"), KNOWN);
}

static void a_folder_that_cannot_be(void **state)
{
    (void)state;
    nj_model_checks_in("/dev/null/checked");
    assert_int_equal(open_as_it_is("toy_forest"), NOT_KEPT);
    assert_int_equal(open_as_it_is("toy_forest"), NOT_KEPT);
}

static void no_folder(void **state)
{
    (void)state;
    nj_model_checks_in("");
    assert_int_equal(open_as_it_is("toy_forest"), COMPUTED);
    assert_int_equal(open_as_it_is("toy_forest"), COMPUTED);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        EACH(once_and_not_again),
        EACH(the_difference_is_kept),
        EACH(another_manifest),
        EACH(another_golden_file),
        EACH(another_model),
        EACH(another_option),
        EACH(another_instruction_set),
        EACH(notes_that_do_not_count),
        EACH(a_folder_that_others_write),
        EACH(a_folder_that_cannot_be),
        EACH(no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
