/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/reply.h"

#include "core/clock.h"
#include "core/json.h"
#include "gateway/forward.h"
#include "gateway/identify.h"
#include "gateway/redirect.h"

#include <stdio.h>
#include <time.h>

#define RETRY_AFTER_S 1u

static unsigned reply_status(const struct request *req)
{
    return req->reply != NULL ? req->reply->status : outcome_status(req->outcome);
}

/* IMF-fixdate (RFC 9110 section 5.6.7), made anew once a second. */
static struct slice date_now(void)
{
    static _Thread_local char text[32];
    static _Thread_local time_t made;
    time_t now = (time_t)clock_unix();
    struct tm tm;

    if (now != made && gmtime_r(&now, &tm) != NULL) {
        made = now;
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return slice_str(text);
}

static int add_allow(struct request *req, struct headers *headers)
{
    char *list = arena_alloc(&req->arena, 128);
    size_t len = 0;

    if (list == NULL) {
        return ERR_NO_MEMORY;
    }
    for (unsigned m = HTTP_OTHER + 1; m < HTTP_METHODS; m++) {
        struct slice name = http_method_name((enum http_method)m);

        if ((req->allowed_methods & (1u << m)) == 0) {
            continue;
        }
        len += (size_t)snprintf(list + len, 128 - len, "%s%.*s", len == 0 ? "" : ", ",
                                SLICE_FMT(name));
    }
    return headers_add(headers, SLICE("allow"), slice_of(list, len));
}

static int add_number(struct request *req, struct headers *headers, struct slice name,
                      unsigned number)
{
    char *text = arena_printf(&req->arena, "%u", number);

    return text == NULL ? ERR_NO_MEMORY : headers_add(headers, name, slice_str(text));
}

static unsigned retry_after(const struct request *req, unsigned status)
{
    if (req->reply != NULL && req->reply->retry_after_s > 0) {
        return req->reply->retry_after_s;
    }
    return status == 503 ? RETRY_AFTER_S : 0;
}

static int add_fields(struct request *req, unsigned status, struct slice content_type)
{
    struct headers *headers = &req->response.headers;
    unsigned retry_s = retry_after(req, status);
    int err = headers_add_id(headers, HEADER_DATE, date_now());

    if (err == 0) {
        err = headers_add_id(headers, HEADER_CONTENT_TYPE, content_type);
    }
    if (err == 0 && req->outcome == OUTCOME_REDIRECT) {
        struct slice location = redirect_location(req);

        err = slice_is_absent(location) ? ERR_NO_MEMORY
                                        : headers_add(headers, SLICE("location"), location);
    }
    if (err == 0 && req->reply != NULL && !slice_is_absent(req->reply->www_authenticate)) {
        err = headers_add_id(headers, HEADER_WWW_AUTHENTICATE, req->reply->www_authenticate);
    }
    if (err == 0 && status == 405) {
        err = add_allow(req, headers);
    }
    if (err == 0 && retry_s > 0) {
        err = add_number(req, headers, SLICE("retry-after"), retry_s);
    }
    if (err == 0) {
        bool is_own = req->reply != NULL && !slice_is_absent(req->reply->cache_control);

        err = headers_add_id(headers, HEADER_CACHE_CONTROL,
                             is_own ? req->reply->cache_control : SLICE("no-store"));
    }
    if (err == 0 && req->reply != NULL && !slice_is_absent(req->reply->etag)) {
        err = headers_add(headers, SLICE("etag"), req->reply->etag);
    }
    if (err == 0 && req->reply != NULL && req->reply->pragma_no_cache) {
        err = headers_add(headers, SLICE("pragma"), SLICE("no-cache"));
    }
    if (err == 0) {
        err = forward_add_hsts(req);
    }
    if (err == 0) {
        err = headers_add_id(headers, HEADER_X_REQUEST_ID, identify_request_id(req));
    }
    return err;
}

static int write_problem(struct request *req, unsigned status)
{
    bool with_reason = req->view->config->server.error_detail == CONFIG_DETAIL_REASON;
    const char *detail = req->reply != NULL ? req->reply->detail : NULL;
    struct json_writer writer;

    json_writer_init(&writer, 4096);
    json_write_begin(&writer, NULL, '{');
    json_write_string(&writer, "type", SLICE("about:blank"));
    json_write_string(&writer, "title", http_status_text(status));
    json_write_int(&writer, "status", status);
    if (detail != NULL) {
        json_write_string(&writer, "detail", slice_str(detail));
    }
    if (with_reason && req->reason != NULL) {
        json_write_string(&writer, "reason", slice_str(req->reason));
    }
    json_write_string(&writer, "request_id", identify_request_id(req));
    json_write_end(&writer, '}');
    int err = writer.failed ? ERR_NO_MEMORY
                            : buf_append(&req->reply_body, slice_of(writer.buf, writer.len));
    json_writer_done(&writer);
    return err;
}

int reply_build(struct request *req)
{
    unsigned status = reply_status(req);
    struct slice content_type = SLICE("application/problem+json");
    int err = 0;

    memset(&req->response, 0, sizeof(req->response));
    req->response.status = status;
    err = headers_init(&req->response.headers, &req->arena, 8);
    if (req->reply != NULL && !slice_is_absent(req->reply->content_type)) {
        content_type = req->reply->content_type;
    } else if (err == 0) {
        err = write_problem(req, status);
    }
    if (err == 0) {
        err = add_fields(req, status, content_type);
    }
    req->response.body = status == 304 ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
    req->response.content_length = req->reply_body.len;
    return err;
}
