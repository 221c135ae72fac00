/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/claims.h"

#define MAX_DATE_DIGITS     12u
#define MAX_FRACTION_DIGITS 9u

static size_t count_digits(struct slice text, size_t from)
{
    size_t i = from;

    while (i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9') {
        i++;
    }
    return i - from;
}

bool claims_numeric_date(const struct json *value, int64_t *ret)
{
    if (!json_is(value, JSON_NUMBER)) {
        return false;
    }
    struct slice text = value->text;
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t at = negative ? 1 : 0;
    size_t digits = count_digits(text, at);
    bool has_rest = false;
    int64_t seconds = 0;

    if (digits == 0 || digits > MAX_DATE_DIGITS) {
        return false;
    }
    for (size_t i = at; i < at + digits; i++) {
        seconds = seconds * 10 + (text.ptr[i] - '0');
    }
    at += digits;
    if (at < text.len) {
        size_t fraction = text.ptr[at] == '.' ? count_digits(text, at + 1) : 0;
        if (fraction == 0 || fraction > MAX_FRACTION_DIGITS || at + 1 + fraction != text.len) {
            return false;
        }
        for (size_t i = at + 1; i < text.len; i++) {
            has_rest |= text.ptr[i] != '0';
        }
    }
    *ret = negative ? -seconds - (has_rest ? 1 : 0) : seconds;
    return true;
}

static bool is_audience(const struct json *value, const struct claims_policy *policy)
{
    for (size_t i = 0; i < policy->audience_count; i++) {
        if (slice_eq(value->text, policy->audiences[i])) {
            return true;
        }
    }
    return false;
}

static enum jwt_reason check_audience(const struct json *root, const struct claims_policy *policy)
{
    const struct json *aud = json_get(root, SLICE("aud"));
    bool found = false;

    if (policy->any_audience) {
        return JWT_OK;
    }
    if (aud == NULL) {
        return JWT_CLAIM_MISSING;
    }
    if (aud->type == JSON_STRING) {
        return is_audience(aud, policy) ? JWT_OK : JWT_AUDIENCE_MISMATCH;
    }
    if (aud->type != JSON_ARRAY) {
        return JWT_AUDIENCE_MISMATCH;
    }
    for (const struct json *item = aud->child; item != NULL; item = item->next) {
        if (item->type != JSON_STRING) {
            return JWT_AUDIENCE_MISMATCH;
        }
        found |= is_audience(item, policy);
    }
    return found ? JWT_OK : JWT_AUDIENCE_MISMATCH;
}

static enum jwt_reason read_times(const struct json *root, struct claims_times *ret)
{
    const struct json *exp = json_get(root, SLICE("exp"));
    const struct json *nbf = json_get(root, SLICE("nbf"));
    const struct json *iat = json_get(root, SLICE("iat"));

    if (exp == NULL) {
        return JWT_CLAIM_MISSING;
    }
    ret->has_nbf = nbf != NULL;
    ret->has_iat = iat != NULL;
    if (!claims_numeric_date(exp, &ret->exp) ||
        (nbf != NULL && !claims_numeric_date(nbf, &ret->nbf)) ||
        (iat != NULL && !claims_numeric_date(iat, &ret->iat))) {
        return JWT_TOKEN_MALFORMED;
    }
    return JWT_OK;
}

enum jwt_reason claims_check_times(const struct claims_times *times,
                                   const struct claims_policy *policy, int64_t now)
{
    if (now - policy->clock_skew_s >= times->exp) {
        return JWT_TOKEN_EXPIRED;
    }
    if (times->has_nbf && now + policy->clock_skew_s < times->nbf) {
        return JWT_TOKEN_NOT_YET_VALID;
    }
    if (times->has_iat && now + policy->clock_skew_s < times->iat) {
        return JWT_ISSUED_IN_FUTURE;
    }
    /* The issuer's clock may be ahead of ours by the skew. */
    if (policy->max_lifetime_s > 0 &&
        times->exp - now > policy->max_lifetime_s + policy->clock_skew_s) {
        return JWT_LIFETIME_TOO_LONG;
    }
    return JWT_OK;
}

static bool is_text_within(const struct json *value, size_t max)
{
    return value == NULL || (value->type == JSON_STRING && value->text.len <= max);
}

struct slice claims_certificate(const struct json *root)
{
    const struct json *cnf = json_get(root, SLICE("cnf"));
    const struct json *thumbprint =
        json_is(cnf, JSON_OBJECT) && cnf->count == 1 ? json_get(cnf, SLICE("x5t#S256")) : NULL;

    return json_is(thumbprint, JSON_STRING) && thumbprint->text.len > 0 ? thumbprint->text
                                                                        : SLICE_ABSENT;
}

enum jwt_reason claims_check(const struct json *root, const struct claims_policy *policy,
                             int64_t now, struct claims_times *ret_times)
{
    struct claims_times times = { 0 };
    enum jwt_reason reason;

    if (!json_is(root, JSON_OBJECT) ||
        !is_text_within(json_get(root, SLICE("sub")), CLAIMS_MAX_SUBJECT_BYTES) ||
        !is_text_within(json_get(root, SLICE("jti")), CLAIMS_MAX_JTI_BYTES)) {
        return JWT_TOKEN_MALFORMED;
    }
    const struct json *iss = json_get(root, SLICE("iss"));
    if (iss == NULL) {
        return JWT_CLAIM_MISSING;
    }
    if (iss->type != JSON_STRING || !slice_eq(iss->text, policy->issuer)) {
        return JWT_ISSUER_MISMATCH;
    }
    reason = check_audience(root, policy);
    if (reason != JWT_OK) {
        return reason;
    }
    reason = read_times(root, &times);
    if (reason != JWT_OK) {
        return reason;
    }
    reason = claims_check_times(&times, policy, now);
    if (reason != JWT_OK) {
        return reason;
    }
    /* Bound to what cannot be checked (RFC 9449): as a plain bearer it loses its protection. */
    if (!policy->accept_bound_tokens && json_get(root, SLICE("cnf")) != NULL &&
        slice_is_absent(claims_certificate(root))) {
        return JWT_BOUND_TOKEN_UNSUPPORTED;
    }
    *ret_times = times;
    return JWT_OK;
}

const struct json *claims_find(const struct json *root, struct slice name)
{
    if (name.len > 0 && name.ptr[0] == '/') {
        return json_pointer(root, name);
    }
    return json_get(root, name);
}
