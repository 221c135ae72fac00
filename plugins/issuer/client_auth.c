/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/client_auth.h"

#include "plugins/issuer/failure_limit.h"
#include "plugins/issuer/oauth_error.h"

#include <openssl/crypto.h>

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_WAITING     16u /* for their turn to hash */
#define TURN_MS         25u
#define BUSY_RETRY_S    1u
#define ADDRESS_BYTES   16u
#define MAX_LABEL_BYTES 96u
#define PREFIX_BYTES    8u /* of an IPv6 address: what one customer has */

#define AT(field)       offsetof(struct client_auth_options, field)
const struct option client_auth_option_table[] = {
    { .name = "per_address",
      .type = OPT_INT,
      .offset = AT(per_address),
      .def = "20",
      .min = 1,
      .max = 1000000,
      .help = "Failures from one address (IPv6: from one /64)." },
    { .name = "per_client",
      .type = OPT_INT,
      .offset = AT(per_client),
      .def = "20",
      .min = 1,
      .max = 1000000,
      .help = "Failures under one client_id, whether it exists or not." },
    { .name = "per",
      .type = OPT_DURATION,
      .offset = AT(per_ms),
      .def = "\"1m\"",
      .min = 1000,
      .max = 86400000,
      .help = "Within this time; one more is forgiven after each fraction of it." },
    { .name = NULL },
};

struct client_guard {
    struct gw_shared shared; /* first */
    struct failure_rate rates[2];
    struct failure_limit *failures;
    atomic_bool is_hashing;
    atomic_uint waiting;
};

enum { BY_ADDRESS, BY_CLIENT };

static const char slot; /* of the request: its struct client_auth */

static void guard_free(struct gw_shared *shared)
{
    struct client_guard *guard = (struct client_guard *)(void *)shared;

    failure_limit_free(guard->failures);
    free(guard);
}

struct client_guard *client_guard_new(const struct client_auth_options *options)
{
    struct client_guard *guard = calloc(1, sizeof(*guard));

    if (guard == NULL) {
        return NULL;
    }
    guard->shared = (struct gw_shared){ .refs = 1, .free = guard_free };
    guard->rates[BY_ADDRESS] =
        (struct failure_rate){ (uint64_t)options->per_address, options->per_ms };
    guard->rates[BY_CLIENT] =
        (struct failure_rate){ (uint64_t)options->per_client, options->per_ms };
    guard->failures = failure_limit_new();
    if (guard->failures == NULL) {
        free(guard);
        return NULL;
    }
    return guard;
}

void client_guard_unref(struct client_guard *guard)
{
    gw_shared_unref(guard == NULL ? NULL : &guard->shared);
}

/* ---- results ---- */

static const struct {
    const char *word;
    enum oauth_error error; /* of refusals */
} results[CLIENT_AUTH_RESULTS] = {
#define X(name, word, error) [CLIENT_AUTH_##name] = { word, OAUTH_##error },
    CLIENT_AUTH_REFUSALS(X)
#undef X
        [CLIENT_AUTH_OK] = { .word = "ok" },
    [CLIENT_AUTH_LEFT] = { .word = "client_gone" },
};

int client_auth_counts_init(struct client_auth_counts *counts, struct gw_worker *worker,
                            const char *endpoint)
{
    char labels[MAX_LABEL_BYTES];

    for (size_t i = 0; i < CLIENT_AUTH_RESULTS; i++) {
        snprintf(labels, sizeof(labels), "endpoint=\"%s\",reason=\"%s\"", endpoint,
                 results[i].word);
        counts->items[i] = gw_counter(worker, "jwtgate_client_auth_decisions_total", labels);
        if (counts->items[i] == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

static void count(const struct client_auth *auth, enum client_auth_result result)
{
    (*auth->setup.counts->items[result])++;
}

static enum gw_verdict refuse_after(const struct client_auth *auth, struct gw_call *call,
                                    enum client_auth_result result, unsigned retry_after_s)
{
    count(auth, result);
    return oauth_refuse(call, results[result].error, results[result].word, retry_after_s);
}

static enum gw_verdict refuse(const struct client_auth *auth, struct gw_call *call,
                              enum client_auth_result result)
{
    return refuse_after(auth, call, result, 0);
}

/* ---- limits ---- */

/* The client's address, of IPv6 the front half, in `buf`. */
static struct slice address_of(const struct gw_call *call, char buf[ADDRESS_BYTES])
{
    struct slice ip = gw_client_ip(call->req);
    char text[INET6_ADDRSTRLEN];

    if (ip.len < sizeof(text)) {
        memcpy(text, ip.ptr, ip.len);
        text[ip.len] = '\0';
        if (inet_pton(AF_INET6, text, buf) == 1) {
            return slice_of(buf, PREFIX_BYTES);
        }
    }
    return ip;
}

static uint64_t wait_ms(const struct client_auth *auth, const struct gw_call *call, int by)
{
    char buf[ADDRESS_BYTES];
    struct slice name = by == BY_ADDRESS ? address_of(call, buf) : auth->credentials.id;

    return failure_limit_wait_ms(auth->setup.guard->failures, by == BY_ADDRESS ? 'a' : 'c', name,
                                 &auth->setup.guard->rates[by], gw_now_ms());
}

/* How long until another failure is possible; 0: now. */
static uint64_t limited_ms(const struct client_auth *auth, const struct gw_call *call)
{
    uint64_t address = wait_ms(auth, call, BY_ADDRESS);
    uint64_t client = wait_ms(auth, call, BY_CLIENT);

    return address > client ? address : client;
}

static enum gw_verdict refuse_limited(const struct client_auth *auth, struct gw_call *call,
                                      uint64_t wait)
{
    return refuse_after(auth, call, CLIENT_AUTH_LIMITED, (unsigned)(wait / 1000 + 1));
}

static void add_failure(const struct client_auth *auth, const struct gw_call *call)
{
    struct failure_limit *failures = auth->setup.guard->failures;
    const struct failure_rate *rates = auth->setup.guard->rates;
    char buf[ADDRESS_BYTES];

    failure_limit_add(failures, 'a', address_of(call, buf), &rates[BY_ADDRESS], gw_now_ms());
    failure_limit_add(failures, 'c', auth->credentials.id, &rates[BY_CLIENT], gw_now_ms());
}

static enum gw_verdict refuse_failed(const struct client_auth *auth, struct gw_call *call)
{
    uint64_t wait = limited_ms(auth, call);

    if (wait > 0) {
        return refuse_limited(auth, call, wait);
    }
    add_failure(auth, call);
    return refuse(auth, call, auth->client == NULL ? CLIENT_AUTH_UNKNOWN : CLIENT_AUTH_WRONG);
}

/* ---- the answer ---- */

/* `err` of client_secret_check(). */
static enum gw_verdict decide(struct client_auth *auth, struct gw_call *call, int err)
{
    if (err == ERR_CRYPTO) {
        return refuse_after(auth, call, CLIENT_AUTH_UNCHECKED, BUSY_RETRY_S);
    }
    if (err < 0 || auth->client == NULL) {
        return refuse_failed(auth, call);
    }
    count(auth, CLIENT_AUTH_OK);
    gw_attr_set(call->req, GW_ATTR_CLIENT_ID, auth->client->element.name);
    return auth->fn(call, auth->client);
}

/* ---- scrypt ---- */

/* Used by the pool's thread; knows nothing of the request. */
struct client_auth_job {
    struct gw_shared shared;    /* first */
    struct client_guard *guard; /* a reference; the turn to hash is this job's */
    struct client_secret kept;
    size_t secret_len;
    char secret[CLIENT_SECRET_MAX_BYTES];
    int err;
};

static void job_free(struct gw_shared *shared)
{
    struct client_auth_job *job = (struct client_auth_job *)(void *)shared;

    atomic_store(&job->guard->is_hashing, false);
    client_guard_unref(job->guard);
    OPENSSL_clear_free(job, sizeof(*job));
}

static void job_work(struct gw_shared *shared)
{
    struct client_auth_job *job = (struct client_auth_job *)(void *)shared;

    job->err = client_secret_check(&job->kept, slice_of(job->secret, job->secret_len));
    OPENSSL_cleanse(job->secret, sizeof(job->secret));
}

static void drop_job(struct client_auth *auth)
{
    gw_shared_unref(auth->job == NULL ? NULL : &auth->job->shared);
    auth->job = NULL;
}

static enum gw_verdict on_hashed(struct gw_call *call)
{
    struct client_auth *auth = gw_slot_get(call->req, &slot);
    int err = auth->job->err;

    auth->step = CLIENT_AUTH_IDLE;
    drop_job(auth);
    return decide(auth, call, err);
}

/* It is this request's turn. */
static enum gw_verdict hash(struct client_auth *auth, struct gw_call *call)
{
    struct client_auth_job *job = OPENSSL_zalloc(sizeof(*job));

    if (job == NULL) {
        atomic_store(&auth->setup.guard->is_hashing, false);
        return refuse_after(auth, call, CLIENT_AUTH_UNCHECKED, BUSY_RETRY_S);
    }
    job->shared = (struct gw_shared){ .refs = 1, .free = job_free };
    job->guard = auth->setup.guard;
    (void)gw_shared_ref(&auth->setup.guard->shared);
    job->kept = auth->kept;
    job->secret_len = auth->credentials.secret.len;
    memcpy(job->secret, auth->credentials.secret.ptr, job->secret_len);
    credentials_wipe_secret(&auth->credentials);
    auth->job = job;
    enum gw_verdict verdict = gw_offload(call, job_work, &job->shared, on_hashed);

    if (verdict == GW_FAIL) {
        return refuse_after(auth, call, CLIENT_AUTH_UNCHECKED, BUSY_RETRY_S);
    }
    auth->step = CLIENT_AUTH_HASHES;
    return verdict;
}

static bool take_turn(struct client_guard *guard)
{
    bool is_free = false;

    return atomic_compare_exchange_strong(&guard->is_hashing, &is_free, true);
}

static void stop_waiting(struct client_auth *auth)
{
    if (auth->step == CLIENT_AUTH_WAITS) {
        atomic_fetch_sub(&auth->setup.guard->waiting, 1);
        auth->step = CLIENT_AUTH_IDLE;
    }
}

static enum gw_verdict wait_for_turn(struct gw_call *call)
{
    struct client_auth *auth = gw_slot_get(call->req, &slot);
    uint64_t limited = limited_ms(auth, call); /* perhaps since it waits */

    if (limited > 0) {
        stop_waiting(auth);
        return refuse_limited(auth, call, limited);
    }
    if (take_turn(auth->setup.guard)) {
        stop_waiting(auth);
        return hash(auth, call);
    }
    if (auth->step != CLIENT_AUTH_WAITS) {
        if (atomic_fetch_add(&auth->setup.guard->waiting, 1) >= MAX_WAITING) {
            atomic_fetch_sub(&auth->setup.guard->waiting, 1);
            return refuse_after(auth, call, CLIENT_AUTH_QUEUE_FULL, BUSY_RETRY_S);
        }
        auth->step = CLIENT_AUTH_WAITS;
    }
    return gw_sleep(call, TURN_MS, wait_for_turn);
}

/* ---- entry ---- */

static enum gw_verdict check(struct client_auth *auth, struct gw_call *call)
{
    const struct clients *clients = auth->setup.clients;

    auth->client = clients_find(clients, auth->credentials.id);
    if (auth->client == NULL) {
        clients_stand_in(clients, auth->credentials.id, &auth->kept);
    } else {
        auth->kept = auth->client->secret;
    }
    if (auth->kept.kind == CLIENT_SECRET_SCRYPT) {
        return gw_slot_set(call->req, &slot, auth) < 0
                   ? refuse_after(auth, call, CLIENT_AUTH_UNCHECKED, BUSY_RETRY_S)
                   : wait_for_turn(call);
    }
    int err = client_secret_check(&auth->kept, auth->credentials.secret);

    credentials_wipe_secret(&auth->credentials);
    return decide(auth, call, err);
}

enum gw_verdict client_authenticate(struct client_auth *auth, struct gw_call *call,
                                    const struct client_auth_setup *setup, const struct form *form,
                                    client_auth_fn *fn)
{
    auth->setup = *setup;
    auth->fn = fn;
    switch (
        credentials_find(gw_headers(call->req), form, gw_arena(call->req), &auth->credentials)) {
    case CREDENTIALS_FOUND: break;
    case CREDENTIALS_NONE: return refuse(auth, call, CLIENT_AUTH_MISSING);
    case CREDENTIALS_MALFORMED: return refuse(auth, call, CLIENT_AUTH_MALFORMED);
    case CREDENTIALS_SEVERAL: return refuse(auth, call, CLIENT_AUTH_SEVERAL);
    case CREDENTIALS_NO_MEMORY:
        return refuse_after(auth, call, CLIENT_AUTH_UNCHECKED, BUSY_RETRY_S);
    }
    return auth->credentials.secret.len > CLIENT_SECRET_MAX_BYTES
               ? refuse(auth, call, CLIENT_AUTH_MALFORMED)
               : check(auth, call);
}

void client_auth_end(struct client_auth *auth, const struct gw_call *call)
{
    if (auth->step == CLIENT_AUTH_HASHES) {
        count(auth, CLIENT_AUTH_LEFT);
        add_failure(auth, call); /* else leaving early would make guesses cost nothing */
    }
    stop_waiting(auth);
    drop_job(auth);
    credentials_wipe_secret(&auth->credentials);
}
