/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/revocation_fixture.h"

#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct loop *loop;
struct gw_process process;
struct redis_server server;
struct revocation_settings settings;

static struct redis *other;
static char state_dir[64];
static struct {
    unsigned count;
    long long integer;
} answer;

static void on_answer(void *arg, int err, const struct redis_reply *reply)
{
    answer.count++;
    answer.integer = err < 0 || reply->type == REDIS_IS_ERROR ? -2
                     : reply->type == REDIS_IS_INTEGER        ? reply->integer
                                                              : -1;
}

void turn(void)
{
    loop_turn(loop, false);
    poll(NULL, 0, 1);
}

long long redis_command(const char *a, const char *b, const char *c, const char *d, const char *e)
{
    struct slice argv[5] = { slice_str(a), slice_str(b), slice_str(c), slice_str(d), slice_str(e) };
    unsigned argc = 0, before = answer.count;

    while (argc < 5 && !slice_is_absent(argv[argc])) {
        argc++;
    }
    RUN_UNTIL(redis_is_ready(other));
    ck_assert_int_eq(redis_send(other, argc, argv, on_answer, NULL), 0);
    RUN_UNTIL(answer.count > before);
    return answer.integer;
}

void revocation_setup(void)
{
    static const struct redis_ops no_ops = { 0 };

    log_set_level(LOG_ERROR);
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
    ck_assert(redis_server_start(&server, ""));
    state_dir[0] = '\0';
    process = (struct gw_process){ .loop = loop };
    fake_process_forget_numbers();
    fake_host_woken = 0;
    settings = (struct revocation_settings){
        .redis = { .url = slice_str(server.url), .prefix = SLICE(REVOCATION_PREFIX) },
        .filter = { .expected_items = 1000, .false_positive_rate = 0.0001 },
        .max_staleness_ms = 1000,
        .resync_interval_ms = 3600000,
        .client = { .connect_timeout_ms = 1000,
                    .command_timeout_ms = 1000,
                    .max_queue = 1024,
                    .max_reply_bytes = 65536 }
    };
    ck_assert_int_eq(redis_read_url(settings.redis.url, &settings.client.address), 0);
    other = redis_new(loop, NULL, &settings.client, &no_ops, NULL);
    ck_assert_ptr_nonnull(other);
}

static void remove_state(void)
{
    static const char *const names[] = { "/revocations/data.mdb", "/revocations/lock.mdb" };
    char path[128];

    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s%s", state_dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/revocations", state_dir);
    rmdir(path);
    rmdir(state_dir);
}

void revocation_teardown(void)
{
    redis_free(other);
    loop_turn(loop, false);
    loop_turn(loop, false);
    loop_free(loop);
    redis_server_stop(&server);
    if (state_dir[0] != '\0') {
        remove_state();
    }
}

void revocation_without_redis(void)
{
    snprintf(state_dir, sizeof(state_dir), "/tmp/jwtgate-state-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(state_dir));
    process.state_dir = state_dir;
    settings.redis.url = SLICE_ABSENT;
}

struct revocation_entry entry_of(const char *jti, int64_t expires_at)
{
    struct revocation_entry entry = { .value = 0 };

    ck_assert_int_eq(revocation_entry_jti(&entry, slice_str(jti), expires_at, in_seconds(0)), 0);
    return entry;
}

int64_t in_seconds(int64_t seconds)
{
    return (int64_t)time(NULL) + seconds;
}
