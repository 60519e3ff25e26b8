/* option.c - getopt_long accepts shortened and misspelt options; this rejects them and names the nearest
 * valid one. */
#include "option.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "settings.h"

enum { MOST = 64, WORD = 48 };

/* "--colums=x" without the value. */
static void cut(const char *word, char out[WORD])
{
    snprintf(out, WORD, "%.*s", (int)strcspn(word, "="), word);
}

static int not_known(const char *word, const char *const *known, size_t n, nj_error *err)
{
    char all[320] = "";
    const char *near = strlen(word) > 2 ? nj_nearest(word, known, n) : NULL; /* any two letters are near each other */
    if (near) return nj_fail(err, "option %s is not known; did you mean %s?", word, near);
    for (size_t i = 0; i < n; i++)
        if (strlen(all) + strlen(known[i]) + 2 < sizeof all) strcat(strcat(all, i ? " " : ""), known[i]);
    return nj_fail(err, "option %s is not known; there %s %s", word, n == 1 ? "is" : "are", n ? all : "none");
}

/* All options as words: "--columns", "-c". */
static size_t words_of(const char *shorts, const struct option *longs, char word[MOST][WORD], const char *list[MOST])
{
    size_t n = 0;
    for (; longs && longs->name && n < MOST; longs++) snprintf(word[n++], WORD, "--%s", longs->name);
    for (; *shorts && n < MOST; shorts++)
        if (!strchr(":+-", *shorts)) snprintf(word[n++], WORD, "-%c", *shorts);
    for (size_t i = 0; i < n; i++) list[i] = word[i];
    return n;
}

static bool is_long(const struct option *longs, const char *name)
{
    while (longs && longs->name && strcmp(longs->name, name)) longs++;
    return longs && longs->name;
}

/* -columns: the dash of a long option forgotten. Its value, if it has one, is another word. */
static int one_dash(int argc, char **argv, const struct option *longs, nj_error *err)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (argv[i][0] == '-' && argv[i][1] != '-' && argv[i][1] && argv[i][2] && is_long(longs, argv[i] + 1))
            return nj_fail(err, "option %s is not known; did you mean -%s?", argv[i], argv[i]);
    return 0;
}

/* One letter, with the same letter in the other case before all others. */
static int letter_not_known(int letter, const char *shorts, const struct option *longs, nj_error *err)
{
    char word[MOST][WORD], asked[3] = { '-', (char)letter, 0 }, other[3] = { '-', (char)(letter ^ 0x20), 0 };
    const char *list[MOST];
    size_t n = words_of(shorts, longs, word, list);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], other)) return nj_fail(err, "option %s is not known; did you mean %s?", asked, other);
    return not_known(asked, list, n, err);
}

int nj_getopt(int argc, char **argv, const char *shorts, const struct option *longs, nj_error *err)
{
    char quiet[128], word[WORD], words[MOST][WORD];
    const char *list[MOST], *mode = shorts[0] == '+' ? "+" : "";
    if (optind <= 1 && one_dash(argc, argv, longs, err)) return '?';
    snprintf(quiet, sizeof quiet, "%s:%s", mode, shorts + strlen(mode));
    opterr = 0;
    optopt = 0;
    int got = getopt_long(argc, argv, quiet, longs, NULL);
    if (got != '?' && got != ':') return got;
    const char *said = argv[optind - 1];
    bool is_word = !strncmp(said, "--", 2);
    cut(said, word);
    if (!is_word) snprintf(word, sizeof word, "-%c", optopt);
    if (got == ':')
        nj_fail(err, "option %s lacks its value", word);
    else if (is_word && optopt)
        nj_fail(err, "option %s takes no value", word);
    else if (is_word)
        not_known(word, list, words_of(shorts, longs, words, list), err);
    else
        letter_not_known(optopt, shorts, longs, err);
    return '?';
}

int nj_option_wrong(const char *word, const char *const *known, nj_error *err)
{
    char asked[WORD], words[MOST][WORD];
    const char *list[MOST];
    size_t n = 0;
    cut(word, asked);
    for (; *known && n < MOST; known++, n++) {
        cut(*known, words[n]);
        list[n] = words[n];
        if (strcmp(words[n], asked)) continue;
        bool has_value = (*known)[strlen(*known) - 1] == '=';
        return nj_fail(err, has_value ? "option %s lacks its value" : "option %s takes no value", asked);
    }
    return not_known(asked, list, n, err);
}

int nj_word_wrong(const char *what, const char *word, const char *const *known, nj_error *err)
{
    char all[320] = "";
    size_t n = 0;
    for (; known[n]; n++)
        if (strlen(all) + strlen(known[n]) + 3 < sizeof all) strcat(strcat(all, n ? ", " : ""), known[n]);
    const char *near = nj_nearest(word, known, n);
    if (near) return nj_fail(err, "no %s '%s'; did you mean '%s'?", what, word, near);
    return nj_fail(err, "no %s '%s'; there are %s", what, word, all);
}
