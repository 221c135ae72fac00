/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of the jwt plugin: may this request pass? */
#pragma once

#include "plugins/jwt/jwt_auth.h"
#include "plugins/jwt/remote.h"

struct jwt_state { /* of one request */
    struct jwt_identity identity;
    struct remote_wait wait;
    bool has_waited, was_answered; /* for newer keys */
};

enum gw_verdict jwt_on_request(struct gw_call *call);
void jwt_on_end(struct gw_call *call);
