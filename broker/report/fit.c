/* fit.c - a table wider than its terminal is broken in the middle of its figures, so columns are dropped to
 * fit the width. */
#include "fit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LEAST = 40, MOST = 1000, USUAL = 80, NAME_LEAST = 20 };

int nj_fit_width(FILE *to)
{
    const char *said = getenv("COLUMNS");
    char *end = NULL;
    long columns = said ? strtol(said, &end, 10) : 0;
    struct winsize w = { 0 };
    if (said && *said && !*end && columns >= LEAST && columns <= MOST) return (int)columns;
    if (!isatty(fileno(to)) || ioctl(fileno(to), TIOCGWINSZ, &w) || !w.ws_col) return USUAL;
    return w.ws_col < LEAST ? LEAST : w.ws_col > MOST ? MOST : w.ws_col;
}

void nj_fit_text(FILE *to, int width, const char *text)
{
    int at = 0;
    for (const char *word = text; *word;) {
        int n = (int)strcspn(word, " ");
        if (!strncmp(word + n, " %", 2)) n += 2 + (int)strcspn(word + n + 2, " "); /* a figure and its unit */
        bool first = at == 0;
        if (!first && at + 1 + n > width) at = fprintf(to, "\n  ") - 1, first = true;
        at += fprintf(to, "%s%.*s", first ? "" : " ", n, word);
        word += n;
        word += strspn(word, " ");
    }
    fprintf(to, "\n");
}

void nj_fit_parts(FILE *to, int width, const char *const *part)
{
    int at = 0;
    if ((int)strlen(part[0]) > width) {
        nj_fit_text(to, width, part[0]);
        return;
    }
    for (int i = 0; part[i] && (i == 0 || at + (int)strlen(part[i]) <= width); i++)
        at += fprintf(to, "%s", part[i]);
    fprintf(to, "\n");
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

void nj_fit_begin(nj_fit *t, const nj_fit_column *column, int n)
{
    *t = (nj_fit){ .column = column, .n = n };
    for (int i = 0; i < n; i++) t->width[i] = most((int)strlen(column[i].over), (int)strlen(column[i].head));
}

void nj_fit_see(nj_fit *t, nj_fit_cells cells)
{
    for (int i = 0; i < t->n; i++) t->width[i] = most(t->width[i], (int)strlen(cells[i]));
}

/* Names get what they need up to a third of the terminal. A column that has no room keeps out all of higher
 * rank, so that a wider terminal only ever adds columns. */
void nj_fit_choose(nj_fit *t, int width)
{
    int last = 0, used = 0, cap = most(width / 3, NAME_LEAST);
    if (t->width[0] > cap) t->width[0] = cap;
    for (int i = 0; i < t->n; i++) {
        last = most(last, t->column[i].rank);
        t->shown[i] = t->column[i].rank == 0;
        if (t->shown[i]) used += t->width[i] + (i > 0);
    }
    for (int rank = 1; rank <= last; rank++)
        for (int i = 0; i < t->n; i++) {
            if (t->column[i].rank != rank) continue;
            used += 1 + t->width[i];
            t->shown[i] = used <= width;
        }
}

static void print_line(const nj_fit *t, const char *const text[NJ_FIT_COLUMNS], FILE *to)
{
    int n = t->n;
    while (n > 1 && (!t->shown[n - 1] || !*text[n - 1])) n--; /* no spaces at the end */
    for (int i = 0; i < n; i++) {
        if (!t->shown[i]) continue;
        if (i)
            fprintf(to, " %*s", t->width[i], text[i]);
        else if ((int)strlen(text[i]) > t->width[0])
            fprintf(to, "%.*s...", t->width[0] - 3, text[i]);
        else
            fprintf(to, "%-*s", t->width[0], text[i]);
    }
    fprintf(to, "\n");
}

void nj_fit_head(const nj_fit *t, FILE *to)
{
    const char *text[NJ_FIT_COLUMNS];
    for (int i = 0; i < t->n; i++) text[i] = t->column[i].over;
    print_line(t, text, to);
    for (int i = 0; i < t->n; i++) text[i] = t->column[i].head;
    print_line(t, text, to);
}

void nj_fit_row(const nj_fit *t, nj_fit_cells cells, FILE *to)
{
    const char *text[NJ_FIT_COLUMNS];
    for (int i = 0; i < t->n; i++) text[i] = cells[i];
    print_line(t, text, to);
}
