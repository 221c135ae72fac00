/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/redirect.h"

#include "core/uri.h"

#include <netinet/in.h>
#include <stdio.h>

/* Whoever probes readiness follows no redirect. */
static bool is_own_path(const struct request *req)
{
    const char *path = req->view->config->public_path;

    return path != NULL && slice_eq(req->head.path, slice_str(path));
}

bool redirect_is_due(const struct request *req)
{
    const struct config_listener *listener = &req->view->config->listeners[req->listener_index];

    return listener->redirect == CONFIG_REDIRECT_HTTPS && !is_own_path(req);
}

static uint16_t port_of(const struct config_listener *listener)
{
    const struct sockaddr_storage *addr = &listener->address;

    return ntohs(addr->ss_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)(const void *)addr)->sin6_port
                     : ((const struct sockaddr_in *)(const void *)addr)->sin_port);
}

static uint16_t https_port(const struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].tls != NULL && config->listeners[i].service == CONFIG_PUBLIC) {
            return port_of(&config->listeners[i]);
        }
    }
    return 0;
}

/* ":8443", or empty.  A client that names the port of our plain listener reaches our ports as they are;
 * to any other we are behind the usual ones. */
static void format_port(const struct request *req, struct slice host, char ret[8])
{
    const struct config *config = req->view->config;
    struct slice port = slice_skip(req->head.authority, host.len);
    uint16_t https = https_port(config);
    char own[8];

    ret[0] = '\0';
    snprintf(own, sizeof(own), ":%u", port_of(&config->listeners[req->listener_index]));
    if (slice_eq(port, slice_str(own)) && https != 0 && https != 443) {
        snprintf(ret, 8, ":%u", https);
    }
}

struct slice redirect_location(struct request *req)
{
    const struct http_request *head = &req->head;
    struct slice host = uri_authority_host(head->authority);
    struct slice path = slice_eq(head->path, SLICE("*")) ? SLICE("/") : head->path;
    bool has_query = !slice_is_absent(head->query);
    struct slice query = has_query ? head->query : SLICE("");
    char port[8];

    format_port(req, host, port);
    return slice_str(arena_printf(&req->arena, "https://%.*s%s%.*s%s%.*s", SLICE_FMT(host), port,
                                  SLICE_FMT(path), has_query ? "?" : "", SLICE_FMT(query)));
}
