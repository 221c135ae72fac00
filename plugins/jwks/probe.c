/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/probe.h"

#include "plugins/jwks/answer.h"
#include "plugins/jwks/discovery.h"

#include <stdio.h>
#include <stdlib.h>

#define LINE_BYTES 600u

struct probe {
    const struct jwks_options *options;
    struct slice provider, issuer;
    gw_probe_fn *say;
    void *arg;
    bool is_done;
    bool has_other;    /* a failure is not the end: there is another place to look */
    struct slice body; /* malloc'ed */
};

static void probe_say(const struct probe *probe, bool ok, const char *text)
{
    char line[LINE_BYTES];

    if (!ok && probe->has_other) {
        return;
    }
    snprintf(line, sizeof(line), "jwks/%.*s: %s", SLICE_FMT(probe->provider), text);
    probe->say(probe->arg, ok, line);
}

static void probe_on_answer(void *arg, const struct fetch_answer *answer)
{
    struct probe *probe = arg;
    const char *detail = NULL;

    probe->is_done = true;
    if (jwks_answer_fault(answer, &detail) != NULL) {
        char text[LINE_BYTES / 2];

        if (answer->err == 0) {
            snprintf(text, sizeof(text), "%s (status %u)", detail, answer->status);
        } else {
            snprintf(text, sizeof(text), "%s", detail);
        }
        probe_say(probe, false, text);
        return;
    }
    probe->body = slice_of(malloc(answer->body.len + 1), answer->body.len);
    if (probe->body.ptr != NULL && answer->body.len > 0) {
        memcpy((char *)(uintptr_t)probe->body.ptr, answer->body.ptr, answer->body.len);
    }
}

/* The body of `url`, malloc'ed; absent: reported. */
static struct slice probe_fetch(struct probe *probe, const char *url)
{
    const struct jwks_options *options = probe->options;
    struct loop *loop = loop_new();
    struct fetcher *fetcher = loop == NULL ? NULL : fetcher_new(loop);
    struct fetch_options fetch = jwks_question(options, url);

    probe->is_done = false;
    probe->body = SLICE_ABSENT;
    if (fetcher == NULL || url == NULL ||
        fetch_start(fetcher, &fetch, probe_on_answer, probe) == NULL) {
        probe_say(probe, false, "out of memory, or no address to ask");
        probe->is_done = true;
    }
    while (!probe->is_done) {
        loop_turn(loop, true);
    }
    if (fetcher != NULL) {
        fetcher_free(fetcher);
    }
    loop_free(loop);
    return probe->body;
}

static char *probe_discover(struct probe *probe)
{
    char *uri = NULL;

    for (int kind = 0; kind < DISCOVERY_KINDS && uri == NULL; kind++) {
        probe->has_other = kind + 1 < DISCOVERY_KINDS;
        char *url = discovery_url(probe->issuer, (enum discovery_kind)kind);
        struct slice text = probe_fetch(probe, url);
        const char *why = "";

        if (!slice_is_absent(text) &&
            discovery_read(text, probe->options->max_bytes, probe->issuer, &uri, &why) < 0) {
            probe_say(probe, false, why);
        }
        free((char *)(uintptr_t)text.ptr);
        free(url);
    }
    probe->has_other = false;
    if (uri != NULL && !fetch_url_is_valid(uri, probe->options->allow_http)) {
        probe_say(probe, false, "the metadata's jwks_uri is no https address");
        free(uri);
        return NULL;
    }
    return uri;
}

static void probe_on_skip(void *arg, struct slice kid, const char *why)
{
    char text[LINE_BYTES / 2];

    snprintf(text, sizeof(text), "key \"%.*s\" skipped: %s", (int)(kid.len > 128 ? 128 : kid.len),
             slice_is_absent(kid) ? "" : kid.ptr, why);
    probe_say(arg, true, text);
}

static void probe_read(struct probe *probe, const char *uri, struct slice text)
{
    struct jwks_set *set = NULL;
    const char *why = NULL;
    char line[LINE_BYTES / 2];

    if (jwks_set_read(text, probe->options->max_bytes, probe_on_skip, probe, &set, &why) < 0) {
        probe_say(probe, false, why);
        return;
    }
    snprintf(line, sizeof(line), "ok: %zu key%s from %.200s", set->count,
             set->count == 1 ? "" : "s", uri);
    probe_say(probe, true, line);
    for (size_t i = 0; i < set->count; i++) {
        const struct jwk *key = &set->keys[i];

        snprintf(line, sizeof(line), "key \"%.*s\" %.*s", SLICE_FMT(key->kid),
                 key->alg == NULL ? 0 : (int)key->alg->name.len,
                 key->alg == NULL ? "" : key->alg->name.ptr);
        probe_say(probe, true, line);
    }
    jwks_set_unref(set);
}

void jwks_probe(const struct jwks_options *options, struct slice provider, struct slice issuer,
                gw_probe_fn *say, void *arg)
{
    struct probe probe = {
        .options = options, .provider = provider, .issuer = issuer, .say = say, .arg = arg
    };
    char *uri =
        options->discovery ? probe_discover(&probe) : strndup(options->uri.ptr, options->uri.len);
    struct slice text;

    if (uri == NULL) {
        return; /* said */
    }
    text = probe_fetch(&probe, uri);
    if (!slice_is_absent(text)) {
        probe_read(&probe, uri, text);
    }
    free((char *)(uintptr_t)text.ptr);
    free(uri);
}
