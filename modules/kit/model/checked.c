/* checked.c - computing golden rows is most of a start; this remembers those that the same program has
 * computed from the same bytes on the same processor.
 *
 * An answer is a file whose name and content are one SHA-256 of everything that it depends on: program, C and
 * maths library (their build ids), processor, instruction set, engine, options, and the bytes of manifest,
 * model and golden rows. Whatever of these is another one has no file, and is computed. The folder must be
 * the user's own and writable by nobody else. */
#include "checked.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined __x86_64__
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

#include "nightjar/beside.h"
#include "nightjar/num.h"

static char folder[4096];

void nj_model_checks_in(const char *name)
{
    if (!name || strlen(name) >= sizeof folder) name = "";
    memcpy(folder, name, strlen(name) + 1);
}

/* ---- the key --------------------------------------------------------------------------------- */

typedef struct sum {
    EVP_MD_CTX *md;
    int bad, objects;
} sum;

/* With its length, so that no two lists of parts look alike. */
static void add(sum *s, const void *bytes, size_t n)
{
    uint64_t size = n;
    s->bad |= !EVP_DigestUpdate(s->md, &size, sizeof size) || !EVP_DigestUpdate(s->md, bytes, n);
}

static void add_text(sum *s, const char *text)
{
    if (!text) text = "";
    add(s, text, strlen(text));
}

/* The build id of a loaded object; 0 = it has none. */
static int add_build_id(sum *s, const struct dl_phdr_info *object)
{
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &object->dlpi_phdr[i];
        if (p->p_type != PT_NOTE) continue;
        const char *at = (const char *)(object->dlpi_addr + p->p_vaddr), *end = at + p->p_memsz;
        while ((size_t)(end - at) > sizeof(ElfW(Nhdr))) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            const char *name = at + sizeof note, *id = name + (note.n_namesz + 3U) / 4 * 4;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(name, "GNU", 4) &&
                note.n_descsz && note.n_descsz <= (size_t)(end - id)) {
                add(s, id, note.n_descsz);
                return 1;
            }
            at = id + (note.n_descsz + 3U) / 4 * 4;
        }
    }
    return 0;
}

/* The first object is the program, which has the engines in it. */
static int add_object(struct dl_phdr_info *object, size_t size, void *sum_)
{
    (void)size;
    sum *s = sum_;
    const char *leaf = strrchr(object->dlpi_name, '/');
    leaf = leaf ? leaf + 1 : object->dlpi_name;
    if (s->objects++ && strncmp(leaf, "libc.", 5) && strncmp(leaf, "libm.", 5)) return 0;
    add_text(s, s->objects == 1 ? "program" : leaf);
    if (!add_build_id(s, object)) s->bad = 1;
    return 0;
}

static void add_processor(sum *s)
{
#if defined __x86_64__
    unsigned a[4] = { 0 }, b[4] = { 0 }, v[4] = { 0 };
    if (!__get_cpuid(0, &v[0], &v[1], &v[2], &v[3]) || !__get_cpuid(1, &a[0], &a[1], &a[2], &a[3]))
        s->bad = 1;
    __get_cpuid_count(7, 0, &b[0], &b[1], &b[2], &b[3]);
    a[1] = 0; /* the number of the core that asks */
    add(s, v, sizeof v);
    add(s, a, sizeof a);
    add(s, b, sizeof b);
#else
    unsigned long a[2] = { getauxval(AT_HWCAP), getauxval(AT_HWCAP2) };
    add_text(s, getauxval(AT_PLATFORM) ? (const char *)getauxval(AT_PLATFORM) : "");
    add(s, a, sizeof a);
#endif
    add_text(s, nj_isa_name[nj_isa_best()]);
}

void nj_checked_key(nj_checked *c, const nj_model_info *info, const nj_model_options *options,
                    const void *manifest, size_t n_manifest, const void *golden, size_t n_golden)
{
    c->key[0] = 0;
    /* which library ONNX Runtime loads, and what that loads, is not known well enough here */
    if (!folder[0] || !strncmp(info->engine, "ort", 3)) return;
    sum s = { .md = EVP_MD_CTX_new() };
    unsigned char hash[EVP_MAX_MD_SIZE];
    if (s.md && EVP_DigestInit_ex(s.md, EVP_sha256(), NULL)) {
        add_text(&s, "nightjar golden rows 1");
        dl_iterate_phdr(add_object, &s);
        add_processor(&s);
        add_text(&s, info->engine);
        add_text(&s, options ? options->sum : NULL);
        add_text(&s, info->sha256);
        add(&s, manifest, n_manifest);
        add(&s, golden, n_golden);
        if (!s.bad && EVP_DigestFinal_ex(s.md, hash, NULL))
            for (int i = 0; i < 32; i++) snprintf(c->key + 2 * i, 3, "%02x", hash[i]);
    }
    EVP_MD_CTX_free(s.md);
}

/* ---- the folder ------------------------------------------------------------------------------ */

static int is_mine_alone(int fd, mode_t kind)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind && st.st_uid == geteuid() &&
           !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static int open_folder(void)
{
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0 || is_mine_alone(at, S_IFDIR)) return at;
    close(at);
    errno = EPERM;
    return -1;
}

int nj_checked_find(const nj_checked *c, double *difference)
{
    if (!c->key[0]) return 0;
    int at = open_folder(), fd = at < 0 ? -1 : openat(at, c->key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (at >= 0) close(at);
    if (fd < 0) return 0;
    char text[160] = "", key[65] = "";
    struct stat st;
    int end = 0;
    ssize_t n = is_mine_alone(fd, S_IFREG) && fstat(fd, &st) == 0 ? read(fd, text, sizeof text - 1) : 0;
    close(fd);
    int good = n > 0 && sscanf(text, "%64s %lf ok%n", key, difference, &end) == 2 && end == n &&
               !strcmp(key, c->key) && *difference >= 0;
    double age = good ? difftime(time(NULL), st.st_mtime) : -1; /* a time to come is none */
    return age >= 0 && age < NJ_MODEL_CHECK_DAYS * 86400.0;
}

/* Each folder on the way; what is there is no fault. */
static void make_folders(void)
{
    char path[sizeof folder + 1];
    snprintf(path, sizeof path, "%s/", folder);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

const char *nj_checked_keep(const nj_checked *c, double difference)
{
    if (!c->key[0]) return NULL;
    make_folders();
    int at = open_folder();
    if (at < 0)
        return errno == EPERM ? "the folder is another user's, or others may write to it" : strerror(errno);
    char part[128], text[160];
    int n = snprintf(text, sizeof text, "%s %.17g ok", c->key, difference);
    int fd = nj_beside_open(at, c->key, 0600, part, sizeof part);
    const char *why = NULL;
    if (fd < 0 || write(fd, text, (size_t)n) != n) why = strerror(errno);
    if (fd >= 0 && close(fd) && !why) why = strerror(errno);
    if (!why && renameat(at, part, at, c->key)) why = strerror(errno);
    if (why && fd >= 0) unlinkat(at, part, 0);
    close(at);
    return why;
}
