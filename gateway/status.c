/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/status.h"

#include "core/clock.h"
#include "core/json.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/process.h"

#include <unistd.h>

#include "version.h"

static int64_t seconds_since(uint64_t unix_us)
{
    uint64_t now = clock_unix_us();

    return now < unix_us ? 0 : (int64_t)((now - unix_us) / 1000000u);
}

static const char *state_word(const struct gateway *gateway)
{
    if (__atomic_load_n(&gateway->draining, __ATOMIC_RELAXED)) {
        return "stopping";
    }
    return __atomic_load_n(&gateway->leaving, __ATOMIC_RELAXED) ? "draining" : "serving";
}

static void write_config(const struct gateway *gateway, const struct config *config,
                         struct json_writer *w)
{
    json_write_begin(w, "config", '{');
    json_write_string(w, "file", slice_str(config->file));
    json_write_string(w, "hash", slice_str(config->hash));
    json_write_int(w, "age_s", seconds_since(gateway->config_unix_us));
    json_write_end(w, '}');
    json_write_begin(w, "reloads", '{');
    json_write_int(w, "success", (int64_t)gateway->reloads_done);
    json_write_int(w, "failure", (int64_t)gateway->reloads_failed);
    json_write_bool(w, "last_successful", !gateway->reload_failed);
    json_write_end(w, '}');
}

static void write_listeners(const struct config *config, struct json_writer *w)
{
    static const char *const services[] = { "public", "admin", "echo" };

    json_write_begin(w, "listeners", '[');
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];

        if (listener->is_gone) {
            continue;
        }
        json_write_begin(w, NULL, '{');
        json_write_string(w, "name", listener->element.name);
        json_write_string(w, "address", listener->address_text);
        json_write_string(w, "service", slice_str(services[listener->service]));
        json_write_bool(w, "tls", listener->tls != NULL);
        json_write_end(w, '}');
    }
    json_write_end(w, ']');
}

static void write_checks(const struct processes *processes, struct json_writer *w)
{
    struct process_check check;
    unsigned pos = 0;

    json_write_begin(w, "checks", '[');
    while (processes_next_check(processes, &pos, &check)) {
        json_write_begin(w, NULL, '{');
        json_write_string(w, "name", slice_str(check.name));
        json_write_bool(w, "ok", check.ok);
        if (!check.ok && check.why != NULL) {
            json_write_string(w, "why", slice_str(check.why));
        }
        json_write_end(w, '}');
    }
    json_write_end(w, ']');
}

void status_write(const struct gateway *gateway, const struct config_view *view,
                  struct json_writer *w)
{
    bool serves = __atomic_load_n(&gateway->ready, __ATOMIC_RELAXED) &&
                  !__atomic_load_n(&gateway->draining, __ATOMIC_RELAXED) &&
                  !__atomic_load_n(&gateway->leaving, __ATOMIC_RELAXED);

    json_write_begin(w, NULL, '{');
    json_write_string(w, "version", SLICE(JWTGATE_VERSION));
    json_write_int(w, "pid", (int64_t)getpid());
    json_write_string(w, "state", slice_str(state_word(gateway)));
    json_write_bool(w, "ready", serves && processes_are_ready(view->processes));
    json_write_int(w, "uptime_s", seconds_since(gateway->start_unix_us));
    json_write_int(w, "workers", (int64_t)gateway->worker_count - 1);
    write_config(gateway, view->config, w);
    write_listeners(view->config, w);
    write_checks(view->processes, w);
    json_write_end(w, '}');
}
