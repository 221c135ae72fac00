/* SPDX-License-Identifier: Apache-2.0 */
/* How many requests wait for keys, for how long, and what is remembered: one worker, with a host that
 * counts, and a key server on a thread. */
#include "core/clock.h"
#include "core/loop.h"
#include "plugins/jwt/remote.h"

#include <check.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SET                                                                                        \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","                               \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"
#define MIN_REFRESH_MS 1000u

static struct loop *loop;
static struct provider provider;
static struct provider *list[] = { &provider };
static const struct provider_list providers = { .items = list, .count = 1 };
static struct verify_keys keys;
static struct remote remote;
static struct remote_process *process;
static unsigned questions, woken, publish_fails;
static char uri[64];

static struct {
    int fd;
    pthread_t thread;
    const char *answer;
} server;

/* ---- the host ---- */

struct gw_process {
    int unused;
};
static struct gw_process gw;

struct gw_worker *gw_process_worker(struct gw_process *of)
{
    return NULL;
}

struct loop *gw_loop(struct gw_worker *worker)
{
    return loop;
}

void *gw_process_previous(const struct gw_process *of)
{
    return NULL;
}

const char *gw_folder(const struct gw_process *of, enum gw_folder folder)
{
    return NULL;
}

struct gw_check *gw_check_new(struct gw_process *of, const char *name)
{
    return NULL;
}

void gw_check_set(struct gw_check *check, bool ok, const char *why)
{
}

uint64_t *gw_counter(struct gw_worker *worker, const char *family, const char *labels)
{
    return NULL;
}

struct gw_histogram *gw_histogram(struct gw_worker *worker, const char *family, const char *labels)
{
    return NULL;
}

void gw_histogram_add_us(struct gw_histogram *histogram, uint64_t us)
{
}

int gw_publish(struct gw_process *of, gw_publish_fn *fn, struct gw_shared *object)
{
    if (publish_fails > 0) {
        publish_fails--;
        return ERR_NO_MEMORY;
    }
    fn(&remote, object);
    return 0;
}

int gw_process_post(struct gw_process *of, gw_process_fn *fn, const void *data, size_t size)
{
    questions++;
    if (process != NULL) {
        fn(process, data);
    }
    return 0;
}

void gw_waitlist_init(struct gw_waitlist *waiters)
{
    waiters->last = &waiters->first;
}

enum gw_verdict gw_waitlist_join(struct gw_call *call, struct gw_waitlist *waiters, gw_hook_fn *fn)
{
    return GW_WAIT;
}

void gw_waitlist_wake(struct gw_waitlist *waiters)
{
    woken++;
}

enum gw_verdict gw_sleep(struct gw_call *call, unsigned ms, gw_hook_fn *fn)
{
    ck_assert_uint_eq(ms, REMOTE_WAIT_MS);
    return GW_WAIT;
}

/* ---- the key server ---- */

static void *serve(void *arg)
{
    for (;;) {
        char head[4096];
        int fd = accept(server.fd, NULL, NULL);

        if (fd < 0) {
            return NULL;
        }
        if (recv(fd, head, sizeof(head), 0) > 0) {
            (void)!send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void start_server(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server.fd, 8), 0);
    getsockname(server.fd, (struct sockaddr *)&addr, &len);
    snprintf(uri, sizeof(uri), "http://127.0.0.1:%u/keys", ntohs(addr.sin_port));
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

/* ---- fixture ---- */

static struct remote *find(void *worker, unsigned provider_index)
{
    ck_assert_uint_eq(provider_index, 0);
    return worker;
}

static void setup(void)
{
    loop = loop_new();
    server.answer = "HTTP/1.1 200 OK\r\n\r\n" SET;
    start_server();
    provider = (struct provider){
        .element = { .name = SLICE("corp") },
        .has_jwks = true,
        .jwks = { .uri = slice_str(uri),
                  .allow_http = true,
                  .timeout_ms = 5000,
                  .max_bytes = 4096,
                  .cache = { .ttl_ms = 3600000, .min_refresh_ms = MIN_REFRESH_MS } },
    };
    questions = woken = publish_fails = 0;
    memset(&remote, 0, sizeof(remote));
    ck_assert_int_eq(verify_keys_init(&keys, &provider), 0);
    remote_init(&remote, &keys, &provider);
}

static void teardown(void)
{
    clock_unset();
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    remote_process_free(process);
    process = NULL;
    remote_done(&remote);
    verify_keys_done(&keys);
    loop_free(loop);
}

static void start_process(void)
{
    ck_assert_int_eq(remote_process_new(&gw, &providers, find, &process), 0);
    while (remote.news == NULL) {
        loop_turn(loop, true);
    }
}

static enum gw_verdict begin(const char *kid, struct remote_wait *wait, enum jwt_reason *reason)
{
    return remote_wait_begin(
        NULL, &remote,
        &(struct remote_question){ .process = &gw, .kid = slice_str(kid), .may_be_newer = true },
        wait, NULL, reason);
}

static void expect_wait(const char *kid)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;

    ck_assert_int_eq(begin(kid, &wait, &reason), GW_WAIT);
    (void)remote_wait_end(&wait);
}

static void expect_refusal(const char *kid, enum jwt_reason reason)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason found;

    ck_assert_int_eq(begin(kid, &wait, &found), GW_REPLY);
    ck_assert_str_eq(jwt_reason_name(found), jwt_reason_name(reason));
}

/* The time is `ms` after now, and stands still. */
static void later(uint64_t ms)
{
    uint64_t now = clock_ms();

    clock_set(now + ms, clock_unix_us() + ms * 1000u);
}

/* ---- tests ---- */

START_TEST(so_many_wait_and_no_more)
{
    static struct remote_wait waits[REMOTE_MAX_WAITING];
    enum jwt_reason reason;

    for (size_t i = 0; i < REMOTE_MAX_WAITING; i++) {
        ck_assert_int_eq(begin("a", &waits[i], &reason), GW_WAIT);
    }
    ck_assert_uint_eq(questions, 1);
    expect_refusal("a", JWT_JWKS_UNAVAILABLE);
    ck_assert(!remote_wait_end(&waits[7])); /* its time was over */
    ck_assert(!remote_wait_end(&waits[7])); /* once more is harmless */
    expect_wait("a");
    for (size_t i = 0; i < REMOTE_MAX_WAITING; i++) {
        (void)remote_wait_end(&waits[i]);
    }
    ck_assert_uint_eq(remote.waiting, 0);
}
END_TEST

START_TEST(a_question_without_an_answer_is_asked_again)
{
    later(0);
    expect_wait("a");
    expect_wait("b");
    later(REMOTE_WAIT_MS - 1);
    expect_wait("a");
    ck_assert_uint_eq(questions, 1);
    later(1);
    expect_wait("a");
    ck_assert_uint_eq(questions, 2);
}
END_TEST

START_TEST(nobody_asks_for_a_token_that_keys_cannot_save)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;
    struct remote_question hopeless = { .process = &gw, .kid = SLICE("a") };
    struct remote_question offline = { .kid = SLICE("a"), .may_be_newer = true };

    ck_assert_int_eq(remote_wait_begin(NULL, &remote, &hopeless, &wait, NULL, &reason), GW_REPLY);
    ck_assert_int_eq(reason, JWT_JWKS_UNAVAILABLE); /* there are no keys at all */
    ck_assert_int_eq(remote_wait_begin(NULL, &remote, &offline, &wait, NULL, &reason), GW_REPLY);
    start_process();
    ck_assert_int_eq(remote_wait_begin(NULL, &remote, &hopeless, &wait, NULL, &reason), GW_REPLY);
    ck_assert_int_eq(reason, JWT_KID_UNKNOWN);
    ck_assert_uint_eq(questions, 0);
}
END_TEST

START_TEST(the_answer_ends_all_waits_and_one_fetch_serves_min_refresh)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;

    start_process();
    ck_assert_ptr_nonnull(keys.remote);
    later(0);
    expect_refusal("b", JWT_KID_UNKNOWN); /* the first fetch has just begun */
    ck_assert_uint_eq(questions, 0);
    later(MIN_REFRESH_MS);
    ck_assert_int_eq(begin("b", &wait, &reason), GW_WAIT);
    clock_unset();
    unsigned before = woken;
    while (woken == before) {
        loop_turn(loop, true);
    }
    ck_assert(remote_wait_end(&wait));
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), true), JWT_KID_UNKNOWN);
    ck_assert_uint_eq(questions, 1);
}
END_TEST

START_TEST(a_kid_that_was_missing_is_remembered_for_a_while)
{
    char kid[16];

    start_process();
    later(MIN_REFRESH_MS);
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), true), JWT_KID_UNKNOWN);
    expect_refusal("b", JWT_KID_UNKNOWN);
    ck_assert_uint_eq(questions, 0);
    later(2 * MIN_REFRESH_MS - 1);
    expect_refusal("b", JWT_KID_UNKNOWN);
    later(1);
    expect_wait("b");
    /* There is room for so many; what is forgotten is asked for again, at most once in min_refresh. */
    for (unsigned i = 0; i < 10 * REMOTE_MISSES; i++) {
        snprintf(kid, sizeof(kid), "kid-%u", i);
        ck_assert_int_eq(remote_missed(&remote, slice_str(kid), true), JWT_KID_UNKNOWN);
    }
    expect_refusal(kid, JWT_KID_UNKNOWN);
}
END_TEST

START_TEST(who_could_not_be_asked_knows_nothing)
{
    start_process();
    later(MIN_REFRESH_MS);
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), false), JWT_JWKS_UNAVAILABLE);
    server.answer = "HTTP/1.1 500 Oops\r\n\r\n";
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;
    ck_assert_int_eq(begin("b", &wait, &reason), GW_WAIT);
    clock_unset();
    unsigned before = woken;
    while (woken == before) {
        loop_turn(loop, true);
    }
    ck_assert(remote_wait_end(&wait));
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), true), JWT_JWKS_UNAVAILABLE);
    later(MIN_REFRESH_MS);
    expect_wait("b");                   /* not remembered as missing */
    ck_assert_ptr_nonnull(keys.remote); /* the last good set serves on */
}
END_TEST

START_TEST(news_that_did_not_reach_all_are_told_again)
{
    publish_fails = 1;
    ck_assert_int_eq(remote_process_new(&gw, &providers, find, &process), 0);
    while (remote.news == NULL) {
        loop_turn(loop, true);
    }
    ck_assert_uint_eq(publish_fails, 0);
    ck_assert_ptr_nonnull(keys.remote);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("remote");
    TCase *tcase = tcase_create("remote");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, so_many_wait_and_no_more);
    tcase_add_test(tcase, a_question_without_an_answer_is_asked_again);
    tcase_add_test(tcase, nobody_asks_for_a_token_that_keys_cannot_save);
    tcase_add_test(tcase, the_answer_ends_all_waits_and_one_fetch_serves_min_refresh);
    tcase_add_test(tcase, a_kid_that_was_missing_is_remembered_for_a_while);
    tcase_add_test(tcase, who_could_not_be_asked_knows_nothing);
    tcase_add_test(tcase, news_that_did_not_reach_all_are_told_again);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
