/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/key_ring.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#define KID_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KID_B "-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB_"
#define ENTRY(kid, file, state)                                                                    \
    "{\"kid\":\"" kid "\",\"alg\":\"RS256\",\"key_file\":\"" file "\",\"state\":\"" state          \
    "\",\"since\":100}"
#define RING(entries) "{\"version\":1,\"keys\":[" entries "]}"

static const struct key_ring_waits waits = { .published = 3600, .retired = 900 };

static void read(const char *text, struct key_ring *ret)
{
    const char *why = NULL;

    ck_assert_msg(key_ring_read(slice_str(text), ret, &why) == 0, "%s: %s", text, why);
    ck_assert_ptr_null(why);
}

START_TEST(what_is_written_is_what_was_read)
{
    static const char text[] =
        RING(ENTRY(KID_A, "a.pem", "signing") "," ENTRY(KID_B, "b.pem", "published"));
    struct key_ring ring;
    struct json_writer w;

    read(text, &ring);
    ck_assert_uint_eq(ring.count, 2);
    ck_assert_str_eq(ring.entries[1].kid, KID_B);
    ck_assert_str_eq(ring.entries[1].file, "b.pem");
    ck_assert_int_eq(ring.entries[1].state, KEY_PUBLISHED);
    ck_assert_int_eq(ring.entries[1].since, 100);
    ck_assert_ptr_eq(ring.entries[1].alg, jwa_find(SLICE("RS256")));
    json_writer_init(&w, KEY_RING_MAX_BYTES);
    key_ring_write(&ring, &w);
    ck_assert_str_eq(w.buf, text);
    json_writer_done(&w);
}
END_TEST

START_TEST(everything_else_is_refused)
{
    static const struct {
        const char *text, *why;
    } vectors[] = {
        { "", "not JSON" },
        { "{\"version\":1,\"keys\":[]} ", "not exactly one key is signing" },
        { "[]", "version" },
        { "{\"version\":2,\"keys\":[]}", "version" },
        { "{\"keys\":[]}", "version" },
        { "{\"version\":1,\"keys\":{}}", "version" },
        { "{\"version\":1,\"keys\":[],\"more\":1}", "version" },
        { "{\"version\":1,\"keys\":[1]}", "has not just" },
        { RING("{\"kid\":\"" KID_A "\"}"), "has not just" },
        { RING(ENTRY(KID_A, "a.pem", "published")), "signing" },
        { RING(ENTRY("short", "a.pem", "signing")), "thumbprint" },
        { RING(ENTRY(KID_A "A", "a.pem", "signing")), "thumbprint" },
        { RING(ENTRY(KID_A, "", "signing")), "key_file" },
        { RING(ENTRY(KID_A, "../a.pem", "signing")), "key_file" },
        { RING(ENTRY(KID_A, "..", "signing")), "key_file" },
        { RING(ENTRY(KID_A, "a/b", "signing")), "key_file" },
        { RING(ENTRY(KID_A, "a.pem", "removed")), "state" },
        { RING(ENTRY(KID_A, "a.pem", "signing") "," ENTRY(KID_B, "b.pem", "signing")), "signing" },
        { RING(ENTRY(KID_A, "a.pem", "signing") "," ENTRY(KID_A, "b.pem", "retired")), "twice" },
        { RING(ENTRY(KID_A, "a.pem", "signing") "," ENTRY(KID_B, "a.pem", "retired")), "twice" },
        { RING("{\"kid\":\"" KID_A "\",\"alg\":\"none\",\"key_file\":\"a\",\"state\":\"signing\","
               "\"since\":1}"),
          "alg" },
        { RING("{\"kid\":\"" KID_A "\",\"alg\":\"RS256\",\"key_file\":\"a\",\"state\":\"signing\","
               "\"since\":-1}"),
          "since" },
        { RING("{\"kid\":\"" KID_A "\",\"alg\":\"RS256\",\"key_file\":\"a\",\"state\":\"signing\","
               "\"since\":\"1\"}"),
          "since" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct key_ring ring = { .count = 77 };
        const char *why = NULL;

        ck_assert_int_eq(key_ring_read(slice_str(vectors[i].text), &ring, &why), ERR_BAD_INPUT);
        ck_assert_msg(why != NULL && strstr(why, vectors[i].why) != NULL, "%s: %s", vectors[i].text,
                      why);
        ck_assert_uint_eq(ring.count, 77);
    }
}
END_TEST

static void take(struct key_ring *ring, enum key_ring_step step, int64_t safe_at, int64_t now)
{
    static const struct key_ring_entry added = { .kid = KID_B, .file = "b.pem" };
    struct key_ring_plan plan;

    key_ring_next(ring, &waits, &plan);
    ck_assert_int_eq(plan.step, step);
    ck_assert_int_eq(plan.safe_at, safe_at);
    key_ring_take(ring, &plan, &added, now);
}

static void expect(const struct key_ring *ring, const char *kid, enum key_state state,
                   int64_t since)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (strcmp(ring->entries[i].kid, kid) == 0) {
            ck_assert_int_eq(ring->entries[i].state, state);
            ck_assert_int_eq(ring->entries[i].since, since);
            return;
        }
    }
    ck_abort_msg("no key %s", kid);
}

START_TEST(a_rotation_goes_round)
{
    struct key_ring ring;

    read(RING(ENTRY(KID_A, "a.pem", "signing")), &ring);
    take(&ring, KEY_RING_PUBLISH, 0, 1000);
    ck_assert_uint_eq(ring.count, 2);
    expect(&ring, KID_A, KEY_SIGNING, 100);
    expect(&ring, KID_B, KEY_PUBLISHED, 1000);
    take(&ring, KEY_RING_SIGN, 4600, 5000);
    ck_assert_uint_eq(ring.count, 2);
    expect(&ring, KID_A, KEY_RETIRED, 5000);
    expect(&ring, KID_B, KEY_SIGNING, 5000);
    take(&ring, KEY_RING_REMOVE, 5900, 6000);
    ck_assert_uint_eq(ring.count, 1);
    expect(&ring, KID_B, KEY_SIGNING, 5000);
}
END_TEST

START_TEST(the_retired_key_goes_before_the_published_one_signs)
{
    struct key_ring ring;

    read(RING(ENTRY(KID_B, "b.pem", "retired") "," ENTRY(KID_A, "a.pem", "signing") "," ENTRY(
             "CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC", "c.pem", "published")),
         &ring);
    take(&ring, KEY_RING_REMOVE, 1000, 2000);
    ck_assert_uint_eq(ring.count, 2);
    take(&ring, KEY_RING_SIGN, 3700, 4000);
    expect(&ring, KID_A, KEY_RETIRED, 4000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_ring");
    TCase *cases = tcase_create("all");

    tcase_add_test(cases, what_is_written_is_what_was_read);
    tcase_add_test(cases, everything_else_is_refused);
    tcase_add_test(cases, a_rotation_goes_round);
    tcase_add_test(cases, the_retired_key_goes_before_the_published_one_signs);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
