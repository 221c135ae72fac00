/* SPDX-License-Identifier: Apache-2.0 */
/* Which client asks at an OAuth endpoint, and does it have the secret (RFC 6749 section 2.3)?
 *
 * Whoever is not known is treated as a client that is: compared with a stand-in, at the same cost, with
 * the same answer.  Quick hashes are compared at once; scrypt runs on the pool (gw_offload), one at a
 * time for the whole process, so that the other thread of the pool goes on signing; few may wait for it.
 *
 * Failures are limited by address (IPv6: by its /64) and by client id.  Over a limit nothing is hashed by
 * scrypt and what fails is answered 429.  A generated secret cannot be guessed: it passes even then, so
 * nobody is locked out by others who fail under his name. */
#pragma once

#include "plugins/issuer/clients.h"
#include "plugins/issuer/credentials.h"
#include "plugins/plugin.h"

struct client_auth_options {
    int64_t per_address, per_client; /* failures within per_ms */
    uint64_t per_ms;
};
extern const struct option client_auth_option_table[];

/* Shared by all threads and by work that outlives a snapshot; one for a snapshot. */
struct client_guard;
/* NULL: no memory.  `options` is copied. */
struct client_guard *client_guard_new(const struct client_auth_options *options);
void client_guard_unref(struct client_guard *guard); /* NULL is fine */

/* The verdict about the request goes on from here: `client` has the right secret.  It is the
 * snapshot's, which lives as long as the request. */
typedef enum gw_verdict client_auth_fn(struct gw_call *call, const struct client *client);

/* One request's part: zeroed memory in the plugin's state. */
struct client_auth {
    struct client_guard *guard; /* the snapshot's, as `client` */
    const struct client *client;
    struct client_secret kept;
    struct credentials credentials; /* in the request's arena; wiped when they were compared */
    enum client_auth_step { CLIENT_AUTH_IDLE, CLIENT_AUTH_WAITS, CLIENT_AUTH_HASHES } step;
    struct client_auth_job *job; /* a reference, while it hashes */
    client_auth_fn *fn;
};

/* Called by a hook, whose verdict it makes: calls fn, at once or in a later turn, or answers the
 * refusal itself: 400 or 401 with the errors of RFC 6749 section 5.2, 429, 503.  Once for a request.
 * `auth` and `form` live until on_end(). */
enum gw_verdict client_authenticate(struct client_auth *auth, struct gw_call *call,
                                    struct client_guard *guard, const struct clients *clients,
                                    const struct form *form, client_auth_fn *fn);
/* In on_end(); also when client_authenticate() was not called.  Who leaves while it is hashed has failed. */
void client_auth_end(struct client_auth *auth, const struct gw_call *call);
