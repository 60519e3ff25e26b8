/* crash.c - a segmentation fault alone does not say which of a hundred modules it was; a handler does.
 * Everything that a handler calls here is safe in a handler: write(2), no allocation, no lock, no stdio. */
#include "crash.h"

#define UNW_LOCAL_ONLY
#include <fcntl.h>
#include <libunwind.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "../base/exit.h"
#include "../base/log.h"
#include "guard.h"
#include "slot.h"

enum { STACK_BYTES = 64 << 10, NEAR_BYTES = 1 << 20 };

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU };
static bool watching, terminal;
static bool quiet;        /* a child that tries rows: who made it says what came of it */
static pid_t process;     /* that is watched: what a module forks may end as it likes */
static bool came_of_fork; /* this process did, and was not made by the host */
static int crashed;       /* atomic: a thread is reporting */
static pthread_key_t stack_key;
static _Thread_local bool ready;

/* --- text --- */

typedef struct line {
    char text[1024];
    size_t n;
} line;

static void put(line *l, const char *text)
{
    while (text && *text && l->n < sizeof l->text) l->text[l->n++] = *text++;
}

static void put_number(line *l, int64_t value)
{
    char digits[24];
    size_t n = sizeof digits;
    uint64_t u = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    digits[--n] = 0;
    do digits[--n] = (char)('0' + u % 10);
    while (u /= 10);
    if (value < 0) digits[--n] = '-';
    put(l, digits + n);
}

static void flush(line *l)
{
    char json[3 * sizeof l->text];
    const char *text = l->text;
    size_t n = l->n;
    l->n = 0;
    if (quiet) return;
    if (nj_log_is_json()) {
        l->text[n < sizeof l->text ? n : sizeof l->text - 1] = '\0';
        if (n && n < sizeof l->text && text[n - 1] == '\n') l->text[n - 1] = '\0';
        n = nj_log_json(json, sizeof json, NJ_LOG_ERROR, nj_room_name[NJ_ROOM_MODULE], "", text, NULL);
        text = json;
    }
    if (write(STDERR_FILENO, text, n) < 0) l->n = 0; /* stderr is closed */
}

static const char *signal_name(int number)
{
    switch (number) {
    case SIGSEGV: return "SIGSEGV, a wrong address";
    case SIGBUS: return "SIGBUS, an address without memory";
    case SIGFPE: return "SIGFPE, an integer division by zero or the like";
    case SIGILL: return "SIGILL, a wrong instruction or a trap";
    case SIGABRT: return "SIGABRT, abort() or a failed assertion";
    case SIGSYS: return "SIGSYS, a system call that is forbidden here";
    case SIGXCPU: return "SIGXCPU, the limit of CPU time";
    default: return "SIGTRAP, a trap";
    }
}

/* ", 20 rows from alert 123": what the slot itself has. */
static void put_rows(line *l, const nj_slot *slot)
{
    if (!slot->n_rows || slot->phase == NJ_PHASE_DECODE) return; /* it has no number yet */
    put(l, ", ");
    if (slot->n_rows > 1) {
        put_number(l, slot->n_rows);
        put(l, " rows from ");
    }
    put(l, "alert ");
    put_number(l, slot->first_id);
}

/* " of night.tar: 123.avro": follows pointers, which the module may have overwritten. */
static void put_origin(line *l, const nj_chunk *chunk)
{
    if (!chunk || !chunk->stream) return;
    put(l, " of ");
    put(l, chunk->stream->name);
    if (chunk->stream->partition >= 0) {
        put(l, " offset ");
        put_number(l, chunk->offset);
    } else if (chunk->member) {
        put(l, ": ");
        put(l, chunk->member);
    }
}

/* "nightjar: error: module NAME " with what it did. */
static void begin(line *l, const nj_slot *slot, const char *did)
{
    if (!nj_log_is_json()) {
        put(l, terminal ? "\r\033[K" : ""); /* over the line of progress */
        put(l, "nightjar: error: ");
    }
    if (!slot) return;
    put(l, slot->instance[0] == '(' ? "" : "module "); /* a part of the host has its name in brackets */
    put(l, slot->instance);
    put(l, did);
    put(l, nj_phase_name[slot->phase]);
}

static void end(line *l, const nj_slot *slot)
{
    if (slot && slot->n_rows > 1 && !nj_guard_here) put(l, " (-D run.batch_rows=1 names the alert)");
    put(l, "\n");
    flush(l);
}

/* --- modules' files --- */

typedef struct module_file {
    uintptr_t begin, end;
    const char *name;
} module_file;

static module_file files[64]; /* of the first ones; a crash in the thread of another is
                               * reported without its name */
static size_t n_files;

static int find_code(struct dl_phdr_info *info, size_t size, void *found_)
{
    module_file *found = found_;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + p->p_vaddr;
        if (p->p_type != PT_LOAD || found->begin < begin || found->begin >= begin + p->p_memsz) continue;
        found->begin = begin;
        found->end = begin + p->p_memsz;
        return 1;
    }
    return 0;
}

void nj_crash_file(const char *name, const void *function)
{
    module_file c = { (uintptr_t)function, 0, name };
    if (n_files < sizeof files / sizeof *files && dl_iterate_phdr(find_code, &c)) files[n_files++] = c;
}

static const char *module_at(uintptr_t address)
{
    for (size_t i = 0; i < n_files; i++)
        if (files[i].begin <= address && address < files[i].end) return files[i].name;
    return NULL;
}

/* --- signals --- */

static uintptr_t program_counter(const void *context)
{
    const ucontext_t *u = context;
#if defined __x86_64__
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__
    return (uintptr_t)u->uc_mcontext.pc;
#else
    return 0;
#endif
}

/* Whose thread it was, for who survives. */
static void name_elsewhere(const char *name)
{
    if (!nj_guard_here || !name) return;
    size_t n = strnlen(name, sizeof nj_guard_here->elsewhere_of - 1);
    memcpy(nj_guard_here->elsewhere_of, name, n);
    nj_guard_here->elsewhere_of[n] = 0;
}

/* A thread that is in no module's call: one of ours, or one that a module or a library started. */
static void begin_elsewhere(line *l, const void *context)
{
    const char *name = ready ? NULL : module_at(program_counter(context));
    name_elsewhere(name);
    if (name) {
        put(l, "module ");
        put(l, name);
        put(l, " crashed in a thread of its own");
    } else {
        put(l, "crashed outside of a module's call");
    }
}

static bool stack_is_full(int number, const siginfo_t *info, const void *context)
{
    const ucontext_t *u = context;
#if defined __x86_64__
    uint64_t top = (uint64_t)u->uc_mcontext.gregs[REG_RSP];
#elif defined __aarch64__
    uint64_t top = u->uc_mcontext.sp;
#else
    return false;
#endif
    uint64_t at = (uint64_t)(uintptr_t)info->si_addr;
    return number == SIGSEGV && info->si_code > 0 && at + NEAR_BYTES > top && at < top + NEAR_BYTES;
}

/* --- for those who survive it --- */

static nj_death *death_of(nj_slot *slot)
{
    return slot ? &slot->death : nj_guard_here ? &nj_guard_here->elsewhere : NULL;
}

/* kill() and the like by another process; abort() and raise() are this one's own. */
static bool is_sent(const siginfo_t *info)
{
    return (info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE) &&
           info->si_pid != getpid();
}

static void report_death(nj_slot *slot, int number, bool sent, const char *what)
{
    nj_death *d = death_of(slot);
    line l = { .n = 0 };
    if (!d) return;
    if (number) put(&l, "signal "), put_number(&l, number), put(&l, " (");
    put(&l, what);
    if (number) put(&l, ")");
    size_t n = l.n < sizeof d->what ? l.n : sizeof d->what - 1;
    memcpy(d->what, l.text, n);
    d->what[n] = 0;
    d->stack[0] = 0;
    d->signal = number;
    d->sent = sent;
    atomic_store(&d->reported, 1);
}

static size_t append(char *to, size_t at, size_t size, const char *text)
{
    while (*text && at + 1 < size) to[at++] = *text++;
    to[at] = 0;
    return at;
}

/* The frames of the module, innermost first, up to the host's. Reads files, and is the last thing done: when
 * it does not end, who waits for this process ends it. */
static void report_stack(nj_slot *slot, void *context)
{
    enum { FRAMES = 12 };
    nj_death *d = death_of(slot);
    unw_cursor_t cursor;
    size_t at = 0;
    if (!d || unw_init_local2(&cursor, context, UNW_INIT_SIGNAL_FRAME)) return;
    for (int i = 0; i < FRAMES; i++) {
        char name[96];
        unw_word_t offset = 0, ip = 0;
        if (unw_get_reg(&cursor, UNW_REG_IP, &ip) || !ip) return;
        bool known = unw_get_proc_name(&cursor, name, sizeof name, &offset) == 0;
        if (known && (!strcmp(name, "call_process") || !strcmp(name, "nj_dispatch_call"))) return;
        const char *file = module_at((uintptr_t)ip);
        at = append(d->stack, at, sizeof d->stack, i ? " < " : "");
        at = append(d->stack, at, sizeof d->stack, known ? name : "?");
        if (file) {
            at = append(d->stack, at, sizeof d->stack, " in ");
            at = append(d->stack, at, sizeof d->stack, file);
        }
        if (unw_step(&cursor) <= 0) return;
    }
}

static void die(int number)
{
    signal(number, SIG_DFL);
    raise(number); /* blocked until the handler is left */
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    if (__atomic_exchange_n(&crashed, 1, __ATOMIC_SEQ_CST))
        for (;;) pause(); /* another thread is reporting, and ends the process */
    nj_slot *slot = nj_slot_here;
    bool full = stack_is_full(number, info, context), late = slot && atomic_load(&slot->overdue),
         sent = !late && is_sent(info);
    const char *name = full   ? "SIGSEGV, the stack is full"
                       : sent ? "sent by another process"
                              : signal_name(number);
    line l = { .n = 0 };
    report_death(slot, late ? 0 : number, sent, late ? "it did not return in time (guard.deadline_s)" : name);
    begin(&l, slot,
          late   ? " did not return in time (guard.deadline_s), and is ended, "
          : sent ? " was ended "
                 : " crashed ");
    if (!slot) begin_elsewhere(&l, context);
    if (!late) {
        put(&l, ": signal ");
        put_number(&l, number);
        put(&l, " (");
        put(&l, name);
        put(&l, ")");
    }
    if (slot) put_rows(&l, slot);
    flush(&l); /* what follows reads memory that may be damaged */
    if (slot && slot->n_rows) put_origin(&l, slot->chunk);
    end(&l, slot);
    if (death_of(slot)) report_stack(slot, context);
    die(number);
}

/* --- exit() --- */

/* In a thread that a module made, or a library: the innermost frame in a module's file says whose it is. */
static void report_exit_elsewhere(line *l)
{
    enum { FRAMES = 40 };
    unw_context_t context;
    unw_cursor_t cursor;
    const char *name = NULL;
    if (!nj_guard_here || unw_getcontext(&context) || unw_init_local(&cursor, &context)) return;
    for (int i = 0; i < FRAMES && !name; i++) {
        unw_word_t ip = 0;
        if (unw_get_reg(&cursor, UNW_REG_IP, &ip) || !ip) break;
        name = module_at((uintptr_t)ip);
        if (unw_step(&cursor) <= 0) break;
    }
    if (!name) return;
    name_elsewhere(name);
    report_death(NULL, 0, false, "it called exit()");
    begin(l, NULL, NULL);
    put(l, "module ");
    put(l, name);
    put(l, " called exit() in a thread of its own; what was not written yet is lost");
    end(l, NULL);
    nj_exit_at_once(NJ_EXIT_LEDGER);
}

static void report_exit(const char *what)
{
    nj_slot *slot = nj_slot_here;
    if (getpid() != process) return;
    if (!slot && ready) return; /* the host's own */
    line l = { .n = 0 };
    if (!slot) {
        report_exit_elsewhere(&l);
        return;
    }
    report_death(slot, 0, false, what[1] == 'e' ? "it ended its thread" : "it called exit()");
    begin(&l, slot, what);
    put_rows(&l, slot);
    if (slot->n_rows) put_origin(&l, slot->chunk);
    put(&l, "; what was not written yet is lost");
    end(&l, slot);
    nj_exit_at_once(NJ_EXIT_LEDGER); /* whatever code it meant: this is no success */
}

static void on_exit_call(void)
{
    report_exit(" called exit() ");
}

#ifdef NJ_COVERAGE
void __gcov_dump(void);

static int gcov_messages = -1;

/* gcov opens the file of its messages with the first of them: a process in its sandbox could not. */
__attribute__((constructor)) static void open_gcov_messages(void)
{
    const char *path = getenv("GCOV_ERROR_FILE");
    if (path) gcov_messages = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

/* Comes before gcov's own destructor, which writes the counts: the process has nothing more to say itself. */
__attribute__((destructor)) static void give_gcov_messages(void)
{
    if (gcov_messages >= 0) dup2(gcov_messages, STDERR_FILENO);
}
#endif

void nj_exit_at_once(int code)
{
#ifdef NJ_COVERAGE /* which exit() would do: children that try a module end here */
    give_gcov_messages();
    __gcov_dump();
#endif
    for (;;) syscall(SYS_exit_group, code);
}

/* The C library's own, for all files of this process:
 * what a module ends with it looks like a run that went well. */
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
void _exit(int code)
{
    report_exit(" called _exit() ");
    nj_exit_at_once(code);
}

void _Exit(int code)
{
    _exit(code);
}
#endif

/* --- stacks --- */

/* A thread that ends inside a call was ended by the module. */
static void thread_ends(void *stack)
{
    report_exit(" ended its thread ");
    sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
    munmap(stack, STACK_BYTES);
}

void nj_crash_thread_left(void *ignored)
{
    (void)ignored;
    report_exit(" ended its thread ");
}

void nj_crash_thread(void)
{
    stack_t now;
    if (ready || !watching) return;
    ready = true;
    if (sigaltstack(NULL, &now) || !(now.ss_flags & SS_DISABLE)) return; /* it has one already */
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) return;
    if (sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = STACK_BYTES }, NULL) ||
        pthread_setspecific(stack_key, stack)) {
        sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
        munmap(stack, STACK_BYTES);
    }
}

/* What fork() leaves behind has one thread, none of which reads what this one computes; it would stay for
 * ever, and hold the locks of the outputs. */
static void forked(void)
{
    came_of_fork = true;
}

void nj_crash_came_back(const char *module)
{
    line l = { .n = 0 };
    if (!came_of_fork) return;
    if (nj_guard_here && atomic_exchange(&nj_guard_here->forks_said, 1)) nj_exit_at_once(0);
    begin(&l, NULL, NULL);
    put(&l, "module ");
    put(&l, module);
    put(&l, " forked, and its child came back from the call: the child is ended\n");
    flush(&l);
    nj_exit_at_once(0);
}

void nj_crash_child(void)
{
    process = getpid();
    came_of_fork = false;
    crashed = 0;
    quiet = true;
}

void nj_crash_watch(void)
{
    process = getpid();
    came_of_fork = false;
    if (watching || pthread_key_create(&stack_key, thread_ends)) return;
    watching = true;
    pthread_atfork(NULL, NULL, forked);
    terminal = isatty(STDERR_FILENO);
    nj_crash_thread();
    atexit(on_exit_call);
    at_quick_exit(on_exit_call);
    struct sigaction action = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK }, old;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
            old.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
}
