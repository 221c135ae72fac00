/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/peers.h"

#include "core/log.h"
#include "core/map.h"
#include "gateway/conn.h"
#include "gateway/worker.h"

#include <netinet/in.h>
#include <stdlib.h>

/* Connections of one address (IPv4) or one /64 (IPv6, where one customer has all of it). */
struct peer {
    uint8_t key[PEERS_KEY_BYTES];
    int64_t count;
};

static void key_fold(uint8_t key[PEERS_KEY_BYTES])
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

    if (memcmp(key, mapped, sizeof(mapped)) != 0) {
        memset(key + 8, 0, 8);
    }
}

void peers_key_of(const struct sockaddr *addr, uint8_t ret[PEERS_KEY_BYTES])
{
    memset(ret, 0, PEERS_KEY_BYTES);
    if (addr->sa_family == AF_INET6) {
        memcpy(ret, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
    } else if (addr->sa_family == AF_INET) {
        ret[10] = 0xff;
        ret[11] = 0xff;
        memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
    }
    key_fold(ret);
}

static int64_t peers_limit(const struct worker *worker)
{
    return worker->view->config->server.limits.connections_per_ip;
}

/* That of the key; NULL: no memory. */
static struct peer *peer_of(struct worker *worker, const uint8_t key[PEERS_KEY_BYTES])
{
    struct peer *peer = map_get(&worker->peers, slice_of(key, PEERS_KEY_BYTES));

    if (peer != NULL) {
        return peer;
    }
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return NULL;
    }
    memcpy(peer->key, key, sizeof(peer->key));
    if (map_set(&worker->peers, slice_of(peer->key, sizeof(peer->key)), peer) != 0) {
        free(peer);
        return NULL;
    }
    return peer;
}

bool peers_enter(struct worker *worker, const struct sockaddr *addr)
{
    int64_t limit = peers_limit(worker);
    uint8_t key[PEERS_KEY_BYTES];
    struct peer *peer;

    if (limit == 0) {
        return true;
    }
    peers_key_of(addr, key);
    peer = peer_of(worker, key);
    if (peer == NULL || peer->count >= limit) {
        return false;
    }
    peer->count++;
    return true;
}

void peers_leave(struct worker *worker, const uint8_t peer[PEERS_KEY_BYTES])
{
    uint8_t key[PEERS_KEY_BYTES];
    struct peer *found;

    if (worker->peers.count == 0) {
        return;
    }
    memcpy(key, peer, sizeof(key));
    key_fold(key);
    found = map_get(&worker->peers, slice_of(key, sizeof(key)));
    if (found == NULL) {
        return;
    }
    found->count--;
    if (found->count == 0) {
        map_remove(&worker->peers, slice_of(key, sizeof(key)));
        free(found);
    }
}

void peers_recount(struct worker *worker)
{
    peers_done(worker);
    if (peers_limit(worker) == 0) {
        return;
    }
    for (const struct conn *conn = worker->conns; conn != NULL; conn = conn->next) {
        uint8_t key[PEERS_KEY_BYTES];
        struct peer *peer;

        memcpy(key, conn->peer, sizeof(key));
        key_fold(key);
        peer = peer_of(worker, key);
        if (peer == NULL) {
            log_warning("listener", "connections_per_ip may let in more: out of memory worker=%u",
                        worker->index);
            return;
        }
        peer->count++;
    }
}

void peers_done(struct worker *worker)
{
    struct slice key;
    size_t pos = 0;
    void *peer;

    while (map_next(&worker->peers, &pos, &key, &peer)) {
        free(peer);
    }
    map_done(&worker->peers);
}
