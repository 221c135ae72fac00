/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admin_guard.h"

#include "core/headers.h"
#include "core/log.h"
#include "core/resolve.h"
#include "core/uri.h"
#include "gateway/admin_token.h"
#include "gateway/host.h"

static enum gw_verdict refuse(struct gw_call *call, unsigned status, const char *detail)
{
    return gw_reply(
        call, &(struct gw_reply){ .status = status, .reason = "admin_refused", .detail = detail });
}

/* ---- Host ---- */

static bool is_listener_name(const struct config *config, struct slice host)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];

        if (listener->service == CONFIG_ADMIN &&
            slice_eq_nocase(host, uri_authority_host(listener->address_text))) {
            return true;
        }
    }
    return false;
}

/* A page in a browser can make its own name point at us (DNS rebinding) and then read answers as
 * its own: names that nobody would give us by accident are refused. */
static bool host_is_trusted(const struct request *req)
{
    struct slice host = uri_authority_host(req->head.authority);
    struct sockaddr_storage addr;
    socklen_t len;
    char text[64];

    if (host.len == 0 || slice_eq_nocase(host, SLICE("localhost")) ||
        is_listener_name(req->view->config, host)) {
        return true;
    }
    if (host.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return resolve_literal(text, 1, &addr, &len);
}

/* ---- pages ---- */

/* "http://name:port" of the page that sends, when it is a page. */
static bool origin_is_ours(const struct request *req, struct slice origin)
{
    struct slice http = SLICE("http://");

    return slice_starts_with(origin, http) &&
           slice_eq_nocase(slice_skip(origin, http.len), req->head.authority);
}

/* A page may send a POST to any address.  Browsers say where it comes from (Fetch Metadata), on plain
 * http to other machines only by Origin. */
static bool is_from_other_site(const struct request *req)
{
    struct slice site = headers_get(&req->head.headers, SLICE("sec-fetch-site"));
    struct slice origin = headers_get(&req->head.headers, SLICE("origin"));

    if (!slice_is_absent(site) && !slice_eq(site, SLICE("same-origin")) &&
        !slice_eq(site, SLICE("none"))) {
        return true;
    }
    return !slice_is_absent(origin) && !origin_is_ours(req, origin);
}

/* ---- the token ---- */

/* Absent: none, or not exactly one. */
static struct slice bearer_token(const struct request *req)
{
    const struct headers *headers = &req->head.headers;
    struct slice field = headers_get_id(headers, HEADER_AUTHORIZATION);
    struct slice scheme = SLICE("Bearer ");

    if (headers_count_id(headers, HEADER_AUTHORIZATION) != 1 || field.len <= scheme.len ||
        !slice_eq_nocase(slice_of(field.ptr, scheme.len), scheme)) {
        return SLICE_ABSENT;
    }
    return slice_skip(field, scheme.len);
}

static enum gw_verdict check_token(struct gw_call *call, const struct request *req)
{
    const struct admin_token *token = &req->view->config->admin_token;
    struct slice given = bearer_token(req);

    if (!slice_is_absent(given) && admin_token_is(token, given)) {
        return GW_NEXT;
    }
    if (!slice_is_absent(given)) {
        log_warning("admin", "wrong_token peer=%.*s", SLICE_FMT(req->peer_ip));
    }
    return gw_reply(
        call, &(struct gw_reply){ .status = 401,
                                  .reason = "admin_refused",
                                  .detail = "The admin token is needed",
                                  .www_authenticate = slice_is_absent(given)
                                                          ? SLICE("Bearer realm=\"jwtgate admin\"")
                                                          : SLICE("Bearer realm=\"jwtgate admin\", "
                                                                  "error=\"invalid_token\"") });
}

static bool is_of_this_machine(const struct request *req)
{
    return slice_eq(req->peer_ip, SLICE("unix")) ||
           slice_starts_with(req->peer_ip, SLICE("127.")) || slice_eq(req->peer_ip, SLICE("::1"));
}

enum gw_verdict admin_guard(struct gw_call *call, enum admin_need need)
{
    const struct request *req = request_of_const(call->req);

    if (!host_is_trusted(req)) {
        return refuse(call, 403, "Not a name of this listener: use its address");
    }
    if (need == ADMIN_READ) {
        return GW_NEXT;
    }
    if (is_from_other_site(req)) {
        return refuse(call, 403, "Not from a page of another site");
    }
    if (req->view->config->admin_token.is_set) {
        return check_token(call, req);
    }
    if (need == ADMIN_RELOAD && is_of_this_machine(req)) {
        return GW_NEXT;
    }
    return refuse(call, 403, "The configuration has no admin.token");
}

static enum gw_verdict on_request(struct gw_call *call)
{
    return admin_guard(call, ADMIN_CHANGE);
}

const struct gw_plugin admin_guard_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "admin_guard",
    .on_request = on_request,
};
