/* SPDX-License-Identifier: Apache-2.0 */
/* /api/explain: what was decided about a request. */
#include "core/json.h"
#include "gateway/admin_answer.h"
#include "gateway/decisions.h"
#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#define ADMIN_DECISION_BYTES 8192u

static int admin_hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, ascii_lower(c));

    return found == NULL ? -1 : (int)(found - digits);
}

/* The value of `request_id=` in the query, without its escapes; absent: none, or a bad one. */
static struct slice admin_request_id(const struct gw_call *call, char ret[DECISION_MAX_ID_BYTES])
{
    struct slice query = gw_query(call->req), name = SLICE("request_id=");
    size_t len = 0;

    if (query.len <= name.len || !slice_starts_with(query, name)) {
        return SLICE_ABSENT;
    }
    for (size_t i = name.len; i < query.len; i++) {
        bool is_escape = query.ptr[i] == '%' && i + 2 < query.len;
        int high = is_escape ? admin_hex(query.ptr[i + 1]) : 0;
        int low = is_escape ? admin_hex(query.ptr[i + 2]) : 0;

        if (high < 0 || low < 0 || query.ptr[i] == '&' || len == DECISION_MAX_ID_BYTES) {
            return SLICE_ABSENT;
        }
        ret[len++] = is_escape ? (char)(16 * high + low) : query.ptr[i];
        i += is_escape ? 2 : 0;
    }
    return slice_of(ret, len);
}

/* Of several with one id, which clients behind trusted proxies can bring about, the newest counts. */
static void admin_keep_decision(struct admin_wait *wait, const struct decision *decision)
{
    struct json_writer w;

    if (decision->unix_us <= wait->found_us) {
        return;
    }
    json_writer_init(&w, ADMIN_DECISION_BYTES);
    decision_write(decision, &w);
    if (!w.failed) {
        wait->found_us = decision->unix_us;
        free(wait->call->text);
        wait->call->text = w.buf;
        wait->call->text_len = w.len;
        w.buf = NULL;
    }
    json_writer_done(&w);
}

static void admin_on_decision(void *arg, const struct decision *decision)
{
    struct admin_wait *wait = arg;

    if (decision != NULL && wait->call != NULL) {
        admin_keep_decision(wait, decision);
    }
    admin_wait_answered(wait);
}

static enum gw_verdict admin_on_explain(struct gw_call *call)
{
    const struct admin_call *state = call->state;

    if (state->text == NULL) {
        return state->is_ready ? admin_problem(call, 404, "No such request among the last ones")
                               : admin_problem(call, 503, "A worker did not answer in time");
    }
    return admin_reply(call, 200, SLICE("application/json"),
                       slice_of(state->text, state->text_len));
}

enum gw_verdict admin_explain(struct gw_call *call)
{
    char id[DECISION_MAX_ID_BYTES];
    struct slice wanted = admin_request_id(call, id);
    struct admin_wait *wait = slice_is_absent(wanted) ? NULL : admin_wait_new(call);

    if (wait == NULL) {
        return slice_is_absent(wanted) ? admin_problem(call, 400, "Write ?request_id=ID") : GW_FAIL;
    }
    wait->pending = 1; /* itself, as in admin_livez() */
    decisions_ask(admin_gateway(call), wanted, admin_on_decision, wait, &wait->pending);
    admin_wait_answered(wait);
    return admin_wait_join(call, ADMIN_ANSWER_MS, admin_on_explain);
}
