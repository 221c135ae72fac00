/* SPDX-License-Identifier: Apache-2.0 */
/* The registered claims (RFC 7519 section 4.1) and the checks on them.  Pure: the time is given. */
#pragma once

#include "core/json.h"
#include "plugins/jwt/reason.h"

#include <stdint.h>

/* The most that a provider may allow; revocations are kept for so long behind the end of their token. */
#define CLAIMS_MAX_SKEW_S        600

#define CLAIMS_MAX_JTI_BYTES     256u
#define CLAIMS_MAX_SUBJECT_BYTES 1024u

struct claims_policy {
    struct slice issuer;
    const struct slice *audiences; /* any one of them is enough */
    size_t audience_count;
    bool any_audience;
    bool accept_bound_tokens;
    int64_t clock_skew_s;
    int64_t max_lifetime_s; /* 0: no limit */
};

struct claims_times { /* whole seconds */
    int64_t exp, nbf, iat;
    bool has_nbf, has_iat;
};

/* A NumericDate as written, -?[0-9]{1,12}(\.[0-9]{1,9})?, rounded down to seconds. */
bool claims_numeric_date(const struct json *value, int64_t *ret);
/* iss, aud, exp, nbf, iat, lifetime, cnf in this order; JWT_OK and *ret_times. */
enum jwt_reason claims_check(const struct json *root, const struct claims_policy *policy,
                             int64_t now, struct claims_times *ret_times);
/* Only what depends on the time: for tokens that were verified before. */
enum jwt_reason claims_check_times(const struct claims_times *times,
                                   const struct claims_policy *policy, int64_t now);
/* Thumbprint of the certificate that the token is bound to: cnf with x5t#S256 and nothing else (RFC 8705
 * section 3.1).  Absent: not bound, or in a way that cannot be checked. */
struct slice claims_certificate(const struct json *root);
/* "name", or a JSON Pointer when it starts with "/". */
const struct json *claims_find(const struct json *root, struct slice name);
