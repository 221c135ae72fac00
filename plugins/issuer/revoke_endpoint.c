/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/revoke (RFC 7009): a client takes back a token that was issued to it.  200 when no gateway
 * that asks the same store will accept it any more, and also when it was no token of ours or is long over
 * (section 2.2).  A token of another client is refused (section 2.1).  Without "revocation" in the
 * configuration there is no such endpoint. */
#include "core/clock.h"
#include "plugins/issuer/client_endpoints.h"
#include "plugins/issuer/oauth_error.h"
#include "plugins/issuer/own_tokens.h"
#include "plugins/revocation/names.h"
#include "plugins/revocation/revocations.h"

#define RETRY_AFTER_S 1u

struct own {
    struct token *token; /* a reference */
    struct revocation_ticket ticket;
};

static struct own *own_of(const struct gw_call *call)
{
    return ((const struct client_request *)call->state)->own;
}

/* Clients look at the status only (RFC 7009 section 2.2). */
static enum gw_verdict answer_done(struct gw_call *call)
{
    return gw_reply(call, &(struct gw_reply){ .status = 200,
                                              .content_type = SLICE("application/json"),
                                              .body = SLICE("{}\n") });
}

static enum gw_verdict answer_unavailable(struct gw_call *call)
{
    return oauth_refuse(call, OAUTH_UNAVAILABLE, "revocation_unavailable", RETRY_AFTER_S);
}

static enum gw_verdict on_revoked(struct gw_call *call)
{
    const struct own *own = own_of(call);

    return own->ticket.err == 0 ? answer_done(call) : answer_unavailable(call);
}

static enum gw_verdict revoke(struct gw_call *call)
{
    struct own *own = own_of(call);
    struct revocation_entry entry;
    struct slice jti;
    int err = revocation_name(gw_arena(call->req), own->token->provider->revocation_namespace,
                              own->token->jti, &jti);

    if (err == 0) {
        err = revocation_entry_jti(&entry, jti, own->token->times.exp, clock_unix());
    }

    if (err == REVOCATION_IS_OVER) {
        return answer_done(call);
    }
    enum gw_verdict verdict =
        err < 0 ? GW_FAIL : revocations_add(call, &own->ticket, &entry, 1, 0, on_revoked);

    return verdict == GW_FAIL ? answer_unavailable(call) : verdict;
}

static enum gw_verdict on_client(struct gw_call *call, const struct client *client)
{
    struct own *own = own_of(call);
    enum gw_verdict verdict = client_request_token(call, &own->token);

    if (verdict != GW_NEXT) {
        return verdict;
    }
    if (own->token == NULL) {
        return answer_done(call);
    }
    if (!own_tokens_is_of(own->token, client)) {
        return oauth_refuse(call, OAUTH_UNAUTHORIZED_CLIENT, "token_of_another_client", 0);
    }
    return revoke(call);
}

static void end(void *arg)
{
    struct own *own = arg;

    revocation_ticket_end(&own->ticket);
    token_unref(own->token);
}

const struct client_endpoint revoke_endpoint = {
    .name = "revoke",
    .path = offsetof(struct issuer, paths.revoke),
    .needs_revocations = true,
    .own_size = sizeof(struct own),
    .on_client = on_client,
    .end = end,
};
