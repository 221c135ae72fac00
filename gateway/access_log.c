/* SPDX-License-Identifier: Apache-2.0 */
/* Written by hand into a buffer on the stack: a line costs about a microsecond.  Every field has a
 * longest length, so that a line always fits and nothing a client sends can crowd out the rest. */
#include "gateway/access_log.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/sink.h"
#include "gateway/config.h"
#include "gateway/metrics.h"
#include "gateway/request.h"
#include "gateway/worker.h"

#include <openssl/sha.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOG_PATH_BYTES    1024u /* bytes of values after escaping */
#define LOG_MEDIUM_BYTES  256u
#define LOG_SHORT_BYTES   128u
#define LOG_SUBJECT_BYTES (ACCESS_LOG_NAME_BYTES / 2) /* of the hash, in hex digits */

struct log_line {
    size_t len;
    char *text; /* ACCESS_LOG_BYTES */
};

static void line_add(struct log_line *line, struct slice bytes)
{
    size_t room = ACCESS_LOG_BYTES - line->len;

    if (bytes.len > room) {
        bytes.len = room;
    }
    memcpy(line->text + line->len, bytes.ptr, bytes.len);
    line->len += bytes.len;
}

/* Nearly all values are printable ASCII that needs no escape. */
static bool is_plain(struct slice value)
{
    unsigned bad = 0;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        bad |= (c < 0x20) | (c >= 0x7f) | (c == '"') | (c == '\\');
    }
    return bad == 0;
}

static void line_add_escaped(struct log_line *line, struct slice value, size_t max)
{
    size_t room = ACCESS_LOG_BYTES - line->len;

    max = max < room ? max : room;
    if (value.len <= max && is_plain(value)) {
        line_add(line, value);
        return;
    }
    line->len += json_escape(value, line->text + line->len, max);
}

/* Decimal digits of `value`, at least `digits` of them. */
static void line_add_number(struct log_line *line, uint64_t value, unsigned digits)
{
    char text[20];
    size_t at = sizeof(text);

    do {
        text[--at] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value > 0 || sizeof(text) - at < digits);
    line_add(line, slice_of(text + at, sizeof(text) - at));
}

/* `name` is the literal `,"name":` so that a field costs one copy. */
static void line_string(struct log_line *line, struct slice name, struct slice value, size_t max)
{
    if (value.len == 0) {
        return;
    }
    line_add(line, name);
    line_add(line, SLICE("\""));
    line_add_escaped(line, value, max);
    line_add(line, SLICE("\""));
}

static void line_number(struct log_line *line, struct slice name, uint64_t value)
{
    line_add(line, name);
    line_add_number(line, value, 1);
}

static void line_seconds(struct log_line *line, struct slice name, uint64_t ns)
{
    uint64_t us = ns / 1000u;

    line_add(line, name);
    line_add_number(line, us / 1000000u, 1);
    line_add(line, SLICE("."));
    line_add_number(line, us % 1000000u, 6);
}

/* ---- the values ---- */

static struct slice log_listener(const struct request *req)
{
    const struct config *config = req->view->config;

    if (req->listener_index >= config->listener_count) {
        return SLICE_ABSENT;
    }
    return config->listeners[req->listener_index].element.name;
}

static struct slice log_user_agent(const struct request *req)
{
    return headers_get_id(&req->head.headers, HEADER_USER_AGENT);
}

/* The subject, or with hash_subject the start of its SHA-256 in `buf`: the same for the same
 * subject, in all processes, so that lines can be joined without naming anyone. */
struct slice access_log_name(const struct request *req, enum gw_attr attr,
                             char buf[ACCESS_LOG_NAME_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    struct slice subject = req->attrs[attr];
    unsigned char hash[SHA256_DIGEST_LENGTH];

    if (subject.len == 0 || !req->view->config->access_log.hash_subject) {
        return subject;
    }
    SHA256((const unsigned char *)subject.ptr, subject.len, hash);
    for (size_t i = 0; i < LOG_SUBJECT_BYTES; i++) {
        buf[2 * i] = digits[hash[i] >> 4];
        buf[2 * i + 1] = digits[hash[i] & 15];
    }
    return slice_of(buf, ACCESS_LOG_NAME_BYTES);
}

static uint64_t log_upstream_ns(const struct request *req)
{
    if (req->sent_ns == 0) {
        return 0;
    }
    return (req->response_ns != 0 ? req->response_ns : req->end_ns) - req->sent_ns;
}

/* ---- the formats ---- */

static void log_json_who(struct log_line *line, const struct request *req)
{
    char time[CLOCK_RFC3339_BYTES];
    unsigned len = clock_format_rfc3339(clock_unix_us(), time);

    line_add(line, SLICE("{\"time\":\""));
    line_add(line, slice_of(time, len));
    line_add(line, SLICE("\""));
    line_string(line, SLICE(",\"request_id\":"), req->id, LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"trace_id\":"), req->trace_id, LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"listener\":"), log_listener(req), LOG_SHORT_BYTES);
    if (req->route != NULL) {
        line_string(line, SLICE(",\"route\":"), req->route->element.name, LOG_SHORT_BYTES);
    }
    line_string(line, SLICE(",\"client_ip\":"), req->client_ip, LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"peer_ip\":"), req->peer_ip, LOG_SHORT_BYTES);
}

static void log_json_what(struct log_line *line, const struct request *req)
{
    const struct http_request *head = &req->head;

    line_string(line, SLICE(",\"method\":"), head->method_name, LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"scheme\":"), head->scheme, LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"host\":"), head->authority, LOG_MEDIUM_BYTES);
    line_string(line, SLICE(",\"path\":"), head->path, LOG_PATH_BYTES);
    if (head->method_name.len > 0) {
        line_add(line, SLICE(",\"protocol\":\"HTTP/1."));
        line_add_number(line, head->minor, 1);
        line_add(line, SLICE("\""));
    }
}

static void log_json_result(struct log_line *line, const struct request *req)
{
    char hash[ACCESS_LOG_NAME_BYTES];

    if (req->status != 0) {
        line_number(line, SLICE(",\"status\":"), req->status);
    }
    line_string(line, SLICE(",\"outcome\":"), slice_str(outcome_word(req->outcome)),
                LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"reason\":"), slice_str(req->reason), LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"provider\":"), req->attrs[GW_ATTR_PROVIDER], LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"kid\":"), req->attrs[GW_ATTR_KID], LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"sub\":"), access_log_name(req, GW_ATTR_SUBJECT, hash),
                LOG_MEDIUM_BYTES);
    line_string(line, SLICE(",\"client_id\":"), req->attrs[GW_ATTR_CLIENT_ID], LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"jti\":"), req->attrs[GW_ATTR_JTI], LOG_SHORT_BYTES);
    line_number(line, SLICE(",\"request_bytes\":"), req->request_bytes);
    line_number(line, SLICE(",\"response_bytes\":"), req->response_bytes);
}

static void log_json_times(struct log_line *line, const struct request *req)
{
    char hash[ACCESS_LOG_NAME_BYTES];
    uint64_t total = req->end_ns - req->start_ns;
    uint64_t upstream = log_upstream_ns(req);

    line_seconds(line, SLICE(",\"duration_s\":"), total);
    line_seconds(line, SLICE(",\"overhead_s\":"), total > upstream ? total - upstream : 0);
    if (req->tries > 0 && req->route != NULL && req->route->upstream != NULL) {
        line_string(line, SLICE(",\"upstream\":"), req->route->upstream->element.name,
                    LOG_SHORT_BYTES);
        if (req->target != NULL) {
            line_string(line, SLICE(",\"upstream_address\":"), req->target->label,
                        LOG_MEDIUM_BYTES);
        }
        if (req->upstream_status != 0) {
            line_number(line, SLICE(",\"upstream_status\":"), req->upstream_status);
        }
        if (req->sent_ns != 0) {
            line_seconds(line, SLICE(",\"upstream_duration_s\":"), upstream);
        }
        line_number(line, SLICE(",\"retries\":"), req->tries - 1u);
    }
    line_string(line, SLICE(",\"tls_version\":"), slice_str(req->tls_version), LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"client_cert_subject\":"),
                access_log_name(req, GW_ATTR_CERT_SUBJECT, hash), LOG_MEDIUM_BYTES);
    line_string(line, SLICE(",\"client_cert_thumbprint\":"), req->attrs[GW_ATTR_CERT_THUMBPRINT],
                LOG_SHORT_BYTES);
    line_string(line, SLICE(",\"user_agent\":"), log_user_agent(req), LOG_MEDIUM_BYTES);
}

static void log_json(struct log_line *line, const struct request *req)
{
    log_json_who(line, req);
    log_json_what(line, req);
    log_json_result(line, req);
    log_json_times(line, req);
    line_add(line, SLICE("}"));
}

/* Fields of the combined format may not be empty and end at a blank. */
static void log_combined_word(struct log_line *line, struct slice value)
{
    size_t from = line->len;

    if (value.len == 0) {
        value = SLICE("-");
    }
    line_add_escaped(line, value, LOG_MEDIUM_BYTES);
    for (size_t i = from; i < line->len; i++) {
        if (line->text[i] == ' ') {
            line->text[i] = '_';
        }
    }
}

/* The format of Apache and nginx: for tools that know no other. Without query and referrer. */
static void log_combined(struct log_line *line, const struct request *req)
{
    const struct http_request *head = &req->head;
    time_t now = (time_t)clock_unix();
    char hash[ACCESS_LOG_NAME_BYTES];
    char date[40];
    struct tm tm;

    gmtime_r(&now, &tm);
    log_combined_word(line, req->client_ip);
    line_add(line, SLICE(" - "));
    log_combined_word(line, access_log_name(req, GW_ATTR_SUBJECT, hash));
    line_add(line,
             slice_of(date, strftime(date, sizeof(date), " [%d/%b/%Y:%H:%M:%S +0000] \"", &tm)));
    if (head->method_name.len > 0) {
        line_add_escaped(line, head->method_name, LOG_SHORT_BYTES);
        line_add(line, SLICE(" "));
        line_add_escaped(line, head->path, LOG_PATH_BYTES);
        line_add(line, SLICE(" HTTP/1."));
        line_add_number(line, head->minor, 1);
    } else {
        line_add(line, SLICE("-"));
    }
    line_add(line, SLICE("\" "));
    line_add_number(line, req->status, 1);
    line_add(line, SLICE(" "));
    line_add_number(line, req->response_bytes, 1);
    line_add(line, SLICE(" \"-\" \""));
    if (log_user_agent(req).len > 0) {
        line_add_escaped(line, log_user_agent(req), LOG_MEDIUM_BYTES);
    } else {
        line_add(line, SLICE("-"));
    }
    line_add(line, SLICE("\""));
}

static void log_count_dropped(struct worker *worker)
{
    char labels[32];
    uint64_t *dropped;

    snprintf(labels, sizeof(labels), "worker=\"%u\"", worker->index);
    dropped = metrics_number(worker->metrics, "jwtgate_log_dropped_total", labels);
    if (dropped != NULL) {
        (*dropped)++;
    }
}

struct slice access_log_format(const struct request *req, char ret_text[ACCESS_LOG_BYTES])
{
    struct log_line line = { .text = ret_text };

    if (req->view->config->access_log.format == 1) {
        log_combined(&line, req);
    } else {
        log_json(&line, req);
    }
    line_add(&line, SLICE("\n"));
    return slice_of(line.text, line.len);
}

void access_log_write(const struct request *req)
{
    struct worker *worker = req->worker;
    const struct config_listener *listener = &req->view->config->listeners[req->listener_index];
    char text[ACCESS_LOG_BYTES];

    if (worker->access_log != NULL && listener->service == CONFIG_PUBLIC &&
        !sink_write(worker->access_log, access_log_format(req, text))) {
        log_count_dropped(worker);
    }
}
