/* SPDX-License-Identifier: Apache-2.0 */
#include "core/secret.h"

#include "core/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct option secret_options[] = {
    { .name = "env",
      .type = OPT_STRING,
      .offset = offsetof(struct secret_source, env),
      .help = "Name of the environment variable with the secret." },
    { .name = "file",
      .type = OPT_PATH,
      .offset = offsetof(struct secret_source, file),
      .help = "File with the secret; a newline at its end is dropped." },
    { .name = NULL },
};

struct place {
    const struct option_context *ctx;
    const struct json *where;
    const char *path;
};

static int fail_file(const struct place *at, const char *remedy, const char *file, const char *what)
{
    diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, remedy, "%s: %s", file, what);
    return ERR_CONFIG;
}

bool secret_file_is_private(const struct stat *st)
{
    mode_t mode = st->st_mode & 0777;

    return (mode & 077) == 0 || (st->st_uid == 0 && (mode & ~(mode_t)0640) == 0);
}

static int read_open_file(int fd, const struct stat *st, const struct place *at, const char *file,
                          char ret[SECRET_MAX_BYTES], size_t *ret_len)
{
    if (!secret_file_is_private(st)) {
        return fail_file(at, "chmod 600 it", file, "a secret that others can read");
    }
    if (file_read(fd, ret, SECRET_MAX_BYTES, ret_len) < 0) {
        return fail_file(at, NULL, file, strerror(errno));
    }
    return *ret_len < SECRET_MAX_BYTES ? 0 : fail_file(at, NULL, file, "it has 4 KiB or more");
}

static int read_file(const struct place *at, const char *file, char ret[SECRET_MAX_BYTES],
                     size_t *ret_len)
{
    const char *why;
    struct stat st;
    int fd = file_open(file, 0, &st, &why);

    if (fd < 0) {
        return fail_file(at, NULL, file, why);
    }
    int err = read_open_file(fd, &st, at, file, ret, ret_len);

    close(fd);
    return err;
}

static int read_env(const struct place *at, struct slice name, char ret[SECRET_MAX_BYTES],
                    size_t *ret_len)
{
    const char *name_z = arena_strdup(at->ctx->arena, name);
    const char *value = name_z == NULL ? NULL : getenv(name_z);
    size_t len = value == NULL ? 0 : strlen(value);

    if (len == 0 || len >= SECRET_MAX_BYTES) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, "set it before the start",
                "the environment variable %.*s is %s", SLICE_FMT(name),
                len == 0 ? "not set" : "4 KiB or longer");
        return ERR_CONFIG;
    }
    memcpy(ret, value, len);
    *ret_len = len;
    return 0;
}

static size_t without_newline(const char *text, size_t len)
{
    if (len > 0 && text[len - 1] == '\n') {
        len--;
        len -= len > 0 && text[len - 1] == '\r';
    }
    return len;
}

int secret_read(const struct secret_source *source, const struct option_context *ctx,
                const struct json *where, const char *path, char ret[SECRET_MAX_BYTES],
                size_t *ret_len)
{
    struct place at = { .ctx = ctx, .where = where, .path = path };
    int err;

    if (slice_is_absent(source->env) == (source->file == NULL)) {
        diag_at(ctx->diag, DIAG_ERROR, where, path,
                "write { \"env\": \"NAME\" } or { \"file\": \"path\" }",
                "has neither or both of \"env\" and \"file\"");
        return ERR_CONFIG;
    }
    err = source->file == NULL ? read_env(&at, source->env, ret, ret_len)
                               : read_file(&at, source->file, ret, ret_len);
    if (err < 0) {
        return err;
    }
    *ret_len = without_newline(ret, *ret_len);
    if (*ret_len == 0) {
        diag_at(ctx->diag, DIAG_ERROR, where, path, NULL, "the secret is empty");
        return ERR_CONFIG;
    }
    return 0;
}
