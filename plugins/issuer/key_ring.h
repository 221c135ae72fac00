/* SPDX-License-Identifier: Apache-2.0 */
/* The signing keys of an issuer and where each stands in its rotation, as kept in the file that
 * token_issuer.signing_keys_file names:
 *
 *   {"version": 1, "keys": [{"kid": "...", "alg": "RS256", "key_file": "signing-....pem",
 *                            "state": "signing", "since": 1795629600}]}
 *
 * A key is published (verifiers learn it), then signing, then retired (its last tokens still pass), then
 * removed.  `jwtgate keys rotate` takes one step and replaces the file; every gateway that reads the file
 * agrees.  Times are UNIX seconds; key files lie beside the file.  Pure. */
#pragma once

#include "core/json.h"
#include "plugins/jwt/jwk_write.h"

#define KEY_RING_MAX_BYTES 16384u
#define KEY_RING_MAX_NAME  128u /* of a key file, with NUL */
#define KEY_RING_MAX_KEYS  3u   /* one of each state */

enum key_state { KEY_PUBLISHED, KEY_SIGNING, KEY_RETIRED, KEY_STATES };

struct key_ring_entry {
    char kid[JWK_THUMBPRINT_BYTES + 1]; /* RFC 7638 */
    char file[KEY_RING_MAX_NAME];       /* in the folder of the ring, no path */
    const struct jwa *alg;
    enum key_state state;
    int64_t since; /* when it entered the state */
};

struct key_ring {
    struct key_ring_entry entries[KEY_RING_MAX_KEYS];
    size_t count;
};

/* How long a state must last before the next is safe, in seconds. */
struct key_ring_waits {
    int64_t published; /* until every verifier has asked again for the keys */
    int64_t retired;   /* until the last token that it signed has expired */
};

enum key_ring_step {
    KEY_RING_PUBLISH, /* a new key */
    KEY_RING_SIGN,    /* the published one signs, the signing one retires */
    KEY_RING_REMOVE,  /* the retired one */
};

struct key_ring_plan {
    enum key_ring_step step;
    size_t index;    /* in the ring, of the key that moves */
    int64_t safe_at; /* 0: now */
};

/* One key signs; at most one is published, one retired; no kid and no file twice.  ERR_BAD_INPUT with
 * *ret_why (static). */
int key_ring_read(struct slice text, struct key_ring *ret, const char **ret_why) MUST_CHECK;
void key_ring_write(const struct key_ring *ring, struct json_writer *w);

/* The next step of a ring that key_ring_read() accepts, and when it is safe. */
void key_ring_next(const struct key_ring *ring, const struct key_ring_waits *waits,
                   struct key_ring_plan *ret);
/* Take the step of a plan for this ring.  `added`: the new key's kid, file and alg, for
 * KEY_RING_PUBLISH. */
void key_ring_take(struct key_ring *ring, const struct key_ring_plan *plan,
                   const struct key_ring_entry *added, int64_t now);

const char *key_state_name(enum key_state state); /* "published" */
