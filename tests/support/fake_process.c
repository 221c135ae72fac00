/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_process.h"

#include <stdio.h>
#include <string.h>

#define MAX_NUMBERS 64

static struct {
    char name[512];
    uint64_t value;
    bool is_hidden;
} numbers[MAX_NUMBERS];
static size_t number_count;

/* ---- numbers ---- */

static size_t find_number(const char *family, const char *labels)
{
    char name[512];
    size_t i = 0;

    snprintf(name, sizeof(name), "%s{%s}", family, labels == NULL ? "" : labels);
    while (i < number_count && strcmp(numbers[i].name, name) != 0) {
        i++;
    }
    if (i == number_count && i < MAX_NUMBERS) {
        memcpy(numbers[i].name, name, sizeof(name));
        numbers[i].is_hidden = true; /* until somebody counts */
        number_count++;
    }
    return i;
}

uint64_t *gw_counter(struct gw_worker *worker, const char *family, const char *labels)
{
    size_t i = find_number(family, labels);

    if (i == MAX_NUMBERS) {
        return NULL;
    }
    numbers[i].is_hidden = false;
    return &numbers[i].value;
}

void gw_gauge_hide(struct gw_worker *worker, const char *family, const char *labels)
{
    size_t i = find_number(family, labels);

    if (i < MAX_NUMBERS) {
        numbers[i].is_hidden = true;
    }
}

int64_t fake_process_number(const char *family, const char *labels)
{
    size_t i = find_number(family, labels);

    return i == MAX_NUMBERS || numbers[i].is_hidden ? -1 : (int64_t)numbers[i].value;
}

void fake_process_forget_numbers(void)
{
    memset(numbers, 0, sizeof(numbers));
    number_count = 0;
}

/* There, but nobody looks at what is in it. */
struct gw_histogram *gw_histogram(struct gw_worker *worker, const char *family, const char *labels)
{
    static char histogram;

    return (struct gw_histogram *)(void *)&histogram;
}

void gw_histogram_add_us(struct gw_histogram *histogram, uint64_t us)
{
}

/* ---- the process ---- */

void *gw_process_previous(const struct gw_process *process)
{
    return process == NULL ? NULL : process->previous;
}

void *gw_worker_previous(struct gw_worker *worker, const void *top)
{
    return NULL;
}

struct gw_process *gw_process_of(struct gw_worker *worker, const void *top)
{
    return (struct gw_process *)(void *)worker;
}

struct gw_worker *gw_process_worker(struct gw_process *process)
{
    return (struct gw_worker *)(void *)process;
}

struct loop *gw_loop(struct gw_worker *worker)
{
    return worker == NULL ? NULL : ((struct gw_process *)(void *)worker)->loop;
}

const char *gw_folder(const struct gw_process *process, enum gw_folder folder)
{
    return process == NULL          ? NULL
           : folder == GW_CACHE_DIR ? process->cache_dir
                                    : process->state_dir;
}

struct gw_check *gw_check_new(struct gw_process *process, const char *name)
{
    struct gw_check *check;

    if (process == NULL || process->check_count == FAKE_PROCESS_CHECKS) {
        return NULL;
    }
    check = &process->checks[process->check_count++];
    snprintf(check->name, sizeof(check->name), "%s", name);
    return check;
}

void gw_check_set(struct gw_check *check, bool ok, const char *why)
{
    check->ok = ok;
    check->why = why;
}

int gw_publish(struct gw_process *process, gw_publish_fn *fn, struct gw_shared *object)
{
    if (process == NULL || process->publish_fails > 0) {
        if (process != NULL) {
            process->publish_fails--;
        }
        return ERR_NO_MEMORY;
    }
    fn(process->worker, object);
    return 0;
}

int gw_publish_to(struct gw_process *process, struct gw_worker *worker, gw_publish_fn *fn,
                  struct gw_shared *object)
{
    return gw_publish(process, fn, object);
}

int gw_process_post(struct gw_process *process, gw_process_fn *fn, const void *data, size_t size)
{
    if (process == NULL) {
        return ERR_NO_MEMORY;
    }
    process->posted++;
    if (process->state != NULL) {
        fn(process->state, data);
    }
    return 0;
}
