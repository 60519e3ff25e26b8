#include "report.h"

#include <stdlib.h>
#include <string.h>

void nj_report_free(nj_report *r)
{
    free(r->stream);
    free(r->stage);
    free(r->file);
    memset(r, 0, sizeof *r);
}
