/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/introspect and /oauth2/revoke: which tokens are whose, and until when. */
#include "core/clock.h"
#include "plugins/issuer/issuer.h"
#include "plugins/jwt/jws.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/issuer_fixture.h"

#define NOW    INT64_C(1800000000)
#define SHOP   CLIENT_FORM("shop")
#define API    CLIENT_FORM("api")
#define OTHER  CLIENT_FORM("other")
#define NONE   "{\"active\":false}"

#define CLAIMS "\"iss\":\"https://i.test\",\"sub\":\"shop\",\"client_id\":\"shop\",\"jti\":\"j1\""
#define TIMES  "\"iat\":1800000000,\"nbf\":1800000000,\"exp\":1800000900"
#define GOOD   "{" CLAIMS ",\"aud\":[\"x\",\"orders\"]," TIMES "}"

static struct gw_request *last;

static void set_time(int64_t now)
{
    clock_set(1000, (uint64_t)now * 1000000u);
}

static void load(const char *more)
{
    issuer_fixture_load("sign", more);
}

static void setup(void)
{
    issuer_fixture_setup("\"shop\":{\"secret_hash\":\"" CLIENT_HASH "\"},"
                         "\"api\":{\"secret_hash\":\"" CLIENT_HASH "\",\"audiences\":[\"orders\"]},"
                         "\"other\":{\"secret_hash\":\"" CLIENT_HASH
                         "\",\"audiences\":[\"mail\"]}");
    last = NULL;
}

static void end_last(void)
{
    if (last != NULL) {
        fake_host_end(last);
    }
    last = NULL;
}

static void teardown(void)
{
    end_last();
    issuer_fixture_teardown();
}

/* A token with these claims and this typ, signed by the issuer's key. */
static char *sign(const char *typ, const char *claims)
{
    const struct signing_key *key = issuer_of_top(issuer_host.tops[0])->keys->active;
    char *token =
        jws_sign(key->alg, &key->key, slice_str(key->kid), slice_str(typ), slice_str(claims));

    ck_assert_ptr_nonnull(token);
    return token;
}

/* The answer's body, until the next one; its status is last->reply.status. */
static struct slice ask_about(const char *path, const char *client, const char *token)
{
    static const char *const lines[] = { FORM_LINE, NULL };
    char body[4096];

    end_last();
    snprintf(body, sizeof(body), "%s&token=%s", client, token);
    last = fake_host_ask(&issuer_host, path, lines, body);
    return last->reply.body;
}

static struct slice introspect_typed(const char *client, const char *typ, const char *claims)
{
    char *token = sign(typ, claims);
    struct slice answer = ask_about("/oauth2/introspect", client, token);

    free(token);
    return answer;
}

static struct slice introspect(const char *client, const char *claims)
{
    return introspect_typed(client, "at+jwt", claims);
}

static bool is_active(struct slice answer)
{
    ck_assert_uint_eq(last->reply.status, 200);
    if (slice_eq(answer, SLICE(NONE))) {
        return false;
    }
    ck_assert(slice_starts_with(answer, SLICE("{\"active\":true,\"token_type\":\"Bearer\",")));
    return true;
}

START_TEST(an_active_token_is_told_as_it_is)
{
    load("");
    ck_assert(
        slice_eq(introspect(SHOP, GOOD), SLICE("{\"active\":true,\"token_type\":\"Bearer\"," CLAIMS
                                               ",\"aud\":[\"x\",\"orders\"]," TIMES "}")));
    ck_assert(slice_eq(gw_attr_get(last, GW_ATTR_JTI), SLICE("j1")));
    ck_assert(slice_eq(gw_attr_get(last, GW_ATTR_CLIENT_ID), SLICE("shop")));
}
END_TEST

START_TEST(a_token_cannot_say_what_the_answer_says)
{
    load("");
    ck_assert(slice_eq(
        introspect(SHOP,
                   "{\"active\":false,\"token_type\":\"x\"," CLAIMS ",\"aud\":\"x\"," TIMES "}"),
        SLICE("{\"active\":true,\"token_type\":\"Bearer\"," CLAIMS ",\"aud\":\"x\"," TIMES "}")));
}
END_TEST

START_TEST(a_token_is_active_in_its_time_only)
{
    static const struct {
        int64_t at;
        bool active;
    } rows[] = {
        { NOW - 6, false },   { NOW - 5, true },     { NOW + 899, true },
        { NOW + 900, false }, { NOW + 1300, false },
    };

    load("");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_time(rows[i].at);
        ck_assert_msg(is_active(introspect(SHOP, GOOD)) == rows[i].active, "row %zu", i);
    }
}
END_TEST

START_TEST(only_tokens_of_this_issuer_are_known)
{
    load("");
    ck_assert(is_active(introspect(SHOP, GOOD)));
    ck_assert(!is_active(introspect_typed(SHOP, "JWT", GOOD)));
    ck_assert(!is_active(
        introspect(SHOP, "{\"iss\":\"https://j.test\",\"sub\":\"shop\","
                         "\"client_id\":\"shop\",\"jti\":\"j1\",\"aud\":\"x\"," TIMES "}")));
    ck_assert(!is_active(introspect(SHOP, "{" CLAIMS ",\"aud\":\"x\"}"))); /* no exp */
    ck_assert(!is_active(ask_about("/oauth2/introspect", SHOP, "x")));
    ck_assert_str_eq(last->reply.reason, "token_not_ours");
}
END_TEST

START_TEST(a_client_learns_of_its_own_and_of_its_audiences)
{
    static const char without_client[] =
        "{\"iss\":\"https://i.test\",\"sub\":\"alice\",\"jti\":\"j2\",\"aud\":\"orders\"," TIMES
        "}";

    load("");
    ck_assert(is_active(introspect(API, GOOD)));
    ck_assert(!is_active(introspect(OTHER, GOOD)));
    ck_assert_str_eq(last->reply.reason, "token_of_another_client");
    ck_assert(is_active(introspect(API, without_client)));
    ck_assert(!is_active(introspect(SHOP, without_client)));
    ck_assert(!is_active(introspect(API, "{" CLAIMS ",\"aud\":\"ordersx\"," TIMES "}")));
    ck_assert(!is_active(introspect(API, "{" CLAIMS ",\"aud\":[7,[\"orders\"]]," TIMES "}")));
}
END_TEST

START_TEST(without_an_answer_of_the_store_there_is_none)
{
    char *token;

    load(",\"revocation\":{}");
    token = sign("at+jwt", GOOD);
    (void)ask_about("/oauth2/introspect", SHOP, token);
    ck_assert_uint_eq(last->reply.status, 503);
    ck_assert_str_eq(last->reply.reason, "revocation_unavailable");
    (void)ask_about("/oauth2/revoke", SHOP, token);
    ck_assert_uint_eq(last->reply.status, 503);
    ck_assert_str_eq(last->reply.reason, "revocation_unavailable");
    (void)ask_about("/oauth2/revoke", API, token);
    ck_assert_uint_eq(last->reply.status, 400);
    ck_assert_str_eq(last->reply.reason, "token_of_another_client");
    set_time(NOW + 1600); /* beyond every clock_skew: no token any more */
    (void)ask_about("/oauth2/revoke", SHOP, token);
    ck_assert_uint_eq(last->reply.status, 200);
    free(token);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("own_tokens");
    TCase *cases = tcase_create("own_tokens");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, an_active_token_is_told_as_it_is);
    tcase_add_test(cases, a_token_cannot_say_what_the_answer_says);
    tcase_add_test(cases, a_token_is_active_in_its_time_only);
    tcase_add_test(cases, only_tokens_of_this_issuer_are_known);
    tcase_add_test(cases, a_client_learns_of_its_own_and_of_its_audiences);
    tcase_add_test(cases, without_an_answer_of_the_store_there_is_none);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
