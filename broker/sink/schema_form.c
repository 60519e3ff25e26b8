/* schema_form.c - two packets of one version may have their schema in two texts: a file of packets must know
 * that they are one. */
#include "schema_form.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/sha256.h"

/* What is said for people only; a field's default is a value, and stays. */
static void strip(json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;
    json_object_del(json, "doc");
    json_object_foreach(json, key, value) if (strcmp(key, "default") != 0) strip(value);
    json_array_foreach(json, i, value) strip(value);
}

static int digest_of(nj_schema_form *form)
{
    json_t *json = json_loadb(form->json, form->size, 0, NULL);
    if (json) strip(json);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    bool memory = !json || text;
    if (text)
        nj_sha256(text, strlen(text), form->digest);
    else
        nj_sha256(form->json, form->size, form->digest); /* decode takes it, jansson does not */
    free(text);
    json_decref(json);
    return memory ? 0 : -1;
}

const nj_schema_form *nj_schema_form_of(nj_schema_forms *forms, const char *json, size_t size,
                                        const char *name)
{
    for (unsigned i = 0; i < forms->n; i++)
        if (forms->item[i].size == size && !memcmp(forms->item[i].json, json, size)) return &forms->item[i];
    nj_schema_form fresh = { .json = malloc(size + 1), .size = size };
    if (!fresh.json) return NULL;
    memcpy(fresh.json, json, size);
    fresh.json[size] = 0;
    if (digest_of(&fresh)) return free(fresh.json), NULL;
    snprintf(fresh.label, sizeof fresh.label, "%.140s-%.8s", name && *name ? name : "schema", fresh.digest);
    for (char *p = fresh.label; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p)) *p = '-';
    nj_schema_form *to = &forms->item[forms->next];
    forms->next = (forms->next + 1) % NJ_SCHEMA_FORMS;
    if (forms->n < NJ_SCHEMA_FORMS) forms->n++;
    free(to->json);
    *to = fresh;
    return to;
}

void nj_schema_forms_free(nj_schema_forms *forms)
{
    for (unsigned i = 0; i < forms->n; i++) free(forms->item[i].json);
    *forms = (nj_schema_forms){ 0 };
}
