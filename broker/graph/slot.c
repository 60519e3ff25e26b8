/* slot.c - the slots of all threads that call modules, so that one thread can look at the others. */
#include "slot.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local nj_slot *nj_slot_here;
_Thread_local int nj_slot_thread;
static nj_slot own_set_up;
nj_slot *nj_slot_set_up = &own_set_up;

const char *const nj_phase_name[] = {
    "while it was loaded", "in declare()", "in open()",
    "in thread_open()",    "in process()", "while the host opened a stamp for its process()",
    "in thread_close()",   "in close()",   "reading a packet",
    "in a filter",         "in an output"
};

int nj_slot_ask_thread(void)
{
    return nj_slot_thread = (int)syscall(SYS_gettid);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static nj_slot *list = &own_set_up;

void nj_slot_set_up_at(nj_slot *slot)
{
    nj_slot_remove(nj_slot_set_up);
    nj_slot_set_up = slot;
    nj_slot_add(slot);
}

void nj_slot_add(nj_slot *slot)
{
    pthread_mutex_lock(&lock);
    slot->next = list;
    list = slot;
    pthread_mutex_unlock(&lock);
}

void nj_slot_remove(nj_slot *slot)
{
    pthread_mutex_lock(&lock);
    for (nj_slot **at = &list; *at; at = &(*at)->next) {
        if (*at != slot) continue;
        *at = slot->next;
        break;
    }
    pthread_mutex_unlock(&lock);
}

void nj_slot_each(void (*look)(void *opaque, nj_slot *slot), void *opaque)
{
    pthread_mutex_lock(&lock);
    for (nj_slot *s = list; s; s = s->next) look(opaque, s);
    pthread_mutex_unlock(&lock);
}
