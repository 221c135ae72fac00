/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/redis_config.h"

#include "core/tls.h"
#include "plugins/revocation/keys.h"

#include <openssl/crypto.h>

#define MAX_QUEUE       1024u
#define MAX_REPLY_BYTES 65536u
#define MAX_SENTINELS   16
#define SENTINEL_PORT   26379u

#define AT(field)       offsetof(struct revocation_redis, field)

/* ---- keys ---- */

static void check_url(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    struct redis_address address;

    if (redis_read_url(*(const struct slice *)field, &address) < 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path,
                "write redis://HOST[:PORT][/DATABASE], rediss://... or unix:/PATH; user and "
                "password have keys of their own",
                "this is not the address of a redis server");
    }
}

/* Nothing that SCAN takes for a pattern. */
static void check_prefix(const struct option_context *ctx, const struct json *value,
                         const char *path, void *field)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-:/{}";
    struct slice prefix = *(const struct slice *)field;

    for (size_t i = 0; i < prefix.len; i++) {
        if (memchr(allowed, prefix.ptr[i], sizeof(allowed) - 1) == NULL) {
            diag_at(ctx->diag, DIAG_ERROR, value, path, "use letters, digits and any of ._-:/{}",
                    "this cannot begin a key");
            return;
        }
    }
}

static void check_sentinels(const struct option_context *ctx, const struct json *value,
                            const char *path, void *field)
{
    const struct option_strings *sentinels = field;
    struct redis_address address;

    for (size_t i = 0; i < sentinels->count; i++) {
        if (redis_read_authority(sentinels->items[i], SENTINEL_PORT, &address) < 0 ||
            memchr(address.host.ptr, '/', address.host.len) != NULL) {
            diag_at(ctx->diag, DIAG_ERROR, value, path, "write \"HOST\" or \"HOST:PORT\"",
                    "\"%.*s\" is not the address of a sentinel", SLICE_FMT(sentinels->items[i]));
        }
    }
}

static const struct option timeout_options[] = {
    { .name = "connect",
      .type = OPT_DURATION,
      .offset = AT(timeouts.connect_ms) - AT(timeouts),
      .def = "\"500ms\"",
      .min = 10,
      .max = 60000,
      .help = "For connecting and logging in." },
    { .name = "command",
      .type = OPT_DURATION,
      .offset = AT(timeouts.command_ms) - AT(timeouts),
      .def = "\"100ms\"",
      .min = 1,
      .max = 60000,
      .help = "For the answer to a question; the connection that missed it is closed." },
    { .name = NULL },
};

static const struct option tls_options[] = {
    { .name = "server_name",
      .type = OPT_STRING,
      .offset = AT(tls.server_name) - AT(tls),
      .min = 1,
      .max = 253,
      .help = "The name that redis' certificate must have; without: the host of the address." },
    { .name = "ca_file",
      .type = OPT_PATH,
      .offset = AT(tls.ca_file) - AT(tls),
      .help = "PEM: who may issue its certificate; without: the system's authorities." },
    { .name = "cert_file",
      .type = OPT_PATH,
      .offset = AT(tls.cert_file) - AT(tls),
      .help = "PEM: our own certificate, then its chain; redis asks for one by default." },
    { .name = "key_file",
      .type = OPT_PATH,
      .offset = AT(tls.key_file) - AT(tls),
      .help = "PEM: its private key, readable by us alone." },
    { .name = NULL },
};

const struct option revocation_redis_option_table[] = {
    { .name = "url",
      .type = OPT_STRING,
      .offset = AT(url),
      .parse = check_url,
      .help = "redis://HOST[:PORT][/DATABASE], rediss://... (TLS) or unix:/PATH." },
    { .name = "sentinels",
      .type = OPT_STRINGS,
      .offset = AT(sentinels),
      .min = 1,
      .max = MAX_SENTINELS,
      .parse = check_sentinels,
      .help = "HOST[:PORT] of the sentinels that know where redis is, in place of \"url\"." },
    { .name = "master_name",
      .type = OPT_STRING,
      .offset = AT(master_name),
      .min = 1,
      .max = 255,
      .help = "What the sentinels call the redis that takes writes." },
    { .name = "database",
      .type = OPT_INT,
      .offset = AT(database),
      .def = "0",
      .min = 0,
      .max = 65535,
      .help = "Its database, with sentinels; a url has it at its end." },
    { .name = "username",
      .type = OPT_STRING,
      .offset = AT(username),
      .help = "User for AUTH; without it the default one." },
    { .name = "password",
      .type = OPT_OBJECT,
      .offset = AT(password),
      .sub = secret_options,
      .help = "Password for AUTH." },
    { .name = "sentinel_username",
      .type = OPT_STRING,
      .offset = AT(sentinel_username),
      .min = 1,
      .max = 255,
      .help = "User for AUTH at the sentinels; without it their default one." },
    { .name = "sentinel_password",
      .type = OPT_OBJECT,
      .offset = AT(sentinel_password),
      .sub = secret_options,
      .help = "Password for AUTH at the sentinels; \"password\" is for redis only." },
    { .name = "tls",
      .type = OPT_OBJECT,
      .offset = AT(tls),
      .sub = tls_options,
      .help = "How a rediss:// redis is verified; with sentinels: encrypt, to them too." },
    { .name = "prefix",
      .type = OPT_STRING,
      .offset = AT(prefix),
      .def = "\"" REVOCATION_PREFIX "\"",
      .min = 1,
      .max = REVOCATION_MAX_PREFIX,
      .parse = check_prefix,
      .help = "What the keys of revocations begin with: PREFIXjti:JTI, PREFIXbefore:sub:SUB." },
    { .name = "timeouts",
      .type = OPT_OBJECT,
      .offset = AT(timeouts),
      .def = "{}",
      .sub = timeout_options,
      .help = "How long redis may take." },
    { .name = NULL },
};

/* What is wrong with the keys together, and what would be right; NULL: nothing. */
static const char *find_fault(const struct revocation_redis *redis, const char **ret_remedy)
{
    bool has_url = !slice_is_absent(redis->url), has_sentinels = redis->sentinels.count > 0;

    if (has_url == has_sentinels) {
        *ret_remedy = "write \"url\", or \"sentinels\" and \"master_name\"";
        return has_url ? "there are both \"url\" and \"sentinels\"" : "\"url\" is missing";
    }
    if (has_sentinels != !slice_is_absent(redis->master_name)) {
        *ret_remedy = "they go together";
        return has_sentinels ? "\"sentinels\" without \"master_name\""
                             : "\"master_name\" without \"sentinels\"";
    }
    if (has_url && (!slice_is_absent(redis->sentinel_username) ||
                    secret_is_named(&redis->sentinel_password))) {
        *ret_remedy = "leave them out, or write \"sentinels\" in place of \"url\"";
        return "\"sentinel_username\" or \"sentinel_password\" without \"sentinels\"";
    }
    if (!slice_is_absent(redis->sentinel_username) && !secret_is_named(&redis->sentinel_password)) {
        *ret_remedy = "AUTH needs both";
        return "\"sentinel_username\" without \"sentinel_password\"";
    }
    if (has_url && redis->database != 0) {
        *ret_remedy = "write it at the end of the url: redis://HOST/1";
        return "\"database\" is for \"sentinels\"";
    }
    if (has_url && redis->has_tls && !slice_starts_with(redis->url, SLICE("rediss:"))) {
        *ret_remedy = "write rediss:// in the url, or leave out \"tls\"";
        return "\"tls\" for a connection that is not encrypted";
    }
    if ((redis->tls.cert_file == NULL) != (redis->tls.key_file == NULL)) {
        *ret_remedy = "they go together";
        return "\"tls\" has only one of \"cert_file\" and \"key_file\"";
    }
    return NULL;
}

void revocation_redis_check(const struct option_context *ctx, const struct json *value,
                            const char *path, void *field)
{
    struct revocation_redis *redis = field;
    const char *remedy = NULL;

    redis->has_tls = json_get(value, SLICE("tls")) != NULL;
    const char *fault = find_fault(redis, &remedy);
    if (fault != NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, remedy, "%s", fault);
    }
}

/* ---- passwords ---- */

static int read_password(const struct secret_source *source, const char *path,
                         const struct option_context *ctx, struct slice *ret)
{
    char text[SECRET_MAX_BYTES];
    size_t len = 0;

    if (!secret_is_named(source)) {
        return 0;
    }
    int err = secret_read(source, ctx, NULL, path, text, &len);
    if (err == 0) {
        *ret = arena_copy(ctx->arena, slice_of(text, len));
        err = slice_is_absent(*ret) ? ERR_NO_MEMORY : 0;
    }
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

static void wipe_password(struct slice password)
{
    union {
        const void *from;
        void *to;
    } bytes = { .from = password.ptr };

    if (bytes.to != NULL) {
        OPENSSL_cleanse(bytes.to, password.len);
    }
}

static bool is_same_password(struct slice a, struct slice b)
{
    return slice_is_absent(a) == slice_is_absent(b) && a.len == b.len &&
           (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ---- TLS ---- */

static int make_tls(const struct revocation_redis *redis, const struct option_context *ctx,
                    const struct tls_client **ret)
{
    static const char *const members[] = { [TLS_PART_NONE] = "revocation.redis.tls",
                                           [TLS_PART_CERT] = "revocation.redis.tls.cert_file",
                                           [TLS_PART_KEY] = "revocation.redis.tls.key_file",
                                           [TLS_PART_CA] = "revocation.redis.tls.ca_file" };
    const struct tls_client_options options = {
        .server_name = slice_is_absent(redis->tls.server_name)
                           ? NULL
                           : arena_strdup(ctx->arena, redis->tls.server_name),
        .ca_file = redis->tls.ca_file,
        .cert_file = redis->tls.cert_file,
        .key_file = redis->tls.key_file,
    };
    char why[TLS_WHY_BYTES];
    enum tls_part part;

    *ret = tls_client_new(&options, &part, why);
    if (*ret == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, NULL, members[part], NULL, "%s", why);
        return ERR_CONFIG;
    }
    return 0;
}

/* ---- all of it ---- */

static int read_sentinels(const struct revocation_redis *redis, struct arena *arena,
                          struct redis_options *client)
{
    struct redis_address *sentinels =
        arena_alloc(arena, redis->sentinels.count * sizeof(*sentinels));
    _Atomic uint64_t *epoch = arena_alloc(arena, sizeof(*epoch));
    int err = sentinels == NULL || epoch == NULL ? ERR_NO_MEMORY : 0;

    if (epoch != NULL) {
        atomic_init(epoch, 0);
    }
    for (size_t i = 0; i < redis->sentinels.count && err == 0; i++) {
        sentinels[i] = (struct redis_address){ 0 };
        err = redis_read_authority(redis->sentinels.items[i], SENTINEL_PORT, &sentinels[i]);
    }
    client->sentinels = sentinels;
    client->sentinel_count = (unsigned)redis->sentinels.count;
    client->sentinel_username = redis->sentinel_username;
    client->master_name = redis->master_name;
    client->master_epoch = epoch;
    client->address.database = (unsigned)redis->database;
    return err;
}

int revocation_redis_init(const struct revocation_redis *redis, const struct option_context *ctx,
                          struct redis_options *ret)
{
    struct redis_options client = {
        .username = redis->username,
        .connect_timeout_ms = (unsigned)redis->timeouts.connect_ms,
        .command_timeout_ms = (unsigned)redis->timeouts.command_ms,
        .max_queue = MAX_QUEUE,
        .max_reply_bytes = MAX_REPLY_BYTES,
    };
    int err = redis->sentinels.count > 0 ? read_sentinels(redis, ctx->arena, &client)
                                         : redis_read_url(redis->url, &client.address);

    if (err < 0) {
        return ERR_CONFIG; /* reported by the checks */
    }
    err = read_password(&redis->password, "revocation.redis.password", ctx, &client.password);
    if (err == 0) {
        err = read_password(&redis->sentinel_password, "revocation.redis.sentinel_password", ctx,
                            &client.sentinel_password);
    }
    if (err == 0 && (client.address.is_encrypted || redis->has_tls)) {
        err = make_tls(redis, ctx, &client.tls);
    }
    *ret = client;
    return err;
}

void revocation_redis_done(struct redis_options *client)
{
    union {
        const void *from;
        void *to;
    } tls = { .from = client->tls };

    tls_client_free((struct tls_client *)tls.to);
    client->tls = NULL;
    wipe_password(client->password);
    wipe_password(client->sentinel_password);
}

bool revocation_redis_is_same(const struct redis_options *a, const struct redis_options *b)
{
    if ((a->tls == NULL) != (b->tls == NULL) ||
        (a->tls != NULL && tls_client_id(a->tls) != tls_client_id(b->tls))) {
        return false;
    }
    return is_same_password(a->password, b->password) &&
           is_same_password(a->sentinel_password, b->sentinel_password);
}
