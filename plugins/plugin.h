/* SPDX-License-Identifier: Apache-2.0 */
/* The contract between the gateway and a plugin.  gw_ names are all of the gateway that a plugin
 * may call; what it may use of core/ is core's.
 *
 * Lifetimes.  top: one per plugin and configuration snapshot.  config: one per route whose chain
 * holds the plugin.  Both are built on the main thread, then read-only and shared by all threads.
 * worker: one per snapshot, plugin and thread.  state: one per request.
 *
 * Promises of the host:
 * 1. A callback never runs inside the call that started it: GW_WAIT is returned before it.
 * 2. Either the callback runs exactly once, or the request has ended and it never runs.  on_end()
 *    runs in both cases.  A plugin has no cancel code.
 * 3. GW_WAIT with nothing pending is a bug of the plugin: logged, answered 500, counted.
 * 4. When a plugin moves on (NEXT, REPLY, FAIL), what it still had pending is cancelled.
 * 5. While the chain waits, the request body is not read, unless by gw_read_body(), and the response
 *    body is not, unless by gw_read_response_body().
 * 6. GW_FAIL is answered 503: what cannot be decided does not pass.
 * A plugin never resumes a request: every entry into it, hook or callback, returns a verdict. */
#pragma once

#include "core/http.h"
#include "core/options.h"
#include "core/slice.h"

#include <stddef.h>
#include <stdint.h>

#define GW_PLUGIN_ABI 1u
#define GW_API        __attribute__((visibility("default")))

struct gw_request; /* one request and its response */
struct gw_worker;  /* one event-loop thread */
struct gw_process; /* what one plugin does once for all of them */
struct gw_shared;  /* an object with references, see below */
struct loop;       /* core/loop.h */
struct json;       /* core/json.h */

enum gw_verdict {
    GW_NEXT,  /* go on with the next plugin */
    GW_REPLY, /* stop here: gw_reply() has set the response */
    GW_WAIT,  /* an operation is pending; its callback gives the verdict */
    GW_FAIL,  /* cannot decide (a dependency is down) */
};

/* One plugin instance on one request.  Valid until on_end() returns. */
struct gw_call {
    struct gw_request *req;
    const void *config; /* of this route; NULL when config_size is 0 */
    const void *top;    /* of this snapshot; NULL when top_size is 0 */
    void *worker;       /* this thread's state; may be NULL */
    void *state;        /* state_size zeroed bytes, aligned to 16, freed with the request */
};
typedef enum gw_verdict gw_hook_fn(struct gw_call *call);

/* A path that a plugin answers by itself: its on_request() runs alone, without a route's config. */
struct gw_endpoint {
    struct slice path;
    bool is_prefix;           /* also what is longer */
    uint32_t methods;         /* mask of 1 << enum http_method; others get a 405 */
    struct slice listener;    /* absent: all public ones */
    bool on_admin;            /* on the admin listener instead, for those who have its token */
    const struct json *where; /* for messages */
};

/* A route as a plugin's lint() sees it. */
struct gw_lint_route {
    struct slice name;
    const char *path; /* "routes.orders" */
    const struct json *json;
    struct slice match; /* path or prefix, without "/" at its end */
    bool is_prefix;
    struct slice upstream; /* name; absent: none */
    const void *config;    /* of this plugin; NULL: it is not on the route */
};

typedef void gw_probe_fn(void *arg, bool ok, const char *text); /* one line */

enum gw_folder { GW_STATE_DIR, GW_CACHE_DIR };
enum gw_folder_use {
    GW_FOLDER_UNUSED,
    GW_FOLDER_WISHED, /* when it is configured and missing, the operator hears of it */
    GW_FOLDER_USED,   /* when it is configured, it must exist */
    GW_FOLDER_NEEDED, /* it must be configured */
};

#define GW_NOT_ON_ROUTE 1 /* of config_init: this route does not need the plugin */

struct gw_plugin {
    uint32_t abi;  /* GW_PLUGIN_ABI */
    uint32_t size; /* sizeof(struct gw_plugin): later fields may be absent */
    const char *name;

    /* Keys at the top of the configuration, read into `top` (top_size zeroed bytes) first. */
    const struct option *top_options;
    size_t top_size;
    /* Keys of a route, read into `config` before config_init(). */
    const struct option *route_options;
    size_t config_size;

    /* All may be NULL.  Errors are reported through ctx->diag; then a negative ERR_* is returned.
     * `top` may be changed by config_init() (to collect over routes) until top_ready(). */
    int (*top_init)(void *top, const struct option_context *ctx);
    int (*config_init)(void *config, void *top, const struct option_context *ctx,
                       const struct json *route, const char *path);
    int (*top_ready)(void *top, const struct option_context *ctx);
    void (*config_done)(void *config);
    void (*top_done)(void *top);

    int (*worker_init)(struct gw_worker *worker, const void *top, void **ret_worker);
    void (*worker_done)(void *worker);

    size_t state_size;
    gw_hook_fn *on_request; /* head received, no upstream chosen, body unread */
    gw_hook_fn
        *on_response; /* upstream's head received, nothing sent yet: a reply takes its place */
    void (*on_end)(struct gw_call *call); /* once, after the access log line, if a hook ran */

    /* For `check --online`: ask what the configuration depends on, once, and say what came. May block. */
    void (*probe)(const void *top, gw_probe_fn *say, void *arg);

    /* Work of the process, see below; both on the control thread. */
    int (*process_init)(struct gw_process *process, const void *top, void **ret_state);
    void (*process_done)(void *state);

    /* Warn (diag_lint) of values that are valid and dangerous; after top_ready(), for `check` only. */
    void (*lint)(const void *top, const struct option_context *ctx,
                 const struct gw_lint_route *routes, size_t count);

    /* After top_ready(); they come before all routes. */
    const struct gw_endpoint *(*endpoints)(const void *top, size_t *ret_count);

    /* A reload: was `top`, whose text is that of `old`, also made of the same files?  Then `old` goes
     * on in the new snapshot, and with it the workers' states and the process; config_init() must
     * then only read it, and top_ready() is not called again.  NULL: a reload makes all anew. */
    bool (*top_is_same)(const void *old, const void *top);
    /* If it was not: take over from `old` the parts that are (they must be counted), before the routes
     * are read.  What is made anew from them, worker_init() finds by gw_worker_previous(). */
    void (*top_adopt)(void *top, const void *old);

    /* What the process's part of it asks of server.state_dir and server.cache_dir; after top_ready().
     * NULL: nothing. */
    enum gw_folder_use (*uses_folder)(const void *top, enum gw_folder folder);
};

/* While a configuration is read: the `top` of a plugin that stands before this one in the list of built-in
 * plugins; with a reload, the one that goes on in the new snapshot.  NULL: it has none. */
GW_API const void *gw_top(const struct option_context *ctx, const struct gw_plugin *plugin);

/* The request.  Slices live as long as the request; setters copy. */
GW_API enum http_method gw_method(const struct gw_request *req);
GW_API struct slice gw_method_name(const struct gw_request *req);
GW_API struct slice gw_host(const struct gw_request *req);
GW_API struct slice gw_path(const struct gw_request *req);  /* normalised */
GW_API struct slice gw_query(const struct gw_request *req); /* absent: none */
/* What is forwarded in its place; absent: none. */
GW_API int gw_query_set(struct gw_request *req, struct slice query) MUST_CHECK;
GW_API struct slice gw_client_ip(const struct gw_request *req);
GW_API struct slice gw_request_id(struct gw_request *req);
GW_API struct slice gw_route_name(const struct gw_request *req);
/* The head that will be forwarded.  Fields of the client that are named here are gone or changed
 * before hop-by-hop removal; fields set by a plugin are never removed by it. */
GW_API struct headers *gw_headers(struct gw_request *req);
GW_API int gw_header_set(struct gw_request *req, struct slice name, struct slice value) MUST_CHECK;
/* The upstream's response, in on_response() and its callbacks. */
GW_API unsigned gw_response_status(const struct gw_request *req);
GW_API struct headers *gw_response_headers(struct gw_request *req);
GW_API int gw_response_header_set(struct gw_request *req, struct slice name,
                                  struct slice value) MUST_CHECK;

GW_API struct arena *gw_arena(struct gw_request *req); /* freed with the request */
GW_API uint64_t gw_now_ms(void);
GW_API int64_t gw_unix_time(void);

/* What the access log and later plugins know about the caller.  Borrowed: the plugin keeps the bytes
 * alive until its on_end().  The gateway itself sets those of a client's certificate, which it has
 * verified. */
enum gw_attr {
    GW_ATTR_CERT_SUBJECT,    /* RFC 4514 */
    GW_ATTR_CERT_THUMBPRINT, /* x5t#S256 (RFC 8705) */
    GW_ATTR_PROVIDER,
    GW_ATTR_KID,
    GW_ATTR_SUBJECT,
    GW_ATTR_CLIENT_ID,
    GW_ATTR_JTI,
    GW_ATTRS,
};
GW_API void gw_attr_set(struct gw_request *req, enum gw_attr attr, struct slice value);
GW_API struct slice gw_attr_get(const struct gw_request *req, enum gw_attr attr);
/* An auth decision was made (metric jwtgate_auth_decisions_total); the provider is the attribute,
 * `reason` static text ("ok", "token_expired"). The last one counts. */
GW_API void gw_auth_decision(struct gw_request *req, const char *reason);
/* Typed values that cooperating plugins hand on: `key` is the address of a static object. At most 8. */
GW_API int gw_slot_set(struct gw_request *req, const void *key, void *value) MUST_CHECK;
GW_API void *gw_slot_get(const struct gw_request *req, const void *key);
/* What another plugin has for this thread (gw_call.worker in its own calls); NULL: nothing.  Only the
 * functions of that plugin's headers know what it is. */
GW_API void *gw_worker_state(const struct gw_request *req, const struct gw_plugin *plugin);

struct gw_reply {
    unsigned status;
    const char *reason; /* word for the access log: "token_expired"; static; NULL: none */
    const char *detail; /* for the client: "The access token expired"; static; NULL: none */
    struct slice www_authenticate; /* value; absent: none */
    unsigned retry_after_s;        /* 0: none */
    struct slice content_type;     /* with body: absent means problem+json is made from status */
    struct slice body;             /* copied */
    struct slice cache_control;    /* absent: no-store */
    struct slice etag;             /* absent: none */
    bool pragma_no_cache;          /* for caches of HTTP/1.0 (RFC 6749 section 5.1) */
};
GW_API enum gw_verdict gw_reply(struct gw_call *call, const struct gw_reply *reply); /* GW_REPLY */

/* Operations: GW_WAIT, or GW_FAIL if it could not be started. */
GW_API enum gw_verdict gw_sleep(struct gw_call *call, unsigned ms, gw_hook_fn *fn);

/* Read all of the request's body, at most `max_bytes` (up to GW_BODY_MAX); then gw_body() has it.  A
 * longer one is answered 413, one that does not come in time 408.  The body can still be forwarded. */
#define GW_BODY_MAX 32768u
GW_API enum gw_verdict gw_read_body(struct gw_call *call, size_t max_bytes, gw_hook_fn *fn);
GW_API struct slice gw_body(const struct gw_request *req); /* absent: it has not been read */

/* In on_response(): the same for the response's body, without its framing.  A longer one, or one that is cut, is
 * answered 502, one that does not come in time 504.  After GW_NEXT it is sent as it came. */
GW_API enum gw_verdict gw_read_response_body(struct gw_call *call, size_t max_bytes,
                                             gw_hook_fn *fn);
GW_API struct slice
gw_response_body(const struct gw_request *req); /* absent: it has not been read */

/* Requests of one worker that wait for the same thing. */
struct gw_op;
struct gw_waitlist {
    struct gw_op *first, **last;
};
GW_API void gw_waitlist_init(struct gw_waitlist *list);
GW_API enum gw_verdict gw_waitlist_join(struct gw_call *call, struct gw_waitlist *list,
                                        gw_hook_fn *fn);
GW_API void gw_waitlist_wake(struct gw_waitlist *list); /* callbacks run later, from the loop */

/* Work that burns the processor or blocks (a signature, a password's hash): `work` runs on a thread of
 * the gateway's pool, then fn here.  The request may be gone meanwhile, and its configuration too:
 * `work` uses `arg` and what that holds, nothing else.  The host takes a reference on `arg` and drops it
 * after the work, on this thread; the plugin keeps its own in its state, and drops it in on_end().  Until
 * fn is called `arg` is the work's alone.  Work that waits while its request ends is not begun.  GW_FAIL:
 * too much waits. */
typedef void gw_work_fn(struct gw_shared *arg);
GW_API enum gw_verdict gw_offload(struct gw_call *call, gw_work_fn *work, struct gw_shared *arg,
                                  gw_hook_fn *fn);

/* A counter or gauge of this worker: a plain number that the plugin changes; the same number for the same
 * family and labels.  `labels` as in the exposition, without braces: result=\"hit\".  NULL: no memory.  `family` must
 * be in gateway/metrics.h's table. */
GW_API uint64_t *gw_counter(struct gw_worker *worker, const char *family, const char *labels);
/* What the gauge tells of is not there any more: it is not shown until gw_counter() asks for it again.
 * Counters stay. */
GW_API void gw_gauge_hide(struct gw_worker *worker, const char *family, const char *labels);
/* A histogram of microseconds of this worker. */
struct gw_histogram;
GW_API struct gw_histogram *gw_histogram(struct gw_worker *worker, const char *family,
                                         const char *labels);
GW_API void gw_histogram_add_us(struct gw_histogram *histogram, uint64_t us);

/* The only function here that another thread may call. */
GW_API void gw_worker_post(struct gw_worker *worker, void (*fn)(void *arg), void *arg);

/* Work of the process: what is done once for all workers (fetching keys, following a store).  It runs on
 * the control thread's loop and never blocks it.  process_init() starts it: all workers of the
 * snapshot exist, none serves by it yet.  process_done() ends it: the worker states of its snapshot
 * are gone (a reload), or no worker's thread runs any more and they still exist.  The other
 * functions here are the control thread's too, unless they say otherwise. */
GW_API struct gw_worker *gw_process_worker(struct gw_process *process); /* for gw_counter() */
GW_API struct loop *gw_loop(struct gw_worker *worker);                  /* of its own thread */
/* In process_init() after a reload: the state of the one that this one takes over from, which
 * still runs and ends later; NULL: none. */
GW_API void *gw_process_previous(const struct gw_process *process);
/* server.state_dir, server.cache_dir; NULL: not configured. */
GW_API const char *gw_folder(const struct gw_process *process, enum gw_folder folder);

/* A condition of readiness, shown at /readyz as `name` ("jwks/corporate"); false at first.  Made in
 * process_init() only; NULL: too many.  The listeners open when all are true, or when
 * server.startup_timeout has passed. `why`: static text, or NULL. */
struct gw_check;
GW_API struct gw_check *gw_check_new(struct gw_process *process, const char *name);
GW_API void gw_check_set(struct gw_check *check, bool ok, const char *why); /* any thread */

/* An object that several threads hold and that does not change any more (but by gw_offload()): first
 * member of the plugin's own struct.  Begins with refs = 1. */
struct gw_shared {
    int refs;                               /* atomic */
    void (*free)(struct gw_shared *shared); /* by the thread that drops the last one */
};
static inline struct gw_shared *gw_shared_ref(struct gw_shared *shared)
{
    __atomic_fetch_add(&shared->refs, 1, __ATOMIC_RELAXED);
    return shared;
}
static inline void gw_shared_unref(struct gw_shared *shared) /* NULL is fine */
{
    if (shared != NULL && __atomic_sub_fetch(&shared->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        shared->free(shared);
    }
}

/* Call fn on every worker's thread with the plugin's worker state, in the order of the calls; the object
 * is borrowed, fn may take a reference.  ERR_NO_MEMORY: some may not have got it, publish again. */
typedef void gw_publish_fn(void *worker, struct gw_shared *object);
GW_API int gw_publish(struct gw_process *process, gw_publish_fn *fn,
                      struct gw_shared *object) MUST_CHECK;
/* The same for one worker only: an answer to what it asked for. */
GW_API int gw_publish_to(struct gw_process *process, struct gw_worker *worker, gw_publish_fn *fn,
                         struct gw_shared *object) MUST_CHECK;
/* The way back.  In worker_init(), for later: where the plugin with this `top` does its work; NULL:
 * nowhere (the gateway only checks a configuration).  Then, on any thread: call fn on the control thread
 * with the state of process_init() and a copy of `size` bytes; not called once that has ended. */
GW_API struct gw_process *gw_process_of(struct gw_worker *worker, const void *top);
/* In worker_init(), of a plugin with process_init(): the state that this thread has for the snapshot in
 * use, which goes on serving until (and unless) the new one takes its place; NULL: none. */
GW_API void *gw_worker_previous(struct gw_worker *worker, const void *top);
typedef void gw_process_fn(void *state, const void *data);
GW_API int gw_process_post(struct gw_process *process, gw_process_fn *fn, const void *data,
                           size_t size) MUST_CHECK;
