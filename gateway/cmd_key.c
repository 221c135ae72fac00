/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_key.h"

#include "core/file.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_KEY_FILE 65536u

static int complain(const char *what, const char *file)
{
    fprintf(stderr, "jwtgate: %s %s: %s\n", what, file, strerror(errno));
    return errno == EEXIST ? ERR_EXISTS : ERR_IO;
}

/* ---- reading ---- */

/* -1: said. */
static int open_text(const char *file)
{
    const char *why;
    struct stat st;
    int fd = file_open(file, 0, &st, &why);

    if (fd < 0) {
        fprintf(stderr, "jwtgate: cannot open %s: %s\n", file, why);
    }
    return fd;
}

int cmd_read_text(const char *file, char *ret, size_t size, size_t *ret_len)
{
    bool is_stdin = strcmp(file, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open_text(file);

    if (fd < 0) {
        return ERR_IO;
    }
    int err = file_read(fd, ret, size, ret_len);

    if (err < 0) {
        err = complain("cannot read", file);
    } else if (*ret_len == size) {
        fprintf(stderr, "jwtgate: %s is larger than %zu bytes\n", file, size - 1);
        err = ERR_TOO_BIG;
    }
    if (!is_stdin) {
        close(fd);
    }
    while (err == 0 && *ret_len > 0 && memchr("\r\n \t", ret[*ret_len - 1], 4) != NULL) {
        (*ret_len)--;
    }
    return err;
}

static int read_pem(struct slice text, struct cmd_key *ret, const char **ret_why)
{
    ret->is_private = memmem(text.ptr, text.len, "PRIVATE KEY-----", 16) != NULL;
    return ret->is_private ? jwk_read_private_pem(text, &ret->key, ret_why)
                           : jwk_read_pem(text, &ret->key, ret_why);
}

int cmd_key_read(const char *file, struct cmd_key *ret)
{
    char *text = OPENSSL_malloc(MAX_KEY_FILE);
    const char *why = "holds neither a PEM key nor a secret of 32 bytes or more";
    size_t len = 0;

    *ret = (struct cmd_key){ .is_private = true };
    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    int err = cmd_read_text(file, text, MAX_KEY_FILE, &len);

    if (err < 0) {
        OPENSSL_clear_free(text, MAX_KEY_FILE);
        return err;
    }
    if (len > 0 && memmem(text, len, "-----BEGIN ", 11) != NULL) {
        err = read_pem(slice_of(text, len), ret, &why);
    } else {
        err = jwa_key_from_secret((const uint8_t *)text, len, &ret->key);
    }
    OPENSSL_clear_free(text, MAX_KEY_FILE);
    if (err < 0) {
        fprintf(stderr, "jwtgate: %s: %s\n", file, why);
    }
    return err;
}

static void skip_key(void *arg, struct slice kid, const char *why)
{
    fprintf(stderr, "jwtgate: %s: a key is skipped: %s\n", (const char *)arg, why);
}

int cmd_read_jwks(const char *file, struct jwks_set **ret)
{
    char *text = malloc(JWK_MAX_BYTES + 1);
    const char *why = NULL;
    size_t len = 0;
    int err = text == NULL ? ERR_NO_MEMORY : cmd_read_text(file, text, JWK_MAX_BYTES + 1, &len);

    if (err == 0) {
        err = jwks_set_read(slice_of(text, len), JWK_MAX_BYTES, skip_key, (void *)(uintptr_t)file,
                            ret, &why);
        if (err < 0) {
            fprintf(stderr, "jwtgate: %s: %s\n", file, why == NULL ? err_text(err) : why);
        }
    }
    free(text);
    return err;
}

/* ---- writing ---- */

int cmd_write_file(const char *file, mode_t mode, struct slice content)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

    if (fd < 0) {
        return complain("cannot make", file);
    }
    int err = fchmod(fd, mode) != 0 ? ERR_IO : file_write(fd, content);

    if (close(fd) != 0 && err == 0) {
        err = ERR_IO;
    }
    if (err == 0) {
        err = file_sync_folder(file);
    }
    if (err < 0) {
        err = complain("cannot write", file);
        unlink(file);
    }
    return err;
}
