/* SPDX-License-Identifier: Apache-2.0 */
/* What servers and clients share: certificates and keys from files, the profile. */
#include "core/tls_context.h"

#include "core/file.h"
#include "core/secret.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Mozilla's intermediate profile without its finite-field Diffie-Hellman: large computations for
 * anyone who asks. */
#define CIPHERS_1_2                                                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS         "X25519:P-256:P-384"
#define MAX_FILE_BYTES (1u << 20)

/* ---- files ---- */

static bool check_file(const struct stat *st, const char *file, bool is_secret, char *why)
{
    if (st->st_size > (off_t)MAX_FILE_BYTES) {
        snprintf(why, TLS_WHY_BYTES, "%.300s is larger than 1 MiB", file);
        return false;
    }
    if (is_secret && !secret_file_is_private(st)) {
        snprintf(why, TLS_WHY_BYTES, "the key file %.300s can be read by others (mode %04o)", file,
                 (unsigned)(st->st_mode & 0777));
        return false;
    }
    return true;
}

/* What there is to read, in memory. */
static BIO *read_to_memory(int fd, bool is_secret)
{
    BIO *bio = BIO_new(is_secret ? BIO_s_secmem() : BIO_s_mem());
    char bytes[4096];
    size_t len = sizeof(bytes), sum = 0;

    while (bio != NULL && len == sizeof(bytes) && sum < MAX_FILE_BYTES) {
        if (file_read(fd, bytes, sizeof(bytes), &len) < 0 ||
            (len > 0 && BIO_write(bio, bytes, (int)len) != (int)len)) {
            BIO_free(bio);
            bio = NULL;
        }
        sum += len;
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return bio;
}

BIO *tls_open_file(const char *file, bool is_secret, char *why)
{
    const char *problem;
    struct stat st;
    int fd = file_open(file, 0, &st, &problem);
    BIO *bio = NULL;

    if (fd < 0) {
        snprintf(why, TLS_WHY_BYTES, "cannot open %.300s: %s", file, problem);
        return NULL;
    }
    if (check_file(&st, file, is_secret, why)) {
        bio = read_to_memory(fd, is_secret);
        snprintf(why, TLS_WHY_BYTES, "cannot read %.300s", file);
    }
    close(fd);
    return bio;
}

/* A key with a passphrase: never ask the terminal. */
static int no_passphrase(char *buf, int size, int is_writing, void *arg)
{
    return -1;
}

static void explain(char *why, const char *file, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    snprintf(why, TLS_WHY_BYTES, "%.300s %s%s%.100s", file, what, reason == NULL ? "" : ": ",
             reason == NULL ? "" : reason);
    ERR_clear_error();
}

static int load_chain(SSL_CTX *ctx, const char *file, char *why)
{
    BIO *bio = tls_open_file(file, false, why);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    X509 *issuer;
    int err = 0;

    if (bio == NULL) {
        return ERR_CONFIG;
    }
    if (cert == NULL || SSL_CTX_use_certificate(ctx, cert) != 1) {
        explain(why, file, cert == NULL ? "holds no PEM certificate" : "cannot be used");
        err = ERR_CONFIG;
    }
    while (err == 0 && (issuer = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
            X509_free(issuer);
            explain(why, file, "has a chain that cannot be used");
            err = ERR_CONFIG;
        }
    }
    if (err == 0 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        explain(why, file, "has a chain that cannot be read");
        err = ERR_CONFIG;
    }
    ERR_clear_error();
    X509_free(cert);
    BIO_free(bio);
    return err;
}

static int load_key(SSL_CTX *ctx, const char *file, char *why)
{
    BIO *bio = tls_open_file(file, true, why);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    int err = 0;

    if (bio == NULL) {
        return ERR_CONFIG;
    }
    if (key == NULL) {
        explain(why, file, "holds no PEM private key that can be read without a passphrase");
        err = ERR_CONFIG;
    } else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        snprintf(why, TLS_WHY_BYTES, "the key in %.300s does not belong to the certificate", file);
        err = ERR_CONFIG;
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    return err;
}

int tls_load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                  enum tls_part *ret_part, char *why)
{
    *ret_part = TLS_PART_CERT;
    int err = load_chain(ctx, cert_file, why);

    if (err == 0) {
        *ret_part = TLS_PART_KEY;
        err = load_key(ctx, key_file, why);
    }
    return err;
}

int tls_load_authorities(X509_STORE *store, STACK_OF(X509_NAME) * names, const char *file,
                         char *why)
{
    BIO *bio = tls_open_file(file, false, why);
    unsigned count = 0;
    X509 *cert;
    bool ok = true;

    if (bio == NULL) {
        return ERR_CONFIG;
    }
    while (ok && (cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        ok = X509_STORE_add_cert(store, cert) == 1;
        if (ok && names != NULL) {
            X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));
            ok = name != NULL && sk_X509_NAME_push(names, name) > 0;
        }
        X509_free(cert);
        count++;
    }
    ok = ok && count > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!ok) {
        explain(why, file, count == 0 ? "holds no PEM certificate" : "cannot be used");
    }
    ERR_clear_error();
    BIO_free(bio);
    return ok ? 0 : ERR_CONFIG;
}

int64_t tls_unix_time(const ASN1_TIME *time)
{
    struct tm tm = { 0 };

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void tls_digest_store(X509_STORE *store, unsigned char sum[TLS_DIGEST_BYTES])
{
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        tls_digest_cert(X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i)), sum);
    }
}

void tls_digest_cert(const X509 *cert, unsigned char sum[TLS_DIGEST_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

    if (cert == NULL || X509_digest(cert, EVP_sha256(), digest, NULL) != 1) {
        return;
    }
    for (size_t i = 0; i < TLS_DIGEST_BYTES; i++) {
        sum[i] ^= digest[i];
    }
}

/* ---- the context ---- */

SSL_CTX *tls_context_new(const SSL_METHOD *method, bool only_1_3)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (ctx == NULL) {
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_info_callback(ctx, tls_count_message);
    if (SSL_CTX_set_min_proto_version(ctx, only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) != 1 ||
        SSL_CTX_set1_groups_list(ctx, GROUPS) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}
