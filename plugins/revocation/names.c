/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/names.h"

int revocation_name(struct arena *arena, struct slice space, struct slice value, struct slice *ret)
{
    if (slice_is_absent(space) || slice_is_absent(value)) {
        *ret = value;
        return 0;
    }
    char *text = arena_alloc(arena, space.len + 1 + value.len);
    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(text, space.ptr, space.len);
    text[space.len] = ':';
    memcpy(text + space.len + 1, value.ptr, value.len);
    *ret = slice_of(text, space.len + 1 + value.len);
    return 0;
}

int revocation_names_of(struct arena *arena, const struct token *token,
                        struct revocation_names *ret)
{
    struct slice space = token->provider->revocation_namespace;
    struct revocation_names names = {
        .kinds = { [REVOCATION_ISS] = token->provider->issuer },
        .issued_at = token->times.has_iat ? token->times.iat : REVOCATION_NO_IAT,
    };
    const struct {
        struct slice value, *ret;
    } parts[] = { { token->jti, &names.jti },
                  { token->subject, &names.kinds[REVOCATION_SUB] },
                  { token->client_id, &names.kinds[REVOCATION_CLIENT] },
                  { token->kid, &names.kinds[REVOCATION_KID] } };

    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        int err = revocation_name(arena, space, parts[i].value, parts[i].ret);
        if (err < 0) {
            return err;
        }
    }
    *ret = names;
    return 0;
}
