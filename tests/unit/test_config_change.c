/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/config_change.h"

#include <check.h>

#include <arpa/inet.h>
#include <stdlib.h>

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL, 0, (size_t)1 << 20);
}

static void teardown(void)
{
    arena_done(&arena);
}

static struct json *json_of(const char *text)
{
    struct json *json = json_parse(&arena, slice_str(text), &json_limits_config, NULL);

    ck_assert_msg(json != NULL, "%s", text);
    return json;
}

static const struct {
    const char *old, *new, *changes;
} changes[] = {
    { "{}", "{}", "" },
    { "{\"routes\": {\"a\": 1, \"b\": 2}}", "{\"routes\": {\"b\": 3, \"c\": 1}}",
      "~route b, +route c, -route a" },
    { "{\"server\": {\"workers\": 1}}", "{\"server\": {\"workers\": 2}}", "~server" },
    { "{}", "{\"upstreams\": {\"u\": {}}, \"tracing\": {}}", "+upstream u, +tracing" },
    { "{\"providers\": {\"p\": {}}, \"listeners\": {\"l\": 1}}", "{\"listeners\": {\"l\": 2}}",
      "~listener l, -providers" },
};

START_TEST(changes_are_told_by_name)
{
    struct config old = { .root = json_of(changes[_i].old) };
    struct config new = { .root = json_of(changes[_i].new) };

    ck_assert_str_eq(config_changes(&old, &new, &arena), changes[_i].changes);
}
END_TEST

START_TEST(files_that_were_written_since_are_told)
{
    struct option_file old_log = { .path = "access.log", .size = 1 };
    struct option_file old_same = { .path = "same", .inode = 7, .next = &old_log };
    struct option_file old_key = {
        .path = "key.pem", .inode = 1, .changed_ns = 5, .next = &old_same
    };
    struct option_file log = { .path = "access.log", .size = 2 };
    struct option_file added = { .path = "added", .next = &log };
    struct option_file same = { .path = "same", .inode = 7, .next = &added };
    struct option_file key = { .path = "key.pem", .inode = 1, .changed_ns = 6, .next = &same };
    struct config old = { .root = json_of("{}"), .files = &old_key };
    struct config new = { .root = json_of("{\"version\": 1}"),
                          .files = &key,
                          .access_log.path = "access.log" };

    ck_assert_str_eq(config_changes(&old, &new, &arena), "+version, ~file key.pem");
}
END_TEST

START_TEST(many_changes_are_cut_not_overrun)
{
    static char text[200000] = "{\"routes\": {\"first\": 1";
    size_t len = strlen(text);

    for (unsigned i = 0; i < 2000; i++) {
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len, ", \"a-route-with-a-name-%u\": 1", i);
    }
    snprintf(text + len, sizeof(text) - len, "}}");
    struct config old = { .root = json_of("{}") };
    struct config new = { .root = json_of(text) };
    const char *told = config_changes(&old, &new, &arena);

    ck_assert_uint_lt(strlen(told), 4096);
    ck_assert(slice_starts_with(slice_str(told), SLICE("+route first, ")));
}
END_TEST

/* ---- listeners ---- */

#define MOST 300u

static void add(struct config *config, const char *name, unsigned port)
{
    struct config_listener *listener = &config->listeners[config->listener_count];
    struct sockaddr_in *in = (struct sockaddr_in *)&listener->address;

    listener->element.name = slice_str(name);
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    listener->address_len = sizeof(*in);
    listener->index = (unsigned)config->listener_count++;
}

static void config_begin(struct config *config)
{
    *config = (struct config){ .listeners = calloc(MOST, sizeof(*config->listeners)) };
    ck_assert_ptr_nonnull(config->listeners);
    arena_init(&config->arena, NULL, 0, (size_t)1 << 22);
}

static void expect(const struct config *config, unsigned index, const char *name, bool is_gone)
{
    ck_assert_uint_lt(index, config->listener_count);
    ck_assert_uint_eq(config->listeners[index].index, index);
    ck_assert_msg(slice_eq(config->listeners[index].element.name, slice_str(name)), "%u", index);
    ck_assert(config->listeners[index].is_gone == is_gone);
}

START_TEST(listeners_keep_their_index_by_address_then_by_name)
{
    struct config old, new, third;

    config_begin(&old);
    add(&old, "stays", 1);
    add(&old, "renamed", 2);
    add(&old, "moved", 3);
    add(&old, "gone", 4);
    config_begin(&new);
    add(&new, "added", 9);
    add(&new, "moved", 5);
    add(&new, "other", 2);
    add(&new, "stays", 1);
    struct config_listener *own = new.listeners;

    ck_assert_int_eq(config_adopt_listeners(&new, &old), 0);
    ck_assert_uint_eq(new.listener_count, 5);
    expect(&new, 0, "stays", false);
    expect(&new, 1, "other", false);
    expect(&new, 2, "moved", false);
    expect(&new, 3, "gone", true);
    expect(&new, 4, "added", false);
    bool kept[] = { true, true, false, false, false, false };
    for (unsigned i = 0; i < 6; i++) {
        ck_assert(config_keeps_listener(&old, &new, i) == kept[i]);
    }

    /* What comes back has its old place, but not its old socket. */
    config_begin(&third);
    add(&third, "gone", 4);
    struct config_listener *thirds = third.listeners;

    ck_assert_int_eq(config_adopt_listeners(&third, &new), 0);
    ck_assert_uint_eq(third.listener_count, 5);
    expect(&third, 3, "gone", false);
    expect(&third, 0, "stays", true);
    ck_assert(!config_keeps_listener(&new, &third, 3));
    arena_done(&third.arena);
    arena_done(&new.arena);
    arena_done(&old.arena);
    free(thirds);
    free(own);
    free(old.listeners);
}
END_TEST

START_TEST(there_are_no_more_than_a_byte_can_count)
{
    struct config old, new;
    static char names[256][8];

    config_begin(&old);
    for (unsigned i = 0; i < 255; i++) {
        snprintf(names[i], sizeof(names[i]), "l%u", i);
        add(&old, names[i], i + 1);
    }
    config_begin(&new);
    add(&new, "one-more", 1000);
    ck_assert_int_eq(config_adopt_listeners(&new, &old), ERR_TOO_BIG);
    new.listener_count = 0;
    add(&new, "l7", 1000);
    struct config_listener *own = new.listeners;
    ck_assert_int_eq(config_adopt_listeners(&new, &old), 0);
    free(own);
    free(old.listeners);
    arena_done(&new.arena);
    arena_done(&old.arena);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("config_change");
    TCase *tc = tcase_create("config_change");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, changes_are_told_by_name, 0, sizeof(changes) / sizeof(changes[0]));
    tcase_add_test(tc, files_that_were_written_since_are_told);
    tcase_add_test(tc, many_changes_are_cut_not_overrun);
    tcase_add_test(tc, listeners_keep_their_index_by_address_then_by_name);
    tcase_add_test(tc, there_are_no_more_than_a_byte_can_count);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(make_suite());

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
