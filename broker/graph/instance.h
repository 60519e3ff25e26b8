/* instance.h - the modules of this run, each with its settings: declared, opened, and how to close them. */
#ifndef NJ_GRAPH_INSTANCE_H
#define NJ_GRAPH_INSTANCE_H

#include <stdbool.h>

#include "../base/settings.h"
#include "modules.h"

typedef struct nj_instance {
    const char *name;
    const nj_module *module;
    const char *path;    /* shared object, or NULL */
    bool wanted;         /* its columns are written out; false: an adapter,
                          * which runs when its gives are used */
    void *conf, *self;   /* self: NULL before open and for modules without state */
    const nj_need *need; /* host-size rows; paths after redirection */
    const nj_give *give;
    const char *surveys; /* only for packets of these ("ztf, babamul"); NULL or "" = of any */
    uint32_t n_needs, n_gives;
    bool opened, serial;   /* serial: its open() asked for one thread, in the order of the source */
    bool every_row;        /* its open() said that it asks for the images of every row */
    int64_t cold_start_ns; /* open() */
} nj_instance;

/* A file that an instance read through host->data(). */
typedef struct nj_data_file {
    const char *path, *name; /* as found; as asked for */
    const void *bytes;
    size_t n;
    char sha256[65];
} nj_data_file;

/* An instance of the default set that cannot run here. */
typedef struct nj_off {
    const char *name, *why;
    int status; /* NJ_ENO_MODEL, NJ_ENO_CATALOG or NJ_ENO_SERVICE;
                 * of the instance that it needs, if that is off */
} nj_off;

typedef struct nj_instances {
    nj_arena arena;
    const nj_modules *modules;
    nj_settings *settings;
    nj_instance *item;
    uint32_t n;
    nj_data_file *file;
    uint32_t n_files, cap_files;
    const char *data_path; /* ':'-separated folders where host->data() looks */
    nj_host host;
    nj_off *off; /* for the start-up summary */
    uint32_t n_off;
    char said[512]; /* the first complaint of an instance that is being set up: why it is off, if it fails */
    bool setting_up;
    nj_instance *opening; /* whose open() is under way */
    bool no_memory;       /* what is being set up asked for some in vain */
} nj_instances;           /* zero-initialised */

/* Chooses the instances: every module without declare() is one; sections [module.NAME] add more and set them
 * up (kind = MODULE; default = 0 keeps it out unless asked for; surveys = LIST: off for packets of others, as
 * a model trained on one survey must be). `select` is the -m list: names replace the default set,
 * "+x" and "-x" change it; NULL = default. What a chosen instance needs from another instance is added.
 * -1 with err: an unknown name, key or value in any section [module.NAME], whether it runs or not; a need
 * that no instance gives. */
int nj_instances_choose(nj_instances *set, const nj_modules *modules, nj_settings *settings,
                        const char *select, nj_error *err);
/* Calls open(). An instance whose model, catalogue or service is not here, as the status of open() says, is
 * put into `off`, unless the user named it in `select`:
 * then that is an error, as every other status is for every instance. */
int nj_instances_open(nj_instances *set, const char *select, nj_error *err);
/* "model", "catalogue" or "service": what a status says is not here; NULL = it says something else. */
const char *nj_what_is_absent(int status);
/* Is there a module, or a section, of that name, whether it runs or not? */
bool nj_instances_could(const nj_instances *set, const char *name);
/* The nearest of those names, or NULL. */
const char *nj_instances_nearest(nj_instances *set, const char *name);
/* Does the -m list name it (as "x" or "+x")? */
bool nj_is_selected(const char *select, const char *name);
const nj_instance *nj_instances_find(const nj_instances *set, const char *name);
void nj_instances_close(nj_instances *set);

#endif
