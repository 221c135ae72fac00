/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/peers.h"

#include "core/map.h"
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

bool peers_enter(struct worker *worker, const struct sockaddr *addr)
{
    int64_t limit = worker->view->config->server.limits.connections_per_ip;
    uint8_t key[PEERS_KEY_BYTES];
    struct peer *peer;

    if (limit == 0) {
        return true;
    }
    peers_key_of(addr, key);
    peer = map_get(&worker->peers, slice_of(key, sizeof(key)));
    if (peer != NULL) {
        if (peer->count >= limit) {
            return false;
        }
        peer->count++;
        return true;
    }
    peer = malloc(sizeof(*peer));
    if (peer == NULL) {
        return false;
    }
    memcpy(peer->key, key, sizeof(key));
    peer->count = 1;
    if (map_set(&worker->peers, slice_of(peer->key, sizeof(peer->key)), peer) != 0) {
        free(peer);
        return false;
    }
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
