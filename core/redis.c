/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis.h"

#include "core/clock.h"
#include "core/map.h"
#include "core/stream.h"

#include <hiredis/hiredis.h>

#include <stdlib.h>
#include <sys/un.h>

#define DEFAULT_PORT   6379u
#define MAX_DATABASE   65535u
#define IN_BYTES       65536u
#define MIN_BACKOFF_MS 50u
#define MAX_BACKOFF_MS 1000u
/* The shortest element of an array is ":0\r\n". */
#define MIN_ELEMENT_BYTES 4u

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

enum redis_state {
    REDIS_PAUSED, /* until the next attempt */
    REDIS_RESOLVING,
    REDIS_CONNECTING,
    REDIS_GREETING, /* AUTH, SELECT and PING are under way */
    REDIS_READY,
    REDIS_FREED,
};

struct command {
    struct command *next;
    redis_fn *fn; /* NULL: nobody waits */
    void *arg;
    uint64_t deadline_ms;
    char *text; /* until it is written; then NULL */
    size_t len;
    bool is_greeting;
};

struct redis {
    struct stream stream; /* first: callbacks cast */
    enum redis_state state;
    struct loop *loop;
    struct resolver *resolver;
    struct redis_options options;
    const struct redis_ops *ops;
    void *arg;

    /* This connection. */
    redisReader *reader;
    size_t unanswered_bytes; /* fed since the last complete reply */
    uint64_t epoch;          /* counts connections */
    bool has_messages;
    int pending_err; /* why it shall be closed at the end of the turn */

    /* Commands without an answer: written ones first. */
    struct command *first, **last;
    struct command *first_unsent;
    unsigned count;

    /* Attempts. */
    struct resolve_query *query;
    unsigned attempts; /* since it was last ready */
    bool hurries;      /* the next attempt comes without a pause */
    struct loop_timer phase_timer, command_timer;
    struct loop_call flush;
    struct loop_grave grave;
    uint64_t commands, writes;
};

static void redis_lose(struct redis *redis, int err);

/* ---- replies: our own type, one allocation each ---- */

static void reply_free(void *ptr)
{
    struct redis_reply *reply = (struct redis_reply *)ptr;

    if (reply == NULL) {
        return;
    }
    for (size_t i = 0; i < reply->count; i++) {
        reply_free(reply->items[i]);
    }
    free(reply);
}

static void *reply_new(const redisReadTask *task, enum redis_reply_type type, size_t extra)
{
    struct redis_reply *reply = calloc(1, sizeof(*reply) + extra);

    if (reply == NULL) {
        return NULL;
    }
    reply->type = type;
    if (task->parent != NULL) {
        struct redis_reply *parent = (struct redis_reply *)task->parent->obj;
        parent->items[task->idx] = reply;
    }
    return reply;
}

static void *make_string(const redisReadTask *task, char *text, size_t len)
{
    enum redis_reply_type type = task->type == REDIS_REPLY_ERROR    ? REDIS_IS_ERROR
                                 : task->type == REDIS_REPLY_STATUS ? REDIS_IS_STATUS
                                                                    : REDIS_IS_STRING;
    struct redis_reply *reply = (struct redis_reply *)reply_new(task, type, len + 1);

    if (reply != NULL) {
        char *copy = (char *)(reply + 1);
        memcpy(copy, text, len);
        reply->text = slice_of(copy, len);
    }
    return reply;
}

static void *make_array(const redisReadTask *task, element_count count)
{
    const struct redis *redis = (const struct redis *)task->privdata;
    size_t elements = (size_t)count;

    if (elements > redis->options.max_reply_bytes / MIN_ELEMENT_BYTES) {
        return NULL;
    }
    struct redis_reply *reply = (struct redis_reply *)reply_new(
        task, REDIS_IS_ARRAY, (elements + 1) * sizeof(struct redis_reply *));
    if (reply != NULL) {
        reply->count = elements;
        reply->items = (struct redis_reply **)(reply + 1);
    }
    return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = (struct redis_reply *)reply_new(task, REDIS_IS_INTEGER, 0);

    if (reply != NULL) {
        reply->integer = value;
    }
    return reply;
}

static void *make_nil(const redisReadTask *task)
{
    return reply_new(task, REDIS_IS_NIL, 0);
}

static redisReplyObjectFunctions reply_functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = reply_free,
};

/* ---- the queue ---- */

static void queue_init(struct redis *redis)
{
    redis->first = NULL;
    redis->last = &redis->first;
    redis->first_unsent = NULL;
    redis->count = 0;
}

static void command_free(struct command *command)
{
    if (command->text != NULL) {
        redisFreeCommand(command->text);
    }
    free(command);
}

/* Take out the command that *link points to. */
static struct command *queue_take(struct redis *redis, struct command **link)
{
    struct command *command = *link;

    *link = command->next;
    if (redis->last == &command->next) {
        redis->last = link;
    }
    if (redis->first_unsent == command) {
        redis->first_unsent = command->next;
    }
    redis->count--;
    return command;
}

static void queue_add(struct redis *redis, struct command *command)
{
    *redis->last = command;
    redis->last = &command->next;
    redis->count++;
    if (redis->first_unsent == NULL && command->text != NULL) {
        redis->first_unsent = command;
    }
}

static void command_answer(struct command *command, int err, const struct redis_reply *reply)
{
    redis_fn *fn = command->fn;
    void *arg = command->arg;

    command_free(command);
    if (fn != NULL) {
        fn(arg, err, reply);
    }
}

/* ---- deadlines ---- */

static void redis_watch_deadline(struct redis *redis, uint64_t deadline_ms)
{
    uint64_t set = redis->command_timer.deadline_ms;

    if (set != 0 && set <= deadline_ms) {
        return;
    }
    if (loop_timer_set(redis->loop, &redis->command_timer, deadline_ms) < 0) {
        redis->pending_err = ERR_NO_MEMORY; /* without a deadline nothing may be asked */
        loop_defer(redis->loop, &redis->flush);
    }
}

/* Answer commands that waited too long for a connection. False: the owner freed us. */
static bool redis_expire_unsent(struct redis *redis, uint64_t now)
{
    struct command **link = &redis->first;

    while (*link != NULL) {
        if ((*link)->text == NULL || (*link)->deadline_ms > now) {
            link = &(*link)->next;
            continue;
        }
        command_answer(queue_take(redis, link), ERR_TIMEOUT, NULL);
        if (redis->state == REDIS_FREED) {
            return false;
        }
        link = &redis->first; /* the callback may have changed the queue */
    }
    return true;
}

static void on_command_timer(struct loop_timer *timer)
{
    struct redis *redis =
        (struct redis *)(void *)((char *)timer - offsetof(struct redis, command_timer));
    uint64_t now = clock_ms(), next = 0;

    for (const struct command *one = redis->first; one != NULL; one = one->next) {
        if (one->text == NULL && one->deadline_ms <= now) {
            redis_lose(redis, ERR_TIMEOUT);
            return;
        }
    }
    if (!redis_expire_unsent(redis, now)) {
        return;
    }
    for (const struct command *one = redis->first; one != NULL; one = one->next) {
        next = next == 0 || one->deadline_ms < next ? one->deadline_ms : next;
    }
    if (next != 0) {
        redis_watch_deadline(redis, next);
    }
}

/* ---- losing a connection, and the pause after it ---- */

static uint64_t redis_backoff_ms(struct redis *redis)
{
    unsigned shift = redis->attempts < 5 ? redis->attempts : 5;
    uint64_t pause = MIN_BACKOFF_MS << shift;
    uint64_t seed[2] = { clock_precise_ns(), redis->epoch };

    redis->attempts++;
    pause = pause > MAX_BACKOFF_MS ? MAX_BACKOFF_MS : pause;
    return pause / 2 + map_hash(slice_of(seed, sizeof(seed))) % (pause / 2 + 1);
}

static void redis_close_connection(struct redis *redis)
{
    if (redis->query != NULL) {
        resolver_cancel(redis->query);
        redis->query = NULL;
    }
    if (redis->stream.ops != NULL) {
        stream_close(&redis->stream);
    }
    if (redis->reader != NULL) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
    }
    redis->has_messages = false;
    redis->pending_err = 0;
    redis->unanswered_bytes = 0;
    redis->epoch++;
}

/* Runs from the loop only, as callbacks run inside. */
static void redis_lose(struct redis *redis, int err)
{
    redis_close_connection(redis);
    redis->state = REDIS_PAUSED;
    uint64_t next_ms = clock_ms() + (redis->hurries ? 0 : redis_backoff_ms(redis));
    if (loop_timer_set(redis->loop, &redis->phase_timer, next_ms) < 0) {
        (void)err_bug("a reserved timer cannot be set", __FILE__, __LINE__);
    }
    /* Not what a callback adds meanwhile. */
    for (unsigned left = redis->count; left > 0 && redis->first != NULL; left--) {
        command_answer(queue_take(redis, &redis->first), err, NULL);
        if (redis->state == REDIS_FREED) {
            return;
        }
    }
    if (redis->first == NULL) {
        loop_timer_clear(&redis->command_timer);
    }
    if (redis->ops->lost != NULL) {
        redis->ops->lost(redis->arg, err);
    }
}

void redis_reset(struct redis *redis)
{
    if (redis->state == REDIS_PAUSED || redis->state == REDIS_FREED) {
        return;
    }
    redis->pending_err = ERR_RESET;
    loop_defer(redis->loop, &redis->flush);
}

void redis_hurry(struct redis *redis)
{
    if (redis->state != REDIS_PAUSED) {
        return;
    }
    redis->hurries = true;
    if (loop_timer_set(redis->loop, &redis->phase_timer, clock_ms()) < 0) {
        redis->hurries = false; /* then after the pause */
    }
}

void redis_reconnect(struct redis *redis)
{
    if (redis->state == REDIS_PAUSED) {
        redis_hurry(redis);
        return;
    }
    redis->hurries = redis->state != REDIS_FREED;
    redis_reset(redis);
}

/* ---- writing ---- */

static int redis_write_unsent(struct redis *redis)
{
    while (redis->first_unsent != NULL) {
        struct command *command = redis->first_unsent;
        if (redis->state != REDIS_READY && !command->is_greeting) {
            break;
        }
        int err = buf_append(&redis->stream.out, slice_of(command->text, command->len));
        if (err < 0) {
            return err;
        }
        redisFreeCommand(command->text);
        command->text = NULL;
        redis->first_unsent = command->next;
    }
    return 0;
}

/* At the end of a turn: everything in one write. */
static void on_flush(struct loop_call *call)
{
    struct redis *redis = (struct redis *)(void *)((char *)call - offsetof(struct redis, flush));
    int err = redis->pending_err;

    if (redis->state == REDIS_FREED) {
        return;
    }
    if (err == 0 && (redis->state == REDIS_GREETING || redis->state == REDIS_READY)) {
        err = redis_write_unsent(redis);
        if (err == 0 && redis->stream.out.len > 0) {
            redis->writes++;
            err = stream_flush(&redis->stream);
        }
    }
    if (err < 0 && redis->state != REDIS_PAUSED) {
        redis_lose(redis, err);
    }
}

static struct command *command_new(struct redis *redis, unsigned argc, const struct slice *argv)
{
    enum { MAX_ARGUMENTS = 64 };
    const char *texts[MAX_ARGUMENTS];
    size_t lens[MAX_ARGUMENTS];
    struct command *command = NULL;

    if (argc == 0 || argc > MAX_ARGUMENTS) {
        return NULL;
    }
    for (unsigned i = 0; i < argc; i++) {
        texts[i] = argv[i].len == 0 ? "" : argv[i].ptr;
        lens[i] = argv[i].len;
    }
    command = calloc(1, sizeof(*command));
    if (command == NULL) {
        return NULL;
    }
    int len = redisFormatCommandArgv(&command->text, (int)argc, texts, lens);
    if (len < 0) {
        command->text = NULL;
        command_free(command);
        return NULL;
    }
    command->len = (size_t)len;
    return command;
}

static int redis_put(struct redis *redis, unsigned timeout_ms, unsigned argc,
                     const struct slice *argv, struct command **ret)
{
    struct command *command = command_new(redis, argc, argv);

    if (command == NULL) {
        return ERR_NO_MEMORY;
    }
    command->deadline_ms = clock_ms() + timeout_ms;
    queue_add(redis, command);
    redis->commands++;
    redis_watch_deadline(redis, command->deadline_ms);
    loop_defer(redis->loop, &redis->flush);
    *ret = command;
    return 0;
}

int redis_send_within(struct redis *redis, unsigned timeout_ms, unsigned argc,
                      const struct slice *argv, redis_fn *fn, void *arg)
{
    struct command *command;

    if ((redis->state == REDIS_PAUSED && !redis->hurries) || redis->state == REDIS_FREED) {
        return ERR_CONNECT;
    }
    if (redis->count >= redis->options.max_queue) {
        return ERR_BUSY;
    }
    int err = redis_put(redis, timeout_ms, argc, argv, &command);
    if (err < 0) {
        return err;
    }
    command->fn = fn;
    command->arg = arg;
    return 0;
}

int redis_send(struct redis *redis, unsigned argc, const struct slice *argv, redis_fn *fn,
               void *arg)
{
    return redis_send_within(redis, redis->options.command_timeout_ms, argc, argv, fn, arg);
}

void redis_cancel(struct redis *redis, const void *arg)
{
    for (struct command *one = redis->first; one != NULL; one = one->next) {
        if (one->arg == arg && !one->is_greeting) {
            one->fn = NULL;
        }
    }
}

/* ---- the greeting ---- */

static void on_greeting(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    /* PING may be answered by an error too: LOADING, NOAUTH, MASTERDOWN. */
    if (err == 0 && reply->type != REDIS_IS_STATUS) {
        redis->pending_err = ERR_CONNECT;
        loop_defer(redis->loop, &redis->flush);
    }
}

static void on_ping(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    on_greeting(arg, err, reply);
    if (err < 0 || redis->pending_err < 0) {
        return;
    }
    redis->state = REDIS_READY;
    redis->attempts = 0;
    loop_timer_clear(&redis->phase_timer);
    loop_defer(redis->loop, &redis->flush);
    if (redis->ops->ready != NULL) {
        redis->ops->ready(redis->arg);
    }
}

static struct command *greeting_new(struct redis *redis, unsigned argc, const struct slice *argv,
                                    redis_fn *fn)
{
    struct command *command = command_new(redis, argc, argv);

    if (command != NULL) {
        command->fn = fn;
        command->arg = redis;
        command->is_greeting = true;
        command->deadline_ms = clock_ms() + redis->options.connect_timeout_ms;
    }
    return command;
}

/* Before everything that waits. */
static int redis_greet(struct redis *redis)
{
    const struct redis_options *options = &redis->options;
    struct command *greetings[3];
    unsigned count = 0;
    char text[16];

    if (!slice_is_absent(options->password)) {
        struct slice full[3] = { SLICE("AUTH"), options->username, options->password };
        struct slice old[2] = { SLICE("AUTH"), options->password };
        bool has_user = !slice_is_absent(options->username);
        greetings[count++] =
            greeting_new(redis, has_user ? 3 : 2, has_user ? full : old, on_greeting);
    }
    if (options->address.database != 0) {
        int len = snprintf(text, sizeof(text), "%u", options->address.database);
        struct slice select[2] = { SLICE("SELECT"), slice_of(text, (size_t)len) };
        greetings[count++] = greeting_new(redis, 2, select, on_greeting);
    }
    struct slice ping[1] = { SLICE("PING") };
    greetings[count++] = greeting_new(redis, 1, ping, on_ping);

    bool is_complete = true;
    for (unsigned i = 0; i < count; i++) {
        is_complete = is_complete && greetings[i] != NULL;
    }
    for (unsigned i = count; i-- > 0;) {
        if (!is_complete) {
            if (greetings[i] != NULL) {
                command_free(greetings[i]);
            }
            continue;
        }
        greetings[i]->next = redis->first;
        if (redis->first == NULL) {
            redis->last = &greetings[i]->next;
        }
        redis->first = redis->first_unsent = greetings[i];
        redis->count++;
    }
    return is_complete ? 0 : ERR_NO_MEMORY;
}

/* ---- reading ---- */

static bool is_message(const struct redis *redis, const struct redis_reply *reply)
{
    return redis->has_messages && reply->type == REDIS_IS_ARRAY && reply->count > 0 &&
           reply->items[0]->type == REDIS_IS_STRING &&
           slice_eq(reply->items[0]->text, SLICE("message"));
}

/* ERR_BAD_INPUT: nobody had asked. */
static int redis_deliver(struct redis *redis, const struct redis_reply *reply)
{
    if (is_message(redis, reply)) {
        if (redis->ops->pushed != NULL) {
            redis->ops->pushed(redis->arg, reply);
        }
        return 0;
    }
    if (redis->first == NULL || redis->first->text != NULL) {
        return ERR_BAD_INPUT;
    }
    command_answer(queue_take(redis, &redis->first), 0, reply);
    return 0;
}

/* All complete replies of what was fed. 1: this connection is gone. */
static int redis_deliver_all(struct redis *redis)
{
    uint64_t epoch = redis->epoch;

    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            return ERR_BAD_INPUT;
        }
        if (reply == NULL) {
            return 0;
        }
        redis->unanswered_bytes = 0;
        int err = redis_deliver(redis, (const struct redis_reply *)reply);
        reply_free(reply);
        if (redis->state == REDIS_FREED || redis->epoch != epoch) {
            return 1;
        }
        err = err == 0 ? redis->pending_err : err;
        if (err < 0) {
            return err;
        }
    }
}

static void on_readable(struct stream *stream)
{
    struct redis *redis = (struct redis *)stream;

    while (stream->in.len > 0) {
        struct slice front = buf_front(&stream->in);
        int err =
            redisReaderFeed(redis->reader, front.ptr, front.len) == REDIS_OK ? 0 : ERR_NO_MEMORY;
        redis->unanswered_bytes += front.len;
        buf_drain(&stream->in, front.len);
        err = err == 0 ? redis_deliver_all(redis) : err;
        if (err > 0) {
            return;
        }
        if (err == 0 && redis->unanswered_bytes > redis->options.max_reply_bytes) {
            err = ERR_TOO_BIG;
        }
        if (err < 0) {
            redis_lose(redis, err);
            return;
        }
    }
    stream_taken(stream);
}

/* ---- connecting ---- */

static void on_connected(struct stream *stream)
{
    struct redis *redis = (struct redis *)stream;

    redis->state = REDIS_GREETING;
    redis->reader = redisReaderCreateWithFunctions(&reply_functions);
    if (redis->reader == NULL) {
        redis_lose(redis, ERR_NO_MEMORY);
        return;
    }
    redis->reader->privdata = redis;
    int err = redis_greet(redis);
    if (err < 0) {
        redis_lose(redis, err);
        return;
    }
    redis_watch_deadline(redis, redis->first->deadline_ms);
    loop_defer(redis->loop, &redis->flush);
}

static void on_gone(struct stream *stream, int err)
{
    redis_lose((struct redis *)stream, err);
}

static const struct stream_ops stream_callbacks = {
    .connected = on_connected,
    .readable = on_readable,
    .gone = on_gone,
};

static void redis_connect(struct redis *redis, const struct sockaddr *addr, socklen_t len)
{
    redis->state = REDIS_CONNECTING;
    int err = stream_connect(&redis->stream, redis->loop, addr, len, &stream_callbacks, IN_BYTES);
    if (err < 0) {
        redis_lose(redis, err);
    }
}

static void set_port(struct sockaddr_storage *addr, uint16_t port)
{
    if (addr->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)addr)->sin_port = htons(port);
    }
}

static void on_resolved(void *arg, const struct resolve_answer *answer)
{
    struct redis *redis = (struct redis *)arg;

    redis->query = NULL;
    if (answer->err < 0 || answer->count == 0) {
        redis_lose(redis, answer->err < 0 ? answer->err : ERR_RESOLVE);
        return;
    }
    /* Each attempt takes the next address. */
    struct resolve_address to = answer->addresses[redis->attempts % answer->count];
    set_port(&to.addr, redis->options.address.port);
    redis_connect(redis, (const struct sockaddr *)&to.addr, to.len);
}

static void redis_connect_unix(struct redis *redis)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct slice path = redis->options.address.unix_path;

    if (path.len >= sizeof(addr.sun_path)) {
        redis_lose(redis, ERR_CONNECT);
        return;
    }
    memcpy(addr.sun_path, path.ptr, path.len);
    redis_connect(redis, (const struct sockaddr *)&addr, sizeof(addr));
}

static void redis_resolve(struct redis *redis)
{
    const struct redis_address *address = &redis->options.address;
    struct sockaddr_storage addr;
    socklen_t len;
    char host[256];

    if (address->host.len >= sizeof(host)) {
        redis_lose(redis, ERR_RESOLVE);
        return;
    }
    memcpy(host, address->host.ptr, address->host.len);
    host[address->host.len] = '\0';
    if (resolve_literal(host, address->port, &addr, &len)) {
        redis_connect(redis, (const struct sockaddr *)&addr, len);
        return;
    }
    redis->state = REDIS_RESOLVING;
    if (redis->resolver != NULL) {
        redis->query = resolver_ask(redis->resolver, host, on_resolved, redis);
    }
    if (redis->query == NULL) {
        redis_lose(redis, redis->resolver == NULL ? ERR_RESOLVE : ERR_NO_MEMORY);
    }
}

/* The pause is over, or an attempt has taken too long. */
static void on_phase_timer(struct loop_timer *timer)
{
    struct redis *redis =
        (struct redis *)(void *)((char *)timer - offsetof(struct redis, phase_timer));

    if (redis->state != REDIS_PAUSED) {
        redis_lose(redis, ERR_TIMEOUT);
        return;
    }
    uint64_t deadline_ms = clock_ms() + redis->options.connect_timeout_ms;
    redis->state = REDIS_CONNECTING;
    redis->hurries = false;
    int err = loop_timer_set(redis->loop, &redis->phase_timer, deadline_ms);
    if (err < 0) {
        (void)err_bug("a reserved timer cannot be set", __FILE__, __LINE__);
    }
    if (slice_is_absent(redis->options.address.host)) {
        redis_connect_unix(redis);
    } else {
        redis_resolve(redis);
    }
}

/* ---- life ---- */

struct redis *redis_new(struct loop *loop, struct resolver *resolver,
                        const struct redis_options *options, const struct redis_ops *ops, void *arg)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    if (redis == NULL) {
        return NULL;
    }
    redis->stream.fd = -1;
    redis->loop = loop;
    redis->resolver = resolver;
    redis->options = *options;
    redis->ops = ops;
    redis->arg = arg;
    redis->flush.fn = on_flush;
    redis->phase_timer.fn = on_phase_timer;
    redis->command_timer.fn = on_command_timer;
    redis->state = REDIS_PAUSED;
    queue_init(redis);
    /* The first attempt starts in the next turn. */
    if (loop_timer_set(loop, &redis->phase_timer, clock_ms()) < 0) {
        free(redis);
        return NULL;
    }
    return redis;
}

static void redis_destroy(void *ptr)
{
    free(ptr);
}

void redis_free(struct redis *redis)
{
    if (redis == NULL || redis->state == REDIS_FREED) {
        return;
    }
    redis_close_connection(redis);
    redis->state = REDIS_FREED;
    while (redis->first != NULL) {
        command_free(queue_take(redis, &redis->first));
    }
    loop_timer_remove(redis->loop, &redis->phase_timer);
    loop_timer_remove(redis->loop, &redis->command_timer);
    loop_call_cancel(&redis->flush);
    loop_free_later(redis->loop, &redis->grave, redis, redis_destroy);
}

void redis_expect_messages(struct redis *redis)
{
    redis->has_messages = true;
}

bool redis_is_ready(const struct redis *redis)
{
    return redis->state == REDIS_READY;
}

uint64_t redis_command_count(const struct redis *redis)
{
    return redis->commands;
}

uint64_t redis_write_count(const struct redis *redis)
{
    return redis->writes;
}

/* ---- addresses ---- */

static bool read_number(struct slice text, unsigned max, unsigned *ret)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret = value;
    return value <= max;
}

/* Split "HOST[:PORT]"; a host in brackets is an IPv6 address. */
static int read_authority(struct slice text, struct redis_address *ret)
{
    unsigned port = DEFAULT_PORT;
    size_t host_len = text.len;
    bool in_brackets = text.len > 0 && text.ptr[0] == '[';
    const char *end =
        text.len == 0 ? NULL : (const char *)memchr(text.ptr, in_brackets ? ']' : ':', text.len);

    if (in_brackets && end == NULL) {
        return ERR_BAD_INPUT;
    }
    if (end != NULL) {
        host_len = (size_t)(end - text.ptr) + in_brackets;
        if (host_len < text.len && (text.ptr[host_len] != ':' ||
                                    !read_number(slice_skip(text, host_len + 1), 65535, &port))) {
            return ERR_BAD_INPUT;
        }
    }
    if (host_len == 0 || port == 0) {
        return ERR_BAD_INPUT;
    }
    ret->host = slice_of(text.ptr, host_len);
    ret->port = (uint16_t)port;
    return 0;
}

int redis_read_url(struct slice url, struct redis_address *ret)
{
    struct redis_address address = { 0 };

    if (slice_starts_with(url, SLICE("unix:"))) {
        struct slice path = slice_skip(url, 5);
        path = slice_starts_with(path, SLICE("///")) ? slice_skip(path, 2) : path;
        if (path.len < 2 || path.ptr[0] != '/' || path.len >= sizeof(struct sockaddr_un) - 2) {
            return ERR_BAD_INPUT;
        }
        address.unix_path = path;
        *ret = address;
        return 0;
    }
    if (slice_starts_with(url, SLICE("rediss:"))) {
        return ERR_UNSUPPORTED;
    }
    if (!slice_starts_with(url, SLICE("redis://")) || memchr(url.ptr, '@', url.len) != NULL) {
        return ERR_BAD_INPUT;
    }
    struct slice rest = slice_skip(url, 8);
    const char *slash = rest.len == 0 ? NULL : (const char *)memchr(rest.ptr, '/', rest.len);
    size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.ptr);
    struct slice database = slice_skip(rest, slash == NULL ? len : len + 1);
    if (database.len > 0 && !read_number(database, MAX_DATABASE, &address.database)) {
        return ERR_BAD_INPUT;
    }
    int err = read_authority(slice_of(rest.ptr, len), &address);
    if (err == 0) {
        *ret = address;
    }
    return err;
}
