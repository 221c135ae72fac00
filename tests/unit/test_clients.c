/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/clients.h"

#include <check.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHA256 "sha256:AAECAwQFBgcICQoLDA0ODw:EEqYVo55l7MGfPvwVPSRCq7RN6JXw-TBbKyW9De5Grw"
#define SCRYPT "scrypt:16384:8:1:AAECAwQFBgcICQoLDA0ODw:11kKyiyYAc8G7rp3KmncMc44YlkdllIqxOa7pq0fMaU"
#define ONE    "\"secret_hash\": \"" SHA256 "\""

static char folder[] = "/tmp/jwtgate-clients-XXXXXX";
static char file[64];
static struct arena arena;
static struct diag diag;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/clients.jsonc", folder);
}

static void teardown(void)
{
    unlink(file);
    rmdir(folder);
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
}

static void write_file(const char *text, mode_t mode)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

static struct clients *load(void)
{
    const struct option_context ctx = { .diag = &diag, .arena = &arena };
    struct clients *clients = NULL;

    diag_init(&diag);
    arena_init(&arena, NULL, 0, 1u << 22);
    int err = clients_read(file, &ctx, NULL, "token_issuer.clients_file", &clients);

    ck_assert_int_eq(err == 0, diag.errors == 0 && clients != NULL);
    return clients;
}

static void unload(struct clients *clients)
{
    clients_free(clients);
    arena_done(&arena);
    diag_done(&diag);
}

static void expect_error(const char *text, const char *place, const char *message)
{
    char *out = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&out, &len);

    write_file(text, 0600);
    ck_assert_ptr_null(load());
    diag_print(&diag, stream);
    fclose(stream);
    ck_assert_msg(strstr(out, place) != NULL && strstr(out, message) != NULL, "%s\n%s", text, out);
    free(out);
    unload(NULL);
}

START_TEST(clients_are_read_with_comments)
{
    write_file("// who may ask\n{\"clients\": {\n"
               "  \"billing\": {" ONE ", \"scopes\": [\"orders:read\", \"orders:write\"],\n"
               "    \"audiences\": [\"orders\"], \"claims\": {\"tenant\": \"acme\"}}, /* two */\n"
               "  \"reports\": {\"secret_hash\": \"" SCRYPT "\"}\n}}\n",
               0600);
    struct clients *clients = load();
    size_t count;

    ck_assert_ptr_nonnull(clients);
    const struct client *list = clients_list(clients, &count);
    ck_assert_uint_eq(count, 2);
    const struct client *billing = clients_find(clients, SLICE("billing"));
    ck_assert_ptr_eq(billing, &list[0]);
    ck_assert_uint_eq(billing->scopes.count, 2);
    ck_assert(slice_eq(billing->scopes.items[1], SLICE("orders:write")));
    ck_assert(slice_eq(billing->audiences.items[0], SLICE("orders")));
    ck_assert(slice_eq(json_get(billing->claims, SLICE("tenant"))->text, SLICE("acme")));
    ck_assert_int_eq(client_secret_check(&billing->secret, SLICE("correct horse battery staple")),
                     0);
    const struct client *reports = clients_find(clients, SLICE("reports"));
    ck_assert_int_eq(reports->secret.kind, CLIENT_SECRET_SCRYPT);
    ck_assert_uint_eq(reports->scopes.count, 0);
    ck_assert_ptr_null(reports->claims);
    ck_assert_ptr_null(clients_find(clients, SLICE("Billing")));
    unload(clients);
}
END_TEST

START_TEST(mistakes_have_their_place)
{
    expect_error("{\n \"clients\": {\"a\": {\"secret_hash\": \"sha256:x\"}}}",
                 ":2:35: error:", "clients.a.secret_hash: not the hash of a secret: salt and hash");
    expect_error("{\"clients\": {\"a\": {\"secret_hash\": 5}}}", ":1:", "it is not a string");
    expect_error("{\"clients\": {\"a\": {}}}", ":1:14:", "\"secret_hash\" is missing");
    expect_error("{\"clients\": {\"a\": {" ONE ", \"scope\": []}}}",
                 ":1:", "unknown key \"scope\"");
    expect_error("{\"clients\": {\"a b\": {" ONE "}}}", ":1:", "\"a b\" is not a name");
    expect_error("{\"clients\": {\"a\": {" ONE ", \"scopes\": [\"x y\"]}}}", ":1:", "not a scope");
    expect_error("{\"clients\": {\"a\": {" ONE ", \"scopes\": [\"\"]}}}", ":1:", "not a scope");
    expect_error("{\"clients\": {\"a\": {" ONE ", \"audiences\": [\"\"]}}}",
                 ":1:", "not an audience");
    expect_error("{\"clients\": {\"a\": {" ONE ", \"claims\": [1]}}}", ":1:", "must be an object");
    expect_error("{\"clients\": {\"a\": {" ONE ", \"claims\": {\"sub\": \"x\"}}}}",
                 ":1:", "the claim \"sub\" is the gateway's own");
    expect_error("{\"clients\": {\"a\": {" ONE "}, \"a\": {" ONE "}}}", ":1:", "\"a\"");
    expect_error("{\"clients\": {},}", ":1:15:", "trailing comma");
    expect_error("{}", ":1:1:", "\"clients\" is missing");
    expect_error("[]", ":1:1:", "must be an object");
    expect_error("", "clients.jsonc", "error");
}
END_TEST

START_TEST(excerpts_do_not_show_hashes)
{
    char *out = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&out, &len);

    write_file("{\"clients\": {\"a\": {" ONE ", \"scope\": []}}}", 0600);
    ck_assert_ptr_null(load());
    diag_print(&diag, stream);
    fclose(stream);
    ck_assert_ptr_null(strstr(out, "EEqYVo55"));
    free(out);
    unload(NULL);
}
END_TEST

START_TEST(claims_have_limits)
{
    char text[8192];
    size_t len = (size_t)snprintf(text, sizeof(text),
                                  "{\"clients\": {\"a\": {" ONE ", \"claims\": {\"x\": \"");

    memset(text + len, 'y', 2048);
    snprintf(text + len + 2048, sizeof(text) - len - 2048, "\"}}}}");
    expect_error(text, ":1:", "more than 32 claims or 2048 bytes");
}
END_TEST

START_TEST(a_file_that_others_can_read_is_refused)
{
    struct clients *clients;

    write_file("{\"clients\": {}}", 0644);
    ck_assert_ptr_null(load());
    ck_assert_ptr_nonnull(strstr(diag.entries[0].message, "can be read by others"));
    unload(NULL);
    unlink(file);
    ck_assert_ptr_null(load());
    ck_assert_ptr_nonnull(strstr(diag.entries[0].message, "does not exist"));
    ck_assert_ptr_nonnull(strstr(diag.entries[0].remedy, "jwtgate client add"));
    unload(NULL);
    write_file("{\"clients\": {}}", 0600);
    clients = load();
    ck_assert_ptr_nonnull(clients);
    unload(clients);
}
END_TEST

START_TEST(a_change_of_the_text_is_seen)
{
    struct arena first_arena;
    struct diag first_diag;

    write_file("{\"clients\": {\"a\": {" ONE "}}}", 0600);
    struct clients *first = load();
    first_arena = arena;
    first_diag = diag;
    struct clients *second = load();
    ck_assert(clients_are_same(first, second));
    unload(second);
    write_file("{\"clients\": {\"b\": {" ONE "}}}", 0600);
    second = load();
    ck_assert(!clients_are_same(first, second));
    unload(second);
    arena = first_arena;
    diag = first_diag;
    unload(first);
}
END_TEST

/* Unknown ids look like known ones: each like one of them for good, all kinds occur, and nothing has the
 * secret. */
START_TEST(a_stand_in_costs_what_a_client_costs)
{
    unsigned kinds[2] = { 0, 0 };
    struct client_secret first, again;
    char id[16];

    write_file("{\"clients\": {\"a\": {" ONE "}, \"b\": {\"secret_hash\": \"" SCRYPT "\"}}}", 0600);
    struct clients *clients = load();
    for (unsigned i = 0; i < 64; i++) {
        snprintf(id, sizeof(id), "unknown%u", i);
        clients_stand_in(clients, slice_str(id), &first);
        clients_stand_in(clients, slice_str(id), &again);
        ck_assert_int_eq(first.kind, again.kind);
        ck_assert_mem_eq(first.salt, again.salt, sizeof(first.salt));
        kinds[first.kind]++;
        if (first.kind == CLIENT_SECRET_SCRYPT) {
            ck_assert_uint_eq(first.n, 16384);
            ck_assert_uint_eq(first.r, 8);
            ck_assert_uint_eq(first.p, 1);
        } else {
            ck_assert_int_eq(client_secret_check(&first, SLICE("correct horse battery staple")),
                             ERR_BAD_INPUT);
        }
    }
    ck_assert_uint_gt(kinds[CLIENT_SECRET_SHA256], 8);
    ck_assert_uint_gt(kinds[CLIENT_SECRET_SCRYPT], 8);
    unload(clients);
    write_file("{\"clients\": {}}", 0600);
    clients = load();
    clients_stand_in(clients, SLICE("x"), &first);
    ck_assert_int_eq(first.kind, CLIENT_SECRET_SHA256);
    unload(clients);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clients");
    TCase *cases = tcase_create("clients");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, clients_are_read_with_comments);
    tcase_add_test(cases, mistakes_have_their_place);
    tcase_add_test(cases, excerpts_do_not_show_hashes);
    tcase_add_test(cases, claims_have_limits);
    tcase_add_test(cases, a_file_that_others_can_read_is_refused);
    tcase_add_test(cases, a_change_of_the_text_is_seen);
    tcase_add_test(cases, a_stand_in_costs_what_a_client_costs);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
