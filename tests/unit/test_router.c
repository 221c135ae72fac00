/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/router.h"

#include <check.h>

#include <stdlib.h>

#define GET        (UINT32_C(1) << HTTP_GET)
#define HEAD       (UINT32_C(1) << HTTP_HEAD)
#define POST       (UINT32_C(1) << HTTP_POST)

#define MAX_ROUTES 16

struct row { /* a route */
    const char *name;
    const char *exact, *prefix; /* prefix as in the snapshot: "" is the root */
    const char *host;           /* NULL: any */
    uint32_t methods;
};

static const struct row rows[] = {
    { "root", NULL, "", NULL, 0 },
    { "a", NULL, "/a", NULL, 0 },
    { "a-get", NULL, "/a", NULL, GET | HEAD },
    { "a-b", NULL, "/a/b", NULL, 0 },
    { "a-b-exact", "/a/b", NULL, NULL, 0 },
    { "a-exact-slash", "/a/", NULL, NULL, 0 },
    { "a-host", NULL, "/a", "api.example.com", 0 },
    { "a-wild", NULL, "/a", "*.example.com", 0 },
    { "a-deep-wild", NULL, "/a", "*.eu.example.com", 0 },
    { "only-host", NULL, "/h", "api.example.com", 0 },
    { "only-get", NULL, "/a/g", "x.test", GET },
    { "only-post", NULL, "/a/g", "x.test", POST },
};

static const struct {
    const char *host, *path;
    enum http_method method;
    const char *route; /* NULL: not found */
} cases[] = {
    { "h", "/", HTTP_GET, "root" },
    { "h", "/x", HTTP_GET, "root" },
    { "h", "/ab", HTTP_GET, "root" },
    { "h", "/a", HTTP_GET, "a-get" },
    { "h", "/a", HTTP_HEAD, "a-get" },
    { "h", "/a", HTTP_POST, "a" },
    { "h", "/a", HTTP_OTHER, "a" },
    { "h", "/a/", HTTP_GET, "a-exact-slash" },
    { "h", "/a/x", HTTP_GET, "a-get" },
    { "h", "/a/b", HTTP_GET, "a-b-exact" },
    { "h", "/a/b/", HTTP_GET, "a-b" },
    { "h", "/a/b/c/d/e", HTTP_GET, "a-b" },
    { "h", "/a/bc", HTTP_POST, "a" },
    { "api.example.com", "/a", HTTP_GET, "a-host" },
    { "api.example.com", "/a/b/c", HTTP_GET, "a-b" }, /* path before host */
    { "web.example.com", "/a", HTTP_GET, "a-wild" },
    { "x.eu.example.com", "/a", HTTP_GET, "a-deep-wild" },
    { "eu.example.com", "/a", HTTP_GET, "a-wild" },
    { "example.com", "/a", HTTP_GET, "a-get" },
    { "notexample.com", "/a", HTTP_POST, "a" },
    { "api.example.com", "/h", HTTP_GET, "only-host" },
    { "other", "/h", HTTP_GET, "root" },
    { "", "/a", HTTP_GET, "a-get" },
    { "x.test", "/a/g", HTTP_GET, "only-get" },
    { "x.test", "/a/g", HTTP_POST, "only-post" },
    { "x.test", "/a/g", HTTP_PUT, "a" }, /* a shorter prefix takes the rest */
    { "h", "*", HTTP_OPTIONS, NULL },
    { "h", "", HTTP_GET, NULL },
};

static struct config_route routes[MAX_ROUTES];
static struct slice hosts[MAX_ROUTES];

static struct router *build(const struct row *table, size_t count, struct diag *diag)
{
    struct config config = { .routes = routes, .route_count = count };

    memset(routes, 0, sizeof(routes));
    for (size_t i = 0; i < count; i++) {
        routes[i].element.name = slice_str(table[i].name);
        routes[i].match.exact = slice_str(table[i].exact);
        routes[i].match.path_prefix = slice_str(table[i].prefix);
        routes[i].match.methods = table[i].methods;
        if (table[i].host != NULL) {
            hosts[i] = slice_str(table[i].host);
            routes[i].match.hosts = &hosts[i];
            routes[i].match.host_count = 1;
        }
    }
    return router_new(&config, diag);
}

START_TEST(the_most_specific_route_wins)
{
    struct router *router = build(rows, sizeof(rows) / sizeof(rows[0]), NULL);
    const struct config_route *route = NULL;
    uint32_t methods = 0;

    ck_assert_ptr_nonnull(router);
    enum router_result result =
        router_find(router, slice_str(cases[_i].host), slice_str(cases[_i].path), cases[_i].method,
                    &route, &methods);

    if (cases[_i].route == NULL) {
        ck_assert_int_eq(result, ROUTER_NO_ROUTE);
    } else {
        ck_assert_int_eq(result, ROUTER_FOUND);
        ck_assert_msg(slice_eq(route->element.name, slice_str(cases[_i].route)), "%s: %.*s",
                      cases[_i].path, SLICE_FMT(route->element.name));
    }
    router_free(router);
}
END_TEST

START_TEST(the_right_path_with_the_wrong_method_says_which_are_right)
{
    static const struct row table[] = {
        { "get", NULL, "/a", NULL, GET },
        { "post", NULL, "/a/b", NULL, POST },
        { "hosted", NULL, "/a/b", "h.test", HEAD },
    };
    struct router *router = build(table, 3, NULL);
    const struct config_route *route = NULL;
    uint32_t methods = 0;

    ck_assert_int_eq(router_find(router, SLICE("x"), SLICE("/a/b"), HTTP_PUT, &route, &methods),
                     ROUTER_METHOD_NOT_ALLOWED);
    ck_assert_uint_eq(methods, GET | POST);
    ck_assert_int_eq(
        router_find(router, SLICE("h.test"), SLICE("/a/b"), HTTP_PUT, &route, &methods),
        ROUTER_METHOD_NOT_ALLOWED);
    ck_assert_uint_eq(methods, GET | POST | HEAD);
    ck_assert_int_eq(router_find(router, SLICE("x"), SLICE("/b"), HTTP_PUT, &route, &methods),
                     ROUTER_NO_ROUTE);
    router_free(router);
}
END_TEST

static const struct {
    struct row a, b;
    bool is_tie;
} ties[] = {
    { { "a", NULL, "/a", NULL, 0 }, { "b", NULL, "/a", NULL, 0 }, true },
    { { "a", "/a", NULL, NULL, 0 }, { "b", "/a", NULL, NULL, 0 }, true },
    { { "a", "/a", NULL, NULL, 0 }, { "b", NULL, "/a", NULL, 0 }, false },
    { { "a", NULL, "/a", "h", 0 }, { "b", NULL, "/a", "h", 0 }, true },
    { { "a", NULL, "/a", "h", 0 }, { "b", NULL, "/a", "i", 0 }, false },
    { { "a", NULL, "/a", "*.h", 0 }, { "b", NULL, "/a", "h", 0 }, false },
    { { "a", NULL, "/a", NULL, GET }, { "b", NULL, "/a", NULL, GET | POST }, true },
    { { "a", NULL, "/a", NULL, GET }, { "b", NULL, "/a", NULL, POST }, false },
    { { "a", NULL, "/a", NULL, GET }, { "b", NULL, "/a", NULL, 0 }, false },
    { { "a", NULL, "", NULL, 0 }, { "b", NULL, "", NULL, 0 }, true },
};

START_TEST(two_routes_for_the_same_requests_are_an_error)
{
    const struct row table[] = { ties[_i].a, ties[_i].b };
    struct diag diag;

    diag_init(&diag);
    struct router *router = build(table, 2, &diag);

    ck_assert_int_eq(router == NULL, ties[_i].is_tie);
    ck_assert_uint_eq(diag.errors, ties[_i].is_tie ? 1 : 0);
    router_free(router);
    diag_done(&diag);
}
END_TEST

START_TEST(ten_thousand_routes_are_all_found)
{
    enum { COUNT = 10000 };
    struct config_route *many = calloc(COUNT, sizeof(*many));
    char(*paths)[32] = calloc(COUNT, sizeof(*paths));
    struct config config = { .routes = many, .route_count = COUNT };

    for (int i = 0; i < COUNT; i++) {
        int len = snprintf(paths[i], sizeof(paths[i]), "/v%d/service-%d", i % 7, i);

        many[i].match.path_prefix = slice_of(paths[i], (size_t)len);
    }
    struct router *router = router_new(&config, NULL);

    ck_assert_ptr_nonnull(router);
    for (int i = 0; i < COUNT; i++) {
        const struct config_route *route = NULL;
        char path[64];
        uint32_t methods;
        int len = snprintf(path, sizeof(path), "%s/items/4711", paths[i]);

        ck_assert_int_eq(router_find(router, SLICE("h"), slice_of(path, (size_t)len), HTTP_GET,
                                     &route, &methods),
                         ROUTER_FOUND);
        ck_assert_ptr_eq(route, &many[i]);
    }
    router_free(router);
    free(paths);
    free(many);
}
END_TEST

START_TEST(a_path_of_very_many_segments_is_looked_up)
{
    static const struct row table[] = { { "a", NULL, "/a", NULL, 0 } };
    struct router *router = build(table, 1, NULL);
    const struct config_route *route = NULL;
    char path[8192];
    uint32_t methods;

    memset(path, '/', sizeof(path));
    path[1] = 'a';
    ck_assert_int_eq(
        router_find(router, SLICE("h"), slice_of(path, sizeof(path)), HTTP_GET, &route, &methods),
        ROUTER_FOUND);
    path[1] = 'b';
    ck_assert_int_eq(
        router_find(router, SLICE("h"), slice_of(path, sizeof(path)), HTTP_GET, &route, &methods),
        ROUTER_NO_ROUTE);
    router_free(router);
}
END_TEST

START_TEST(no_routes_find_nothing)
{
    struct router *router = build(NULL, 0, NULL);
    const struct config_route *route = NULL;
    uint32_t methods;

    ck_assert_int_eq(router_find(router, SLICE("h"), SLICE("/"), HTTP_GET, &route, &methods),
                     ROUTER_NO_ROUTE);
    router_free(router);
    router_free(NULL);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
    Suite *suite = suite_create("router");
    TCase *tc = tcase_create("router");

    tcase_add_loop_test(tc, the_most_specific_route_wins, 0, COUNT(cases));
    tcase_add_test(tc, the_right_path_with_the_wrong_method_says_which_are_right);
    tcase_add_loop_test(tc, two_routes_for_the_same_requests_are_an_error, 0, COUNT(ties));
    tcase_add_test(tc, ten_thousand_routes_are_all_found);
    tcase_add_test(tc, a_path_of_very_many_segments_is_looked_up);
    tcase_add_test(tc, no_routes_find_nothing);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
