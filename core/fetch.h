/* SPDX-License-Identifier: Apache-2.0 */
/* Small documents over https, on libcurl's multi interface and the loop: no thread, no blocking.  What
 * the other side does costs at most `max_bytes` of memory and `timeout_ms` of time: bodies are
 * counted as they arrive and never decompressed, redirects are answers like any other.  A proxy is used
 * when the options name one; nothing of the environment counts.  Names are asked by core/resolve.h.
 * Thread: the loop's. */
#pragma once

#include "core/loop.h"
#include "core/slice.h"

#include <stdint.h>

struct fetcher; /* what the transfers of one loop share */
struct fetch;   /* one transfer */

struct fetch_options {
    const char *url;
    bool allow_http;    /* else https only */
    const char *socket; /* path of a unix socket that answers for the host; NULL: none */
    struct slice ca;    /* certificates (PEM) that may vouch; absent: those of the system */
    const char *proxy;  /* "http://host:port", for https by CONNECT; NULL: none */
    uint64_t connect_timeout_ms, timeout_ms;
    size_t max_bytes;          /* of the body */
    const char *accept;        /* NULL: anything */
    const char *etag;          /* of what we have: If-None-Match; NULL: none */
    const char *last_modified; /* If-Modified-Since; NULL: none */
    const char *authorization; /* NULL: none */
    bool posts;                /* POST in place of GET */
    struct slice post;         /* its body, JSON; absent: none */
};

struct fetch_answer {
    /* 0: there is an answer of any status.  ERR_RESOLVE, ERR_CONNECT, ERR_TIMEOUT, ERR_CRYPTO (TLS),
     * ERR_TOO_BIG, ERR_IO (cut or not HTTP). */
    int err;
    const char *detail; /* of an error, for the log */
    unsigned status;
    struct slice body;
    /* Fields of the response, absent when there are none; the last of several. */
    struct slice content_type, cache_control, expires, date, age, etag, last_modified;
    uint64_t duration_ms;
};

typedef void fetch_fn(void *arg, const struct fetch_answer *answer);

struct fetcher *fetcher_new(struct loop *loop); /* NULL: no memory */
void fetcher_free(struct fetcher *fetcher);     /* transfers under way never call back */

/* Start; fn runs once in a later turn, unless cancelled; the answer lives until it returns.  Texts are
 * copied.  NULL: no memory, or an address that is not http(s). */
struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_options *options,
                          fetch_fn *fn, void *arg);
/* Before fn has run; then the transfer is gone. */
void fetch_cancel(struct fetch *fetch);
/* Is it a whole http(s) address that fetch_start() would take? */
bool fetch_url_is_valid(const char *url, bool allow_http);
/* "http://host:port", without a password: it would be in the configuration. */
bool fetch_proxy_is_valid(const char *proxy);
