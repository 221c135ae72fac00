/* SPDX-License-Identifier: Apache-2.0 */
/* The compact form of a JWS (RFC 7515 section 7.1): split, decode, header.  Pure. */
#pragma once

#include "core/json.h"
#include "plugins/jwt/jwa.h"
#include "plugins/jwt/reason.h"

#define JWS_MAX_HEADER_BYTES 1024u
#define JWS_MAX_KID_BYTES    128u

struct jws { /* slices of the token, still encoded */
    struct slice header, payload, signature;
    struct slice signing_input;
};

struct jws_header {
    struct slice alg; /* absent: none, or not a string */
    struct slice kid, typ;
    bool typ_is_bad; /* there, and not a string */
    bool has_crit;
};

/* Exactly three parts, none empty but perhaps the signature. ERR_BAD_INPUT. */
int jws_split(struct slice token, struct jws *ret) MUST_CHECK;
/* Decode one part into the arena. ERR_BAD_INPUT, ERR_NO_MEMORY. */
int jws_decode(struct arena *arena, struct slice part, struct slice *ret) MUST_CHECK;
/* Read the header; slices live in the arena.  jwk, jku, x5u and x5c are ignored. JWT_OK,
 * JWT_TOKEN_MALFORMED, JWT_TOKEN_TOO_LARGE, JWT_NO_MEMORY. */
enum jwt_reason jws_read_header(struct arena *arena, struct slice part, struct jws_header *ret);

/* A compact token over `claims` (JSON text) with typ and, unless absent, kid.  malloc'ed, with NUL;
 * NULL on failure. */
char *jws_sign(const struct jwa *alg, const struct jwa_key *key, struct slice kid, struct slice typ,
               struct slice claims);
