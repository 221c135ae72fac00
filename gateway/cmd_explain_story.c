/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "gateway/cmd_explain.h"
#include "gateway/cmd_print.h"

#include <stdio.h>

#define MAX_SHOWN 200

/* What the token says, unverified. */
struct said {
    struct jws_header header;
    const struct json *claims; /* NULL: unreadable */
    bool has_header;
};

const char *explain_step_name(enum explain_step step)
{
    static const char *const names[] = {
#define X(id, name) name,
        EXPLAIN_STEP_TABLE(X)
#undef X
    };
    return names[step];
}

const char *explain_state_name(enum explain_state state)
{
    static const char *const names[] = { "ok", "FAILED", "not reached", "not needed", "unknown" };
    return names[state];
}

/* ---- texts ---- */

static const char *text_of(const char *text)
{
    return text == NULL ? "" : text;
}

/* As JSON, so that nothing of a token reaches the terminal as a control character. */
static const char *quote(struct arena *arena, struct slice text)
{
    char escaped[MAX_SHOWN + 1];
    size_t len = slice_is_absent(text) ? 0 : json_escape(text, escaped, MAX_SHOWN);

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)escaped[i] >= 0x7f) {
            escaped[i] = '?';
        }
    }
    return slice_is_absent(text) ? "none"
                                 : text_of(arena_printf(arena, "\"%.*s\"", (int)len, escaped));
}

static const char *value_text(struct arena *arena, const struct json *value)
{
    const char *text = "";

    if (value == NULL) {
        return "none";
    }
    if (value->type == JSON_STRING) {
        return quote(arena, value->text);
    }
    if (value->type == JSON_NUMBER) {
        return text_of(arena_strdup(arena, value->text));
    }
    if (value->type != JSON_ARRAY) {
        return json_type_name(value->type);
    }
    for (const struct json *item = value->child; item != NULL; item = item->next) {
        text = text_of(arena_printf(arena, "%s%s%s", text, item == value->child ? "" : ", ",
                                    item->type == JSON_STRING ? quote(arena, item->text)
                                                              : json_type_name(item->type)));
    }
    return text;
}

static const char *duration_text(struct arena *arena, int64_t seconds)
{
    seconds = seconds < 0 ? -seconds : seconds;
    if (seconds < 60) {
        return text_of(arena_printf(arena, "%llds", (long long)seconds));
    }
    if (seconds < 3600) {
        return text_of(arena_printf(arena, "%lldm%02llds", (long long)(seconds / 60),
                                    (long long)(seconds % 60)));
    }
    return text_of(arena_printf(arena, "%lldh%02lldm", (long long)(seconds / 3600),
                                (long long)(seconds % 3600 / 60)));
}

/* "exp 2026-11-24T20:00:00Z is in 14m03s" */
static const char *time_text(const struct explain *explain, const struct json *claims,
                             const char *name)
{
    const struct json *value = json_get(claims, slice_str(name));
    char text[CLOCK_RFC3339_BYTES];
    int64_t unix_time;

    if (value == NULL) {
        return text_of(arena_printf(explain->arena, "%s none", name));
    }
    if (!claims_numeric_date(value, &unix_time) || unix_time < 0) {
        return text_of(
            arena_printf(explain->arena, "%s %s", name, value_text(explain->arena, value)));
    }
    bool is_past = unix_time < explain->now;
    const char *away = duration_text(explain->arena, unix_time - explain->now);

    clock_format_rfc3339((uint64_t)unix_time * 1000000u, text);
    return text_of(arena_printf(explain->arena, "%s %.19sZ %s%s%s", name, text,
                                is_past ? "was " : "is in ", away, is_past ? " ago" : ""));
}

/* ---- what was decided ---- */

static enum jwt_reason reason_of(const struct explain *explain)
{
    for (unsigned r = 0; explain->auth_reason != NULL && r < JWT_REASONS; r++) {
        if (strcmp(jwt_reason_name((enum jwt_reason)r), explain->auth_reason) == 0) {
            return (enum jwt_reason)r;
        }
    }
    return JWT_OK;
}

static const struct provider *provider_of(const struct explain *explain)
{
    struct slice name = explain->provider;

    for (size_t i = 0; i < explain->auth->alternative_count; i++) {
        if (slice_eq(explain->auth->alternatives[i].provider->element.name, name)) {
            return explain->auth->alternatives[i].provider;
        }
    }
    return NULL;
}

static enum explain_step step_of_missing_claim(const struct said *said)
{
    if (json_get(said->claims, SLICE("iss")) == NULL) {
        return EXPLAIN_ISSUER;
    }
    if (json_get(said->claims, SLICE("aud")) != NULL &&
        json_get(said->claims, SLICE("exp")) != NULL) {
        return EXPLAIN_REVOCATION; /* jti */
    }
    return json_get(said->claims, SLICE("exp")) == NULL &&
                   json_get(said->claims, SLICE("aud")) != NULL
               ? EXPLAIN_TIME
               : EXPLAIN_AUDIENCE;
}

/* The step that refused; EXPLAIN_STEPS: none. */
static enum explain_step failed_step(const struct explain *explain, const struct said *said)
{
    if (explain->auth_reason != NULL &&
        strcmp(explain->auth_reason, "revocation_unavailable") == 0) {
        return EXPLAIN_REVOCATION;
    }
    switch (reason_of(explain)) {
    case JWT_OK:
    case JWT_NO_MEMORY:
    case JWT_REASONS: return EXPLAIN_STEPS;
    case JWT_TOKEN_MISSING:
    case JWT_MULTIPLE_TOKENS:
    case JWT_AUTH_SCHEME_UNSUPPORTED: return EXPLAIN_TOKEN;
    case JWT_TOKEN_MALFORMED:
    case JWT_TOKEN_TOO_LARGE:
    case JWT_ALG_NOT_ALLOWED:
    case JWT_TOKEN_TYPE_REJECTED:
    case JWT_CRIT_UNSUPPORTED: return EXPLAIN_HEADER;
    case JWT_KID_UNKNOWN:
    case JWT_JWKS_UNAVAILABLE: return EXPLAIN_KEY;
    case JWT_SIGNATURE_INVALID: return EXPLAIN_SIGNATURE;
    case JWT_ISSUER_MISMATCH: return EXPLAIN_ISSUER;
    case JWT_AUDIENCE_MISMATCH: return EXPLAIN_AUDIENCE;
    case JWT_CLAIM_MISSING: return step_of_missing_claim(said);
    case JWT_TOKEN_EXPIRED:
    case JWT_TOKEN_NOT_YET_VALID:
    case JWT_ISSUED_IN_FUTURE:
    case JWT_LIFETIME_TOO_LONG: return EXPLAIN_TIME;
    case JWT_BOUND_TOKEN_UNSUPPORTED:
    case JWT_CERTIFICATE_MISMATCH: return EXPLAIN_BINDING;
    case JWT_TOKEN_REVOKED: return EXPLAIN_REVOCATION;
    case JWT_SCOPE_INSUFFICIENT:
    case JWT_CLAIM_MISMATCH: return EXPLAIN_SCOPES;
    case JWT_CLAIM_UNUSABLE: return EXPLAIN_HEADERS;
    }
    return EXPLAIN_STEPS;
}

static void read_said(const struct explain *explain, struct said *ret)
{
    struct json_limits limits = json_limits_token;
    struct slice payload;
    struct jws jws;

    *ret = (struct said){ .claims = NULL };
    limits.max_bytes = 65536;
    if (slice_is_absent(explain->token) || jws_split(explain->token, &jws) < 0) {
        return;
    }
    ret->has_header = jws_read_header(explain->arena, jws.header, &ret->header) == JWT_OK;
    if (jws_decode(explain->arena, jws.payload, &payload) == 0) {
        const struct json *root = json_parse(explain->arena, payload, &limits, NULL);

        ret->claims = json_is(root, JSON_OBJECT) ? root : NULL;
    }
}

/* ---- details, by step ---- */

static const char *token_detail(const struct explain *explain)
{
    const struct token_source *source = explain->source;

    if (source == NULL) {
        return "";
    }
    const char *place = source->place == TOKEN_IN_HEADER   ? "header"
                        : source->place == TOKEN_IN_COOKIE ? "cookie"
                                                           : "query";

    return text_of(arena_printf(explain->arena, "%s %.*s, %zu bytes", place,
                                SLICE_FMT(source->name), explain->token.len));
}

static const char *header_detail(const struct explain *explain, const struct said *said)
{
    if (!said->has_header) {
        return "cannot be read";
    }
    return text_of(arena_printf(
        explain->arena, "alg %s, typ %s, kid %s", quote(explain->arena, said->header.alg),
        quote(explain->arena, said->header.typ), quote(explain->arena, said->header.kid)));
}

static const char *key_detail(const struct explain *explain, const struct said *said,
                              const struct provider *provider)
{
    return text_of(arena_printf(
        explain->arena, "%s of provider %.*s (%zu in its configuration%s)",
        slice_is_absent(said->header.kid) ? "no kid: any key"
                                          : quote(explain->arena, said->header.kid),
        SLICE_FMT(provider->element.name), provider->key_count,
        provider->has_jwks && !explain->has_jwks ? "; those of its issuer are not known offline"
                                                 : ""));
}

static const char *audiences_text(const struct explain *explain, const struct provider *provider)
{
    const char *text = provider->policy.any_audience ? "any" : "";

    for (size_t i = 0; i < provider->policy.audience_count; i++) {
        text = text_of(arena_printf(explain->arena, "%s%s%s", text, i == 0 ? "" : " or ",
                                    quote(explain->arena, provider->policy.audiences[i])));
    }
    return text;
}

static const char *limits_text(const struct explain *explain, const struct provider *provider)
{
    const char *max = provider->policy.max_lifetime_s == 0
                          ? "unlimited"
                          : duration_text(explain->arena, provider->policy.max_lifetime_s);

    return text_of(arena_printf(explain->arena, "clock_skew %llds, max_lifetime %s",
                                (long long)provider->policy.clock_skew_s, max));
}

static const char *time_detail(const struct explain *explain, const struct said *said,
                               const struct provider *provider)
{
    const struct json *claims = said->claims;

    return text_of(arena_printf(explain->arena, "%s, %s, %s (%s)",
                                time_text(explain, claims, "exp"),
                                time_text(explain, claims, "nbf"),
                                time_text(explain, claims, "iat"), limits_text(explain, provider)));
}

static const char *needs_text(const struct explain *explain, const struct provider *provider)
{
    const char *needs = "";

    for (size_t i = 0; i < explain->auth->alternative_count; i++) {
        const struct jwt_alternative *one = &explain->auth->alternatives[i];

        for (size_t k = 0; one->provider == provider && k < one->scope_count; k++) {
            needs = text_of(arena_printf(explain->arena, "%s%s%.*s", needs,
                                         needs[0] == '\0'           ? "needs "
                                         : k == 0 || one->any_scope ? " or "
                                                                    : " and ",
                                         SLICE_FMT(one->scopes[k])));
        }
        if (one->provider == provider && one->rule_count > 0) {
            needs = text_of(arena_printf(explain->arena, "%s%s%zu claim rules", needs,
                                         needs[0] == '\0' ? "needs " : ", ", one->rule_count));
        }
    }
    return needs[0] == '\0' ? "none needed" : needs;
}

static const char *scopes_detail(const struct explain *explain, const struct said *said,
                                 const struct provider *provider)
{
    const struct json *scope = json_get(said->claims, SLICE("scope"));
    const char *needs = needs_text(explain, provider);

    if (strcmp(needs, "none needed") == 0) {
        return needs;
    }
    scope = scope == NULL ? json_get(said->claims, SLICE("scp")) : scope;
    return text_of(
        arena_printf(explain->arena, "%s; has %s", needs, value_text(explain->arena, scope)));
}

static const char *detail_of(const struct explain *explain, const struct said *said,
                             const struct provider *provider, enum explain_step step)
{
    struct arena *arena = explain->arena;

    if (step == EXPLAIN_HEADER) {
        return header_detail(explain, said);
    }
    if (provider == NULL || said->claims == NULL) {
        return "";
    }
    switch (step) {
    case EXPLAIN_KEY: return key_detail(explain, said, provider);
    case EXPLAIN_ISSUER:
        return text_of(arena_printf(arena, "%s, needs %s",
                                    value_text(arena, json_get(said->claims, SLICE("iss"))),
                                    quote(arena, provider->issuer)));
    case EXPLAIN_AUDIENCE:
        return text_of(arena_printf(arena, "%s, needs %s",
                                    value_text(arena, json_get(said->claims, SLICE("aud"))),
                                    audiences_text(explain, provider)));
    case EXPLAIN_TIME: return time_detail(explain, said, provider);
    case EXPLAIN_SCOPES: return scopes_detail(explain, said, provider);
    case EXPLAIN_ROUTE:
    case EXPLAIN_TOKEN:
    case EXPLAIN_HEADER:
    case EXPLAIN_SIGNATURE:
    case EXPLAIN_BINDING:
    case EXPLAIN_REVOCATION:
    case EXPLAIN_HEADERS:
    case EXPLAIN_STEPS: break;
    }
    return "";
}

/* Without the token: what the log says of it, and what was asked of it. */
static const char *served_detail(const struct explain *explain, const struct provider *provider,
                                 enum explain_step step)
{
    struct arena *arena = explain->arena;

    if (provider == NULL) {
        return "";
    }
    switch (step) {
    case EXPLAIN_HEADER: return text_of(arena_printf(arena, "kid %s", quote(arena, explain->kid)));
    case EXPLAIN_KEY:
        return text_of(arena_printf(arena, "of provider %.*s", SLICE_FMT(provider->element.name)));
    case EXPLAIN_ISSUER:
        return text_of(arena_printf(arena, "needs %s", quote(arena, provider->issuer)));
    case EXPLAIN_AUDIENCE:
        return text_of(arena_printf(arena, "needs %s", audiences_text(explain, provider)));
    case EXPLAIN_TIME: return limits_text(explain, provider);
    case EXPLAIN_SCOPES: return needs_text(explain, provider);
    case EXPLAIN_HEADERS:
        return text_of(arena_printf(arena, "sub %s", quote(arena, explain->subject)));
    case EXPLAIN_ROUTE:
    case EXPLAIN_TOKEN:
    case EXPLAIN_SIGNATURE:
    case EXPLAIN_BINDING:
    case EXPLAIN_REVOCATION:
    case EXPLAIN_STEPS: break;
    }
    return "";
}

/* ---- all of it ---- */

static void set_line(struct explain *explain, enum explain_step step, enum explain_state state,
                     const char *detail)
{
    explain->lines[step] = (struct explain_line){ .state = state, .detail = detail };
}

static void tell_route(struct explain *explain)
{
    const struct config_route *route = explain->route;

    if (route == NULL) {
        set_line(explain, EXPLAIN_ROUTE, EXPLAIN_FAILED, explain->outcome);
        return;
    }
    bool is_exact = !slice_is_absent(route->match.exact);
    struct slice path = is_exact ? route->match.exact : route->match.path_prefix;

    set_line(explain, EXPLAIN_ROUTE, EXPLAIN_OK,
             text_of(arena_printf(explain->arena, "%.*s, %s %.*s", SLICE_FMT(route->element.name),
                                  is_exact ? "exact" : "path_prefix", SLICE_FMT(path))));
    if (path.len == 0) {
        explain->lines[EXPLAIN_ROUTE].detail =
            text_of(arena_printf(explain->arena, "%s/", explain->lines[EXPLAIN_ROUTE].detail));
    }
}

/* Do the provider's tokens have to be asked about, or do they pass with "revocation": "off"? */
static bool wants_revocation(const struct explain *explain, const struct provider *provider)
{
    for (size_t i = 0; i < explain->auth->alternative_count; i++) {
        const struct jwt_alternative *one = &explain->auth->alternatives[i];

        if (one->provider == provider && one->revocation != JWT_REVOCATION_OFF) {
            return true;
        }
    }
    return false;
}

static void tell_auth(struct explain *explain)
{
    enum jwt_reason reason = reason_of(explain);
    const struct provider *provider = provider_of(explain);
    struct said said;

    read_said(explain, &said);
    enum explain_step failed = failed_step(explain, &said);
    /* Among several providers the issuer chooses, before anything else is looked at. */
    bool is_unchosen = failed == EXPLAIN_ISSUER && provider == NULL;

    for (unsigned i = EXPLAIN_TOKEN + 1; i < EXPLAIN_STEPS; i++) {
        enum explain_step step = (enum explain_step)i;
        bool is_reached = step < failed && !is_unchosen;
        const char *detail = !is_reached && step != failed ? ""
                             : explain->is_served          ? served_detail(explain, provider, step)
                                                  : detail_of(explain, &said, provider, step);

        set_line(explain, step,
                 step == failed ? EXPLAIN_FAILED
                 : is_reached   ? EXPLAIN_OK
                                : EXPLAIN_NOT_REACHED,
                 detail);
    }
    set_line(explain, EXPLAIN_TOKEN, failed == EXPLAIN_TOKEN ? EXPLAIN_FAILED : EXPLAIN_OK,
             token_detail(explain));
    struct explain_line *revocation = &explain->lines[EXPLAIN_REVOCATION];

    explain->asks_revocation = explain->asks_revocation && wants_revocation(explain, provider);
    if (revocation->state == EXPLAIN_OK && !explain->asks_revocation) {
        revocation->state = EXPLAIN_NOT_NEEDED;
    } else if (revocation->state == EXPLAIN_OK && !explain->is_served) {
        revocation->state = EXPLAIN_UNKNOWN;
        revocation->detail = "only a running gateway knows";
    }
    explain->is_open = (failed == EXPLAIN_KEY || reason == JWT_SIGNATURE_INVALID) &&
                       provider != NULL && provider->has_jwks && !explain->has_jwks &&
                       !explain->is_served;
    if (explain->is_open) {
        explain->lines[failed].state = EXPLAIN_UNKNOWN;
    }
    if (failed < EXPLAIN_STEPS) {
        explain->lines[failed].detail = text_of(arena_printf(
            explain->arena, "%s%s-> %s", explain->lines[failed].detail,
            explain->lines[failed].detail[0] == '\0' ? "" : "  ", explain->auth_reason));
    }
}

void explain_tell(struct explain *explain)
{
    bool is_needed = explain->auth != NULL;
    bool has_token = explain->is_served
                         ? !slice_is_absent(explain->kid) || !slice_is_absent(explain->subject)
                         : !slice_is_absent(explain->token);
    bool without =
        is_needed && explain->auth->is_optional && !has_token && reason_of(explain) == JWT_OK;

    for (unsigned i = 0; i < EXPLAIN_STEPS; i++) {
        set_line(explain, (enum explain_step)i,
                 explain->route == NULL ? EXPLAIN_NOT_REACHED : EXPLAIN_NOT_NEEDED, "");
    }
    tell_route(explain);
    if (without) {
        explain->lines[EXPLAIN_TOKEN].detail = "none, and the route does not insist";
    } else if (is_needed) {
        tell_auth(explain);
    }
}

/* ---- on standard output ---- */

void explain_print_steps(const struct explain *explain)
{
    for (unsigned i = 0; i < EXPLAIN_STEPS; i++) {
        const struct explain_line *line = &explain->lines[i];

        printf("%2u %-11s %-11s %s\n", i + 1, explain_step_name((enum explain_step)i),
               explain_state_name(line->state), line->detail);
    }
}

void explain_print_steps_json(const struct explain *explain)
{
    fputs("\"steps\":[", stdout);
    for (unsigned i = 0; i < EXPLAIN_STEPS; i++) {
        const struct explain_line *line = &explain->lines[i];

        printf("%s{\"step\":\"%s\",\"state\":\"%s\",\"detail\":", i == 0 ? "" : ",",
               explain_step_name((enum explain_step)i), explain_state_name(line->state));
        cmd_print_string(stdout, slice_str(line->detail));
        fputc('}', stdout);
    }
    fputc(']', stdout);
}
