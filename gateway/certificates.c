/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/certificates.h"

#include "core/clock.h"
#include "core/log.h"
#include "gateway/gateway.h"
#include "gateway/worker.h"

#define CHECK_MS ((uint64_t)6 * 3600 * 1000)
#define DAY_S    ((int64_t)24 * 3600)
#define SOON_S   (14 * DAY_S)

static void check_one(const struct config_listener *listener,
                      const struct config_certificate *certificate, int64_t now)
{
    int64_t left = certificate->not_after - now;

    if (left <= 0) {
        log_error("tls", "a certificate has expired listener=%.*s host=%.*s",
                  SLICE_FMT(listener->element.name), SLICE_FMT(certificate->host));
    } else if (left < SOON_S) {
        log_warning("tls", "a certificate expires soon listener=%.*s host=%.*s days=%lld",
                    SLICE_FMT(listener->element.name), SLICE_FMT(certificate->host),
                    (long long)(left / DAY_S));
    }
    if (certificate->staple_until != 0 && certificate->staple_until <= now) {
        log_warning("tls",
                    "an OCSP response has lapsed and is not stapled any more listener=%.*s "
                    "host=%.*s",
                    SLICE_FMT(listener->element.name), SLICE_FMT(certificate->host));
    }
}

void certificates_check(const struct gateway *gateway)
{
    const struct config *config = gateway->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];

        for (size_t k = 0; k < listener->certificate_count; k++) {
            check_one(listener, &listener->certificates[k], clock_unix());
        }
    }
}

static void on_timer(struct loop_timer *timer)
{
    struct certificates *certificates =
        (struct certificates *)(void *)((char *)timer - offsetof(struct certificates, timer));
    struct loop *loop = certificates->gateway->control->loop;

    certificates_check(certificates->gateway);
    if (loop_timer_set(loop, timer, clock_ms() + CHECK_MS) != 0) {
        log_warning("tls", "certificates are not watched any more: out of memory");
    }
}

void certificates_watch(struct certificates *certificates, const struct gateway *gateway)
{
    certificates->gateway = gateway;
    certificates->timer.fn = on_timer;
    on_timer(&certificates->timer);
}

void certificates_done(struct certificates *certificates)
{
    if (certificates->gateway != NULL) {
        loop_timer_remove(certificates->gateway->control->loop, &certificates->timer);
    }
}
