/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/own_tokens.h"

#include "core/clock.h"
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"

#define SCRATCH_BYTES   (128u << 10)
#define MAX_TOKEN_BYTES 16384u
#define LONGEST_SKEW_S  CLAIMS_MAX_SKEW_S
#define OUR_SKEW_S      5 /* between the clocks of gateways that issue for one issuer */

/* ---- configuration ---- */

static void add_keys(struct own_tokens *own, const struct signing_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        own->keys[i] = (struct jwk){ .kid = slice_str(keys->keys[i].kid),
                                     .alg = keys->keys[i].alg,
                                     .key = keys->keys[i].key }; /* borrowed */
        own->provider.algorithms |= 1u << keys->keys[i].alg->id;
    }
    own->provider.keys = own->keys;
    own->provider.key_count = keys->count;
}

/* What routes look a token of this issuer up by, they look up with a provider's namespace: so must we. */
static int find_namespace(struct own_tokens *own, const struct option_context *ctx)
{
    const void *jwt = gw_top(ctx, &jwt_plugin);
    const struct provider_list *providers = jwt == NULL ? NULL : jwt_providers(jwt);

    for (size_t i = 0; providers != NULL && i < providers->count; i++) {
        const struct provider *one = providers->items[i];

        if (slice_eq(one->issuer, own->provider.issuer) &&
            !slice_is_absent(one->revocation_namespace)) {
            own->provider.revocation_namespace = arena_copy(ctx->arena, one->revocation_namespace);
            return slice_is_absent(own->provider.revocation_namespace) ? ERR_NO_MEMORY : 0;
        }
    }
    return 0;
}

int own_tokens_init(struct own_tokens *own, const struct issuer *issuer,
                    const struct option_context *ctx)
{
    static struct slice types[] = { { "at+jwt", 6 } };

    own->provider = (struct provider){
        .element = { .name = SLICE("token_issuer") },
        .issuer = issuer->issuer,
        .token_types = { types, 1 },
        .max_token_bytes = MAX_TOKEN_BYTES,
        .policy = { .issuer = issuer->issuer,
                    .any_audience = true,
                    .accept_bound_tokens = true,
                    .clock_skew_s = LONGEST_SKEW_S },
    };
    add_keys(own, issuer->keys);
    return find_namespace(own, ctx);
}

/* ---- tokens ---- */

int own_tokens_verify(struct verify_keys *keys, struct slice text, struct token **ret)
{
    struct verify_result result;
    struct arena arena;

    arena_init(&arena, NULL, 0, SCRATCH_BYTES);
    enum jwt_reason reason = verify_token(keys, text, clock_unix(), &arena, &result);

    arena_done(&arena);
    if (reason == JWT_OK) {
        *ret = result.token;
        return 0;
    }
    return reason == JWT_NO_MEMORY ? ERR_NO_MEMORY : ERR_BAD_INPUT;
}

bool own_tokens_is_current(const struct token *token)
{
    const struct claims_policy policy = { .clock_skew_s = OUR_SKEW_S };

    return token->times.exp > clock_unix() &&
           claims_check_times(&token->times, &policy, clock_unix()) == JWT_OK;
}

bool own_tokens_is_of(const struct token *token, const struct client *client)
{
    return !slice_is_absent(token->client_id) && slice_eq(token->client_id, client->element.name);
}
