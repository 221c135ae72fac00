/* SPDX-License-Identifier: Apache-2.0 */
/* What was decided about the last requests, for `jwtgate explain --request-id`: a ring of records of
 * one size per worker, in which the oldest is overwritten.  What a record says of the caller is what
 * the access log says; no token and no other field of the client's is kept. */
#pragma once

#include "core/json.h"
#include "gateway/outcome.h"

#include <stdint.h>

struct decisions;
struct gateway;
struct request;
struct worker;

#define DECISION_BYTES        384u
#define DECISION_MAX_ID_BYTES 128u

#define DECISION_TEXT_TABLE(X)                                                                     \
    X(ID, "request_id", DECISION_MAX_ID_BYTES)                                                     \
    X(METHOD, "method", 32)                                                                        \
    X(PATH, "path", 160)                                                                           \
    X(ROUTE, "route", 64)                                                                          \
    X(PROVIDER, "provider", 64)                                                                    \
    X(KID, "kid", 64)                                                                              \
    X(SUBJECT, "sub", 64)                                                                          \
    X(CLIENT_ID, "client_id", 64)                                                                  \
    X(JTI, "jti", 64)

enum decision_text {
#define X(id, name, max) DECISION_##id,
    DECISION_TEXT_TABLE(X)
#undef X
        DECISION_TEXTS,
};

struct decision {
    uint64_t unix_us;        /* of the request's start; 0: an unused record */
    const char *reason;      /* static; NULL: none */
    const char *auth_reason; /* static; NULL: no decision about a token */
    char config[17];         /* hash of the configuration that decided */
    uint8_t outcome;
    uint16_t status, upstream_status; /* 0: none */
    uint16_t ends[DECISION_TEXTS];    /* of each text, behind the one before */
    char text[DECISION_BYTES];        /* cut where there is no room */
};

/* An ended request, on its worker's thread; nothing for the admin listener. */
void decisions_keep(struct worker *worker, const struct request *req);
void decisions_free(struct decisions *decisions); /* NULL is fine */

/* On the control thread: ask every worker for the newest record of this id.  fn is called there once per
 * worker, with NULL where there is none; it may be called before this returns. *count grows by the
 * number of calls to come before the first one. */
typedef void decision_fn(void *arg, const struct decision *decision);
void decisions_ask(struct gateway *gateway, struct slice id, decision_fn *fn, void *arg,
                   unsigned *count);
void decision_write(const struct decision *decision, struct json_writer *w);
