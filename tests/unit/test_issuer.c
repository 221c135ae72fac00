/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer: its keys, what it publishes, what it signs. */
#include "core/base64url.h"
#include "core/clock.h"
#include "plugins/issuer/issue.h"
#include "plugins/jwt/jwt_auth.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fake_host.h"
#include "tests/support/folder.h"

#define NOW    1800000000
#define SECRET "0123456789abcdef0123456789abcdef"
#define JWKS   "/.well-known/jwks.json"

static struct fake_host host;
static bool is_loaded;

/* The kid of a new private key. */
static const char *make_key(const char *name, const char *curve)
{
    static char kid[2][JWK_THUMBPRINT_BYTES + 1];
    static unsigned turn;
    EVP_PKEY *pkey = curve == NULL ? EVP_RSA_gen(2048) : EVP_EC_gen(curve);
    FILE *file = fopen(folder_path(name), "w");
    struct jwa_key key;
    const char *why;

    ck_assert(pkey != NULL && file != NULL);
    ck_assert_int_eq(PEM_write_PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    chmod(folder_path(name), 0600);
    ck_assert_int_eq(jwa_key_from_pkey(pkey, &key, &why), 0);
    turn = !turn;
    ck_assert_int_eq(jwk_thumbprint(&key, kid[turn]), 0);
    jwa_key_done(&key);
    return kid[turn];
}

static void unload(void)
{
    if (is_loaded) {
        fake_host_done(&host);
    }
    is_loaded = false;
}

static const struct gw_plugin *const plugins[] = { &issuer_plugin, &jwt_plugin, NULL };

/* A configuration of these members; "%s" stands for the folder. */
static unsigned load_all(const char *members)
{
    char text[4096] = "{";
    const char *rest = members;
    size_t len = 1;

    unload();
    is_loaded = true;
    for (const char *at; (at = strstr(rest, "%s")) != NULL; rest = at + 2) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s%s", (int)(at - rest), rest,
                                folder_path("."));
    }
    snprintf(text + len, sizeof(text) - len, "%s}", rest);
    return fake_host_load(&host, plugins, text);
}

/* token_issuer with these members. */
static unsigned load(const char *members)
{
    char text[2048];

    snprintf(text, sizeof(text), "\"token_issuer\":{%s}", members);
    return load_all(text);
}

static void setup(void)
{
    folder_make();
    clock_set(1000, (uint64_t)NOW * 1000000u);
}

static void teardown(void)
{
    unload();
    folder_remove();
    clock_unset();
}

#define ISSUER "\"issuer\":\"https://i.test/tenant/\","
#define HS                                                                                         \
    "\"access_token\":{\"algorithm\":\"HS256\"},\"signing_keys\":[{\"key_file\":\"%s/secret\"}]"
/* A provider of our own tokens, and a route that wants them. */
#define OWN(alg)                                                                                   \
    "\"providers\":{\"own\":{\"issuer\":\"https://i.test/tenant/\",\"audiences\":[\"a\"],"         \
    "\"algorithms\":[\"" alg "\"],\"keys\":[{\"token_issuer\":true}]}},\"routes\":{\"r\":{"        \
    "\"auth\":{\"provider\":\"own\"}}}"
#define ES "\"access_token\":{\"algorithm\":\"ES256\"},"

START_TEST(mistakes_are_told)
{
    static const struct {
        const char *members, *what;
    } vectors[] = {
        { ISSUER "\"signing_keys\":[]", "neither or both" },
        { ISSUER "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}],\"signing_keys_file\":\"x\"",
          "neither or both" },
        { ISSUER "\"signing_keys\":[{\"key_file\":\"%s/none.pem\"}]", "cannot open" },
        { ISSUER "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]", "not one for RS256" },
        { ISSUER "\"signing_keys\":[{\"key_file\":\"%s/secret\"}]", "PEM private key" },
        { ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"},{\"key_file\":\"%s/b.pem\"}]",
          "two keys are to sign" },
        { ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"},{\"key_file\":\"%s/a.pem\","
                    "\"use\":\"publish\"}]",
          "there already" },
        { ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\",\"use\":\"retire\"}]", "retire" },
        { "\"issuer\":\"i.test\"," ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]",
          "web address" },
        { "\"issuer\":\"https://i.test?q\"," ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]",
          "web address" },
        { ISSUER "\"paths\":{\"jwks\":\"keys\"},\"signing_keys\":[]", "plain path" },
        { ISSUER "\"signing_keys_file\":\"%s/ring.json\"", "another one than" },
        { ISSUER ES "\"paths\":{\"jwks\":\"/oauth2/token\"},\"signing_keys\":[{\"key_file\":\"%s/"
                    "a.pem\"}]",
          "two endpoints have the path" },
    };

    folder_write("secret", SECRET "\n", 0600);
    make_key("a.pem", "P-256");
    make_key("b.pem", "P-256");
    folder_write(
        "ring.json",
        "{\"version\":1,\"keys\":[{\"kid\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
        "\"alg\":\"ES256\",\"key_file\":\"a.pem\",\"state\":\"signing\",\"since\":1}]}",
        0600);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        ck_assert_uint_gt(load(vectors[i].members), 0);
        ck_assert_msg(fake_host_complains(&host, vectors[i].what), "%s: not %s", vectors[i].members,
                      vectors[i].what);
    }
    chmod(folder_path("a.pem"), 0644);
    ck_assert_uint_gt(load(ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]"), 0);
    ck_assert(fake_host_complains(&host, "can be read by others"));
}
END_TEST

static struct gw_request *ask(const char *path, const char *line)
{
    const char *lines[] = { line, NULL };

    return fake_host_ask(&host, path, line == NULL ? NULL : lines, NULL);
}

START_TEST(the_key_set_has_every_public_key_and_no_private_part)
{
    make_key("a.pem", "P-256");
    const char *next = make_key("b.pem", "P-256");

    ck_assert_uint_eq(load(ISSUER ES "\"jwks_max_age\":\"90s\",\"signing_keys\":["
                                     "{\"key_file\":\"%s/a.pem\"},"
                                     "{\"key_file\":\"%s/b.pem\",\"use\":\"publish\"}]"),
                      0);
    struct gw_request *req = ask(JWKS, NULL);
    ck_assert_uint_eq(req->reply.status, 200);
    ck_assert(slice_eq(req->reply.content_type, SLICE("application/jwk-set+json")));
    ck_assert(slice_eq(req->reply.cache_control, SLICE("public, max-age=90")));
    const struct json *set = json_parse(&req->arena, req->reply.body, &jwk_limits, NULL);
    const struct json *keys = json_get(set, SLICE("keys"));
    ck_assert_uint_eq(keys->count, 2);
    for (const struct json *key = keys->child; key != NULL; key = key->next) {
        ck_assert_ptr_null(json_get(key, SLICE("d")));
        ck_assert(slice_eq(json_get(key, SLICE("alg"))->text, SLICE("ES256")));
        ck_assert(slice_eq(json_get(key, SLICE("use"))->text, SLICE("sig")));
    }
    ck_assert(slice_eq(json_get(keys->child->next, SLICE("kid"))->text, slice_str(next)));
    fake_host_end(req);
}
END_TEST

START_TEST(a_secret_is_never_published)
{
    folder_write("secret", SECRET "\n", 0600);
    ck_assert_uint_eq(load_all("\"token_issuer\":{" ISSUER HS "}," OWN("HS256")), 0);
    struct gw_request *req = ask(JWKS, NULL);
    ck_assert(slice_eq(req->reply.body, SLICE("{\"keys\":[]}")));
    fake_host_end(req);
}
END_TEST

START_TEST(who_knows_the_document_gets_304)
{
    static const struct {
        const char *format;
        unsigned status;
    } vectors[] = {
        { "if-none-match: %s", 304 },
        { "if-none-match: W/%s", 304 },
        { "if-none-match: \"x\", %s", 304 },
        { "if-none-match: *", 304 },
        { "if-none-match: \"x\"", 200 },
        { "if-none-match: ", 200 },
        { "if-match: %s", 200 },
    };
    char etag[64];

    make_key("a.pem", "P-256");
    ck_assert_uint_eq(load(ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]"), 0);
    struct gw_request *req = ask(JWKS, NULL);
    snprintf(etag, sizeof(etag), "%.*s", SLICE_FMT(req->reply.etag));
    ck_assert(etag[0] == '"' && strlen(etag) == 22);
    fake_host_end(req);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char line[128];
        const char *at = strstr(vectors[i].format, "%s");

        snprintf(line, sizeof(line), "%.*s%s",
                 at == NULL ? (int)strlen(vectors[i].format) : (int)(at - vectors[i].format),
                 vectors[i].format, at == NULL ? "" : etag);
        req = ask(JWKS, line);
        ck_assert_msg(req->reply.status == vectors[i].status, "%s", line);
        ck_assert_uint_eq(req->reply.body.len == 0, vectors[i].status == 304);
        ck_assert(slice_eq(req->reply.etag, slice_str(etag)));
        fake_host_end(req);
    }
}
END_TEST

START_TEST(metadata_is_where_both_standards_look)
{
    static const char *const paths[] = { "/.well-known/oauth-authorization-server/tenant",
                                         "/tenant/.well-known/openid-configuration" };

    make_key("a.pem", "P-256");
    ck_assert_uint_eq(load(ISSUER ES "\"paths\":{\"jwks\":\"/keys\"},"
                                     "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]"),
                      0);
    for (size_t i = 0; i < 2; i++) {
        struct gw_request *req = ask(paths[i], NULL);
        ck_assert(slice_eq(req->reply.content_type, SLICE("application/json")));
        const struct json *root =
            json_parse(&req->arena, req->reply.body, &json_limits_token, NULL);
        ck_assert(slice_eq(json_get(root, SLICE("issuer"))->text, SLICE("https://i.test/tenant/")));
        ck_assert(slice_eq(json_get(root, SLICE("jwks_uri"))->text, SLICE("https://i.test/keys")));
        ck_assert_uint_eq(json_get(root, SLICE("response_types_supported"))->count, 0);
        ck_assert_ptr_null(json_get(root, SLICE("token_endpoint"))); /* there are no clients */
        fake_host_end(req);
    }
}
END_TEST

/* ---- signing ---- */

static struct token_claims claims;
static struct issued_token *token;
static unsigned signed_count;

static enum gw_verdict on_signed(struct gw_call *call)
{
    signed_count++;
    return GW_NEXT;
}

static enum gw_verdict sign(struct gw_call *call)
{
    return issuer_sign(call, issuer_of_top(call->top), &claims, on_signed, &token);
}

/* Sign in the place of the endpoint; the payload, in an arena. */
static const struct json *issue(struct arena *arena)
{
    struct gw_request req = { .verdict = GW_NEXT };
    struct gw_call call = { .req = &req, .top = host.tops[0] };
    struct jws jws;
    struct slice payload;

    signed_count = 0;
    if (sign(&call) == GW_WAIT) {
        ck_assert_int_eq(req.pending(&call), GW_NEXT);
    }
    if (token == NULL || token->text == NULL) {
        return NULL;
    }
    ck_assert_uint_eq(signed_count, 1);
    arena_init(arena, NULL, 0, 1u << 20);
    ck_assert_int_eq(jws_split(slice_str(token->text), &jws), 0);
    ck_assert_int_eq(jws_decode(arena, jws.payload, &payload), 0);
    return json_parse(arena, payload, &json_limits_token, NULL);
}

static struct slice text_of(const struct json *root, const char *name)
{
    const struct json *value = json_get(root, slice_str(name));

    ck_assert_msg(value != NULL, "no %s", name);
    return value->text;
}

START_TEST(a_token_is_one_of_rfc_9068)
{
    static const struct slice audiences[] = { { "a", 1 }, { "b", 1 } };
    struct arena arena, extra;
    struct jws_header header;
    struct jws jws;
    uint8_t sig[JWA_MAX_SIGNATURE_BYTES];
    size_t sig_len;
    const char *kid = make_key("a.pem", NULL);

    ck_assert_uint_eq(load(ISSUER "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]"), 0);
    arena_init(&extra, NULL, 0, 1u << 20);
    claims = (struct token_claims){
        .subject = SLICE("c1"),
        .client_id = SLICE("c1"),
        .scope = SLICE("x y"),
        .audiences = audiences,
        .audience_count = 2,
        .extra = json_parse(&extra,
                            SLICE("{\"iss\":\"evil\",\"exp\":9,\"tenant\":{\"id\":[1.50,null]},"
                                  "\"sub\":\"evil\",\"scope\":\"all\",\"client_id\":1,"
                                  "\"jti\":\"1\",\"nbf\":0,\"iat\":0,\"aud\":\"evil\"}"),
                            &json_limits_token, NULL),
    };
    const struct json *root = issue(&arena);
    ck_assert_ptr_nonnull(root);
    ck_assert_uint_eq(root->count, 10);
    ck_assert(slice_eq(text_of(root, "iss"), SLICE("https://i.test/tenant/")));
    ck_assert(slice_eq(text_of(root, "sub"), SLICE("c1")));
    ck_assert(slice_eq(text_of(root, "client_id"), SLICE("c1")));
    ck_assert(slice_eq(text_of(root, "scope"), SLICE("x y")));
    ck_assert(slice_eq(text_of(root, "iat"), SLICE("1800000000")));
    ck_assert(slice_eq(text_of(root, "nbf"), SLICE("1800000000")));
    ck_assert(slice_eq(text_of(root, "exp"), SLICE("1800000900")));
    ck_assert(slice_eq(text_of(root, "jti"), slice_str(token->jti)));
    ck_assert_uint_eq(json_get(root, SLICE("aud"))->count, 2);
    ck_assert(slice_eq(json_pointer(root, SLICE("/tenant/id/0"))->text, SLICE("1.50")));
    ck_assert_int_eq(token->lifetime_s, 900);
    ck_assert(token->jti[14] == '4' && strlen(token->jti) == 36);

    ck_assert_int_eq(jws_split(slice_str(token->text), &jws), 0);
    ck_assert_int_eq(jws_read_header(&arena, jws.header, &header), JWT_OK);
    ck_assert(slice_eq(header.typ, SLICE("at+jwt")));
    ck_assert(slice_eq(header.alg, SLICE("RS256")));
    ck_assert(slice_eq(header.kid, slice_str(kid)));
    ck_assert_int_eq(base64url_decode(jws.signature, sig, &sig_len), 0);
    struct jwa_verifier *verifier = jwa_verifier_new(token->key->alg, &token->key->key);
    ck_assert(jwa_verify(verifier, jws.signing_input, sig, sig_len));
    jwa_verifier_free(verifier);
    issued_token_unref(token);
    arena_done(&arena);
    arena_done(&extra);
}
END_TEST

START_TEST(a_token_may_live_shorter_but_not_longer_than_the_issuer_says)
{
    static const struct slice audience = { "a", 1 };
    struct arena arena;

    make_key("a.pem", "P-256");
    ck_assert_uint_eq(load(ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]"), 0);
    claims = (struct token_claims){ .subject = SLICE("u"), .audiences = &audience };
    claims.audience_count = 1;
    claims.ttl_ms = 60000;
    const struct json *root = issue(&arena);
    ck_assert(slice_eq(text_of(root, "exp"), SLICE("1800000060")));
    ck_assert(slice_eq(text_of(root, "aud"), SLICE("a")));
    ck_assert_ptr_null(json_get(root, SLICE("client_id")));
    ck_assert_ptr_null(json_get(root, SLICE("scope")));
    issued_token_unref(token);
    arena_done(&arena);
    claims.ttl_ms = 3600000;
    root = issue(&arena);
    ck_assert(slice_eq(text_of(root, "exp"), SLICE("1800000900")));
    issued_token_unref(token);
    arena_done(&arena);
}
END_TEST

START_TEST(without_a_key_nothing_is_signed)
{
    struct arena arena;

    make_key("a.pem", "P-256");
    ck_assert_uint_eq(
        load(ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\",\"use\":\"publish\"}]"), 0);
    ck_assert(fake_host_complains(&host, "no key signs"));
    ck_assert_ptr_null(issue(&arena));
    ck_assert_ptr_null(token);
    ck_assert_uint_eq(signed_count, 0);
}
END_TEST

START_TEST(claims_have_a_limit)
{
    static const struct slice audience = { "a", 1 };
    static char subject[ISSUE_MAX_CLAIMS_BYTES];
    struct arena arena;

    make_key("a.pem", "P-256");
    ck_assert_uint_eq(load(ISSUER ES "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]"), 0);
    memset(subject, 's', sizeof(subject));
    claims = (struct token_claims){
        .subject = slice_of(subject, sizeof(subject)),
        .audiences = &audience,
        .audience_count = 1,
    };
    ck_assert_ptr_null(issue(&arena));
    ck_assert_uint_eq(signed_count, 0);
    issued_token_unref(token);
}
END_TEST

/* ---- verifying ---- */

static void expect_pass(void)
{
    static const struct slice audience = { "a", 1 };
    char line[2048];
    const char *const lines[] = { line, NULL };
    struct arena arena;

    claims = (struct token_claims){ .subject = SLICE("c1"), .client_id = SLICE("c1") };
    claims.audiences = &audience;
    claims.audience_count = 1;
    ck_assert_ptr_nonnull(issue(&arena));
    snprintf(line, sizeof(line), "authorization: Bearer %s", token->text);
    struct gw_request *req = fake_host_run(&host, "r", lines, NULL);
    ck_assert_int_eq(req->verdict, GW_NEXT);
    ck_assert_str_eq(req->decision, "ok");
    fake_host_end(req);
    issued_token_unref(token);
    arena_done(&arena);
}

START_TEST(a_provider_of_its_own_tokens_has_the_keys)
{
    folder_write("secret", SECRET "\n", 0600);
    ck_assert_uint_eq(load_all("\"token_issuer\":{" ISSUER HS "}," OWN("HS256")), 0);
    expect_pass();
    make_key("a.pem", "P-256");
    ck_assert_uint_eq(load_all("\"token_issuer\":{" ISSUER ES
                               "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]}," OWN("ES256")),
                      0);
    expect_pass();
}
END_TEST

START_TEST(secrets_are_for_this_gateway_alone)
{
    static const struct {
        const char *members, *what;
    } vectors[] = {
        { "\"token_issuer\":{" ISSUER HS "}", "no provider verifies them" },
        { "\"token_issuer\":{\"issuer\":\"https://j.test\"," HS "}," OWN("HS256"),
          "not the one of token_issuer" },
        { OWN("HS256"), "issues no tokens" },
        { "\"token_issuer\":{" ISSUER HS "}," OWN("RS256"), "no algorithm of the provider" },
    };

    folder_write("secret", SECRET "\n", 0600);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        ck_assert_uint_gt(load_all(vectors[i].members), 0);
        ck_assert_msg(fake_host_complains(&host, vectors[i].what), "%s", vectors[i].what);
    }
}
END_TEST

START_TEST(a_reload_sees_that_a_providers_own_keys_are_others)
{
    struct fake_host other;

    make_key("a.pem", "P-256");
    ck_assert_uint_eq(load_all("\"token_issuer\":{" ISSUER ES
                               "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]}," OWN("ES256")),
                      0);
    other = host;
    is_loaded = false;
    make_key("a.pem", "P-256");
    ck_assert_uint_eq(load_all("\"token_issuer\":{" ISSUER ES
                               "\"signing_keys\":[{\"key_file\":\"%s/a.pem\"}]}," OWN("ES256")),
                      0);
    ck_assert(!issuer_plugin.top_is_same(other.tops[0], host.tops[0]));
    ck_assert(!jwt_plugin.top_is_same(other.tops[1], host.tops[1]));
    fake_host_done(&other);
}
END_TEST

/* ---- the ring ---- */

static void write_ring(const char *kid_a, const char *state_a, const char *kid_b,
                       const char *state_b, int since)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "{\"version\":1,\"keys\":[{\"kid\":\"%s\",\"alg\":\"ES256\",\"key_file\":\"a.pem\","
             "\"state\":\"%s\",\"since\":%d},{\"kid\":\"%s\",\"alg\":\"ES256\",\"key_file\":"
             "\"b.pem\",\"state\":\"%s\",\"since\":1}]}",
             kid_a, state_a, since, kid_b, state_b);
    folder_write("ring.json", text, 0600);
}

START_TEST(a_ring_says_which_key_signs)
{
    struct fake_host other;
    const char *a = make_key("a.pem", "P-256"), *b = make_key("b.pem", "P-256");

    write_ring(a, "retired", b, "signing", 1);
    ck_assert_uint_eq(load(ISSUER "\"signing_keys_file\":\"%s/ring.json\""), 0);
    const struct issuer *issuer = issuer_of_top(host.tops[0]);
    ck_assert_str_eq(issuer->keys->active->kid, b);
    ck_assert_uint_eq(issuer->keys->count, 2);
    ck_assert_int_eq(issuer->keys->keys[0].state, KEY_RETIRED);
    other = host;
    is_loaded = false;
    ck_assert_uint_eq(load(ISSUER "\"signing_keys_file\":\"%s/ring.json\""), 0);
    ck_assert(issuer_plugin.top_is_same(other.tops[0], host.tops[0]));
    write_ring(a, "signing", b, "published", 1);
    ck_assert_uint_eq(load(ISSUER "\"signing_keys_file\":\"%s/ring.json\""), 0);
    ck_assert(!issuer_plugin.top_is_same(other.tops[0], host.tops[0]));
    ck_assert_str_eq(issuer_of_top(host.tops[0])->keys->active->kid, a);
    fake_host_done(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("issuer");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, mistakes_are_told);
    tcase_add_test(cases, the_key_set_has_every_public_key_and_no_private_part);
    tcase_add_test(cases, a_secret_is_never_published);
    tcase_add_test(cases, who_knows_the_document_gets_304);
    tcase_add_test(cases, metadata_is_where_both_standards_look);
    tcase_add_test(cases, a_token_is_one_of_rfc_9068);
    tcase_add_test(cases, a_token_may_live_shorter_but_not_longer_than_the_issuer_says);
    tcase_add_test(cases, without_a_key_nothing_is_signed);
    tcase_add_test(cases, claims_have_a_limit);
    tcase_add_test(cases, a_provider_of_its_own_tokens_has_the_keys);
    tcase_add_test(cases, secrets_are_for_this_gateway_alone);
    tcase_add_test(cases, a_reload_sees_that_a_providers_own_keys_are_others);
    tcase_add_test(cases, a_ring_says_which_key_signs);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
