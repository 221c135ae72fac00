/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/filter.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#define ITEMS 20000u

static struct revocation_filter *filter;

static void setup(void)
{
    filter = revocation_filter_new(ITEMS, 0.001, 7);
    ck_assert_ptr_nonnull(filter);
}

static void teardown(void)
{
    revocation_filter_unref(filter);
}

static struct slice name_of(char buf[64], const char *kind, unsigned number)
{
    return slice_of(buf, (size_t)snprintf(buf, 64, "blocklist:%s:%u", kind, number));
}

static void set_lease(uint64_t lease_ns)
{
    atomic_store(&filter->lease_ns, lease_ns);
}

START_TEST(it_is_believed_while_its_lease_runs)
{
    ck_assert(!revocation_filter_is_live(NULL));
    ck_assert(!revocation_filter_is_live(filter)); /* nobody has said that it is complete */
    set_lease(revocation_boot_ns() + UINT64_C(60000000000));
    ck_assert(revocation_filter_is_live(filter));
    set_lease(revocation_boot_ns());
    ck_assert(!revocation_filter_is_live(filter));
    ck_assert_uint_eq(filter->server, 7);
}
END_TEST

START_TEST(each_name_is_there_as_soon_as_it_was_added)
{
    char buf[64];

    for (unsigned i = 0; i < ITEMS; i++) {
        revocation_filter_add(filter, name_of(buf, "jti", i));
        ck_assert(bloom_may_have(filter->bloom, name_of(buf, "jti", i)));
    }
    for (unsigned i = 0; i < ITEMS; i++) {
        ck_assert(bloom_may_have(filter->bloom, name_of(buf, "jti", i)));
    }
}
END_TEST

START_TEST(full_as_it_was_made_for_it_is_wrong_as_rarely_as_promised)
{
    unsigned wrong = 0;
    char buf[64];

    for (unsigned i = 0; i < ITEMS; i++) {
        revocation_filter_add(filter, name_of(buf, "jti", i));
    }
    for (unsigned i = 0; i < 10 * ITEMS; i++) {
        wrong += bloom_may_have(filter->bloom, name_of(buf, "other", i));
    }
    ck_assert_uint_le(wrong, 10 * ITEMS / 1000 * 3 / 2); /* 200 are promised; 300 is 7 sigma away */
    ck_assert_uint_gt(wrong, 0);                         /* else it is larger than it need be */
}
END_TEST

static const struct {
    const char *name;
    unsigned kinds;
} names[] = {
    { "blocklist:jti:a", 0 },
    { "blocklist:jti:before:sub:a", 0 },
    { "blocklist:before:sub:alice", 1u << REVOCATION_SUB },
    { "blocklist:before:client:billing", 1u << REVOCATION_CLIENT },
    { "blocklist:before:kid:k1", 1u << REVOCATION_KID },
    { "blocklist:before:iss:https://a", 1u << REVOCATION_ISS },
    { "blocklist:before:other:a", 0 },
    { "blocklist:before:", 0 },
};

START_TEST(it_knows_of_which_kinds_there_are_watermarks)
{
    revocation_filter_add(filter, slice_str(names[_i].name));
    ck_assert_uint_eq(atomic_load(&filter->kinds), names[_i].kinds);
    revocation_filter_add(filter, SLICE("blocklist:jti:b"));
    ck_assert_uint_eq(atomic_load(&filter->kinds), names[_i].kinds);
    ck_assert(bloom_may_have(filter->bloom, slice_str(names[_i].name)));
}
END_TEST

START_TEST(it_lives_as_long_as_somebody_holds_it)
{
    struct revocation_filter *held = filter;
    char buf[64];

    (void)gw_shared_ref(&filter->shared);
    revocation_filter_add(filter, name_of(buf, "jti", 1));
    revocation_filter_unref(filter);
    filter = NULL;
    ck_assert(bloom_may_have(held->bloom, name_of(buf, "jti", 1)));
    revocation_filter_unref(held);
}
END_TEST

START_TEST(more_than_there_is_memory_for_is_none)
{
    ck_assert_ptr_null(revocation_filter_new(UINT64_MAX, 0.001, 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/filter");
    TCase *tcase = tcase_create("filter");

    tcase_set_timeout(tcase, 50);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_is_believed_while_its_lease_runs);
    tcase_add_test(tcase, each_name_is_there_as_soon_as_it_was_added);
    tcase_add_test(tcase, full_as_it_was_made_for_it_is_wrong_as_rarely_as_promised);
    tcase_add_loop_test(tcase, it_knows_of_which_kinds_there_are_watermarks, 0,
                        sizeof(names) / sizeof(names[0]));
    tcase_add_test(tcase, it_lives_as_long_as_somebody_holds_it);
    tcase_add_test(tcase, more_than_there_is_memory_for_is_none);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
