/* host.h - a host of one module for tests: it opens instances as the broker does. Batches and calls are those
 * of broker/check. */
#ifndef TESTS_MODULE_HOST_H
#define TESTS_MODULE_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/check/inputs.h"

static inline nj_made_thread open_thread(const nj_instance *in)
{
    nj_made_thread t;
    assert_int_equal(nj_made_thread_open(&t, in), NJ_OK);
    return t;
}

/* --- the instances of a test --- */

typedef struct host {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
} host;

/* Opens the built-in modules with the given settings text (may be NULL);
 * instances whose data are not here are off. */
static inline void open_host(host *h, const char *ini, const char *select, const char *data_path)
{
    nj_error err = { "" };
    *h = (host){ .set = { .data_path = data_path } };
    if (nj_modules_builtin(&h->modules, &err) ||
        (ini && nj_settings_ini(&h->settings, "test.ini", ini, &err)) ||
        nj_instances_choose(&h->set, &h->modules, &h->settings, select, &err) ||
        nj_instances_open(&h->set, select, &err))
        fail_msg("%s", err.text);
}

static inline void close_host(host *h)
{
    nj_instances_close(&h->set);
    nj_settings_free(&h->settings);
    nj_modules_free(&h->modules);
}

#endif
