/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/introspect (RFC 7662): is this token of ours good, by signature, time and revocation?  The
 * store itself is asked, never a filter; when it does not answer the answer is 503.
 *
 * A client may ask about tokens that were issued to it, and about those for an audience that is in its
 * `audiences`: a resource server is a client that has its own there.  About others it learns what it learns
 * about no token at all: {"active":false} (section 2.2). */
#include "plugins/issuer/client_endpoints.h"
#include "plugins/issuer/oauth_error.h"
#include "plugins/issuer/own_tokens.h"
#include "plugins/revocation/names.h"
#include "plugins/revocation/revocations.h"

#define RETRY_AFTER_S    1u
#define MAX_ANSWER_BYTES 65536u

struct own {
    struct token *token; /* a reference */
    struct revocation_lookup lookup;
};

static struct own *own_of(const struct gw_call *call)
{
    return ((const struct client_request *)call->state)->own;
}

/* ---- answers ---- */

/* `reason`: why, for the access log only. */
static enum gw_verdict answer_inactive(struct gw_call *call, const char *reason)
{
    return gw_reply(call, &(struct gw_reply){ .status = 200,
                                              .reason = reason,
                                              .content_type = SLICE("application/json"),
                                              .body = SLICE("{\"active\":false}") });
}

static enum gw_verdict answer_unavailable(struct gw_call *call)
{
    return oauth_refuse(call, OAUTH_UNAVAILABLE, "revocation_unavailable", RETRY_AFTER_S);
}

/* All that the token says (section 2.2), and first what we say. */
static void write_active(struct json_writer *w, const struct token *token)
{
    json_write_begin(w, NULL, '{');
    json_write_bool(w, "active", true);
    json_write_string(w, "token_type", SLICE("Bearer"));
    for (const struct json *claim = token->claims->child; claim != NULL; claim = claim->next) {
        if (!slice_eq(claim->key, SLICE("active")) && !slice_eq(claim->key, SLICE("token_type"))) {
            json_write_tree(w, claim->key, claim);
        }
    }
    json_write_end(w, '}');
}

static enum gw_verdict answer_active(struct gw_call *call)
{
    const struct own *own = own_of(call);
    struct json_writer w;

    json_writer_init(&w, MAX_ANSWER_BYTES);
    write_active(&w, own->token);
    enum gw_verdict verdict =
        w.failed ? GW_FAIL
                 : gw_reply(call, &(struct gw_reply){ .status = 200,
                                                      .content_type = SLICE("application/json"),
                                                      .body = slice_of(w.buf, w.len) });

    json_writer_done(&w);
    return verdict;
}

/* ---- revocation ---- */

static enum gw_verdict on_looked_up(struct gw_call *call)
{
    struct own *own = own_of(call);

    switch (revocation_lookup_answer(&own->lookup)) {
    case REVOCATION_NO: return answer_active(call);
    case REVOCATION_YES: return answer_inactive(call, "token_revoked");
    case REVOCATION_UNKNOWN:
    case REVOCATION_LATER: break;
    }
    return answer_unavailable(call);
}

static enum gw_verdict look_up(struct gw_call *call)
{
    struct own *own = own_of(call);
    struct revocation_names names;

    if (revocation_names_of(gw_arena(call->req), own->token, &names) < 0) {
        return GW_FAIL;
    }
    enum gw_verdict verdict = revocations_ask(call, &own->lookup, &names, on_looked_up);

    return verdict == GW_FAIL ? answer_unavailable(call) : verdict;
}

/* ---- the request ---- */

static bool has_audience(const struct client *client, const struct json *audience)
{
    for (size_t i = 0; i < client->audiences.count; i++) {
        if (json_is(audience, JSON_STRING) &&
            slice_eq(audience->text, client->audiences.items[i])) {
            return true;
        }
    }
    return false;
}

static bool may_ask(const struct client *client, const struct token *token)
{
    const struct json *aud = json_get(token->claims, SLICE("aud"));

    if (own_tokens_is_of(token, client) || has_audience(client, aud)) {
        return true;
    }
    const struct json *one = json_is(aud, JSON_ARRAY) ? aud->child : NULL;

    while (one != NULL && !has_audience(client, one)) {
        one = one->next;
    }
    return one != NULL;
}

static enum gw_verdict on_client(struct gw_call *call, const struct client *client)
{
    struct own *own = own_of(call);
    enum gw_verdict verdict = client_request_token(call, &own->token);

    if (verdict != GW_NEXT) {
        return verdict;
    }
    if (own->token == NULL) {
        return answer_inactive(call, "token_not_ours");
    }
    if (!may_ask(client, own->token)) {
        return answer_inactive(call, "token_of_another_client");
    }
    if (!own_tokens_is_current(own->token)) {
        return answer_inactive(call, "token_expired");
    }
    return client_request_has_revocations(call) ? look_up(call) : answer_active(call);
}

static void end(void *arg)
{
    struct own *own = arg;

    revocation_lookup_end(&own->lookup);
    token_unref(own->token);
}

const struct client_endpoint introspect_endpoint = {
    .name = "introspect",
    .path = offsetof(struct issuer, paths.introspect),
    .own_size = sizeof(struct own),
    .on_client = on_client,
    .end = end,
};
