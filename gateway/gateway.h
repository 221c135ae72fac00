/* SPDX-License-Identifier: Apache-2.0 */
/* The process: control thread, workers, current snapshot, signals, drain. */
#pragma once

#include "core/err.h"
#include "gateway/config.h"

#include <stdint.h>

struct gateway;
struct metrics_job;
struct offload;
struct process_hub;
struct processes;
struct reload;
struct sink;
struct upgrade;
struct worker;

struct gateway {
    struct config *config;
    struct worker *control;  /* also workers[0] */
    struct worker **workers; /* control, then the public ones */
    unsigned worker_count;
    struct process_hub *hub;     /* work of plugins on the control thread */
    struct processes *processes; /* what the current snapshot has of it */
    struct sink *access_log;     /* NULL: off */
    struct offload *offload;     /* threads for gw_offload(); NULL: it fails */
    uint64_t start_unix_us;
    bool ready; /* atomic: workers read both; listeners are open */
    bool draining;
    bool leaving; /* atomic: not ready any more, but serving: before a stop (`jwtgate drain`) */
    struct metrics_job *metrics_jobs; /* scrapes under way (metrics.c) */

    /* Only the control thread looks at these. */
    struct reload *reload;
    struct upgrade *upgrade;
    uint64_t config_unix_us; /* when `config` was loaded */
    uint64_t reloads_done, reloads_failed;
    bool reload_failed; /* the last one */
};

/* Called once all listeners are open, on the control thread (`ports`: by listener index). */
typedef void gateway_ready_fn(struct gateway *gateway, const uint16_t *ports, void *arg);

/* Serve `config` (a reference is taken) until a signal ends it; the exit code: 0 after a clean stop, 1
 * when it could not start. */
int gateway_serve(struct config *config, gateway_ready_fn *on_ready, void *arg);
/* Control thread: as SIGTERM does, once. */
void gateway_ask_to_stop(struct gateway *gateway);
/* `jwtgate run`: load the file, print errors, serve. 1: bad configuration, 3: no such file. */
int gateway_run(const char *config_file);
