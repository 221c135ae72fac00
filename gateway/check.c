/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/check.h"

#include "gateway/cmd.h"
#include "gateway/config.h"

static unsigned public_listeners(const struct config *config)
{
    unsigned count = 0;

    for (size_t i = 0; i < config->listener_count; i++) {
        count += config->listeners[i].service == CONFIG_PUBLIC ? 1 : 0;
    }
    return count;
}

static void print_count(const char *separator, size_t count, const char *noun)
{
    fprintf(stderr, "%s%zu %s%s", separator, count, noun, count == 1 ? "" : "s");
}

static void print_ok(const struct config *config)
{
    fprintf(stderr, "%s: ok: ", config->file);
    print_count("", public_listeners(config), "listener");
    print_count(", ", config->upstream_count, "upstream");
    print_count(", ", config->route_count, "route");
    fputc('\n', stderr);
}

static void report(const struct check_request *request, const struct diag *diag,
                   const struct config *config)
{
    if (request->quiet) {
        return;
    }
    if (request->json) {
        diag_print_json(diag, request->print && config != NULL ? stderr : stdout);
        return;
    }
    diag_print(diag, stderr);
    if (config != NULL && diag->errors == 0) {
        print_ok(config);
    }
}

static int print_effective(const char *file)
{
    struct diag diag;

    diag_init(&diag);
    int err = config_print(file, &diag, stdout);

    diag_done(&diag);
    return err < 0 || fflush(stdout) != 0 ? EXIT_NO : EXIT_YES;
}

/* With --strict there are no warnings. */
static void make_errors(struct diag *diag)
{
    for (unsigned i = 0; i < diag->count; i++) {
        diag->entries[i].severity = DIAG_ERROR;
    }
    diag->errors += diag->warnings;
    diag->warnings = 0;
}

struct online {
    const struct check_request *request;
    unsigned failures;
};

static void online_say(void *arg, bool ok, const char *text)
{
    struct online *online = arg;

    online->failures += ok ? 0 : 1;
    if (!online->request->quiet) {
        fprintf(stderr, "%s%s\n", ok ? "" : "error: ", text);
    }
}

/* Plugins ask what they depend on; false: something did not answer as it should. */
static bool is_fine_online(const struct check_request *request, const struct config *config)
{
    struct online online = { .request = request };

    for (size_t i = 0; i < config->plugin_count; i++) {
        const struct gw_plugin *plugin = config->plugins[i];

        if (plugin->probe != NULL) {
            plugin->probe(config->tops[i], online_say, &online);
        }
    }
    return online.failures == 0;
}

int check_config(const struct check_request *request)
{
    static const struct config_load_options options = { .serves = true, .lint = true };
    struct diag diag;
    bool missing = false;

    diag_init(&diag);
    struct config *config = config_load_with(request->file, &options, &diag, &missing);
    int result = EXIT_YES;

    if (request->strict) {
        make_errors(&diag);
    }

    report(request, &diag, config);
    if (missing) {
        result = EXIT_UNKNOWN;
    } else if (config == NULL || diag.errors > 0) {
        result = EXIT_NO;
    }
    if (result == EXIT_YES && request->online && !is_fine_online(request, config)) {
        result = EXIT_NO;
    }
    if (config != NULL && request->print) {
        int printed = print_effective(request->file);

        result = printed == EXIT_YES ? result : printed;
    }
    config_unref(config);
    diag_done(&diag);
    return result;
}
