/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/token: tokens for clients that authenticate (RFC 6749 section 4.4), as RFC 9068 has them.
 * A client gets the scopes and audiences that its entry allows: those that it asks for (`scope`, and
 * `audience` or RFC 8707's `resource`), or all of them. */
#include "plugins/issuer/client_endpoints.h"
#include "plugins/issuer/issue.h"
#include "plugins/issuer/oauth_error.h"

#include <openssl/crypto.h>

#include <stdio.h>

#define MAX_ANSWER_BYTES 32768u
#define RETRY_AFTER_S    1u

struct own {
    struct slice scope;         /* absent: none */
    struct issued_token *token; /* a reference */
};

static struct own *own_of(const struct gw_call *call)
{
    return ((const struct client_request *)call->state)->own;
}

/* ---- what the client may have ---- */

static bool has_string(const struct option_strings *list, struct slice text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_eq(list->items[i], text)) {
            return true;
        }
    }
    return false;
}

/* The first word; blanks are single ones (RFC 6749 section 3.3). */
static struct slice take_word(struct slice *text)
{
    const char *blank = memchr(text->ptr, ' ', text->len);
    size_t len = blank == NULL ? text->len : (size_t)(blank - text->ptr);
    struct slice word = slice_of(text->ptr, len);

    *text = slice_skip(*text, blank == NULL ? len : len + 1);
    return word;
}

/* Is `word` one of the words of `text`? */
static bool has_word(struct slice text, struct slice word)
{
    while (text.len > 0) {
        if (slice_eq(take_word(&text), word)) {
            return true;
        }
    }
    return false;
}

static bool may_have(const struct client *client, struct slice scope)
{
    if (scope.len > 0 && scope.ptr[scope.len - 1] == ' ') {
        return false;
    }
    while (scope.len > 0) {
        if (!has_string(&client->scopes, take_word(&scope))) {
            return false;
        }
    }
    return true;
}

/* The client's scopes that are in `wanted` (absent: all), in the client's order.  ERR_NO_MEMORY. */
static int join_scopes(struct arena *arena, const struct client *client, struct slice wanted,
                       struct slice *ret)
{
    size_t size = 0, len = 0;

    for (size_t i = 0; i < client->scopes.count; i++) {
        size += client->scopes.items[i].len + 1;
    }
    char *text = arena_alloc(arena, size + 1);

    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < client->scopes.count; i++) {
        struct slice one = client->scopes.items[i];

        if (slice_is_absent(wanted) || has_word(wanted, one)) {
            len += (size_t)snprintf(text + len, size + 1 - len, "%s%.*s", len == 0 ? "" : " ",
                                    SLICE_FMT(one));
        }
    }
    *ret = len == 0 ? SLICE_ABSENT : slice_of(text, len);
    return 0;
}

/* ---- the answer ---- */

static void write_answer(const struct own *own, struct json_writer *w)
{
    json_write_begin(w, NULL, '{');
    json_write_string(w, "access_token", slice_str(own->token->text));
    json_write_string(w, "token_type", SLICE("Bearer"));
    json_write_int(w, "expires_in", own->token->lifetime_s);
    if (!slice_is_absent(own->scope)) {
        json_write_string(w, "scope", own->scope);
    }
    json_write_end(w, '}');
}

static enum gw_verdict on_signed(struct gw_call *call)
{
    struct own *own = own_of(call);
    struct json_writer w;

    if (own->token->text == NULL) {
        return oauth_refuse(call, OAUTH_UNAVAILABLE, "signing_failed", RETRY_AFTER_S);
    }
    json_writer_init(&w, MAX_ANSWER_BYTES);
    write_answer(own, &w);
    enum gw_verdict verdict = w.failed
                                  ? GW_FAIL
                                  : gw_reply(call, &(struct gw_reply){
                                                       .status = 200,
                                                       .content_type = SLICE("application/json"),
                                                       .body = slice_of(w.buf, w.len),
                                                       .pragma_no_cache = true,
                                                   });

    if (verdict == GW_REPLY) {
        gw_attr_set(call->req, GW_ATTR_JTI, slice_str(own->token->jti));
        gw_attr_set(call->req, GW_ATTR_KID, slice_str(own->token->key->kid));
        client_request_count_token(call);
    }
    OPENSSL_cleanse(w.buf, w.len);
    json_writer_done(&w);
    return verdict;
}

/* ---- the request ---- */

static enum gw_verdict sign(struct gw_call *call, const struct client *client,
                            struct slice audience)
{
    const struct issuer *issuer = client_request_issuer(call);
    struct own *own = own_of(call);
    bool all = slice_is_absent(audience);
    const struct token_claims claims = {
        .subject = client->element.name,
        .client_id = client->element.name,
        .scope = own->scope,
        .audiences = all ? client->audiences.items : &audience,
        .audience_count = all ? client->audiences.count : 1,
        .extra = client->claims,
    };

    if (issuer->keys->active == NULL) {
        return oauth_refuse(call, OAUTH_UNAVAILABLE, "no_signing_key", RETRY_AFTER_S);
    }
    enum gw_verdict verdict = issuer_sign(call, issuer, &claims, on_signed, &own->token);

    return verdict == GW_FAIL
               ? oauth_refuse(call, OAUTH_UNAVAILABLE, "signing_queue_full", RETRY_AFTER_S)
               : verdict;
}

/* The client is who it says. */
static enum gw_verdict on_client(struct gw_call *call, const struct client *client)
{
    const struct form *form = &((const struct client_request *)call->state)->form;
    struct slice grant = form_get(form, SLICE("grant_type"));
    struct slice scope = form_get(form, SLICE("scope"));
    struct slice audience = form_get(form, SLICE("audience"));
    struct slice resource = form_get(form, SLICE("resource"));

    if (slice_is_absent(grant) || (!slice_is_absent(audience) && !slice_is_absent(resource))) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, "token_request_malformed", 0);
    }
    if (!slice_eq(grant, SLICE("client_credentials"))) {
        return oauth_refuse(call, OAUTH_UNSUPPORTED_GRANT_TYPE, "grant_type_unsupported", 0);
    }
    if (!may_have(client, scope)) {
        return oauth_refuse(call, OAUTH_INVALID_SCOPE, "scope_not_allowed", 0);
    }
    audience = slice_is_absent(audience) ? resource : audience;
    if (client->audiences.count == 0 ||
        (!slice_is_absent(audience) && !has_string(&client->audiences, audience))) {
        return oauth_refuse(call, OAUTH_INVALID_TARGET, "audience_not_allowed", 0);
    }
    if (join_scopes(gw_arena(call->req), client, scope, &own_of(call)->scope) < 0) {
        return GW_FAIL;
    }
    return sign(call, client, audience);
}

static void end(void *arg)
{
    struct own *own = arg;

    issued_token_unref(own->token);
}

const struct client_endpoint token_endpoint = {
    .name = "token",
    .path = offsetof(struct issuer, paths.token),
    .own_size = sizeof(struct own),
    .on_client = on_client,
    .end = end,
};
