/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/bloom.h"

#include <check.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct slice key_of(char text[32], char kind, unsigned number)
{
    return slice_of(text, (size_t)snprintf(text, 32, "blocklist:jti:%c%u", kind, number));
}

START_TEST(what_was_added_is_found)
{
    struct bloom *bloom = bloom_new(10000, 0.001);
    char text[32];

    ck_assert_ptr_nonnull(bloom);
    for (unsigned i = 0; i < 10000; i++) {
        bloom_add(bloom, key_of(text, 'a', i));
    }
    for (unsigned i = 0; i < 10000; i++) {
        ck_assert(bloom_may_have(bloom, key_of(text, 'a', i)));
    }
    bloom_free(bloom);
}
END_TEST

static const double rates[] = { 0.1, 0.01, 0.001, 0.0001, 0.00001 };

START_TEST(false_positives_are_as_rare_as_promised)
{
    enum { ITEMS = 200000, QUESTIONS = 400000 };
    struct bloom *bloom = bloom_new(ITEMS, rates[_i]);
    unsigned found = 0;
    char text[32];

    ck_assert_ptr_nonnull(bloom);
    for (unsigned i = 0; i < ITEMS; i++) {
        bloom_add(bloom, key_of(text, 'a', i));
    }
    for (unsigned i = 0; i < QUESTIONS; i++) {
        found += bloom_may_have(bloom, key_of(text, 'b', i));
    }
    /* A third above the rate, and 8 for the rarest: chance must not fail the test. */
    ck_assert_uint_le(found, (unsigned)(QUESTIONS * rates[_i] * 4 / 3) + 8);
    ck_assert(bloom_fill_ratio(bloom) < 0.55);
    bloom_free(bloom);
}
END_TEST

START_TEST(an_entry_takes_two_bytes_at_one_in_a_thousand)
{
    enum { ITEMS = 1000000 };
    struct bloom *bloom = bloom_new(ITEMS, 0.001);

    ck_assert_ptr_nonnull(bloom);
    ck_assert_uint_le(bloom_bytes(bloom), 2 * ITEMS + 256); /* the struct and its alignment */
    ck_assert_uint_eq(bloom_room(bloom), ITEMS);
    bloom_free(bloom);
}
END_TEST

START_TEST(a_key_counts_once)
{
    struct bloom *bloom = bloom_new(100, 0.001);

    ck_assert_ptr_nonnull(bloom);
    ck_assert(!bloom_may_have(bloom, SLICE("a")));
    bloom_add(bloom, SLICE("a"));
    bloom_add(bloom, SLICE("a"));
    bloom_add(bloom, SLICE(""));
    ck_assert_uint_eq(bloom_count(bloom), 2);
    ck_assert(bloom_may_have(bloom, SLICE("")));
    bloom_free(bloom);
}
END_TEST

START_TEST(too_many_keys_are_refused_and_none_is_fine)
{
    ck_assert_ptr_null(bloom_new(UINT64_C(1) << 40, 0.001));
    struct bloom *bloom = bloom_new(0, 0.001);
    ck_assert_ptr_nonnull(bloom);
    bloom_add(bloom, SLICE("a"));
    ck_assert(bloom_may_have(bloom, SLICE("a")));
    bloom_free(bloom);
}
END_TEST

static struct {
    struct bloom *bloom;
    _Atomic unsigned published; /* keys below are there */
    _Atomic unsigned missed;
} shared;

static void *read_all_the_time(void *arg)
{
    char text[32];

    for (unsigned end = 0; end < 50000;) {
        end = atomic_load(&shared.published);
        for (unsigned i = end > 100 ? end - 100 : 0; i < end; i++) {
            if (!bloom_may_have(shared.bloom, key_of(text, 'a', i))) {
                atomic_fetch_add(&shared.missed, 1);
            }
        }
    }
    return NULL;
}

START_TEST(readers_find_what_was_published)
{
    pthread_t readers[2];
    char text[32];

    shared.bloom = bloom_new(50000, 0.001);
    shared.published = 0;
    shared.missed = 0;
    ck_assert_ptr_nonnull(shared.bloom);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_all_the_time, NULL), 0);
    }
    for (unsigned i = 0; i < 50000; i++) {
        bloom_add(shared.bloom, key_of(text, 'a', i));
        bloom_publish(shared.bloom);
        atomic_store(&shared.published, i + 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(readers[i], NULL);
    }
    ck_assert_uint_eq(shared.missed, 0);
    bloom_free(shared.bloom);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/bloom");
    TCase *tcase = tcase_create("bloom");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_was_added_is_found);
    tcase_add_loop_test(tcase, false_positives_are_as_rare_as_promised, 0,
                        sizeof(rates) / sizeof(rates[0]));
    tcase_add_test(tcase, an_entry_takes_two_bytes_at_one_in_a_thousand);
    tcase_add_test(tcase, a_key_counts_once);
    tcase_add_test(tcase, too_many_keys_are_refused_and_none_is_fine);
    tcase_add_test(tcase, readers_find_what_was_published);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
