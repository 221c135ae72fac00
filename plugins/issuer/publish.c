/* SPDX-License-Identifier: Apache-2.0 */
/* The key set and the metadata of an issuer, as documents that anybody may fetch and keep. */
#include "core/base64url.h"
#include "core/headers.h"
#include "core/uri.h"
#include "plugins/issuer/issuer.h"
#include "plugins/revocation/revocations.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>

#define MAX_DOCUMENT_BYTES 65536u
#define ETAG_BYTES         15u /* of the digest: 20 characters */
#define WELL_KNOWN_OAUTH   "/.well-known/oauth-authorization-server"
#define WELL_KNOWN_OPENID  "/.well-known/openid-configuration"

/* The issuer's address in two parts. */
struct address {
    struct slice origin; /* "https://api.example.com" */
    struct slice path;   /* without "/" at its end: empty, or "/tenant" */
};

/* RFC 8414 section 2: a URL without query and fragment.  Plain http is for tests. */
static int split_issuer(const struct issuer *issuer, const struct option_context *ctx,
                        struct address *ret)
{
    struct slice text = issuer->issuer;
    char *copy = arena_strdup(ctx->arena, text);
    const char *why = NULL;
    struct uri uri;

    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    if (uri_parse(copy, text.len, &uri, &why) < 0 || slice_is_absent(uri.authority) ||
        !slice_is_absent(uri.query) || !uri_authority_is_valid(uri.authority)) {
        diag_at(ctx->diag, DIAG_ERROR, json_get(issuer->where, SLICE("issuer")),
                "token_issuer.issuer", "write \"https://api.example.com\"",
                "this is not a web address without query and fragment");
        return ERR_CONFIG;
    }
    size_t origin_len = uri.scheme.len + 3 + uri.authority.len;

    ret->origin = slice_of(text.ptr, origin_len);
    ret->path = slice_skip(text, origin_len);
    if (ret->path.len > 0 && ret->path.ptr[ret->path.len - 1] == '/') {
        ret->path.len--;
    }
    return 0;
}

/* ---- documents ---- */

/* Takes over the text of `w`. */
static int keep_text(struct issuer_text *ret, struct json_writer *w)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char *end = ret->etag;
    size_t len = 0;

    if (w->failed) {
        json_writer_done(w);
        return ERR_NO_MEMORY;
    }
    ret->text = slice_of(w->buf, w->len);
    if (EVP_Q_digest(NULL, "SHA256", NULL, w->buf, w->len, digest, &len) != 1) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    *end++ = '"';
    end += base64url_encode(digest, ETAG_BYTES, end);
    *end++ = '"';
    *end = '\0';
    return 0;
}

/* NULL: no memory for the path. */
static struct issuer_document *add_document(struct issuer *issuer, const char *path)
{
    struct issuer_document *document = &issuer->documents[issuer->document_count];

    if (path == NULL) {
        return NULL;
    }
    document->path = slice_str(path);
    issuer->endpoints[issuer->document_count++] = (struct gw_endpoint){
        .path = document->path,
        .methods = 1u << HTTP_GET | 1u << HTTP_HEAD,
        .listener = issuer->listener,
        .where = issuer->where,
    };
    return document;
}

static int add_keys(struct issuer *issuer, struct arena *arena)
{
    struct issuer_document *document =
        add_document(issuer, arena_strdup(arena, issuer->paths.jwks));
    struct json_writer w;

    if (document == NULL) {
        return ERR_NO_MEMORY;
    }
    json_writer_init(&w, MAX_DOCUMENT_BYTES);
    int err = signing_keys_write_set(issuer->keys, &w);

    if (err < 0) {
        json_writer_done(&w);
        return err;
    }
    return keep_text(&document->plain, &w);
}

static void write_url(struct json_writer *w, const char *name, const struct address *at,
                      struct slice path)
{
    char url[1024];
    int len = snprintf(url, sizeof(url), "%.*s%.*s", SLICE_FMT(at->origin), SLICE_FMT(path));

    json_write_string(w, name, slice_of(url, (size_t)len));
}

static void write_words(struct json_writer *w, const char *name, const char *const *words)
{
    json_write_begin(w, name, '[');
    for (; *words != NULL; words++) {
        json_write_string(w, NULL, slice_str(*words));
    }
    json_write_end(w, ']');
}

/* RFC 8414 section 2; there is no authorization endpoint, so no response type. */
static void write_metadata(const struct issuer *issuer, const struct address *at,
                           bool with_revocation, struct json_writer *w)
{
    static const char *const grants[] = { "client_credentials", NULL };
    static const char *const methods[] = { "client_secret_basic", "client_secret_post", NULL };
    static const char *const none[] = { NULL };

    json_write_begin(w, NULL, '{');
    json_write_string(w, "issuer", issuer->issuer);
    write_url(w, "jwks_uri", at, issuer->paths.jwks);
    write_words(w, "response_types_supported", none);
    write_words(w, "grant_types_supported", issuer->clients_file == NULL ? none : grants);
    if (issuer->clients_file != NULL) {
        write_url(w, "token_endpoint", at, issuer->paths.token);
        write_words(w, "token_endpoint_auth_methods_supported", methods);
        write_url(w, "introspection_endpoint", at, issuer->paths.introspect);
        write_words(w, "introspection_endpoint_auth_methods_supported", methods);
    }
    if (issuer->clients_file != NULL && with_revocation) {
        write_url(w, "revocation_endpoint", at, issuer->paths.revoke);
        write_words(w, "revocation_endpoint_auth_methods_supported", methods);
    }
    json_write_end(w, '}');
}

static int make_metadata(const struct issuer *issuer, const struct address *at,
                         bool with_revocation, struct issuer_text *ret)
{
    struct json_writer w;

    json_writer_init(&w, MAX_DOCUMENT_BYTES);
    write_metadata(issuer, at, with_revocation, &w);
    return keep_text(ret, &w);
}

static int add_metadata(struct issuer *issuer, const struct address *at, const char *path)
{
    struct issuer_document *document = add_document(issuer, path);
    int err = document == NULL ? ERR_NO_MEMORY : make_metadata(issuer, at, false, &document->plain);

    return err < 0 ? err : make_metadata(issuer, at, true, &document->with_revocation);
}

int issuer_publish(struct issuer *issuer, const struct option_context *ctx)
{
    struct arena *arena = ctx->arena;
    struct address at;
    int err = split_issuer(issuer, ctx, &at);

    if (err == 0) {
        err = add_keys(issuer, arena);
    }
    if (err == 0) { /* RFC 8414 section 3.1: between host and path */
        err = add_metadata(issuer, &at,
                           arena_printf(arena, WELL_KNOWN_OAUTH "%.*s", SLICE_FMT(at.path)));
    }
    if (err == 0) { /* OpenID Connect Discovery 1.0 section 4: behind the path */
        err = add_metadata(issuer, &at,
                           arena_printf(arena, "%.*s" WELL_KNOWN_OPENID, SLICE_FMT(at.path)));
    }
    snprintf(issuer->cache_control, sizeof(issuer->cache_control), "public, max-age=%llu",
             (unsigned long long)issuer->jwks_max_age_ms / 1000);
    return err;
}

void issuer_publish_done(struct issuer *issuer)
{
    for (size_t i = 0; i < issuer->document_count; i++) {
        free((char *)(uintptr_t)issuer->documents[i].plain.text.ptr);
        free((char *)(uintptr_t)issuer->documents[i].with_revocation.text.ptr);
    }
    issuer->document_count = 0;
}

/* ---- requests ---- */

/* RFC 9110 section 13.1.2: a weak comparison with each of the list. */
static bool is_known(const struct headers *headers, struct slice etag)
{
    struct slice list = headers_get(headers, SLICE("if-none-match")), one;

    while (headers_next_token(&list, &one)) {
        if (slice_starts_with(one, SLICE("W/"))) {
            one = slice_skip(one, 2);
        }
        if (slice_eq(one, etag) || slice_eq(one, SLICE("*"))) {
            return true;
        }
    }
    return false;
}

/* Whether revocations are kept is another part of the configuration, and may change by itself. */
static const struct issuer_text *text_of(const struct gw_call *call,
                                         const struct issuer_document *document)
{
    return slice_is_absent(document->with_revocation.text) || !revocations_are_kept(call)
               ? &document->plain
               : &document->with_revocation;
}

enum gw_verdict issuer_answer(struct gw_call *call, const struct issuer *issuer)
{
    struct slice path = gw_path(call->req);
    size_t i = 0;

    while (i < issuer->document_count && !slice_eq(issuer->documents[i].path, path)) {
        i++;
    }
    if (i == issuer->document_count) {
        return GW_FAIL; /* not one of the endpoints */
    }
    const struct issuer_text *text = text_of(call, &issuer->documents[i]);
    struct gw_reply reply = {
        .status = 200,
        .content_type = i == 0 ? SLICE("application/jwk-set+json") : SLICE("application/json"),
        .body = text->text,
        .cache_control = slice_str(issuer->cache_control),
        .etag = slice_str(text->etag),
    };

    if (is_known(gw_headers(call->req), reply.etag)) {
        reply.status = 304;
        reply.body = SLICE_ABSENT;
    }
    return gw_reply(call, &reply);
}
