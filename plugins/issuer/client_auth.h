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

/* How it can end: the word of the metric and of the access log, and of refusals the error. */
#define CLIENT_AUTH_REFUSALS(X)                                                                    \
    X(MISSING, "client_missing", INVALID_CLIENT)                                                   \
    X(MALFORMED, "client_credentials_malformed", INVALID_CLIENT)                                   \
    X(SEVERAL, "client_credentials_several", INVALID_REQUEST)                                      \
    X(UNKNOWN, "client_unknown", INVALID_CLIENT)                                                   \
    X(WRONG, "client_secret_wrong", INVALID_CLIENT)                                                \
    X(LIMITED, "client_failures_limited", TOO_MANY_FAILURES)                                       \
    X(QUEUE_FULL, "client_secret_queue_full", UNAVAILABLE)                                         \
    X(UNCHECKED, "client_secret_unchecked", UNAVAILABLE)

enum client_auth_result {
#define X(name, word, error) CLIENT_AUTH_##name,
    CLIENT_AUTH_REFUSALS(X)
#undef X
        CLIENT_AUTH_OK,
    CLIENT_AUTH_LEFT, /* while it was hashed */
    CLIENT_AUTH_RESULTS,
};

/* One thread's counters of an endpoint. */
struct client_auth_counts {
    uint64_t *items[CLIENT_AUTH_RESULTS];
};
/* `endpoint`: the label.  ERR_NO_MEMORY. */
int client_auth_counts_init(struct client_auth_counts *counts, struct gw_worker *worker,
                            const char *endpoint) MUST_CHECK;

/* What clients are checked with; all are the snapshot's. */
struct client_auth_setup {
    struct client_guard *guard;
    const struct clients *clients;
    const struct client_auth_counts *counts;
};

/* The verdict about the request goes on from here: `client` has the right secret.  It is the
 * snapshot's, which lives as long as the request. */
typedef enum gw_verdict client_auth_fn(struct gw_call *call, const struct client *client);

/* One request's part: zeroed memory in the plugin's state. */
struct client_auth {
    struct client_auth_setup setup;
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
                                    const struct client_auth_setup *setup, const struct form *form,
                                    client_auth_fn *fn);
/* In on_end(); also when client_authenticate() was not called.  Who leaves while it is hashed has failed. */
void client_auth_end(struct client_auth *auth, const struct gw_call *call);
