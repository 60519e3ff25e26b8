/* symbols.c - sampled addresses become functions and lines, inlined calls included, by libdw. */
#include "symbols.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/arena.h"
#include "../base/file.h"

enum { MAX_INLINE = 64, CELLS = 1 << 16 };

typedef struct known { /* frames of one address */
    uint64_t key;      /* pc * 2 + is_return; 0 = free */
    uint32_t first, n;
} known;

struct nj_symbols {
    Dwfl *dwfl;
    nj_arena arena;
    nj_function *function;
    uint32_t n_functions, cap_functions;
    nj_frame *frame;
    uint32_t n_frames, cap_frames;
    known *cell; /* [CELLS], open addressing */
    uint32_t n_cells;
};

static const char dispatch_file[] = "graph/dispatch.c";

static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_linux_proc_find_elf,
                                          .find_debuginfo = dwfl_standard_find_debuginfo };

nj_symbols *nj_symbols_new(nj_error *err)
{
    nj_symbols *s = calloc(1, sizeof *s);
    if (!s) return nj_fail(err, "out of memory"), NULL;
    s->cell = calloc(CELLS, sizeof *s->cell);
    s->dwfl = dwfl_begin(&callbacks);
    if (!s->cell || !s->dwfl || dwfl_linux_proc_report(s->dwfl, getpid()) ||
        dwfl_report_end(s->dwfl, NULL, NULL)) {
        nj_fail(err, "libdw: %s", dwfl_errmsg(-1));
        nj_symbols_free(s);
        return NULL;
    }
    return s;
}

void nj_symbols_free(nj_symbols *s)
{
    if (!s) return;
    if (s->dwfl) dwfl_end(s->dwfl);
    nj_arena_free(&s->arena);
    free(s->function);
    free(s->frame);
    free(s->cell);
    free(s);
}

static const char *absolute(nj_symbols *s, Dwarf_Die *unit, const char *file)
{
    Dwarf_Attribute attribute;
    const char *folder = unit ? dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute)) : NULL;
    if (!file) return "";
    if (file[0] == '/' || !folder) return nj_arena_text(&s->arena, file, strlen(file));
    return nj_arena_printf(&s->arena, "%s/%s", folder, file);
}

static uint32_t intern(nj_symbols *s, const char *name, const char *file, int line)
{
    for (uint32_t i = 0; i < s->n_functions; i++)
        if (s->function[i].line == line && !strcmp(s->function[i].name, name) &&
            !strcmp(s->function[i].file, file))
            return i;
    if (s->n_functions == s->cap_functions) {
        uint32_t cap = s->cap_functions ? 2 * s->cap_functions : 256;
        nj_function *more = realloc(s->function, cap * sizeof *more);
        if (!more) nj_give_up("profile: out of memory");
        s->function = more;
        s->cap_functions = cap;
    }
    s->function[s->n_functions] = (nj_function){ nj_arena_text(&s->arena, name, strlen(name)), file, line };
    return s->n_functions++;
}

static void add_frame(nj_symbols *s, uint32_t function, int line, bool part)
{
    if (s->n_frames == s->cap_frames) {
        uint32_t cap = s->cap_frames ? 2 * s->cap_frames : 1024;
        nj_frame *more = realloc(s->frame, cap * sizeof *more);
        if (!more) nj_give_up("profile: out of memory");
        s->frame = more;
        s->cap_frames = cap;
    }
    s->frame[s->n_frames++] = (nj_frame){ function, line, part };
}

static uint32_t function_of(nj_symbols *s, Dwarf_Die *unit, Dwarf_Die *die)
{
    int line = 0;
    const char *name = dwarf_diename(die);
    dwarf_decl_line(die, &line);
    const char *file = dwarf_decl_file(die);
    if (!file && line) file = dwarf_diename(unit); /* file 0 of DWARF 5, which libdw 0.188 takes for none */
    return intern(s, name ? name : "?", absolute(s, unit, file), line);
}

static int number(Dwarf_Die *die, unsigned attribute_name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    return dwarf_formudata(dwarf_attr(die, attribute_name, &attribute), &value) ? 0 : (int)value;
}

/* The chain from the innermost scope out to its subprogram. dwarf_getscopes() alone follows the abstract
 * origin of an inlined function and so hides who called it;
 * dwarf_getscopes_die() on its innermost scope does not. */
static int add_inlined(nj_symbols *s, Dwarf_Die *unit, Dwarf_Addr pc, bool part)
{
    Dwarf_Die *scope = NULL, *chain = NULL;
    int n = dwarf_getscopes(unit, pc, &scope), m = n > 0 ? dwarf_getscopes_die(&scope[0], &chain) : 0,
        added = 0;
    Dwarf_Line *source = dwarf_getsrc_die(unit, pc);
    int line = 0;
    if (source) dwarf_lineno(source, &line);
    for (int i = 0; i < m; i++) {
        int tag = dwarf_tag(&chain[i]);
        if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram) continue;
        add_frame(s, function_of(s, unit, &chain[i]), line, part && tag == DW_TAG_subprogram);
        added++;
        if (tag == DW_TAG_subprogram) break;
        line = number(&chain[i], DW_AT_call_line);
    }
    free(scope);
    free(chain);
    return added;
}

/* The compilation unit of an address. clang writes no table of address ranges (.debug_aranges):
 * then each unit is asked. */
static Dwarf_Die *unit_of(Dwfl_Module *module, Dwarf_Addr pc, Dwarf_Addr *bias)
{
    Dwarf_Die *unit = dwfl_module_addrdie(module, pc, bias);
    if (unit) return unit;
    while ((unit = dwfl_module_nextcu(module, unit, bias)) && dwarf_haspc(unit, pc - *bias) <= 0) continue;
    return unit;
}

static void resolve(nj_symbols *s, uint64_t pc)
{
    Dwfl_Module *module = dwfl_addrmodule(s->dwfl, pc);
    const char *symbol = module ? dwfl_module_addrname(module, pc) : NULL;
    Dwarf_Addr bias = 0;
    Dwarf_Die *unit = module ? unit_of(module, pc, &bias) : NULL;
    if (unit && add_inlined(s, unit, pc - bias, symbol && strstr(symbol, ".part."))) return;
    add_frame(s, intern(s, symbol ? symbol : "?", "", 0), 0, false);
}

uint32_t nj_symbols_frames(nj_symbols *s, uint64_t pc, bool is_return, const nj_frame **frame)
{
    uint64_t key = pc * 2 + is_return;
    uint32_t at = (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 48);
    while (s->cell[at].key && s->cell[at].key != key) at = (at + 1) % CELLS;
    known *k = &s->cell[at], none;
    if (!k->key) {
        if (s->n_cells > CELLS / 2)
            k = &none; /* not kept; a profile has a few thousand addresses */
        else
            s->n_cells++;
        k->key = key;
        k->first = s->n_frames;
        resolve(s, is_return ? pc - 1 : pc);
        k->n = s->n_frames - k->first;
    }
    *frame = s->frame + k->first;
    return k->n;
}

const nj_function *nj_symbols_function(const nj_symbols *s, uint32_t function)
{
    return &s->function[function];
}

const char *nj_symbols_source(nj_symbols *s, uint64_t pc, const char **producer)
{
    Dwarf_Addr bias;
    Dwarf_Attribute attribute;
    Dwfl_Module *module = dwfl_addrmodule(s->dwfl, pc);
    Dwarf_Die *unit = module ? unit_of(module, pc, &bias) : NULL;
    if (!unit || !dwarf_diename(unit)) return NULL;
    if (producer) *producer = dwarf_formstring(dwarf_attr(unit, DW_AT_producer, &attribute));
    return absolute(s, unit, dwarf_diename(unit));
}

/* Tail calls of a function, nested blocks included:
 * sites[0] counts all, sites[1] those to a function of this name. */
static void find_tail_calls(Dwarf_Die *of, const char *callee, uint32_t sites[2], Dwarf_Addr at[2])
{
    Dwarf_Die die, target;
    Dwarf_Attribute attribute;
    if (dwarf_child(of, &die)) return;
    do {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine)
            find_tail_calls(&die, callee, sites, at);
        if (tag != DW_TAG_call_site && tag != DW_TAG_GNU_call_site) continue;
        if (!dwarf_attr(&die, DW_AT_call_tail_call, &attribute) &&
            !dwarf_attr(&die, DW_AT_GNU_tail_call, &attribute))
            continue;
        Dwarf_Addr pc = 0;
        /* the address behind the jump */
        Dwarf_Attribute *after = dwarf_attr(&die, DW_AT_call_return_pc, &attribute);
        if (!after) after = dwarf_attr(&die, DW_AT_low_pc, &attribute);
        bool before = !after && dwarf_attr(&die, DW_AT_call_pc, &attribute);
        if (dwarf_formaddr(&attribute, &pc)) continue;
        if (!before) pc--;
        sites[0]++;
        at[0] = pc;
        Dwarf_Attribute *origin = dwarf_attr(&die, DW_AT_call_origin, &attribute);
        if (!origin) origin = dwarf_attr(&die, DW_AT_abstract_origin, &attribute);
        const char *name = origin && dwarf_formref_die(origin, &target) ? dwarf_diename(&target) : NULL;
        if (!name || strcmp(name, callee)) continue;
        sites[1]++;
        at[1] = pc;
    } while (dwarf_siblingof(&die, &die) == 0);
}

int nj_symbols_tail_line(nj_symbols *s, uint64_t pc, const char *callee)
{
    Dwarf_Addr bias, at[2] = { 0, 0 };
    Dwfl_Module *module = dwfl_addrmodule(s->dwfl, pc);
    Dwarf_Die *unit = module ? unit_of(module, pc, &bias) : NULL, *scope = NULL;
    int n = unit ? dwarf_getscopes(unit, pc - bias, &scope) : 0, line = 0;
    uint32_t sites[2] = { 0, 0 };
    for (int i = 0; i < n; i++)
        if (dwarf_tag(&scope[i]) == DW_TAG_subprogram) {
            find_tail_calls(&scope[i], callee, sites, at);
            break;
        }
    free(scope);
    int which = sites[1] == 1 ? 1 : sites[0] == 1 ? 0 : -1;
    Dwarf_Line *source = which >= 0 ? dwarf_getsrc_die(unit, at[which]) : NULL;
    if (source) dwarf_lineno(source, &line);
    return line;
}

bool nj_symbols_is_dispatch(const nj_function *f)
{
    return nj_ends_with(f->file, dispatch_file);
}

/* Numbers of DWARF's registers on x86-64. */
enum { REG_BP = 6, REG_SP = 7, REG_RETURN = 16 };

static bool is_from_frame(const Dwarf_Op *op, size_t n, int64_t *offset)
{
    if (n == 0 || op[0].atom != DW_OP_call_frame_cfa || n > 2 || (n == 2 && op[1].atom != DW_OP_plus_uconst))
        return false;
    *offset = n == 2 ? (int64_t)op[1].number : 0;
    return true;
}

static bool take_rule(Dwarf_Frame *frame, nj_cfi *c)
{
    Dwarf_Op *op, memory[3];
    size_t n;
    int64_t at;
    /* else an expression */
    if (dwarf_frame_cfa(frame, &op, &n) || n != 1 || op[0].atom != DW_OP_bregx) return false;
    if (op[0].number != REG_SP && op[0].number != REG_BP) return false;
    c->from_bp = op[0].number == REG_BP;
    c->cfa_offset = (int64_t)op[0].number2;
    if (dwarf_frame_register(frame, REG_RETURN, memory, &op, &n)) return false;
    if (n == 0) return c->kind = NJ_CFI_END, true; /* undefined: it has no caller */
    if (!is_from_frame(op, n, &at) || at != -8) return false;
    if (dwarf_frame_register(frame, REG_BP, memory, &op, &n)) return false;
    if (n == 0) return true; /* no word of it: the caller's still, as the ABI has it */
    return c->bp_saved = is_from_frame(op, n, &c->bp_offset);
}

nj_cfi nj_symbols_cfi(nj_symbols *s, uint64_t pc)
{
    nj_cfi c = { .from = pc, .to = pc + 1, .kind = NJ_CFI_HARD };
    Dwfl_Module *module = dwfl_addrmodule(s->dwfl, pc);
    Dwarf_Addr bias = 0, from, to;
    Dwarf_CFI *table = module ? dwfl_module_eh_cfi(module, &bias) : NULL;
    Dwarf_Frame *frame = NULL;
    bool is_signal;
    if (!table || dwarf_cfi_addrframe(table, pc - bias, &frame)) return c;
    nj_cfi rule = { .kind = NJ_CFI_PLAIN };
    if (dwarf_frame_info(frame, &from, &to, &is_signal) >= 0 && !is_signal && from <= pc - bias &&
        pc - bias < to) {
        bool plain = take_rule(frame, &rule);
        const nj_frame *of;
        uint32_t n = nj_symbols_frames(s, pc, false, &of);
        if (nj_symbols_is_dispatch(nj_symbols_function(s, of[n - 1].function)))
            rule.kind = NJ_CFI_END;
        else if (!plain)
            rule.kind = NJ_CFI_HARD;
        c = rule;
        c.from = from + bias;
        c.to = pc + 1; /* libdw 0.188 gives the end of the function for the end of the row */
    }
    free(frame);
    return c;
}
