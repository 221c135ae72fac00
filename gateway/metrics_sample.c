/* SPDX-License-Identifier: Apache-2.0 */
/* What is read at a scrape: gauges of what is there now. */
#include "core/log.h"
#include "gateway/config.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/metrics_series.h"
#include "gateway/upstream.h"
#include "gateway/worker.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "version.h"

#ifndef JWTGATE_COMMIT
#define JWTGATE_COMMIT "unknown"
#endif

/* The series of the family are not shown until they are set again. */
static void metrics_hide(struct metrics *metrics, unsigned family)
{
    for (struct metrics_series *s = metrics->first; s != NULL; s = s->next) {
        s->hidden = s->hidden || s->family == family;
    }
}

static void metrics_set(struct metrics *metrics, unsigned family, const char *labels,
                        uint64_t value)
{
    struct metrics_series *series = metrics_series_get(metrics, family, labels);

    if (series != NULL) {
        series->number = value;
        series->hidden = false;
    }
}

static void metrics_sample_listener(struct metrics *metrics,
                                    const struct metrics_listener *listener)
{
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;

    if (listener->is_gone && listener->connections == 0) {
        return;
    }
    metrics_label_add(labels, &len, "listener", listener->name);
    metrics_set(metrics, METRICS_CONNECTIONS, labels, listener->connections);
    metrics_set(metrics, METRICS_IN_FLIGHT, labels, listener->in_flight);
}

static void metrics_sample_conns(const struct worker *worker)
{
    struct metrics_listeners *listeners = worker->metrics->listeners;

    for (size_t i = 0; i < listeners->count; i++) {
        listeners->items[i].connections = 0;
        listeners->items[i].in_flight = 0;
    }
    for (const struct conn *conn = worker->conns; conn != NULL; conn = conn->next) {
        if (conn->listener_index < listeners->count) {
            listeners->items[conn->listener_index].connections++;
            listeners->items[conn->listener_index].in_flight += conn->request != NULL;
        }
    }
    metrics_hide(worker->metrics, METRICS_CONNECTIONS);
    metrics_hide(worker->metrics, METRICS_IN_FLIGHT);
    for (size_t i = 0; i < listeners->count; i++) {
        metrics_sample_listener(worker->metrics, &listeners->items[i]);
    }
}

static void metrics_sample_target(struct metrics *metrics, struct slice upstream,
                                  const struct upstream_target *target)
{
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;
    size_t end;

    metrics_label_add(labels, &len, "upstream", upstream);
    metrics_label_add(labels, &len, "target", target->config->label);
    metrics_set(metrics, METRICS_UPSTREAM_UP, labels, upstream_target_is_up(target));
    end = len;
    metrics_label_add(labels, &end, "state", SLICE("active"));
    metrics_set(metrics, METRICS_UPSTREAM_CONNECTIONS, labels, target->active);
    end = len;
    metrics_label_add(labels, &end, "state", SLICE("idle"));
    metrics_set(metrics, METRICS_UPSTREAM_CONNECTIONS, labels, target->idle_count);
}

void metrics_sample_worker(const struct worker *worker)
{
    size_t count = worker->view->config->upstream_count;

    metrics_sample_conns(worker);
    metrics_set(worker->metrics, METRICS_TLS_IN_FLIGHT, "", worker->handshakes);
    metrics_hide(worker->metrics, METRICS_UPSTREAM_UP);
    metrics_hide(worker->metrics, METRICS_UPSTREAM_CONNECTIONS);
    for (size_t i = 0; i < count; i++) {
        const struct upstream *upstream = worker->view->upstreams[i];

        for (unsigned j = 0; j < upstream->target_count; j++) {
            metrics_sample_target(worker->metrics, upstream->config->element.name,
                                  &upstream->targets[j]);
        }
    }
}

static uint64_t metrics_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself */
}

static uint64_t metrics_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long size = 0, resident = 0;

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &size, &resident) != 2) {
        resident = 0;
    }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t metrics_us(struct timeval time)
{
    return (uint64_t)time.tv_sec * METRICS_US_PER_S + (uint64_t)time.tv_usec;
}

static void metrics_sample_certificates(const struct gateway *gateway)
{
    const struct config *config = gateway->config;

    metrics_hide(gateway->control->metrics, METRICS_CERTIFICATE);
    metrics_hide(gateway->control->metrics, METRICS_STAPLE);
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];

        for (size_t k = 0; k < listener->certificate_count; k++) {
            const struct config_certificate *certificate = &listener->certificates[k];
            char labels[METRICS_LABELS_BYTES] = "";
            size_t len = 0;

            metrics_label_add(labels, &len, "listener", listener->element.name);
            metrics_label_add(labels, &len, "host", certificate->host);
            metrics_set(gateway->control->metrics, METRICS_CERTIFICATE, labels,
                        (uint64_t)certificate->not_after * METRICS_US_PER_S);
            if (certificate->staple_until != 0) {
                metrics_set(gateway->control->metrics, METRICS_STAPLE, labels,
                            (uint64_t)certificate->staple_until * METRICS_US_PER_S);
            }
        }
    }
}

void metrics_sample_process(const struct gateway *gateway)
{
    struct metrics *metrics = gateway->control->metrics;
    char labels[METRICS_LABELS_BYTES];
    struct rusage usage;
    struct rlimit limit;
    size_t len = 0;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        metrics_set(metrics, METRICS_CPU, "",
                    metrics_us(usage.ru_utime) + metrics_us(usage.ru_stime));
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        metrics_set(metrics, METRICS_MAX_FDS, "", limit.rlim_cur);
    }
    metrics_set(metrics, METRICS_RSS, "", metrics_resident_bytes());
    metrics_set(metrics, METRICS_OPEN_FDS, "", metrics_count_fds());
    metrics_set(metrics, METRICS_START_TIME, "", gateway->start_unix_us);
    metrics_set(metrics, METRICS_RELOAD_OK, "", gateway->reload_failed ? 0 : 1);
    metrics_set(metrics, METRICS_RELOAD_TIME, "", gateway->config_unix_us);
    metrics_set(metrics, METRICS_RELOADS, "result=\"success\"", gateway->reloads_done);
    metrics_set(metrics, METRICS_RELOADS, "result=\"failure\"", gateway->reloads_failed);

    metrics_sample_certificates(gateway);
    metrics_hide(metrics, METRICS_CONFIG_INFO);
    metrics_label_add(labels, &len, "hash", slice_str(gateway->config->hash));
    metrics_set(metrics, METRICS_CONFIG_INFO, labels, 1);
    len = 0;
    metrics_label_add(labels, &len, "version", slice_str(JWTGATE_VERSION));
    metrics_label_add(labels, &len, "commit", slice_str(JWTGATE_COMMIT));
    metrics_label_add(labels, &len, "openssl", slice_str(JWTGATE_OPENSSL));
    metrics_label_add(labels, &len, "libevent", slice_str(JWTGATE_LIBEVENT));
    metrics_set(metrics, METRICS_BUILD_INFO, labels, 1);
}
