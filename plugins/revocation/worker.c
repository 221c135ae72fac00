/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/worker.h"

#include "core/redis.h"
#include "core/resolve.h"

#include <stdlib.h>

void revocation_worker_take_filter(void *arg, struct gw_shared *object)
{
    struct revocation_worker *worker = arg;
    struct revocation_filter *filter = (struct revocation_filter *)object;

    if (worker->redis != NULL && worker->filter != NULL &&
        worker->filter->server != filter->server) {
        redis_reconnect(worker->redis); /* what the old one says does not count any more */
    } else if (worker->redis != NULL) {
        redis_hurry(worker->redis);
    }
    (void)gw_shared_ref(object);
    revocation_filter_unref(worker->filter);
    worker->filter = filter;
}

void revocation_worker_take_local(void *arg, struct gw_shared *object)
{
    struct revocation_worker *worker = arg;

    worker->local = (struct revocation_local *)gw_shared_ref(object);
}

static int make_counters(struct revocation_worker *worker, struct gw_worker *gw)
{
    static const char *const labels[] = {
#define X(name, word) [REVOCATION_##name] = "result=\"" word "\"",
        REVOCATION_RESULT_TABLE(X)
#undef X
    };

    for (unsigned i = 0; i < REVOCATION_RESULTS; i++) {
        worker->results[i] = gw_counter(gw, "jwtgate_revocation_lookups_total", labels[i]);
        if (worker->results[i] == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

static int connect_redis(struct revocation_worker *worker, struct gw_worker *gw)
{
    static const struct redis_ops no_ops = { NULL, NULL, NULL };

    worker->resolver = resolver_new(gw_loop(gw));
    if (worker->resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->redis =
        redis_new(gw_loop(gw), worker->resolver, &worker->settings->client, &no_ops, worker);
    return worker->redis == NULL ? ERR_NO_MEMORY : 0;
}

int revocation_worker_new(struct gw_worker *gw, const struct revocation_settings *settings,
                          struct revocation_worker **ret)
{
    struct revocation_worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->settings = settings;
    int err = make_counters(worker, gw);
    if (err == 0 && !revocation_is_local(settings)) {
        err = connect_redis(worker, gw);
    }
    if (err < 0) {
        revocation_worker_free(worker);
        return err;
    }
    *ret = worker;
    return 0;
}

void revocation_worker_free(struct revocation_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    redis_free(worker->redis);
    if (worker->resolver != NULL) {
        resolver_free(worker->resolver);
    }
    revocation_filter_unref(worker->filter);
    if (worker->local != NULL) {
        gw_shared_unref(&worker->local->shared);
    }
    free(worker);
}
