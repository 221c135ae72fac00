/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of plugins/plugin.h. */
#include "core/offload.h"
#include "gateway/chain.h"

#include <check.h>

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

#define GET "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"

/* What happened, one letter each: hooks of the first and second plugin in lower and upper case.
 * q: on_request, s: on_response, e: on_end, c: callback. */
static char trace[64];
static int client;
static bool closed;
static gw_hook_fn *first_hook, *second_hook; /* what on_request does */
static enum gw_verdict callback_says, response_says;
static struct gw_waitlist list;
static bool in_hook;
static void *last_state;

static void note(char what)
{
    size_t len = strlen(trace);

    if (len < sizeof(trace) - 1) {
        trace[len] = what;
        trace[len + 1] = '\0';
    }
}

static void drop_parcel(struct gw_call *call);

static enum gw_verdict first_request(struct gw_call *call)
{
    note('q');
    in_hook = true;
    enum gw_verdict verdict = first_hook(call);
    in_hook = false;
    return verdict;
}

static enum gw_verdict first_response(struct gw_call *call)
{
    note('s');
    return response_says;
}

static void first_end(struct gw_call *call)
{
    ck_assert(!in_hook);
    drop_parcel(call);
    note('e');
}

static enum gw_verdict second_request(struct gw_call *call)
{
    static const char zeros[16];

    note('Q');
    ck_assert_mem_eq(call->state, zeros, sizeof(zeros));
    ck_assert_uint_eq((uintptr_t)call->state % 16, 0);
    memset(call->state, 1, sizeof(zeros));
    last_state = call->state;
    return second_hook(call);
}

static enum gw_verdict second_response(struct gw_call *call)
{
    note('S');
    ck_assert_ptr_eq(call->state, last_state);
    return GW_NEXT;
}

static void second_end(struct gw_call *call)
{
    note('E');
}

static const struct gw_plugin first = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "first",
    .on_request = first_request,
    .on_response = first_response,
    .on_end = first_end,
};
static const struct gw_plugin second = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "second",
    .state_size = 16,
    .on_request = second_request,
    .on_response = second_response,
    .on_end = second_end,
};

/* ---- What a hook may do ---- */

static enum gw_verdict go_on(struct gw_call *call)
{
    return GW_NEXT;
}

static enum gw_verdict give_up(struct gw_call *call)
{
    return GW_FAIL;
}

static enum gw_verdict wait_for_nothing(struct gw_call *call)
{
    return GW_WAIT;
}

static enum gw_verdict reply(struct gw_call *call)
{
    const struct gw_reply teapot = {
        .status = 403,
        .reason = "no",
        .www_authenticate = SLICE_ABSENT,
        .content_type = SLICE("text/plain"),
        .body = SLICE("denied"),
    };

    return gw_reply(call, &teapot);
}

static enum gw_verdict reply_without_a_reply(struct gw_call *call)
{
    return GW_REPLY;
}

static enum gw_verdict on_callback(struct gw_call *call)
{
    ck_assert(!in_hook);
    note('c');
    return callback_says;
}

static enum gw_verdict on_callback_reply(struct gw_call *call)
{
    note('c');
    enum gw_verdict verdict = reply(call);
    note('r'); /* nothing has ended yet: the callback still runs */
    return verdict;
}

static enum gw_verdict on_callback_sleep(struct gw_call *call)
{
    note('c');
    return gw_sleep(call, 10, on_callback);
}

static enum gw_verdict sleep_10(struct gw_call *call)
{
    return gw_sleep(call, 10, on_callback);
}

static enum gw_verdict sleep_0(struct gw_call *call)
{
    return gw_sleep(call, 0, on_callback);
}

static enum gw_verdict sleep_then_reply(struct gw_call *call)
{
    return gw_sleep(call, 10, on_callback_reply);
}

static enum gw_verdict sleep_twice(struct gw_call *call)
{
    return gw_sleep(call, 10, on_callback_sleep);
}

static enum gw_verdict sleep_for_ever(struct gw_call *call)
{
    return gw_sleep(call, 1000000, on_callback);
}

static enum gw_verdict sleep_and_go_on(struct gw_call *call)
{
    ck_assert_int_eq(gw_sleep(call, 10, on_callback), GW_WAIT);
    ck_assert_int_eq(gw_waitlist_join(call, &list, on_callback), GW_WAIT);
    return GW_NEXT;
}

static enum gw_verdict join(struct gw_call *call)
{
    return gw_waitlist_join(call, &list, on_callback);
}

static enum gw_verdict join_and_wake(struct gw_call *call)
{
    enum gw_verdict verdict = gw_waitlist_join(call, &list, on_callback);

    gw_waitlist_wake(&list);
    return verdict;
}

/* ---- Work for the pool, which waits until the test lets it end ---- */

#define POOL_JOBS 2u

struct parcel {
    struct gw_shared shared; /* first */
    int result;
};
static atomic_uint made, begun, freed;
static sem_t has_begun, may_end;

static void parcel_free(struct gw_shared *shared)
{
    atomic_fetch_add(&freed, 1);
    free(shared);
}

static void work(struct gw_shared *shared)
{
    struct parcel *parcel = (struct parcel *)(void *)shared;

    ck_assert_uint_lt(atomic_fetch_add(&begun, 1), POOL_JOBS + 1);
    sem_post(&has_begun);
    sem_wait(&may_end);
    parcel->result = 42;
}

static enum gw_verdict on_worked(struct gw_call *call)
{
    const struct parcel *parcel = gw_slot_get(call->req, &has_begun);

    ck_assert_int_eq(parcel->result, 42);
    return on_callback(call);
}

/* The reference of the plugin itself, as in a state that its on_end() drops. */
static void drop_parcel(struct gw_call *call)
{
    gw_shared_unref(gw_slot_get(call->req, &has_begun));
}

static enum gw_verdict offload(struct gw_call *call)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    ck_assert_ptr_nonnull(parcel);
    made++;
    parcel->shared = (struct gw_shared){ .refs = 1, .free = parcel_free };
    ck_assert_int_eq(gw_slot_set(call->req, &has_begun, parcel), 0);
    return gw_offload(call, work, &parcel->shared, on_worked);
}

static enum gw_verdict offload_and_go_on(struct gw_call *call)
{
    ck_assert_int_eq(offload(call), GW_WAIT);
    return GW_NEXT;
}

static void await_begin(void)
{
    while (sem_wait(&has_begun) != 0) {
    }
}

/* One result at least is handed back. */
static void await_result(void)
{
    unsigned before = atomic_load(&freed);
    size_t notes = strlen(trace);

    while (atomic_load(&freed) == before && strlen(trace) == notes) {
        loop_turn(fx.worker->loop, true);
    }
    fixture_spin();
}

/* ---- The tests ---- */

static void setup(void)
{
    memset(trace, 0, sizeof(trace));
    gw_waitlist_init(&list);
    first_hook = second_hook = go_on;
    callback_says = response_says = GW_NEXT;
    in_hook = false;
    fixture_setup();
    fixture_add_target(true);
    fixture_add_plugin(&first);
    fixture_add_plugin(&second);
    fixture_start();
    fx.gateway.offload = offload_new(1, POOL_JOBS);
    ck_assert_ptr_nonnull(fx.gateway.offload);
    made = begun = freed = 0;
    sem_init(&has_begun, 0, 0);
    sem_init(&may_end, 0, 0);
    client = fixture_connect();
}

static void teardown(void)
{
    if (client >= 0) {
        close(client);
    }
    for (unsigned i = 0; i <= POOL_JOBS; i++) {
        sem_post(&may_end);
    }
    offload_free(fx.gateway.offload);
    fixture_teardown();
    ck_assert_ptr_null(list.first);
    ck_assert_uint_eq(freed, made);
    sem_destroy(&has_begun);
    sem_destroy(&may_end);
}

static void leave(void)
{
    close(client);
    client = -1;
    fixture_spin();
}

static void expect_answer(const char *status_line)
{
    const char *text = fixture_receive(client, &closed);

    ck_assert_msg(strstr(text, status_line) == text, "not %s: %s", status_line, text);
}

static void expect_end(enum outcome outcome)
{
    ck_assert_uint_eq(fx.end_count, 1);
    ck_assert_str_eq(outcome_word(fixture_last_end()->outcome), outcome_word(outcome));
}

START_TEST(hooks_run_in_order_and_back)
{
    fixture_send(client, GET);
    int server = fixture_accept(0);
    ck_assert_str_eq(trace, "qQ");
    fixture_receive(server, &closed);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_answer("HTTP/1.1 200 ");
    ck_assert_str_eq(trace, "qQSseE");
    close(server);
}
END_TEST

START_TEST(a_reply_ends_the_chain)
{
    first_hook = reply;
    fixture_send(client, GET);
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 403 "));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\ndenied"));
    ck_assert(!closed);
    ck_assert_str_eq(trace, "qe"); /* the second one's on_end() does not run: no hook of it did */
    expect_end(OUTCOME_DENIED);
    ck_assert_str_eq(fixture_last_end()->reason, "no");
}
END_TEST

START_TEST(a_failure_is_answered_503)
{
    second_hook = give_up;
    fixture_send(client, GET);
    expect_answer("HTTP/1.1 503 ");
    ck_assert_str_eq(trace, "qQeE");
    expect_end(OUTCOME_OVERLOADED);
}
END_TEST

START_TEST(waiting_for_nothing_is_answered_500)
{
    first_hook = wait_for_nothing;
    fixture_send(client, GET);
    expect_answer("HTTP/1.1 500 ");
    ck_assert_str_eq(trace, "qe");
    expect_end(OUTCOME_INTERNAL_ERROR);
}
END_TEST

START_TEST(a_reply_that_was_not_set_is_answered_500)
{
    first_hook = reply_without_a_reply;
    fixture_send(client, GET);
    expect_answer("HTTP/1.1 500 ");
    ck_assert_str_eq(trace, "qe");
    expect_end(OUTCOME_INTERNAL_ERROR);
}
END_TEST

START_TEST(a_callback_that_waits_for_nothing_is_answered_500)
{
    first_hook = sleep_10;
    callback_says = GW_WAIT;
    fixture_send(client, GET);
    fixture_advance(11);
    expect_answer("HTTP/1.1 500 ");
    ck_assert_str_eq(trace, "qce");
}
END_TEST

START_TEST(a_callback_that_sets_no_reply_is_answered_500)
{
    first_hook = sleep_10;
    callback_says = GW_REPLY;
    fixture_send(client, GET);
    fixture_advance(11);
    expect_answer("HTTP/1.1 500 ");
    ck_assert_str_eq(trace, "qce");
}
END_TEST

START_TEST(a_response_hook_that_fails_is_answered_503)
{
    response_says = GW_FAIL;
    fixture_send(client, GET);
    int server = fixture_accept(0);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_answer("HTTP/1.1 503 ");
    ck_assert_str_eq(trace, "qQSseE");
    close(server);
}
END_TEST

START_TEST(a_sleep_goes_on_later)
{
    first_hook = sleep_10;
    fixture_send(client, GET);
    ck_assert_str_eq(trace, "q");
    fixture_advance(9);
    ck_assert_str_eq(trace, "q");
    fixture_advance(1);
    ck_assert_str_eq(trace, "qcQ");
    close(fixture_accept(0));
}
END_TEST

START_TEST(a_callback_may_wait_again)
{
    first_hook = sleep_twice;
    fixture_send(client, GET);
    fixture_advance(10);
    ck_assert_str_eq(trace, "qc");
    fixture_advance(10);
    ck_assert_str_eq(trace, "qccQ");
}
END_TEST

START_TEST(a_callback_never_runs_inside_the_call_that_started_it)
{
    first_hook = sleep_0;
    fixture_send(client, GET);
    fixture_advance(1);
    ck_assert_str_eq(trace, "qcQ");
    leave();
    memset(trace, 0, sizeof(trace));
    client = fixture_connect();
    first_hook = join_and_wake;
    fixture_send(client, GET);
    ck_assert_str_eq(trace, "qcQ");
}
END_TEST

START_TEST(a_callback_that_replies_ends_before_its_request)
{
    first_hook = sleep_then_reply;
    fixture_send(client, GET);
    fixture_advance(10);
    expect_answer("HTTP/1.1 403 ");
    ck_assert_str_eq(trace, "qcre");
    expect_end(OUTCOME_DENIED);
}
END_TEST

START_TEST(all_that_wait_are_woken)
{
    int others[3];

    first_hook = join;
    fixture_send(client, GET);
    for (unsigned i = 0; i < 3; i++) {
        others[i] = fixture_connect();
        fixture_send(others[i], GET);
    }
    close(others[1]); /* leaves the middle of the list */
    fixture_spin();
    ck_assert_str_eq(trace, "qqqqe");
    callback_says = GW_FAIL;
    gw_waitlist_wake(&list);
    ck_assert_str_eq(trace, "qqqqe");
    fixture_spin();
    ck_assert_str_eq(trace, "qqqqececece");
    expect_answer("HTTP/1.1 503 ");
    close(others[0]);
    close(others[2]);
}
END_TEST

START_TEST(a_client_that_goes_between_wake_and_callback_is_not_called_back)
{
    first_hook = join;
    fixture_send(client, GET);
    gw_waitlist_wake(&list);
    conn_close(fx.worker->conns, CONN_END_ERROR);
    fixture_spin();
    ck_assert_str_eq(trace, "qe");
    expect_end(OUTCOME_CLIENT_GONE);
}
END_TEST

START_TEST(what_is_pending_is_cancelled_when_the_plugin_moves_on)
{
    first_hook = sleep_and_go_on;
    fixture_send(client, GET);
    ck_assert_ptr_null(list.first);
    fixture_advance(1000);
    gw_waitlist_wake(&list);
    fixture_spin();
    ck_assert_str_eq(trace, "qQ");
}
END_TEST

START_TEST(a_client_that_goes_is_not_called_back)
{
    first_hook = sleep_10;
    fixture_send(client, GET);
    leave();
    ck_assert_str_eq(trace, "qe");
    fixture_advance(1000);
    ck_assert_str_eq(trace, "qe");
    expect_end(OUTCOME_CLIENT_GONE);
}
END_TEST

START_TEST(a_chain_has_a_deadline)
{
    first_hook = sleep_for_ever;
    fixture_send(client, GET);
    fixture_advance(9999);
    ck_assert_str_eq(trace, "q");
    fixture_advance(2);
    expect_answer("HTTP/1.1 503 ");
    ck_assert_str_eq(trace, "qe");
    ck_assert_str_eq(fixture_last_end()->reason, "chain_timeout");
}
END_TEST

START_TEST(the_body_is_not_read_while_the_chain_waits)
{
    first_hook = sleep_10;
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    ck_assert_uint_eq(fx.worker->conns->request->body.received, 0);
    fixture_advance(10);
    int server = fixture_accept(0);
    ck_assert_ptr_nonnull(strstr(fixture_receive(server, &closed), "\r\n\r\nabc"));
    close(server);
}
END_TEST

START_TEST(a_worker_that_stops_ends_what_waits)
{
    first_hook = sleep_for_ever;
    fixture_send(client, GET);
    worker_stop(fx.worker);
    fixture_spin();
    ck_assert_str_eq(trace, "qe");
}
END_TEST

START_TEST(a_drain_waits_for_the_chain)
{
    first_hook = sleep_10;
    callback_says = GW_FAIL;
    fixture_send(client, GET);
    worker_drain(fx.worker);
    fixture_advance(10);
    expect_answer("HTTP/1.1 503 ");
    ck_assert(closed);
}
END_TEST

START_TEST(offloaded_work_is_done_by_another_thread)
{
    first_hook = offload;
    fixture_send(client, GET);
    await_begin();
    fixture_spin();
    ck_assert_str_eq(trace, "q");
    sem_post(&may_end);
    await_result();
    ck_assert_str_eq(trace, "qcQ");
    ck_assert_uint_eq(freed, 0);
    leave();
    ck_assert_uint_eq(freed, 1);
}
END_TEST

START_TEST(work_whose_client_has_gone_ends_unheard)
{
    first_hook = offload;
    fixture_send(client, GET);
    await_begin();
    leave();
    ck_assert_str_eq(trace, "qe");
    ck_assert_uint_eq(freed, 0); /* the work still uses it */
    sem_post(&may_end);
    await_result();
    ck_assert_str_eq(trace, "qe");
    ck_assert_uint_eq(freed, 1);
}
END_TEST

START_TEST(work_that_waits_for_a_client_that_has_gone_is_not_begun)
{
    int other;

    first_hook = offload;
    fixture_send(client, GET);
    await_begin();
    other = fixture_connect();
    fixture_send(other, GET);
    close(other);
    fixture_spin();
    sem_post(&may_end);
    while (freed == 0) {
        await_result();
    }
    ck_assert_str_eq(trace, "qqecQ");
    ck_assert_uint_eq(begun, 1);
}
END_TEST

START_TEST(too_much_work_is_answered_503)
{
    int waiting[POOL_JOBS];

    first_hook = offload;
    fixture_send(client, GET);
    await_begin();
    for (unsigned i = 0; i < POOL_JOBS; i++) {
        waiting[i] = fixture_connect();
        fixture_send(waiting[i], GET);
    }
    ck_assert_uint_eq(fx.end_count, 0);
    int one_more = fixture_connect();
    fixture_send(one_more, GET);
    ck_assert_ptr_nonnull(strstr(fixture_receive(one_more, &closed), "HTTP/1.1 503 "));
    ck_assert_uint_eq(freed, 1);
    close(one_more);
    for (unsigned i = 0; i < POOL_JOBS; i++) {
        close(waiting[i]);
    }
}
END_TEST

START_TEST(without_a_pool_work_is_answered_503)
{
    offload_free(fx.gateway.offload);
    fx.gateway.offload = NULL;
    first_hook = offload;
    fixture_send(client, GET);
    expect_answer("HTTP/1.1 503 ");
    ck_assert_str_eq(trace, "qe");
    ck_assert_uint_eq(freed, 1);
}
END_TEST

START_TEST(work_is_not_waited_for_when_the_plugin_moves_on)
{
    first_hook = offload_and_go_on;
    fixture_send(client, GET);
    ck_assert_str_eq(trace, "qQ");
    sem_post(&may_end);
    loop_turn(fx.worker->loop, true);
    fixture_spin();
    ck_assert_str_eq(trace, "qQ");
}
END_TEST

START_TEST(work_that_takes_too_long_is_answered_503)
{
    first_hook = offload;
    fixture_send(client, GET);
    await_begin();
    fixture_advance(10001);
    expect_answer("HTTP/1.1 503 ");
    ck_assert_str_eq(trace, "qe");
    sem_post(&may_end);
    await_result();
    ck_assert_uint_eq(freed, 1);
}
END_TEST

START_TEST(a_worker_may_stop_while_its_work_runs)
{
    first_hook = offload;
    fixture_send(client, GET);
    await_begin();
    worker_stop(fx.worker);
    fixture_spin();
    ck_assert_str_eq(trace, "qe");
    sem_post(&may_end);
    offload_free(fx.gateway.offload);
    fx.gateway.offload = NULL;
    ck_assert_uint_eq(freed, 0); /* handed back to a loop that does not turn any more */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chain");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, hooks_run_in_order_and_back);
    tcase_add_test(cases, a_reply_ends_the_chain);
    tcase_add_test(cases, a_failure_is_answered_503);
    tcase_add_test(cases, waiting_for_nothing_is_answered_500);
    tcase_add_test(cases, a_reply_that_was_not_set_is_answered_500);
    tcase_add_test(cases, a_callback_that_waits_for_nothing_is_answered_500);
    tcase_add_test(cases, a_callback_that_sets_no_reply_is_answered_500);
    tcase_add_test(cases, a_response_hook_that_fails_is_answered_503);
    tcase_add_test(cases, a_sleep_goes_on_later);
    tcase_add_test(cases, a_callback_may_wait_again);
    tcase_add_test(cases, a_callback_never_runs_inside_the_call_that_started_it);
    tcase_add_test(cases, a_callback_that_replies_ends_before_its_request);
    tcase_add_test(cases, all_that_wait_are_woken);
    tcase_add_test(cases, a_client_that_goes_between_wake_and_callback_is_not_called_back);
    tcase_add_test(cases, what_is_pending_is_cancelled_when_the_plugin_moves_on);
    tcase_add_test(cases, a_client_that_goes_is_not_called_back);
    tcase_add_test(cases, a_chain_has_a_deadline);
    tcase_add_test(cases, the_body_is_not_read_while_the_chain_waits);
    tcase_add_test(cases, a_worker_that_stops_ends_what_waits);
    tcase_add_test(cases, a_drain_waits_for_the_chain);
    tcase_add_test(cases, offloaded_work_is_done_by_another_thread);
    tcase_add_test(cases, work_whose_client_has_gone_ends_unheard);
    tcase_add_test(cases, work_that_waits_for_a_client_that_has_gone_is_not_begun);
    tcase_add_test(cases, too_much_work_is_answered_503);
    tcase_add_test(cases, without_a_pool_work_is_answered_503);
    tcase_add_test(cases, work_is_not_waited_for_when_the_plugin_moves_on);
    tcase_add_test(cases, work_that_takes_too_long_is_answered_503);
    tcase_add_test(cases, a_worker_may_stop_while_its_work_runs);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
