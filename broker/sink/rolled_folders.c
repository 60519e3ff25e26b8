/* rolled_folders.c - a name with places in its folders makes folders while a run goes on, and leaves none
 * empty. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/file.h"
#include "rolled.h"

bool nj_rolled_is_tree(const char *folder)
{
    DIR *dir = opendir(folder);
    bool is = false;
    for (const struct dirent *e; dir && !is && (e = readdir(dir));) {
        const bool journal =
            *e->d_name == '.' && strchr(e->d_name, '{') && nj_ends_with(e->d_name, ".journal");
        is = (journal && strchr(e->d_name, '+')) || (e->d_type == DT_DIR && strchr(e->d_name, '='));
    }
    if (dir) closedir(dir);
    return is;
}

int nj_rolled_make_root(nj_rolled *r, nj_error *err)
{
    if (!r->name.folders || !r->name.root) return 0;
    char *folder = strndup(r->name.text, r->name.root);
    if (!folder) return nj_fail(err, "%s: out of memory", r->name.text);
    r->made_root = mkdir(folder, 0777) == 0;
    const int rc =
        r->made_root || errno == EEXIST ? 0 : nj_fail(err, "%s: cannot be made: %s", folder, strerror(errno));
    free(folder);
    return rc;
}

void nj_rolled_remove_root(const nj_rolled *r)
{
    char *folder = strndup(r->name.text, r->name.root);
    if (folder && r->made_root) rmdir(folder); /* fails when something is in it */
    free(folder);
}

int nj_rolled_make_folders(const nj_rolled *r, const char *file, nj_error *err)
{
    if (!r->name.folders) return 0;
    char *text = strdup(file);
    int rc = text ? 0 : nj_fail(err, "%s: out of memory", file);
    for (char *slash = text ? strchr(text + r->name.root, '/') : NULL; slash && !rc;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (!mkdir(text, 0777)) {
            if (r->args.disk) nj_sync_folder_of(text);
        } else if (errno != EEXIST) {
            rc = nj_fail(err, "%s: cannot be made: %s", text, strerror(errno));
        }
        *slash = '/';
    }
    free(text);
    return rc;
}

void nj_rolled_remove_folders(const nj_rolled *r, const char *file)
{
    char *text = strdup(file);
    for (char *slash; r->name.folders && text && (slash = strrchr(text, '/'));) {
        *slash = 0;
        if ((size_t)(slash - text) < r->name.root || rmdir(text)) break;
    }
    free(text);
}
