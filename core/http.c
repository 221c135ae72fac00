/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http.h"

static const struct {
    struct slice name;
    bool idempotent;
} methods[HTTP_METHODS] = { [HTTP_OTHER] = { { .ptr = "_OTHER", .len = 6 }, false },
#define X(name, idempotent, safe)                                                                  \
    [HTTP_##name] = { { .ptr = #name, .len = sizeof(#name) - 1 }, (idempotent) },
                            HTTP_METHOD_TABLE(X)
#undef X
};

enum http_method http_method_of(struct slice name)
{
    for (unsigned method = HTTP_OTHER + 1; method < HTTP_METHODS; method++) {
        if (slice_eq(methods[method].name, name)) {
            return (enum http_method)method;
        }
    }
    return HTTP_OTHER;
}

struct slice http_method_name(enum http_method method)
{
    return methods[(unsigned)method < HTTP_METHODS ? method : HTTP_OTHER].name;
}

bool http_method_is_idempotent(enum http_method method)
{
    return (unsigned)method < HTTP_METHODS && methods[method].idempotent;
}

bool http_response_may_have_body(enum http_method method, unsigned status)
{
    return method != HTTP_HEAD && status >= 200 && status != 204 && status != 304;
}

struct slice http_status_text(unsigned status)
{
    switch (status) {
    case 100: return SLICE("Continue");
    case 101: return SLICE("Switching Protocols");
    case 102: return SLICE("Processing");
    case 103: return SLICE("Early Hints");
    case 200: return SLICE("OK");
    case 201: return SLICE("Created");
    case 202: return SLICE("Accepted");
    case 203: return SLICE("Non-Authoritative Information");
    case 204: return SLICE("No Content");
    case 205: return SLICE("Reset Content");
    case 206: return SLICE("Partial Content");
    case 207: return SLICE("Multi-Status");
    case 208: return SLICE("Already Reported");
    case 226: return SLICE("IM Used");
    case 300: return SLICE("Multiple Choices");
    case 301: return SLICE("Moved Permanently");
    case 302: return SLICE("Found");
    case 303: return SLICE("See Other");
    case 304: return SLICE("Not Modified");
    case 305: return SLICE("Use Proxy");
    case 307: return SLICE("Temporary Redirect");
    case 308: return SLICE("Permanent Redirect");
    case 400: return SLICE("Bad Request");
    case 401: return SLICE("Unauthorized");
    case 402: return SLICE("Payment Required");
    case 403: return SLICE("Forbidden");
    case 404: return SLICE("Not Found");
    case 405: return SLICE("Method Not Allowed");
    case 406: return SLICE("Not Acceptable");
    case 407: return SLICE("Proxy Authentication Required");
    case 408: return SLICE("Request Timeout");
    case 409: return SLICE("Conflict");
    case 410: return SLICE("Gone");
    case 411: return SLICE("Length Required");
    case 412: return SLICE("Precondition Failed");
    case 413: return SLICE("Content Too Large");
    case 414: return SLICE("URI Too Long");
    case 415: return SLICE("Unsupported Media Type");
    case 416: return SLICE("Range Not Satisfiable");
    case 417: return SLICE("Expectation Failed");
    case 421: return SLICE("Misdirected Request");
    case 422: return SLICE("Unprocessable Content");
    case 423: return SLICE("Locked");
    case 424: return SLICE("Failed Dependency");
    case 425: return SLICE("Too Early");
    case 426: return SLICE("Upgrade Required");
    case 428: return SLICE("Precondition Required");
    case 429: return SLICE("Too Many Requests");
    case 431: return SLICE("Request Header Fields Too Large");
    case 451: return SLICE("Unavailable For Legal Reasons");
    case 500: return SLICE("Internal Server Error");
    case 501: return SLICE("Not Implemented");
    case 502: return SLICE("Bad Gateway");
    case 503: return SLICE("Service Unavailable");
    case 504: return SLICE("Gateway Timeout");
    case 505: return SLICE("HTTP Version Not Supported");
    case 506: return SLICE("Variant Also Negotiates");
    case 507: return SLICE("Insufficient Storage");
    case 508: return SLICE("Loop Detected");
    case 511: return SLICE("Network Authentication Required");
    default: return SLICE("Unknown");
    }
}
