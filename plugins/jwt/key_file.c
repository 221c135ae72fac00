/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/key_file.h"

#include "core/base64url.h"
#include "core/file.h"
#include "core/secret.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void key_fail(const struct key_place *at, const char *remedy, const char *what)
{
    diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, remedy, "%s", what);
}

void key_bytes_done(struct key_bytes *bytes)
{
    OPENSSL_clear_free(bytes->ptr, bytes->len);
    *bytes = (struct key_bytes){ 0 };
}

/* `bytes` has room for its size. */
static int read_open_file(int fd, bool is_secret, const struct stat *st, const struct key_place *at,
                          const char *file, struct key_bytes *bytes)
{
    if (is_secret && !secret_file_is_private(st)) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, "chmod 600 it",
                "the secret file %s can be read by others (mode %04o)", file,
                (unsigned)(st->st_mode & 0777));
        return ERR_CONFIG;
    }
    if (file_read(fd, bytes->ptr, bytes->len, &bytes->len) < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "cannot read %s: %s", file,
                strerror(errno));
        return ERR_CONFIG;
    }
    return 0;
}

static int read_file(int fd, bool is_secret, const struct stat *st, const struct key_place *at,
                     const char *file, struct key_bytes *ret)
{
    if (st->st_size > (off_t)KEY_FILE_MAX_BYTES) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "%s is larger than 1 MiB",
                file);
        return ERR_CONFIG;
    }
    struct key_bytes bytes = { .len = (size_t)st->st_size };

    bytes.ptr = OPENSSL_malloc(bytes.len + 1);
    if (bytes.ptr == NULL) {
        key_fail(at, NULL, "out of memory");
        return ERR_NO_MEMORY;
    }
    int err = read_open_file(fd, is_secret, st, at, file, &bytes);

    if (err < 0) {
        key_bytes_done(&bytes);
        return err;
    }
    *ret = bytes;
    return 0;
}

int key_read_file(const struct key_place *at, const char *file, bool is_secret,
                  struct key_bytes *ret)
{
    const char *why;
    struct stat st;
    int fd = file_open(file, 0, &st, &why);

    if (fd < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "cannot open %s: %s", file,
                why);
        return ERR_CONFIG;
    }
    int err = read_file(fd, is_secret, &st, at, file, ret);

    close(fd);
    return err;
}

int key_read_env(const struct key_place *at, struct slice name, struct key_bytes *ret)
{
    char *name_z = arena_strdup(at->ctx->arena, name);
    const char *value = name_z == NULL ? NULL : getenv(name_z);

    if (value == NULL || value[0] == '\0') {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, "set it before the start",
                "the environment variable %.*s is not set", SLICE_FMT(name));
        return ERR_CONFIG;
    }
    ret->len = strlen(value);
    ret->ptr = OPENSSL_memdup(value, ret->len);
    return ret->ptr == NULL ? ERR_NO_MEMORY : 0;
}

void key_drop_newline(struct key_bytes *bytes)
{
    if (bytes->len > 0 && bytes->ptr[bytes->len - 1] == '\n') {
        bytes->len--;
        if (bytes->len > 0 && bytes->ptr[bytes->len - 1] == '\r') {
            bytes->len--;
        }
    }
}

int key_decode(struct key_bytes *bytes)
{
    size_t len = 0;
    uint8_t *out = OPENSSL_malloc(BASE64URL_DECODED_BYTES(bytes->len));

    if (out == NULL) {
        return ERR_NO_MEMORY;
    }
    int err = base64url_decode(slice_of(bytes->ptr, bytes->len), out, &len);
    if (err < 0) {
        OPENSSL_clear_free(out, BASE64URL_DECODED_BYTES(bytes->len));
        return err;
    }
    key_bytes_done(bytes);
    *bytes = (struct key_bytes){ .ptr = (char *)out, .len = len };
    return 0;
}
