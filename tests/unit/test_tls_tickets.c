/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <check.h>

#include "tests/support/tls_fixture.h"

START_TEST(a_second_connection_resumes_the_session)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert_ptr_nonnull(tf.session.session);
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert(tls_is_resumed(tf.us.stream.tls));
    tf_serve("a"); /* a reload: tickets are the process's */
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert(tls_is_resumed(tf.us.stream.tls));
}
END_TEST

START_TEST(tickets_open_for_two_rotations)
{
    static const struct {
        unsigned hours;
        bool resumed;
    } rows[] = { { 1, true }, { 1, true }, { 4, false } };
    uint64_t ms = clock_ms(), us_now = clock_unix_us();

    clock_set(ms, us_now);
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ms += rows[i].hours * UINT64_C(3600000);
        clock_set(ms, us_now);
        tf_shake("a.test");
        tf_assert_talk();
        ck_assert_int_eq(tls_is_resumed(tf.us.stream.tls), rows[i].resumed);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("tls_tickets");

    tcase_add_test(tc, a_second_connection_resumes_the_session);
    tcase_add_test(tc, tickets_open_for_two_rotations);
    return tls_fixture_run(tc);
}
