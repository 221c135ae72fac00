/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of decisions: what it keeps, and for how long. */
#include "gateway/decisions.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

static struct worker *asked[2];
static char found[1024];
static unsigned answers;

static void setup(void)
{
    fixture_setup();
    fixture_add_target(false);
    fx.config.explained_requests = 3;
    snprintf(fx.config.hash, sizeof(fx.config.hash), "0123456789abcdef");
    fixture_start();
}

static void teardown(void)
{
    fixture_teardown();
}

static void on_answer(void *arg, const struct decision *decision)
{
    struct json_writer w;

    answers++;
    found[0] = '\0';
    if (decision == NULL) {
        return;
    }
    json_writer_init(&w, sizeof(found));
    decision_write(decision, &w);
    ck_assert(!w.failed);
    snprintf(found, sizeof(found), "%.*s", (int)w.len, w.buf);
    json_writer_done(&w);
}

static const char *ask(const char *id)
{
    unsigned count = 0;

    asked[0] = asked[1] = fx.worker; /* it is its own control thread */
    fx.gateway.workers = asked;
    fx.gateway.worker_count = 2;
    fx.gateway.control = fx.worker;
    answers = 0;
    decisions_ask(&fx.gateway, slice_str(id), on_answer, NULL, &count);
    fixture_spin();
    ck_assert_uint_eq(answers, count);
    return count == 0 ? "" : found;
}

static void keep(const char *id, const char *path)
{
    char head[1024];

    snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    struct request *req = fixture_request(head);

    req->id = slice_str(id);
    req->status = 401;
    req->outcome = OUTCOME_DENIED;
    req->reason = "token_expired";
    req->auth_reason = "token_expired";
    req->attrs[GW_ATTR_SUBJECT] = SLICE("al\"ice");
    decisions_keep(fx.worker, req);
    req->id = SLICE_ABSENT; /* it ends in the next turn, and is not to be kept twice */
}

START_TEST(a_decision_is_found_by_its_id)
{
    keep("one", "/a");
    const char *text = ask("one");

    ck_assert_ptr_nonnull(
        strstr(text, "\"request_id\":\"one\",\"method\":\"GET\",\"path\":\"/a\",\"route\":\"all\","
                     "\"sub\":\"al\\\"ice\",\"status\":401,\"outcome\":\"denied\","
                     "\"reason\":\"token_expired\",\"auth\":\"token_expired\","
                     "\"config\":\"0123456789abcdef\"}"));
    ck_assert_str_eq(ask("on"), "");
    ck_assert_str_eq(ask("one "), "");
    ck_assert_str_eq(ask("two"), "");
}
END_TEST

START_TEST(the_oldest_is_overwritten)
{
    static const char *const ids[] = { "a", "b", "c", "d", "e" };

    ck_assert_str_eq(ask("a"), "");
    for (unsigned i = 0; i < 5; i++) {
        keep(ids[i], "/a");
        for (unsigned k = 0; k <= i; k++) {
            ck_assert_int_eq(ask(ids[k])[0] != '\0', k + 3 > i);
        }
    }
}
END_TEST

START_TEST(of_one_id_the_newest_counts)
{
    keep("same", "/1");
    keep("same", "/2");
    ck_assert_ptr_nonnull(strstr(ask("same"), "\"path\":\"/2\""));
}
END_TEST

START_TEST(another_size_begins_anew)
{
    keep("a", "/a");
    fx.config.explained_requests = 1;
    ck_assert_ptr_nonnull(strstr(ask("a"), "/a"));
    keep("b", "/b");
    ck_assert_str_eq(ask("a"), "");
    keep("c", "/c");
    ck_assert_str_eq(ask("b"), "");
    ck_assert_ptr_nonnull(strstr(ask("c"), "/c"));
    fx.config.explained_requests = 0;
    keep("d", "/d");
    ck_assert_str_eq(ask("d"), "");
}
END_TEST

START_TEST(long_texts_are_cut)
{
    char id[DECISION_MAX_ID_BYTES + 1], path[700];

    memset(id, 'i', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    keep(id, path);
    const char *text = ask(id);
    ck_assert_ptr_nonnull(strstr(text, "\"status\":401"));
    ck_assert_ptr_nonnull(strstr(text, "\"sub\":\"al"));
    ck_assert_uint_lt(strlen(text), 700);
    char longer[DECISION_MAX_ID_BYTES + 2];
    snprintf(longer, sizeof(longer), "%si", id);
    ck_assert_str_eq(ask(longer), "");
}
END_TEST

START_TEST(the_admin_listener_leaves_nothing)
{
    fx.listener.service = CONFIG_ADMIN;
    keep("a", "/a");
    fx.listener.service = CONFIG_PUBLIC;
    ck_assert_str_eq(ask("a"), "");
    keep("", "/a");
    ck_assert_str_eq(ask(""), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decisions");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_decision_is_found_by_its_id);
    tcase_add_test(cases, the_oldest_is_overwritten);
    tcase_add_test(cases, of_one_id_the_newest_counts);
    tcase_add_test(cases, another_size_begins_anew);
    tcase_add_test(cases, long_texts_are_cut);
    tcase_add_test(cases, the_admin_listener_leaves_nothing);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
