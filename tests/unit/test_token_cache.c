/* SPDX-License-Identifier: Apache-2.0 */
#include "core/map.h"
#include "plugins/jwt/token_cache.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

static struct token_cache cache;
static uint64_t gauge;
static struct provider first, second;

static void add(const char *text, const struct provider *provider)
{
    const struct claims_times times = { .exp = 7 };
    struct arena arena;

    arena_init(&arena, NULL, 0, 1u << 18);
    const struct json *claims = json_parse(
        &arena, SLICE("{\"sub\":\"joe\",\"azp\":\"app\",\"a\":{\"b\":[1,\"x\",true,null]}}"),
        &json_limits_token, NULL);
    struct token *token = token_new(provider, slice_str(text), SLICE("k"), claims, &times);
    arena_done(&arena); /* the copy must stand alone */
    ck_assert_ptr_nonnull(token);
    token_cache_add(&cache, map_hash(slice_str(text)), token);
    token_unref(token);
}

static struct token *find(const char *text, const struct provider *provider)
{
    return token_cache_find(&cache, map_hash(slice_str(text)), slice_str(text), provider);
}

static void fill(int from, int to)
{
    for (int i = from; i < to; i++) {
        char text[32];
        snprintf(text, sizeof(text), "token-%d", i);
        add(text, &first);
    }
}

START_TEST(a_token_is_found_by_its_whole_text_and_provider)
{
    ck_assert_int_eq(token_cache_init(&cache, 8, 1u << 20, &gauge), 0);
    add("abc", &first);
    struct token *token = find("abc", &first);
    ck_assert_ptr_nonnull(token);
    ck_assert(slice_eq(token->subject, SLICE("joe")));
    ck_assert(slice_eq(token->client_id, SLICE("app")));
    ck_assert(slice_eq(token->kid, SLICE("k")));
    ck_assert(slice_is_absent(token->jti));
    const struct json *b = json_pointer(token->claims, SLICE("/a/b/1"));
    ck_assert(json_is(b, JSON_STRING) && slice_eq(b->text, SLICE("x")));
    ck_assert_ptr_null(find("abc", &second));
    ck_assert_ptr_null(find("abd", &first));
    /* Same hash, other text. */
    ck_assert_ptr_null(token_cache_find(&cache, map_hash(SLICE("abc")), SLICE("abx"), &first));
    token_cache_done(&cache);
    ck_assert_uint_eq(gauge, 0);
}
END_TEST

START_TEST(the_cache_keeps_its_limits_and_what_is_used)
{
    ck_assert_int_eq(token_cache_init(&cache, 8, 1u << 20, &gauge), 0);
    fill(0, 8);
    ck_assert_ptr_nonnull(find("token-0", &first)); /* used: survives one round */
    fill(8, 12);
    ck_assert_uint_eq(cache.count, 8);
    ck_assert_uint_eq(gauge, 8);
    ck_assert_ptr_nonnull(find("token-0", &first));
    ck_assert_ptr_null(find("token-1", &first));
    ck_assert_ptr_nonnull(find("token-11", &first));
    token_cache_done(&cache);
    ck_assert_int_eq(token_cache_init(&cache, 1000000, 32768, &gauge), 0);
    fill(0, 500);
    ck_assert_uint_le(cache.bytes, 32768);
    ck_assert_uint_gt(cache.count, 3);
    token_cache_done(&cache);
    ck_assert_uint_eq(cache.bytes, 0);
    ck_assert_uint_eq(gauge, 0);
}
END_TEST

START_TEST(a_removed_token_lives_while_a_request_holds_it)
{
    ck_assert_int_eq(token_cache_init(&cache, 8, 1u << 20, NULL), 0);
    add("abc", &first);
    struct token *token = token_ref(find("abc", &first));
    token_cache_remove(&cache, token);
    ck_assert_ptr_null(find("abc", &first));
    token_cache_done(&cache);
    ck_assert(slice_eq(token->text, SLICE("abc")));
    token_unref(token);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("token_cache");
    TCase *tcase = tcase_create("token_cache");

    tcase_add_test(tcase, a_token_is_found_by_its_whole_text_and_provider);
    tcase_add_test(tcase, the_cache_keeps_its_limits_and_what_is_used);
    tcase_add_test(tcase, a_removed_token_lives_while_a_request_holds_it);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
