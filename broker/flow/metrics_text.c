/* metrics_text.c - every part of a page of metrics writes the same kinds of lines. */
#include "metrics_text.h"

void nj_metrics_family(nj_buffer *b, const char *name, const char *type, const char *help)
{
    nj_buffer_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void nj_metrics_label(nj_buffer *b, const char *key, const char *value)
{
    nj_buffer_printf(b, "%s=\"", key);
    for (; *value; value++)
        if (*value == '\n')
            nj_buffer_text(b, "\\n");
        else
            nj_buffer_printf(b, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    nj_buffer_text(b, "\"");
}

void nj_metrics_sample(nj_buffer *b, const char *name, const char *key, const char *value, double v)
{
    nj_buffer_text(b, name);
    if (key) {
        nj_buffer_text(b, "{");
        nj_metrics_label(b, key, value);
        nj_buffer_text(b, "}");
    }
    nj_buffer_printf(b, " %.17g\n", v);
}
