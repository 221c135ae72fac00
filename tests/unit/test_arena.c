/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arena.h"

#include <check.h>

#include <stdint.h>
#include <stdlib.h>

START_TEST(memory_of_the_caller_is_used_first)
{
    char first[128] __attribute__((aligned(16)));
    struct arena arena;

    arena_init(&arena, first, sizeof(first), 0);
    char *a = arena_alloc(&arena, 100);
    ck_assert_ptr_eq(a, first);
    ck_assert_ptr_null(arena_alloc(&arena, 100));
    ck_assert_uint_eq(arena.used_bytes, 0);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 16));
    arena_done(&arena);
}
END_TEST

START_TEST(allocations_are_aligned_and_distinct)
{
    char first[50];
    struct arena arena;
    char *before = NULL;

    arena_init(&arena, first + 1, sizeof(first) - 1, 1 << 20);
    for (size_t i = 0; i < 1000; i++) {
        char *bytes = arena_alloc(&arena, i % 40);
        ck_assert_ptr_nonnull(bytes);
        ck_assert_uint_eq((uintptr_t)bytes % 16, 0);
        ck_assert_ptr_ne(bytes, before);
        memset(bytes, 0xaa, i % 40);
        before = bytes;
    }
    arena_done(&arena);
}
END_TEST

START_TEST(the_limit_holds_and_a_refusal_changes_nothing)
{
    struct arena arena;
    size_t got = 0;

    arena_init(&arena, NULL, 0, 10000);
    while (arena_alloc(&arena, 1000) != NULL) {
        got++;
    }
    ck_assert_uint_ge(got, 8);
    ck_assert_uint_le(arena.used_bytes, 10000);
    size_t used = arena.used_bytes;
    ck_assert_ptr_null(arena_alloc(&arena, 20000));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - 20));
    ck_assert_ptr_null(arena_calloc(&arena, SIZE_MAX / 2, 4));
    ck_assert_uint_eq(arena.used_bytes, used);
    arena_done(&arena);
    ck_assert_uint_eq(arena.used_bytes, 0);
}
END_TEST

START_TEST(a_large_block_does_not_waste_the_current_chunk)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, 1 << 20);
    char *small = arena_alloc(&arena, 16);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100000));
    ck_assert_ptr_eq(arena_alloc(&arena, 16), small + 16);
    arena_done(&arena);
}
END_TEST

START_TEST(an_arena_can_be_used_again_after_done)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, 1 << 16);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 5000));
    arena_done(&arena);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 5000));
    arena_done(&arena);
}
END_TEST

START_TEST(copies_keep_their_bytes)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, 1 << 16);
    struct slice copy = arena_copy(&arena, slice_of("a\0b", 3));
    ck_assert(slice_eq(copy, slice_of("a\0b", 3)));
    ck_assert(slice_is_absent(arena_copy(&arena, SLICE_ABSENT)));
    struct slice empty = arena_copy(&arena, SLICE(""));
    ck_assert(!slice_is_absent(empty) && empty.len == 0);
    ck_assert_str_eq(arena_strdup(&arena, SLICE("text")), "text");
    ck_assert_str_eq(arena_strdup(&arena, SLICE_ABSENT), "");
    ck_assert_str_eq(arena_printf(&arena, "%s-%d", "x", 42), "x-42");
    const unsigned char *zero = arena_calloc(&arena, 4, 8);
    for (size_t i = 0; i < 32; i++) {
        ck_assert_uint_eq(zero[i], 0);
    }
    arena_done(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tc = tcase_create("arena");

    tcase_add_test(tc, memory_of_the_caller_is_used_first);
    tcase_add_test(tc, allocations_are_aligned_and_distinct);
    tcase_add_test(tc, the_limit_holds_and_a_refusal_changes_nothing);
    tcase_add_test(tc, a_large_block_does_not_waste_the_current_chunk);
    tcase_add_test(tc, an_arena_can_be_used_again_after_done);
    tcase_add_test(tc, copies_keep_their_bytes);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
