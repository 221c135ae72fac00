/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses without blocking, on evdns: /etc/resolv.conf is read at the start, /etc/hosts
 * when it has changed; both families are asked, answers carry their TTL, IPv4 comes first.  One
 * resolver per loop.  Thread: the loop's. */
#pragma once

#include "core/loop.h"

#include <stdint.h>
#include <sys/socket.h>

#define RESOLVE_MAX_ADDRESSES 16

struct resolver;
struct resolve_query;

struct resolve_address {
    struct sockaddr_storage addr; /* port is 0 */
    socklen_t len;
};

struct resolve_answer {
    int err; /* 0, ERR_RESOLVE, ERR_TIMEOUT */
    unsigned count;
    uint32_t ttl_s; /* smallest of the answers, at least 1; for /etc/hosts 60 */
    struct resolve_address addresses[RESOLVE_MAX_ADDRESSES];
};

typedef void resolve_fn(void *arg, const struct resolve_answer *answer);

struct resolver *resolver_new(struct loop *loop);
void resolver_free(struct resolver *resolver); /* pending queries never call back */
/* Ask only "ADDRESS[:PORT]", without search domains, instead of what resolv.conf says; NULL: nobody
 * is asked.  ERR_BAD_INPUT leaves none. */
int resolver_set_nameserver(struct resolver *resolver, const char *address) MUST_CHECK;
/* Ask; fn runs once in a later turn, unless cancelled.  NULL: no memory. `name` is copied. */
struct resolve_query *resolver_ask(struct resolver *resolver, const char *name, resolve_fn *fn,
                                   void *arg);
/* Before fn has run; then the query is gone. */
void resolver_cancel(struct resolve_query *query);

/* "192.0.2.1", "::1" or "[::1]" with a port: false when it is not a literal address. */
bool resolve_literal(const char *host, uint16_t port, struct sockaddr_storage *ret_addr,
                     socklen_t *ret_len);
