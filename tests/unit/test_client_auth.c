/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that authenticate, over an exchange from socket to socket, with the gateway's pool. */
#include "core/offload.h"
#include "plugins/issuer/client_auth.h"

#include <check.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

#define SHA256   "sha256:AAECAwQFBgcICQoLDA0ODw:EEqYVo55l7MGfPvwVPSRCq7RN6JXw-TBbKyW9De5Grw"
#define SCRYPT   "scrypt:16384:8:1:AAECAwQFBgcICQoLDA0ODw:11kKyiyYAc8G7rp3KmncMc44YlkdllIqxOa7pq0fMaU"
#define QUICK    "\"quick\": {\"secret_hash\": \"" SHA256 "\"}"
#define SLOW     "\"slow\": {\"secret_hash\": \"" SCRYPT "\"}"

#define RIGHT    "correct+horse+battery+staple"
#define GOOD(id) "GET /?client_id=" id "&client_secret=" RIGHT " HTTP/1.1\r\nHost: a\r\n\r\n"
#define BAD(id)  "GET /?client_id=" id "&client_secret=wrong HTTP/1.1\r\nHost: a\r\n\r\n"

static struct arena arena;
static struct diag diag;
static struct clients *clients;
static struct client_guard *guard;
static bool closed;
static unsigned passed;
static uint64_t numbers[CLIENT_AUTH_RESULTS];
static struct client_auth_counts counts;

struct state {
    struct client_auth auth;
    struct form form;
};

static enum gw_verdict on_client(struct gw_call *call, const struct client *client)
{
    passed++;
    ck_assert(slice_eq(gw_attr_get(call->req, GW_ATTR_CLIENT_ID), client->element.name));
    return gw_reply(call, &(struct gw_reply){ .status = 200,
                                              .content_type = SLICE("text/plain"),
                                              .body = client->element.name });
}

static enum gw_verdict on_request(struct gw_call *call)
{
    struct state *state = call->state;

    ck_assert_int_eq(form_read(gw_arena(call->req), gw_query(call->req), &state->form), 0);
    const struct client_auth_setup with = { guard, clients, &counts };

    return client_authenticate(&state->auth, call, &with, &state->form, on_client);
}

static void on_end(struct gw_call *call)
{
    struct state *state = call->state;

    client_auth_end(&state->auth, call);
}

static const struct gw_plugin plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "authenticates",
    .state_size = sizeof(struct state),
    .on_request = on_request,
    .on_end = on_end,
};

static void load(const char *members)
{
    const struct option_context ctx = { .diag = &diag, .arena = &arena };
    char file[] = "/tmp/jwtgate-auth-XXXXXX";
    int fd = mkstemp(file);

    ck_assert_int_ge(fd, 0);
    dprintf(fd, "{\"clients\": {%s}}", members);
    close(fd);
    clients_free(clients);
    ck_assert_int_eq(clients_read(file, &ctx, NULL, "", &clients), 0);
    unlink(file);
}

static void setup(void)
{
    diag_init(&diag);
    arena_init(&arena, NULL, 0, 1u << 20);
    clients = NULL;
    load(QUICK ", " SLOW);
    guard = client_guard_new(&(struct client_auth_options){ 3, 5, 60000 });
    passed = 0;
    for (unsigned i = 0; i < CLIENT_AUTH_RESULTS; i++) {
        numbers[i] = 0;
        counts.items[i] = &numbers[i];
    }
    fixture_setup();
    fixture_add_target(true);
    fixture_add_plugin(&plugin);
    fixture_start();
    fx.gateway.offload = offload_new(1, 4);
    ck_assert_ptr_nonnull(fx.gateway.offload);
}

static void teardown(void)
{
    offload_free(fx.gateway.offload);
    fixture_teardown();
    client_guard_unref(guard);
    clients_free(clients);
    arena_done(&arena);
    diag_done(&diag);
}

/* The answer; turns the loop until it is there. */
static const char *ask(const char *request)
{
    static char answer[4096];
    int fd = fixture_connect();
    unsigned ends = fx.end_count;

    fixture_send(fd, request);
    while (fx.end_count == ends) {
        loop_turn(fx.worker->loop, true);
    }
    snprintf(answer, sizeof(answer), "%s", fixture_receive(fd, &closed));
    close(fd);
    fixture_spin();
    return answer;
}

static void expect(const char *request, unsigned status, const char *reason)
{
    char line[32];
    const char *answer = ask(request);

    snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
    ck_assert_msg(strstr(answer, line) == answer, "not %u: %s", status, answer);
    if (reason != NULL) {
        ck_assert_str_eq(fixture_last_end()->reason, reason);
    }
}

/* The clock that the waiting goes by; the pool works in real time meanwhile. */
static void let_time_pass(void)
{
    (void)poll(NULL, 0, 10);
    fixture_advance(10);
}

START_TEST(the_right_secret_passes_and_others_do_not)
{
    const char *answer;

    expect(GOOD("quick"), 200, NULL);
    expect(GOOD("slow"), 200, NULL);
    ck_assert_uint_eq(passed, 2);
    expect(BAD("quick"), 401, "client_secret_wrong");
    answer = ask(BAD("slow"));
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 401 "));
    ck_assert_ptr_nonnull(strstr(answer, "www-authenticate: Basic realm=\"jwtgate\""));
    ck_assert_ptr_nonnull(strstr(answer, "cache-control: no-store"));
    ck_assert_ptr_nonnull(strstr(answer, "{\"error\":\"invalid_client\","));
    expect("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 401, "client_missing");
    expect("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n", 401,
           "client_credentials_malformed");
    expect("GET /?client_id=quick&client_secret=x HTTP/1.1\r\nHost: a\r\n"
           "Authorization: Basic YTpi\r\n\r\n",
           400, "client_credentials_several");
    ck_assert_uint_eq(passed, 2);
}
END_TEST

START_TEST(a_secret_that_is_too_long_is_refused_unseen)
{
    char request[CLIENT_SECRET_MAX_BYTES + 128];

    snprintf(request, sizeof(request),
             "GET /?client_id=slow&client_secret=%0*d HTTP/1.1\r\nHost: a\r\n\r\n",
             (int)CLIENT_SECRET_MAX_BYTES + 1, 0);
    expect(request, 401, "client_credentials_malformed");
    snprintf(request, sizeof(request),
             "GET /?client_id=slow&client_secret=%0*d HTTP/1.1\r\nHost: a\r\n\r\n",
             (int)CLIENT_SECRET_MAX_BYTES, 0);
    expect(request, 401, "client_secret_wrong");
}
END_TEST

/* Without a pool nothing that is hashed slowly gets an answer: whether the client is there or not. */
START_TEST(an_unknown_client_goes_the_way_of_a_known_one)
{
    static const char *const ids[] = { "slow", "nobody", "a", "b", "slow2" };

    offload_free(fx.gateway.offload);
    fx.gateway.offload = NULL;
    load(SLOW);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        char request[128];

        snprintf(request, sizeof(request),
                 "GET /?client_id=%s&client_secret=x HTTP/1.1\r\nHost: a\r\n\r\n", ids[i]);
        expect(request, 503, "client_secret_unchecked");
    }
    ck_assert_uint_eq(numbers[CLIENT_AUTH_UNCHECKED], 5);
    load(QUICK);
    expect(BAD("quick"), 401, "client_secret_wrong");
    expect(BAD("nobody"), 401, "client_unknown");
}
END_TEST

START_TEST(the_answers_to_unknown_and_known_clients_are_the_same)
{
    char known[4096];
    const char *unknown;

    snprintf(known, sizeof(known), "%s", strstr(ask(BAD("quick")), "\r\n\r\n"));
    unknown = strstr(ask(BAD("nobody")), "\r\n\r\n");
    ck_assert_str_eq(known, unknown);
}
END_TEST

START_TEST(failures_of_an_address_are_limited)
{
    const char *answer;

    expect(BAD("a"), 401, "client_unknown");
    expect(BAD("b"), 401, "client_unknown");
    expect(BAD("c"), 401, "client_unknown");
    expect(GOOD("slow"), 429, "client_failures_limited"); /* may be a guess: not hashed */
    expect(GOOD("quick"), 200, NULL);                     /* is none */
    answer = ask(BAD("quick"));
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 429 "));
    ck_assert_ptr_nonnull(strstr(answer, "retry-after: 21\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "{\"error\":\"invalid_client\","));
    fixture_advance(20000);
    expect(GOOD("slow"), 200, NULL);
    expect(BAD("slow"), 401, "client_secret_wrong");
    expect(GOOD("slow"), 429, "client_failures_limited");
}
END_TEST

START_TEST(failures_of_a_client_are_limited_wherever_they_come_from)
{
    client_guard_unref(guard);
    guard = client_guard_new(&(struct client_auth_options){ 1000, 2, 60000 });
    expect(BAD("slow"), 401, "client_secret_wrong");
    expect(BAD("slow"), 401, "client_secret_wrong");
    expect(GOOD("slow"), 429, "client_failures_limited");
    expect(BAD("other"), 401, "client_unknown");
}
END_TEST

/* A request whose turn has not come waits; one at a time is hashed; a client that leaves gives its
 * place to the next one. */
START_TEST(slow_hashes_wait_for_their_turn)
{
    int fds[2] = { fixture_connect(), fixture_connect() };

    fixture_send(fds[0], GOOD("slow"));
    fixture_send(fds[1], GOOD("slow"));
    ck_assert_uint_eq(fx.end_count, 0);
    while (fx.end_count == 0) {
        loop_turn(fx.worker->loop, true);
    }
    ck_assert_uint_eq(passed, 1);
    while (fx.end_count == 1) {
        let_time_pass();
    }
    ck_assert_uint_eq(passed, 2);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(few_may_wait_and_those_that_leave_make_room)
{
    int fds[17], first = fixture_connect();

    fixture_send(first, GOOD("slow")); /* is being hashed, or has been: its turn is over later */
    for (unsigned i = 0; i < 17; i++) {
        fds[i] = fixture_connect();
        fixture_send(fds[i], BAD("slow"));
    }
    ck_assert_uint_eq(fx.end_count, 1);
    ck_assert_str_eq(fixture_last_end()->reason, "client_secret_queue_full");
    ck_assert_uint_eq(numbers[CLIENT_AUTH_QUEUE_FULL], 1);
    for (unsigned i = 0; i < 17; i++) {
        close(fds[i]);
    }
    fixture_spin();
    ck_assert_uint_eq(fx.end_count, 17);
    int late = fixture_connect();
    fixture_send(late, GOOD("slow"));
    while (fx.end_count < 19) {
        let_time_pass();
    }
    ck_assert_uint_eq(passed, 2);
    close(first);
    close(late);
}
END_TEST

START_TEST(those_that_wait_are_refused_when_the_limit_is_reached)
{
    int fds[6];

    for (unsigned i = 0; i < 6; i++) {
        fds[i] = fixture_connect();
        fixture_send(fds[i], BAD("slow"));
    }
    while (fx.end_count < 6) {
        let_time_pass();
    }
    unsigned limited = 0;
    for (unsigned i = 0; i < 6; i++) {
        limited += fx.ends[i].status == 429;
        close(fds[i]);
    }
    ck_assert_uint_eq(limited, 3);
    ck_assert_uint_eq(numbers[CLIENT_AUTH_LIMITED], 3);
    ck_assert_uint_eq(numbers[CLIENT_AUTH_WRONG], 3);
}
END_TEST

START_TEST(a_client_may_leave_while_its_secret_is_hashed)
{
    int fd = fixture_connect();

    fixture_send(fd, GOOD("slow"));
    close(fd);
    fixture_spin();
    ck_assert_uint_eq(fx.end_count, 1);
    fd = fixture_connect();
    fixture_send(fd, GOOD("slow")); /* its turn comes when the work of the other one has ended */
    while (fx.end_count == 1) {
        let_time_pass();
    }
    ck_assert_uint_eq(passed, 1);
    close(fd);
}
END_TEST

START_TEST(those_who_leave_before_the_answer_have_failed)
{
    for (unsigned i = 0; i < 3; i++) {
        int fd = fixture_connect();

        fixture_send(fd, BAD("slow"));
        while (fx.worker->jobs == NULL) { /* its turn has not come yet */
            let_time_pass();
        }
        close(fd);
        fixture_spin();
        while (fx.worker->jobs != NULL) {
            loop_turn(fx.worker->loop, true);
        }
    }
    ck_assert_uint_eq(numbers[CLIENT_AUTH_LEFT], 3);
    expect(GOOD("slow"), 429, "client_failures_limited");
}
END_TEST

/* As after a reload: the guard of the snapshot goes while work with it runs. */
START_TEST(work_may_outlive_its_guard)
{
    int fd = fixture_connect();

    fixture_send(fd, GOOD("slow"));
    close(fd);
    fixture_spin();
    client_guard_unref(guard);
    guard = client_guard_new(&(struct client_auth_options){ 3, 5, 60000 });
    expect(GOOD("quick"), 200, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_auth");
    TCase *cases = tcase_create("client_auth");

    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, the_right_secret_passes_and_others_do_not);
    tcase_add_test(cases, a_secret_that_is_too_long_is_refused_unseen);
    tcase_add_test(cases, an_unknown_client_goes_the_way_of_a_known_one);
    tcase_add_test(cases, the_answers_to_unknown_and_known_clients_are_the_same);
    tcase_add_test(cases, failures_of_an_address_are_limited);
    tcase_add_test(cases, failures_of_a_client_are_limited_wherever_they_come_from);
    tcase_add_test(cases, slow_hashes_wait_for_their_turn);
    tcase_add_test(cases, few_may_wait_and_those_that_leave_make_room);
    tcase_add_test(cases, those_that_wait_are_refused_when_the_limit_is_reached);
    tcase_add_test(cases, a_client_may_leave_while_its_secret_is_hashed);
    tcase_add_test(cases, those_who_leave_before_the_answer_have_failed);
    tcase_add_test(cases, work_may_outlive_its_guard);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
