/* SPDX-License-Identifier: Apache-2.0 */
#include "core/map.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#define KEYS 5000u

static char names[KEYS][12];
static unsigned values[KEYS];

static void make_names(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "key-%u", i);
        values[i] = i;
    }
}

START_TEST(siphash13_is_a_function_of_key_and_text)
{
    const uint64_t key_a[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
    const uint64_t key_b[2] = { 1, 2 };
    char text[64];

    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)i;
    }
    ck_assert_uint_eq(map_siphash13(key_a, slice_of(text, 0)), UINT64_C(0xabac0158050fc4dc));
    ck_assert_uint_eq(map_siphash13(key_a, slice_of(text, 1)), UINT64_C(0xc9f49bf37d57ca93));
    for (size_t len = 1; len < sizeof(text); len++) {
        uint64_t hash = map_siphash13(key_a, slice_of(text, len));
        ck_assert_uint_eq(hash, map_siphash13(key_a, slice_of(text, len)));
        ck_assert_uint_ne(hash, map_siphash13(key_a, slice_of(text, len - 1)));
        ck_assert_uint_ne(hash, map_siphash13(key_b, slice_of(text, len)));
    }
}
END_TEST

START_TEST(an_empty_map_has_nothing)
{
    struct map map = { 0 };
    struct slice key;
    void *value;
    size_t pos = 0;

    ck_assert_ptr_null(map_get(&map, SLICE("a")));
    ck_assert_ptr_null(map_remove(&map, SLICE("a")));
    ck_assert(!map_next(&map, &pos, &key, &value));
    map_done(&map);
}
END_TEST

START_TEST(set_replaces_and_get_finds)
{
    struct map map = { 0 };
    int one = 1, two = 2;

    ck_assert_int_eq(map_set(&map, SLICE("a"), &one), 0);
    ck_assert_int_eq(map_set(&map, SLICE("a\0b"), &two), 0);
    ck_assert_int_eq(map_set(&map, SLICE(""), &two), 0);
    ck_assert_int_eq(map_set(&map, SLICE("a"), &two), 0);
    ck_assert_uint_eq(map.count, 3);
    ck_assert_ptr_eq(map_get(&map, SLICE("a")), &two);
    ck_assert_ptr_eq(map_get(&map, SLICE("a\0b")), &two);
    ck_assert_ptr_eq(map_get(&map, SLICE("")), &two);
    ck_assert_ptr_null(map_get(&map, SLICE("b")));
    map_done(&map);
    ck_assert_uint_eq(map.count, 0);
}
END_TEST

START_TEST(many_entries_survive_growth_and_removal)
{
    struct map map = { 0 };

    make_names();
    for (unsigned i = 0; i < KEYS; i++) {
        ck_assert_int_eq(map_set(&map, slice_str(names[i]), &values[i]), 0);
    }
    for (unsigned i = 0; i < KEYS; i += 3) {
        ck_assert_ptr_eq(map_remove(&map, slice_str(names[i])), &values[i]);
        ck_assert_ptr_null(map_remove(&map, slice_str(names[i])));
    }
    for (unsigned i = 0; i < KEYS; i++) {
        ck_assert_ptr_eq(map_get(&map, slice_str(names[i])), i % 3 == 0 ? NULL : &values[i]);
    }
    ck_assert_uint_eq(map.count, KEYS - (KEYS + 2) / 3);
    map_done(&map);
}
END_TEST

START_TEST(next_visits_each_entry_once)
{
    struct map map = { 0 };
    unsigned seen[100] = { 0 };
    struct slice key;
    void *value;
    size_t pos = 0;

    make_names();
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(map_set(&map, slice_str(names[i]), &values[i]), 0);
    }
    while (map_next(&map, &pos, &key, &value)) {
        unsigned i = *(unsigned *)value;
        ck_assert(slice_eq(key, slice_str(names[i])));
        seen[i]++;
    }
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_uint_eq(seen[i], 1);
    }
    map_done(&map);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("map");
    TCase *tc = tcase_create("map");

    tcase_add_test(tc, siphash13_is_a_function_of_key_and_text);
    tcase_add_test(tc, an_empty_map_has_nothing);
    tcase_add_test(tc, set_replaces_and_get_finds);
    tcase_add_test(tc, many_entries_survive_growth_and_removal);
    tcase_add_test(tc, next_visits_each_entry_once);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
