/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/key_file.h"

#include "core/base64url.h"
#include "core/secret.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <fcntl.h>
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

static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int read_open_file(int fd, bool is_secret, const struct key_place *at, const char *file,
                          struct key_bytes *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)KEY_FILE_MAX_BYTES) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL,
                "%s is not a file of at most 1 MiB", file);
        return ERR_CONFIG;
    }
    if (is_secret && !secret_file_is_private(&st)) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, "chmod 600 it",
                "the secret file %s can be read by others (mode %04o)", file,
                (unsigned)(st.st_mode & 0777));
        return ERR_CONFIG;
    }
    size_t size = (size_t)st.st_size;
    char *buf = OPENSSL_malloc(size + 1);
    if (buf == NULL) {
        key_fail(at, NULL, "out of memory");
        return ERR_NO_MEMORY;
    }
    ssize_t len = read_all(fd, buf, size);
    if (len < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "cannot read %s: %s", file,
                strerror(errno));
        OPENSSL_clear_free(buf, size + 1);
        return ERR_CONFIG;
    }
    *ret = (struct key_bytes){ .ptr = buf, .len = (size_t)len };
    return 0;
}

int key_read_file(const struct key_place *at, const char *file, bool is_secret,
                  struct key_bytes *ret)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "cannot open %s: %s", file,
                strerror(errno));
        return ERR_CONFIG;
    }
    int err = read_open_file(fd, is_secret, at, file, ret);
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
