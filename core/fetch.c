/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl tells which sockets to watch and when to wake it; this file owns the events.  It is entered from
 * event and timer callbacks only, never from its own callbacks; ended transfers are handed out at
 * the end of the turn. */
#include "core/fetch.h"

#include "core/clock.h"
#include "core/fetch_response.h"
#include "core/resolve.h"

#include <curl/curl.h>
#include <event2/event.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELD_BYTES  1024u
#define RESOLVE_TEXT_MAX 1024u
#define MAX_NAME_BYTES   256u

struct fetcher {
    struct loop *loop;
    CURLM *multi;
    struct resolver *resolver;
    struct loop_timer timer;
    struct loop_call ended; /* some transfer may have ended */
    struct fetch *first;
    bool is_global;
    struct loop_grave grave;
};

struct fetch {
    struct fetcher *fetcher;
    struct fetch *next, **at;
    CURL *easy;
    struct resolve_query *query; /* NULL: the name is known */
    struct curl_slist *request_fields, *resolved;
    struct loop_timer timer; /* total: also of the name's resolution */
    uint64_t start_ms;
    char host[MAX_NAME_BYTES]; /* to connect to: the server or the proxy */
    unsigned port;
    fetch_fn *fn;
    void *arg;
    int err; /* known before curl says so */
    char detail[CURL_ERROR_SIZE];
    struct fetch_response response;
};

struct fetch_socket {
    struct fetcher *fetcher;
    struct event *event;
};

/* ---- the end of a transfer ---- */

static void fetch_free(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;

    *fetch->at = fetch->next;
    if (fetch->next != NULL) {
        fetch->next->at = fetch->at;
    }
    if (fetch->query != NULL) {
        resolver_cancel(fetch->query);
    }
    if (fetch->easy != NULL) {
        curl_multi_remove_handle(fetcher->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    loop_timer_remove(fetcher->loop, &fetch->timer);
    curl_slist_free_all(fetch->request_fields);
    curl_slist_free_all(fetch->resolved);
    fetch_response_done(&fetch->response);
    free(fetch);
}

static int fetch_error(const struct fetch *fetch, CURLcode code)
{
    if (fetch->err != 0) {
        return fetch->err;
    }
    /* NOLINTNEXTLINE: most codes are one thing to us. */
    switch ((int)code) {
    case CURLE_OK: return fetch->response.head_is_whole ? 0 : ERR_IO;
    case CURLE_OUT_OF_MEMORY: return ERR_NO_MEMORY;
    case CURLE_OPERATION_TIMEDOUT: return ERR_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST: return ERR_RESOLVE;
    case CURLE_COULDNT_CONNECT: return ERR_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR: return ERR_CRYPTO;
    case CURLE_FILESIZE_EXCEEDED: return ERR_TOO_BIG;
    default: return ERR_IO;
    }
}

static void fetch_end(struct fetch *fetch, int err)
{
    struct fetch_answer answer = { .err = err, .duration_ms = clock_ms() - fetch->start_ms };
    long status = 0;

    if (err != 0) {
        answer.detail = fetch->detail[0] != '\0' ? fetch->detail : err_text(err);
    } else {
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (unsigned)status;
        fetch_response_answer(&fetch->response, &answer);
    }
    fetch->fn(fetch->arg, &answer);
    fetch_free(fetch);
}

static void fetcher_on_ended(struct loop_call *call)
{
    struct fetcher *fetcher =
        (struct fetcher *)(void *)((char *)call - offsetof(struct fetcher, ended));
    struct CURLMsg *message;
    int left;

    /* One at a time: a callback may cancel others, which takes their messages away. */
    while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
        struct fetch *fetch = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
        fetch_end(fetch, fetch_error(fetch, code));
    }
}

/* The whole time is over: curl has its own clock, but not before the name is known. */
static void fetch_on_timer(struct loop_timer *timer)
{
    struct fetch *fetch = (struct fetch *)(void *)((char *)timer - offsetof(struct fetch, timer));

    snprintf(fetch->detail, sizeof(fetch->detail), "not done in time");
    fetch_end(fetch, ERR_TIMEOUT);
}

/* ---- curl and the loop ---- */

static void fetcher_act(struct fetcher *fetcher, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(fetcher->multi, fd, what, &running);
    loop_defer(fetcher->loop, &fetcher->ended);
}

static void socket_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct fetcher *fetcher = ((struct fetch_socket *)arg)->fetcher;

    loop_turn_begin(fetcher->loop);
    fetcher_act(fetcher, fd,
                ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
                    ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void socket_free(struct fetch_socket *watched)
{
    if (watched == NULL) {
        return;
    }
    if (watched->event != NULL) {
        event_free(watched->event);
    }
    free(watched);
}

/* Without an event for its socket a transfer ends by its timeout. */
static int fetcher_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct fetcher *fetcher = arg;
    struct fetch_socket *watched = socket_arg;
    short events = EV_PERSIST;

    if (what == CURL_POLL_REMOVE) {
        socket_free(watched);
        curl_multi_assign(fetcher->multi, fd, NULL);
        return 0;
    }
    if (watched == NULL) {
        watched = calloc(1, sizeof(*watched));
        if (watched == NULL) {
            return 0;
        }
        watched->fetcher = fetcher;
        curl_multi_assign(fetcher->multi, fd, watched);
    }
    if (watched->event != NULL) {
        event_free(watched->event);
    }
    events = (short)(events | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                     ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
    watched->event = event_new(loop_base(fetcher->loop), fd, events, socket_on_event, watched);
    if (watched->event != NULL) {
        (void)event_add(watched->event, NULL);
    }
    return 0;
}

static int fetcher_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct fetcher *fetcher = arg;

    if (timeout_ms < 0) {
        loop_timer_clear(&fetcher->timer);
        return 0;
    }
    return loop_timer_set(fetcher->loop, &fetcher->timer, clock_ms() + (uint64_t)timeout_ms) == 0
               ? 0
               : -1;
}

static void fetcher_on_timer(struct loop_timer *timer)
{
    struct fetcher *fetcher =
        (struct fetcher *)(void *)((char *)timer - offsetof(struct fetcher, timer));

    fetcher_act(fetcher, CURL_SOCKET_TIMEOUT, 0);
}

struct fetcher *fetcher_new(struct loop *loop)
{
    struct fetcher *fetcher = calloc(1, sizeof(*fetcher));

    if (fetcher == NULL) {
        return NULL;
    }
    fetcher->loop = loop;
    fetcher->timer.fn = fetcher_on_timer;
    fetcher->ended.fn = fetcher_on_ended;
    fetcher->is_global = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    fetcher->resolver = resolver_new(loop);
    fetcher->multi = fetcher->is_global ? curl_multi_init() : NULL;
    if (fetcher->multi == NULL || fetcher->resolver == NULL) {
        fetcher_free(fetcher);
        return NULL;
    }
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, fetcher_on_socket);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, fetcher_set_timer);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    return fetcher;
}

void fetcher_free(struct fetcher *fetcher)
{
    if (fetcher == NULL) {
        return;
    }
    while (fetcher->first != NULL) {
        fetch_free(fetcher->first);
    }
    if (fetcher->multi != NULL) {
        curl_multi_cleanup(fetcher->multi);
    }
    resolver_free(fetcher->resolver);
    loop_timer_remove(fetcher->loop, &fetcher->timer);
    loop_call_cancel(&fetcher->ended);
    if (fetcher->is_global) {
        curl_global_cleanup();
    }
    loop_free_later(fetcher->loop, &fetcher->grave, fetcher, free); /* a queued call is cancelled */
}

/* ---- one transfer ---- */

static size_t fetch_on_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *fetch = arg;
    size_t len = size * count; /* size is 1 */

    fetch->err = fetch_response_body(&fetch->response, slice_of(data, len));
    return fetch->err == 0 ? len : 0; /* 0 ends the transfer */
}

static size_t fetch_on_line(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *fetch = arg;

    fetch_response_line(&fetch->response, slice_of(data, size * count));
    return size * count;
}

static bool url_has(CURLU *parts, CURLUPart what)
{
    char *text = NULL;
    bool has = curl_url_get(parts, what, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

bool fetch_proxy_is_valid(const char *proxy)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *path = NULL;
    bool ok = parts != NULL && curl_url_set(parts, CURLUPART_URL, proxy, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_PATH, &path, 0) == CURLUE_OK;

    ok = ok && strcmp(scheme, "http") == 0 && strcmp(path, "/") == 0 &&
         url_has(parts, CURLUPART_PORT) && !url_has(parts, CURLUPART_USER) &&
         !url_has(parts, CURLUPART_PASSWORD) && !url_has(parts, CURLUPART_QUERY) &&
         !url_has(parts, CURLUPART_FRAGMENT);
    curl_free(scheme);
    curl_free(path);
    curl_url_cleanup(parts);
    return ok;
}

/* The host (without brackets) and port of an http(s) address; false: it is none. */
static bool url_split(const char *url, bool allow_http, char ret_host[MAX_NAME_BYTES],
                      unsigned *ret_port)
{
    const char *authority = strstr(url, "://");
    CURLU *parts = authority == NULL || authority[3] == '/' ? NULL : curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool ok = parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;

    if (ok) {
        ok = (strcmp(scheme, "https") == 0 || (allow_http && strcmp(scheme, "http") == 0)) &&
             host[0] != '\0' && strlen(host) < MAX_NAME_BYTES;
    }
    if (ok) {
        snprintf(ret_host, MAX_NAME_BYTES, "%s", host);
        *ret_port = (unsigned)strtoul(port, NULL, 10);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return ok;
}

bool fetch_url_is_valid(const char *url, bool allow_http)
{
    char host[MAX_NAME_BYTES];
    unsigned port;

    return url_split(url, allow_http, host, &port);
}

static bool add_request_field(struct fetch *fetch, const char *name, const char *value)
{
    char line[MAX_FIELD_BYTES + 64];
    struct curl_slist *longer;

    if (value == NULL || strpbrk(value, "\r\n") != NULL || strlen(value) > MAX_FIELD_BYTES) {
        return true; /* only made of what the other side sent itself: it can do without */
    }
    snprintf(line, sizeof(line), "%s: %s", name, value);
    longer = curl_slist_append(fetch->request_fields, line);
    if (longer == NULL) {
        return false;
    }
    fetch->request_fields = longer;
    return true;
}

static bool set_post(struct fetch *fetch, struct slice post)
{
    bool has_body = !slice_is_absent(post);
    long len = has_body ? (long)post.len : 0;

    return (!has_body || add_request_field(fetch, "Content-Type", "application/json")) &&
           curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE, len) == CURLE_OK &&
           curl_easy_setopt(fetch->easy, CURLOPT_COPYPOSTFIELDS, has_body ? post.ptr : "") ==
               CURLE_OK;
}

static bool set_ca(CURL *easy, struct slice ca)
{
    struct curl_blob blob = { .data = (void *)(uintptr_t)ca.ptr,
                              .len = ca.len,
                              .flags = CURL_BLOB_COPY };

    return slice_is_absent(ca) || (curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK &&
                                   curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) == CURLE_OK &&
                                   curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK);
}

#define SET(option, value) ok = ok && curl_easy_setopt(easy, (option), (value)) == CURLE_OK

static bool fetch_set_options(struct fetch *fetch, const struct fetch_options *options)
{
    CURL *easy = fetch->easy;
    const char *protocols = options->allow_http ? "https,http" : "https";
    bool ok = add_request_field(fetch, "Accept", options->accept) &&
              add_request_field(fetch, "If-None-Match", options->etag) &&
              add_request_field(fetch, "If-Modified-Since", options->last_modified) &&
              add_request_field(fetch, "Authorization", options->authorization) &&
              (!options->posts || set_post(fetch, options->post));

    SET(CURLOPT_URL, options->url);
    SET(CURLOPT_PROTOCOLS_STR, protocols);
    SET(CURLOPT_PRIVATE, (void *)fetch);
    SET(CURLOPT_ERRORBUFFER, fetch->detail);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_PROXY, options->proxy == NULL ? "" : options->proxy);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_UNIX_SOCKET_PATH, options->socket);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
    SET(CURLOPT_HTTPHEADER, fetch->request_fields);
    SET(CURLOPT_USERAGENT, "jwtgate");
    SET(CURLOPT_WRITEFUNCTION, fetch_on_body);
    SET(CURLOPT_WRITEDATA, (void *)fetch);
    SET(CURLOPT_HEADERFUNCTION, fetch_on_line);
    SET(CURLOPT_HEADERDATA, (void *)fetch);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    return ok && set_ca(easy, options->ca);
}
#undef SET

static void fetch_fail_later(struct fetch *fetch, int err);

static void fetch_transfer(struct fetch *fetch)
{
    if (fetch->resolved != NULL) {
        curl_easy_setopt(fetch->easy, CURLOPT_RESOLVE, fetch->resolved);
    }
    if (curl_multi_add_handle(fetch->fetcher->multi, fetch->easy) != CURLM_OK) {
        fetch_fail_later(fetch, ERR_NO_MEMORY);
    }
}

/* ---- its name ---- */

static void fetch_on_failure(struct loop_timer *timer)
{
    struct fetch *fetch = (struct fetch *)(void *)((char *)timer - offsetof(struct fetch, timer));

    fetch_end(fetch, fetch->err);
}

static void fetch_fail_later(struct fetch *fetch, int err)
{
    fetch->err = err;
    fetch->timer.fn = fetch_on_failure;
    /* It is set already, so this cannot fail. */
    (void)!loop_timer_set(fetch->fetcher->loop, &fetch->timer, clock_ms());
}

static size_t add_address(char *text, size_t len, const struct resolve_address *address)
{
    const struct sockaddr *addr = (const struct sockaddr *)(const void *)&address->addr;
    char host[INET6_ADDRSTRLEN];
    bool is_v6 = addr->sa_family == AF_INET6;
    const void *bytes =
        is_v6 ? (const void *)&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr
              : (const void *)&((const struct sockaddr_in *)(const void *)addr)->sin_addr;

    if (inet_ntop(addr->sa_family, bytes, host, sizeof(host)) == NULL) {
        return len;
    }
    return len + (size_t)snprintf(text + len, RESOLVE_TEXT_MAX - len, "%s%s%s%s",
                                  text[len - 1] == ':' ? "" : ",", is_v6 ? "[" : "", host,
                                  is_v6 ? "]" : "");
}

static void fetch_on_resolved(void *arg, const struct resolve_answer *answer)
{
    struct fetch *fetch = arg;
    char text[RESOLVE_TEXT_MAX];
    size_t len;

    fetch->query = NULL;
    if (answer->err != 0 || answer->count == 0) {
        snprintf(fetch->detail, sizeof(fetch->detail), "%.200s cannot be resolved", fetch->host);
        fetch_fail_later(fetch, answer->err == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_RESOLVE);
        return;
    }
    len = (size_t)snprintf(text, sizeof(text), "%s:%u:", fetch->host, fetch->port);
    for (unsigned i = 0; i < answer->count && len < sizeof(text) - 64; i++) {
        len = add_address(text, len, &answer->addresses[i]);
    }
    fetch->resolved = curl_slist_append(NULL, text);
    if (fetch->resolved == NULL) {
        fetch_fail_later(fetch, ERR_NO_MEMORY);
        return;
    }
    fetch_transfer(fetch);
}

/* curl itself knows addresses and "localhost". */
static bool name_is_known(const char *host)
{
    struct sockaddr_storage addr;
    socklen_t len;

    return strcasecmp(host, "localhost") == 0 || resolve_literal(host, 1, &addr, &len);
}

static bool fetch_begin(struct fetch *fetch, const struct fetch_options *options)
{
    struct fetcher *fetcher = fetch->fetcher;

    if (!url_split(options->url, options->allow_http, fetch->host, &fetch->port) ||
        (options->proxy != NULL && !url_split(options->proxy, true, fetch->host, &fetch->port))) {
        return false;
    }
    fetch->easy = curl_easy_init();
    if (fetch->easy == NULL || !fetch_set_options(fetch, options) ||
        loop_timer_set(fetcher->loop, &fetch->timer, fetch->start_ms + options->timeout_ms + 10u) !=
            0) {
        return false;
    }
    if (name_is_known(fetch->host)) {
        fetch_transfer(fetch);
        return true;
    }
    fetch->query = resolver_ask(fetcher->resolver, fetch->host, fetch_on_resolved, fetch);
    return fetch->query != NULL;
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_options *options,
                          fetch_fn *fn, void *arg)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch == NULL) {
        return NULL;
    }
    fetch->fetcher = fetcher;
    fetch->start_ms = clock_ms();
    fetch->fn = fn;
    fetch->arg = arg;
    fetch->response.max_bytes = options->max_bytes;
    fetch->timer.fn = fetch_on_timer;
    fetch->next = fetcher->first;
    fetch->at = &fetcher->first;
    if (fetch->next != NULL) {
        fetch->next->at = &fetch->next;
    }
    fetcher->first = fetch;
    if (!fetch_begin(fetch, options)) {
        fetch_free(fetch);
        return NULL;
    }
    return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
    fetch_free(fetch);
}
