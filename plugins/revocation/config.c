/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PASSWORD_BYTES 4096u
#define MAX_QUEUE          1024u
#define MAX_REPLY_BYTES    65536u
#define MAX_NUMBER_BYTES   32u

#define AT(field)          offsetof(struct revocation_settings, field)

static void check_url(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    struct redis_address address;
    int err = redis_read_url(*(const struct slice *)field, &address);

    if (err == ERR_UNSUPPORTED) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "use redis:// or unix: on a trusted network",
                "rediss:// (TLS) is not supported");
    } else if (err < 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path,
                "write redis://HOST[:PORT][/DATABASE] or unix:/PATH; user and password have keys "
                "of their own",
                "this is not the address of a redis server");
    }
}

static void read_rate(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    char text[MAX_NUMBER_BYTES], *end = text;
    double rate = 0;

    if (value->type == JSON_NUMBER && value->text.len < sizeof(text)) {
        memcpy(text, value->text.ptr, value->text.len);
        text[value->text.len] = '\0';
        rate = strtod(text, &end);
    }
    if (end == text || rate < 0.00001 || rate > 0.1) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write 0.001", "not a number in 0.00001..0.1");
        return;
    }
    memcpy(field, &rate, sizeof(rate));
}

static const struct option password_options[] = {
    { .name = "env",
      .type = OPT_STRING,
      .offset = AT(redis.password.env) - AT(redis.password),
      .help = "Name of the environment variable with the password." },
    { .name = "file",
      .type = OPT_PATH,
      .offset = AT(redis.password.file) - AT(redis.password),
      .help = "File with the password; a newline at its end is dropped." },
    { .name = NULL },
};

static const struct option timeout_options[] = {
    { .name = "connect",
      .type = OPT_DURATION,
      .offset = AT(redis.timeouts.connect_ms) - AT(redis.timeouts),
      .def = "\"500ms\"",
      .min = 10,
      .max = 60000,
      .help = "For connecting and logging in." },
    { .name = "command",
      .type = OPT_DURATION,
      .offset = AT(redis.timeouts.command_ms) - AT(redis.timeouts),
      .def = "\"100ms\"",
      .min = 1,
      .max = 60000,
      .help = "For the answer to a question; the connection that missed it is closed." },
    { .name = NULL },
};

static const struct option redis_option_table[] = {
    { .name = "url",
      .type = OPT_STRING,
      .offset = AT(redis.url) - AT(redis),
      .required = true,
      .def = "\"redis://127.0.0.1:6379\"",
      .parse = check_url,
      .help = "redis://HOST[:PORT][/DATABASE] or unix:/PATH." },
    { .name = "username",
      .type = OPT_STRING,
      .offset = AT(redis.username) - AT(redis),
      .help = "User for AUTH; without it the default one." },
    { .name = "password",
      .type = OPT_OBJECT,
      .offset = AT(redis.password) - AT(redis),
      .sub = password_options,
      .help = "Password for AUTH." },
    { .name = "timeouts",
      .type = OPT_OBJECT,
      .offset = AT(redis.timeouts) - AT(redis),
      .def = "{}",
      .sub = timeout_options,
      .help = "How long redis may take." },
    { .name = NULL },
};

static const struct option filter_options[] = {
    { .name = "expected_items",
      .type = OPT_INT,
      .offset = AT(filter.expected_items) - AT(filter),
      .def = "1000000",
      .min = 1000,
      .max = 1000000000,
      .help = "Revocations that the filter begins with room for; it grows." },
    { .name = "false_positive_rate",
      .type = OPT_CUSTOM,
      .offset = AT(filter.false_positive_rate) - AT(filter),
      .def = "0.001",
      .parse = read_rate,
      .help = "How many good tokens redis is asked about needlessly.",
      .schema = "{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}" },
    { .name = NULL },
};

static const char *const unavailable_choices[] = { "deny", "allow", NULL };

const struct option revocation_option_table[] = {
    { .name = "redis",
      .type = OPT_OBJECT,
      .offset = AT(redis),
      .sub = redis_option_table,
      .help = "Keep revocations in redis; without it, in server.state_dir." },
    { .name = "filter",
      .type = OPT_OBJECT,
      .offset = AT(filter),
      .def = "{}",
      .sub = filter_options,
      .help = "The filter over revocations in redis." },
    { .name = "max_staleness",
      .type = OPT_DURATION,
      .offset = AT(max_staleness_ms),
      .def = "\"2s\"",
      .min = 200,
      .max = 60000,
      .help = "How long after a revocation was written to redis a token may still pass." },
    { .name = "resync_interval",
      .type = OPT_DURATION,
      .offset = AT(resync_interval_ms),
      .def = "\"1h\"",
      .min = 1000,
      .max = 86400000,
      .help = "How often the filter is built anew, without what has expired." },
    { .name = "on_unavailable",
      .type = OPT_ENUM,
      .offset = AT(on_unavailable),
      .def = "\"deny\"",
      .choices = unavailable_choices,
      .help = "What happens to tokens while nobody can tell whether they are revoked." },
    { .name = NULL },
};

/* ---- the password ---- */

static bool is_private(const struct stat *st)
{
    mode_t mode = st->st_mode & 0777;

    return (mode & 077) == 0 || (st->st_uid == 0 && (mode & ~(mode_t)0640) == 0);
}

static int read_password_file(const struct option_context *ctx, const char *file, struct slice *ret)
{
    static const char path[] = "revocation.redis.password.file";
    char text[MAX_PASSWORD_BYTES];
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) < 0) {
        diag_at(ctx->diag, DIAG_ERROR, NULL, path, NULL, "cannot open %s: %s", file,
                strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return ERR_CONFIG;
    }
    ssize_t len = S_ISREG(st.st_mode) && is_private(&st) ? read(fd, text, sizeof(text)) : -1;
    close(fd);
    if (len < 0 || len == (ssize_t)sizeof(text)) {
        diag_at(ctx->diag, DIAG_ERROR, NULL, path, "chmod 600 it",
                "%s is not a file of less than 4 KiB that only its owner can read", file);
        return ERR_CONFIG;
    }
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }
    *ret = arena_copy(ctx->arena, slice_of(text, (size_t)len));
    explicit_bzero(text, sizeof(text));
    return slice_is_absent(*ret) ? ERR_NO_MEMORY : 0;
}

static int read_password(struct revocation_settings *settings, const struct option_context *ctx,
                         struct slice *ret)
{
    struct slice env = settings->redis.password.env;
    const char *file = settings->redis.password.file;

    if (slice_is_absent(env) && file == NULL) {
        return 0;
    }
    if (!slice_is_absent(env) && file != NULL) {
        diag_at(ctx->diag, DIAG_ERROR, NULL, "revocation.redis.password",
                "write { \"env\": \"NAME\" } or { \"file\": \"path\" }",
                "the password has both \"env\" and \"file\"");
        return ERR_CONFIG;
    }
    if (file != NULL) {
        return read_password_file(ctx, file, ret);
    }
    const char *name = arena_strdup(ctx->arena, env);
    const char *value = name == NULL ? NULL : getenv(name);
    if (value == NULL || value[0] == '\0') {
        diag_at(ctx->diag, DIAG_ERROR, NULL, "revocation.redis.password.env",
                "set it before the start", "the environment variable %.*s is not set",
                SLICE_FMT(env));
        return ERR_CONFIG;
    }
    *ret = arena_copy(ctx->arena, slice_str(value));
    return slice_is_absent(*ret) ? ERR_NO_MEMORY : 0;
}

int revocation_settings_init(struct revocation_settings *settings, const struct option_context *ctx)
{
    struct slice password = SLICE_ABSENT;

    if (!revocation_is_on(settings) || revocation_is_local(settings)) {
        return 0;
    }
    int err = read_password(settings, ctx, &password);
    if (err < 0) {
        return err;
    }
    settings->client = (struct redis_options){
        .username = settings->redis.username,
        .password = password,
        .connect_timeout_ms = (unsigned)settings->redis.timeouts.connect_ms,
        .command_timeout_ms = (unsigned)settings->redis.timeouts.command_ms,
        .max_queue = MAX_QUEUE,
        .max_reply_bytes = MAX_REPLY_BYTES,
    };
    err = redis_read_url(settings->redis.url, &settings->client.address);
    return err < 0 ? ERR_CONFIG : 0; /* reported by check_url() */
}
