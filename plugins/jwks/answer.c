/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/answer.h"

#define ACCEPT "application/jwk-set+json, application/json"

struct fetch_options jwks_question(const struct jwks_options *options, const char *url)
{
    return (struct fetch_options){
        .url = url,
        .allow_http = options->allow_http,
        .ca = options->ca,
        .proxy = options->proxy.ptr,
        .connect_timeout_ms = options->timeout_ms,
        .timeout_ms = options->timeout_ms,
        .max_bytes = options->max_bytes,
        .accept = ACCEPT,
    };
}

/* "application/json", "application/jwk-set+json", whatever the case. */
static bool names_json(struct slice type)
{
    for (size_t i = 0; i + 4 <= type.len; i++) {
        if (slice_eq_nocase(slice_of(type.ptr + i, 4), SLICE("json"))) {
            return true;
        }
    }
    return false;
}

static bool type_may_be_json(struct slice type)
{
    static const struct slice plain[] = { { "text/plain", 10 },
                                          { "application/octet-stream", 24 },
                                          { "binary/octet-stream", 19 } };

    if (slice_is_absent(type)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (type.len >= plain[i].len &&
            slice_eq_nocase(slice_of(type.ptr, plain[i].len), plain[i])) {
            return true;
        }
    }
    return names_json(type);
}

const char *jwks_answer_fault(const struct fetch_answer *answer, const char **ret_detail)
{
    *ret_detail = answer->detail;
    switch (answer->err) {
    case 0: break;
    case ERR_TIMEOUT: return "timeout";
    case ERR_CRYPTO: return "tls";
    case ERR_TOO_BIG: return "too_large";
    default: return "connect";
    }
    *ret_detail = "the status is not 200";
    if (answer->status != 200) {
        return "http_error";
    }
    *ret_detail = "the content type is not JSON";
    return type_may_be_json(answer->content_type) ? NULL : "parse";
}
