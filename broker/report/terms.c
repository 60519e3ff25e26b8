/* terms.c - the glossary is a data file that a command and the report page both show; this reads it. */
#include "terms.h"

#include <stdio.h>
#include <string.h>

#include "../base/embed.h"

const char *nj_terms_text(void)
{
    const nj_embedded *file = nj_embedded_find("data/embed/terms.txt");
    return file ? file->data : "";
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

/* A term is a line before an indented one; its meaning are the indented lines.
 * What comes before the first is the introduction. */
bool nj_terms_next(const char **at, nj_term *term)
{
    const char *line = *at ? *at : nj_terms_text();
    while (*line && (*line == '\n' || *next_line(line) != ' ')) line = next_line(line);
    if (!*line) return false;
    snprintf(term->name, sizeof term->name, "%.*s", (int)strcspn(line, "\n"), line);
    size_t n = 0;
    term->meaning[0] = 0;
    for (line = next_line(line); *line == ' '; line = next_line(line)) {
        const char *text = line + strspn(line, " ");
        n += (size_t)snprintf(term->meaning + n, sizeof term->meaning - n, "%s%.*s", n ? " " : "",
                              (int)strcspn(text, "\n"), text);
        if (n >= sizeof term->meaning) n = sizeof term->meaning - 1;
    }
    *at = line;
    return true;
}
