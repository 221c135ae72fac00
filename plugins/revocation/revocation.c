/* SPDX-License-Identifier: Apache-2.0 */
/* Is the token that jwt accepted revoked?  Each worker asks the filter that the control thread keeps
 * in step with Redis; when the filter cannot be believed, when it says "maybe" and on strict routes,
 * it asks Redis on a connection of its own.  Without Redis the local store answers at once. */
#include "core/log.h"
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"
#include "plugins/revocation/config.h"
#include "plugins/revocation/control.h"
#include "plugins/revocation/lint.h"
#include "plugins/revocation/names.h"

#define AREA          "revocation"
#define RETRY_AFTER_S 1u

struct top {
    struct revocation_settings settings;
};

/* ---- configuration ---- */

static const struct option top_options[] = {
    { .name = "revocation",
      .type = OPT_OBJECT,
      .offset = offsetof(struct top, settings),
      .sub = revocation_option_table,
      .help = "Where revoked tokens are remembered; without this key none are looked for." },
    { .name = NULL },
};

static int top_init(void *top, const struct option_context *ctx)
{
    return revocation_settings_init(&((struct top *)top)->settings, ctx);
}

static void top_done(void *top)
{
    revocation_settings_done(&((struct top *)top)->settings);
}

static bool top_is_same(const void *old, const void *top)
{
    return revocation_settings_are_same(&((const struct top *)old)->settings,
                                        &((const struct top *)top)->settings);
}

/* The member "revocation" of an "auth" that asks for more than "off". */
static const struct json *find_wish(const struct json *auth)
{
    const struct json *found = NULL;

    if (auth == NULL || (auth->type != JSON_OBJECT && auth->type != JSON_ARRAY)) {
        return NULL;
    }
    if (auth->type == JSON_OBJECT) {
        found = json_get(auth, SLICE("revocation"));
        if (found != NULL) {
            return slice_eq(found->text, SLICE("off")) ? NULL : found;
        }
        found = find_wish(json_get(auth, SLICE("optional")));
        return found != NULL ? found : find_wish(json_get(auth, SLICE("any_of")));
    }
    for (const struct json *item = auth->child; item != NULL && found == NULL; item = item->next) {
        found = find_wish(item);
    }
    return found;
}

static int config_init(void *config, void *top_arg, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    const struct top *top = top_arg;

    if (!jwt_route_has_auth(route)) {
        return GW_NOT_ON_ROUTE;
    }
    if (revocation_is_on(&top->settings)) {
        return 0;
    }
    const struct json *wish = find_wish(json_get(route, SLICE("auth")));
    if (wish != NULL) {
        diag_at(ctx->diag, DIAG_ERROR, wish, path,
                "write \"revocation\": {} at the top of the configuration",
                "the route looks for revoked tokens, but nothing says where they are kept");
        return ERR_CONFIG;
    }
    return GW_NOT_ON_ROUTE;
}

static void lint(const void *top, const struct option_context *ctx,
                 const struct gw_lint_route *routes, size_t count)
{
    revocation_lint(&((const struct top *)top)->settings, ctx, routes, count);
}

/* ---- the process, and workers ---- */

static enum gw_folder_use uses_folder(const void *top, enum gw_folder folder)
{
    const struct revocation_settings *settings = &((const struct top *)top)->settings;

    if (folder != GW_STATE_DIR || !revocation_is_on(settings)) {
        return GW_FOLDER_UNUSED;
    }
    return revocation_is_local(settings) ? GW_FOLDER_NEEDED : GW_FOLDER_USED;
}

static int process_init(struct gw_process *gw, const void *top, void **ret_state)
{
    const struct revocation_settings *settings = &((const struct top *)top)->settings;
    struct revocation_control *control = NULL;
    int err = revocation_is_on(settings) ? revocation_control_new(gw, settings, &control) : 0;

    *ret_state = control;
    return err;
}

static void process_done(void *state)
{
    revocation_control_free(state);
}

static int worker_init(struct gw_worker *gw, const void *top, void **ret_worker)
{
    const struct revocation_settings *settings = &((const struct top *)top)->settings;
    struct revocation_worker *worker = NULL;
    int err = revocation_is_on(settings) ? revocation_worker_new(gw, top, settings, &worker) : 0;

    *ret_worker = worker;
    return err;
}

static void worker_done(void *worker)
{
    revocation_worker_free(worker);
}

/* ---- requests ---- */

/* The strictest wish of the alternatives that the token may pass by. */
static enum jwt_revocation wish_for(const struct jwt_route *route, const struct token *token)
{
    enum jwt_revocation wish = JWT_REVOCATION_OFF;

    for (size_t i = 0; i < route->alternative_count; i++) {
        const struct jwt_alternative *one = &route->alternatives[i];
        if (one->provider != token->provider || one->revocation == JWT_REVOCATION_OFF) {
            continue;
        }
        if (one->revocation == JWT_REVOCATION_STRICT || wish == JWT_REVOCATION_OFF) {
            wish = one->revocation;
        }
    }
    return wish;
}

static enum gw_verdict cannot_tell(struct gw_call *call)
{
    const struct revocation_worker *worker = call->worker;

    if (worker->settings->on_unavailable == REVOCATION_ALLOW) {
        log_warning(AREA, "a token passes although nobody can tell whether it is revoked");
        return GW_NEXT;
    }
    gw_auth_decision(call->req, "revocation_unavailable");
    return gw_reply(call, &(struct gw_reply){ .status = 503,
                                              .reason = "revocation_unavailable",
                                              .detail = "The access token cannot be checked now",
                                              .retry_after_s = RETRY_AFTER_S });
}

static enum gw_verdict on_answered(struct gw_call *call);

static enum gw_verdict decide(struct gw_call *call, enum revocation_answer answer)
{
    struct revocation_lookup *lookup = call->state;

    switch (answer) {
    case REVOCATION_NO: return GW_NEXT;
    case REVOCATION_YES: return jwt_refuse(call, JWT_TOKEN_REVOKED, SLICE_ABSENT);
    case REVOCATION_UNKNOWN: return cannot_tell(call);
    case REVOCATION_LATER: return gw_waitlist_join(call, &lookup->waiters, on_answered);
    }
    return GW_FAIL;
}

static enum gw_verdict on_answered(struct gw_call *call)
{
    return decide(call, revocation_lookup_answer(call->state));
}

/* GW_WAIT: the store is to be asked about *ret_token. */
static enum gw_verdict find_question(struct gw_call *call, const struct token **ret_token,
                                     enum jwt_revocation *ret_wish)
{
    const struct jwt_identity *identity = gw_slot_get(call->req, &jwt_identity_slot);

    if (identity == NULL) {
        return GW_FAIL; /* jwt did not run: nobody vouches for the caller */
    }
    const struct token *token = identity->token;
    if (token == NULL) {
        return GW_NEXT;
    }
    *ret_wish = wish_for(identity->route, token);
    if (*ret_wish == JWT_REVOCATION_OFF) {
        return GW_NEXT;
    }
    if (slice_is_absent(token->jti) || token->jti.len == 0) {
        return jwt_refuse(call, JWT_CLAIM_MISSING, SLICE_ABSENT);
    }
    *ret_token = token;
    return GW_WAIT;
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct token *token = NULL;
    enum jwt_revocation wish = JWT_REVOCATION_OFF;
    enum gw_verdict verdict = call->worker == NULL ? GW_FAIL : find_question(call, &token, &wish);

    if (verdict != GW_WAIT) {
        return verdict;
    }
    struct revocation_names names;
    if (revocation_names_of(gw_arena(call->req), token, &names) < 0) {
        return GW_FAIL;
    }
    return decide(call, revocation_lookup_start(call->state, call->worker, &names,
                                                wish == JWT_REVOCATION_FILTERED));
}

static void on_end(struct gw_call *call)
{
    revocation_lookup_end(call->state);
}

static enum gw_verdict on_request_unasked(struct gw_call *call)
{
    const struct token *token = NULL;
    enum jwt_revocation wish = JWT_REVOCATION_OFF;
    enum gw_verdict verdict = find_question(call, &token, &wish);

    return verdict == GW_WAIT ? GW_NEXT : verdict;
}

const struct gw_plugin revocation_unasked_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "revocation",
    .on_request = on_request_unasked,
};

const struct gw_plugin revocation_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "revocation",
    .top_options = top_options,
    .top_size = sizeof(struct top),
    .top_init = top_init,
    .top_done = top_done,
    .top_is_same = top_is_same,
    .config_init = config_init,
    .worker_init = worker_init,
    .worker_done = worker_done,
    .state_size = sizeof(struct revocation_lookup),
    .on_request = on_request,
    .on_end = on_end,
    .process_init = process_init,
    .process_done = process_done,
    .lint = lint,
    .uses_folder = uses_folder,
};
