/* SPDX-License-Identifier: Apache-2.0 */
/* How a request to an OAuth endpoint begins: a form in the body, nothing in the address (it would be in
 * logs: RFC 6749 section 2.3.1), and a client that authenticates. */
#pragma once

#include "plugins/issuer/client_auth.h"

#define OAUTH_MAX_BODY_BYTES 20480u /* room for a token of 16 KiB */

struct issuer; /* plugins/issuer/issuer.h */

/* First member of the plugin's state, zeroed. */
struct oauth_request {
    const struct issuer *issuer; /* the snapshot's */
    client_auth_fn *fn;
    struct form form;
    struct client_auth auth;
};

/* Called by on_request(), whose verdict it makes: calls fn when the form is read and the client has
 * authenticated, or answers the refusal itself. */
enum gw_verdict oauth_request_start(struct gw_call *call, const struct issuer *issuer,
                                    client_auth_fn *fn);
/* In on_end(). */
void oauth_request_end(struct oauth_request *request, const struct gw_call *call);
