/* extent.c - C does not record the length of a module's tables, so it is read from the symbols of the
 * module's file. */
#include "extent.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct variable {
    uintptr_t begin, end;
} variable;

typedef struct object { /* one loaded file; kept until the process ends, as the file is */
    uintptr_t base;
    variable *variable;
    size_t n;
    struct object *next;
} object;

static object *objects;

static void take_symbols(object *o, Elf_Scn *section, const GElf_Shdr *header, uintptr_t slide)
{
    size_t n = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
    Elf_Data *data = elf_getdata(section, NULL);
    if (!data || n > INT32_MAX) return;
    for (size_t i = 0; i < n; i++) {
        GElf_Sym s;
        if (!gelf_getsym(data, (int)i, &s)) return;
        if (GELF_ST_TYPE(s.st_info) != STT_OBJECT || !s.st_size || s.st_shndx == SHN_UNDEF) continue;
        if (o->n % 64 == 0) { /* the first time, and whenever it is full */
            variable *more = realloc(o->variable, (o->n + 64) * sizeof *more);
            if (!more) return;
            o->variable = more;
        }
        o->variable[o->n++] = (variable){ slide + s.st_value, slide + s.st_value + s.st_size };
    }
}

/* Is the file still the one that was loaded? */
static bool is_same(Elf *elf, const void *base)
{
    size_t n;
    const char *bytes = elf_rawfile(elf, &n);
    return bytes && n >= sizeof(ElfW(Ehdr)) && !memcmp(bytes, base, sizeof(ElfW(Ehdr)));
}

static void read_symbols(object *o, const char *path, uintptr_t slide)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    Elf *elf = elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_begin(file, ELF_C_READ_MMAP, NULL);
    Elf_Scn *section = NULL;
    while (elf && is_same(elf, (const void *)o->base) && (section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header)) break;
        if (header.sh_type == SHT_SYMTAB) take_symbols(o, section, &header, slide);
    }
    elf_end(elf);
    close(file);
}

static const object *object_of(const void *at)
{
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(at, &info, (void **)&map, RTLD_DL_LINKMAP) || !map || !info.dli_fbase) return NULL;
    uintptr_t base = (uintptr_t)info.dli_fbase;
    for (const object *o = objects; o; o = o->next)
        if (o->base == base) return o;
    object *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    *o = (object){ .base = base, .next = objects };
    objects = o;
    read_symbols(o, map->l_name[0] ? map->l_name : "/proc/self/exe", map->l_addr);
    return o;
}

uintptr_t nj_extent_end(const void *at)
{
    const object *o = object_of(at);
    uintptr_t address = (uintptr_t)at, end = 0;
    for (size_t i = 0; o && i < o->n; i++) {
        const variable *v = &o->variable[i];
        if (v->begin <= address && address < v->end && v->end > end) end = v->end;
    }
    return end;
}
