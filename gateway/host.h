/* SPDX-License-Identifier: Apache-2.0 */
/* Between plugins/plugin.h and the gateway: a plugin's struct gw_request is a struct request, its
 * struct gw_worker a struct worker. */
#pragma once

#include "gateway/request.h"
#include "gateway/worker.h"
#include "plugins/plugin.h"

static inline struct request *request_of(struct gw_request *req)
{
    return (struct request *)(void *)req;
}

static inline const struct request *request_of_const(const struct gw_request *req)
{
    return (const struct request *)(const void *)req;
}

static inline struct gw_request *gw_request_of(struct request *req)
{
    return (struct gw_request *)(void *)req;
}

static inline struct worker *worker_of(struct gw_worker *worker)
{
    return (struct worker *)(void *)worker;
}

static inline struct gw_worker *gw_worker_of(struct worker *worker)
{
    return (struct gw_worker *)(void *)worker;
}
