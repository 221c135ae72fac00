/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis_wire.h"

#include <hiredis/hiredis.h>

#include <stdlib.h>

/* The shortest element of an array is ":0\r\n". */
#define MIN_ELEMENT_BYTES 4u
#define MAX_ARGUMENTS     16u

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

struct redis_reader {
    redisReader *reader;
    size_t max_reply_bytes;
};

/* ---- replies: our own type, one allocation each ---- */

void redis_reply_free(struct redis_reply *reply)
{
    if (reply == NULL) {
        return;
    }
    for (size_t i = 0; i < reply->count; i++) {
        redis_reply_free(reply->items[i]);
    }
    free(reply);
}

static void free_object(void *ptr)
{
    redis_reply_free((struct redis_reply *)ptr);
}

static struct redis_reply *reply_new(const redisReadTask *task, enum redis_reply_type type,
                                     size_t extra)
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
    struct redis_reply *reply = reply_new(task, type, len + 1);

    if (reply != NULL) {
        char *copy = (char *)(reply + 1);
        memcpy(copy, text, len);
        reply->text = slice_of(copy, len);
    }
    return reply;
}

static void *make_array(const redisReadTask *task, element_count count)
{
    const struct redis_reader *reader = (const struct redis_reader *)task->privdata;
    size_t elements = (size_t)count;

    if (elements > reader->max_reply_bytes / MIN_ELEMENT_BYTES) {
        return NULL;
    }
    struct redis_reply *reply =
        reply_new(task, REDIS_IS_ARRAY, (elements + 1) * sizeof(struct redis_reply *));
    if (reply != NULL) {
        reply->count = elements;
        reply->items = (struct redis_reply **)(reply + 1);
    }
    return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = reply_new(task, REDIS_IS_INTEGER, 0);

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
    .freeObject = free_object,
};

/* ---- reading ---- */

struct redis_reader *redis_reader_new(size_t max_reply_bytes)
{
    struct redis_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL) {
        return NULL;
    }
    reader->max_reply_bytes = max_reply_bytes;
    reader->reader = redisReaderCreateWithFunctions(&reply_functions);
    if (reader->reader == NULL) {
        free(reader);
        return NULL;
    }
    reader->reader->privdata = reader;
    return reader;
}

void redis_reader_free(struct redis_reader *reader)
{
    if (reader != NULL) {
        redisReaderFree(reader->reader);
        free(reader);
    }
}

int redis_reader_feed(struct redis_reader *reader, struct slice bytes)
{
    return redisReaderFeed(reader->reader, bytes.ptr, bytes.len) == REDIS_OK ? 0 : ERR_NO_MEMORY;
}

int redis_reader_next(struct redis_reader *reader, struct redis_reply **ret)
{
    void *reply = NULL;

    if (redisReaderGetReply(reader->reader, &reply) != REDIS_OK) {
        return ERR_BAD_INPUT;
    }
    *ret = (struct redis_reply *)reply;
    return 0;
}

/* ---- writing ---- */

struct slice redis_text_new(unsigned argc, const struct slice *argv)
{
    const char *texts[MAX_ARGUMENTS];
    size_t lens[MAX_ARGUMENTS];
    char *text = NULL;

    if (argc == 0 || argc > MAX_ARGUMENTS) {
        return SLICE_ABSENT;
    }
    for (unsigned i = 0; i < argc; i++) {
        texts[i] = argv[i].len == 0 ? "" : argv[i].ptr;
        lens[i] = argv[i].len;
    }
    long long len = redisFormatCommandArgv(&text, (int)argc, texts, lens);
    return len < 0 ? SLICE_ABSENT : slice_of(text, (size_t)len);
}

void redis_text_free(struct slice text)
{
    union {
        const void *from;
        void *to;
    } cast = { .from = text.ptr };

    if (text.ptr != NULL) {
        explicit_bzero(cast.to, text.len); /* AUTH has a secret in it */
        redisFreeCommand((char *)cast.to);
    }
}
