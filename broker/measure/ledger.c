/* ledger.c - a run must account for every alert that it consumed; this adds up the classes and checks the
 * sum. */
#include "ledger.h"

bool nj_ledger_closed(const nj_ledger *l)
{
    return l->consumed == l->emitted + l->filtered + l->dead + l->duplicates + l->returned &&
           l->chunks == l->settled;
}

void nj_ledger_add(nj_ledger *into, const nj_ledger *from)
{
    into->chunks += from->chunks;
    into->settled += from->settled;
    into->consumed += from->consumed;
    into->emitted += from->emitted;
    into->filtered += from->filtered;
    into->dead += from->dead;
    into->duplicates += from->duplicates;
    into->returned += from->returned;
    into->again += from->again;
    into->missing += from->missing;
    into->others += from->others;
}
