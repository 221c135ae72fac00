/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/local_store_fixture.h"

#include <check.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct loop *loop;
struct offload *offload;
struct local_store *store;
char folder[64];
char error[LOCAL_STORE_ERROR_BYTES];
struct local_store_options options;

struct local_store_answer answer;

void on_put(void *arg, int err)
{
    answer.count++;
    answer.err = err;
}

int open_store(void)
{
    return local_store_open(&options, loop, offload, &store, error);
}

void start(void)
{
    loop = loop_new();
    offload = offload_new(1, 16);
    ck_assert_ptr_nonnull(loop);
    ck_assert_ptr_nonnull(offload);
    memset(&answer, 0, sizeof(answer));
    store = NULL;
}

void stop(void)
{
    local_store_close(store);
    store = NULL;
    offload_free(offload);
    loop_turn(loop, false);
    loop_turn(loop, false);
    loop_free(loop);
}

void setup(void)
{
    snprintf(folder, sizeof(folder), "/tmp/jwtgate-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    options = (struct local_store_options){ .folder = folder,
                                            .map_bytes = 1 << 20,
                                            .max_map_bytes = 64 << 20,
                                            .purge_interval_ms = 3600000 };
    start();
}

static void remove_file(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    unlink(path);
}

void teardown(void)
{
    stop();
    remove_file("data.mdb");
    remove_file("lock.mdb");
    rmdir(folder);
}

bool run_until(unsigned count)
{
    for (unsigned i = 0; i < 20000 && answer.count < count; i++) {
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
    return answer.count >= count;
}

int64_t in_an_hour(void)
{
    return (int64_t)time(NULL) + 3600;
}

int put(const char *key, int64_t value, int64_t expires_at)
{
    struct local_entry entry = { slice_str(key), value, expires_at };
    unsigned before = answer.count;
    int err = local_store_put(store, &entry, 1, on_put, NULL);

    if (err < 0) {
        return err;
    }
    ck_assert_uint_eq(answer.count, before); /* never inside the call */
    ck_assert(run_until(before + 1));
    return answer.err;
}

int find(const char *key, int64_t *ret_value)
{
    return local_store_find(store, slice_str(key), ret_value);
}

void put_many(unsigned from, unsigned count, int64_t expires_at)
{
    static char keys[500][32];
    struct local_entry entries[500];

    for (unsigned i = 0; i < count; i++) {
        int len = snprintf(keys[i], sizeof(keys[i]), "jti:%08u-%08u", from + i, from);
        entries[i] = (struct local_entry){ slice_of(keys[i], (size_t)len), 1, expires_at };
    }
    ck_assert_int_eq(local_store_put(store, entries, count, on_put, NULL), 0);
}
