/* SPDX-License-Identifier: Apache-2.0 */
/* What an upstream must present, and what we show it. */
#include "core/tls_context.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>

#define MAX_HOST_BYTES     255u
#define TLS_PIN_TEXT_BYTES 44u

struct tls_client {
    uint64_t id;
    SSL_CTX *ctx;
    char *server_name; /* NULL: the host of the target */
    bool skips_verify;
    size_t pin_count;
    struct tls_pin *pins;
};

/* ---- pinned keys ---- */

bool tls_pin_read(struct slice text, struct tls_pin *ret)
{
    unsigned char bytes[TLS_PIN_TEXT_BYTES / 4 * 3], again[TLS_PIN_TEXT_BYTES + 1];

    if (text.len != TLS_PIN_TEXT_BYTES ||
        EVP_DecodeBlock(bytes, (const unsigned char *)text.ptr, TLS_PIN_TEXT_BYTES) !=
            (int)sizeof(bytes)) {
        return false;
    }
    memcpy(ret->digest, bytes, sizeof(ret->digest));
    /* One way to write it: what was read must come out again. */
    EVP_EncodeBlock(again, ret->digest, sizeof(ret->digest));
    return memcmp(again, text.ptr, text.len) == 0;
}

static bool is_pinned(const struct tls_client *client, X509 *cert)
{
    unsigned char *spki = NULL, digest[EVP_MAX_MD_SIZE];
    int len = cert == NULL ? -1 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    bool found = false;

    if (len > 0 && EVP_Digest(spki, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1) {
        for (size_t i = 0; i < client->pin_count; i++) {
            found = found || memcmp(client->pins[i].digest, digest, sizeof(client->pins[i])) == 0;
        }
    }
    OPENSSL_free(spki);
    return found;
}

/* Callback: in place of OpenSSL's own verification, which comes first. */
static int verify_pinned(X509_STORE_CTX *store, void *arg)
{
    const struct tls_client *client = arg;

    if (!client->skips_verify && X509_verify_cert(store) != 1) {
        return 0;
    }
    if (!is_pinned(client, X509_STORE_CTX_get0_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static bool pin(struct tls_client *client, const struct tls_client_options *options)
{
    if (options->pin_count == 0) {
        return true;
    }
    client->pins = calloc(options->pin_count, sizeof(*client->pins));
    if (client->pins == NULL) {
        return false;
    }
    memcpy(client->pins, options->pins, options->pin_count * sizeof(*client->pins));
    client->pin_count = options->pin_count;
    SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(client->ctx, verify_pinned, client);
    return true;
}

/* ---- making one ---- */

static bool trust(SSL_CTX *ctx, const struct tls_client_options *options, enum tls_part *ret_part,
                  char *why)
{
    if (options->insecure_skip_verify) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return true;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    *ret_part = TLS_PART_CA;
    if (options->ca_file != NULL) {
        return tls_load_authorities(SSL_CTX_get_cert_store(ctx), NULL, options->ca_file, why) == 0;
    }
    if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        snprintf(why, TLS_WHY_BYTES, "the system's certificates cannot be read");
        return false;
    }
    return true;
}

/* The same for the same certificates, names and options: what was checked for one holds for the
 * other. */
static void id_set(struct tls_client *client)
{
    struct {
        unsigned char sum[TLS_DIGEST_BYTES], own[TLS_DIGEST_BYTES], pins[TLS_DIGEST_BYTES];
        char name[MAX_HOST_BYTES + 1];
        bool skips_verify;
    } parts;
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

    memset(&parts, 0, sizeof(parts)); /* also what is between them */
    tls_digest_store(SSL_CTX_get_cert_store(client->ctx), parts.sum);
    tls_digest_cert(SSL_CTX_get0_certificate(client->ctx), parts.own);
    snprintf(parts.name, sizeof(parts.name), "%s",
             client->server_name == NULL ? "" : client->server_name);
    parts.skips_verify = client->skips_verify;
    (void)EVP_Digest(client->pins, client->pin_count * sizeof(*client->pins), parts.pins, NULL,
                     EVP_sha256(), NULL);
    if (EVP_Digest(&parts, sizeof(parts), digest, NULL, EVP_sha256(), NULL) == 1) {
        memcpy(&client->id, digest, sizeof(client->id));
    }
}

static bool client_init(struct tls_client *client, const struct tls_client_options *options,
                        enum tls_part *ret_part, char *why)
{
    static const unsigned char alpn[] = "\x08http/1.1";

    client->skips_verify = options->insecure_skip_verify;
    client->ctx = tls_context_new(TLS_client_method(), false);
    if (client->ctx == NULL || SSL_CTX_set_alpn_protos(client->ctx, alpn, sizeof(alpn) - 1) != 0) {
        return false;
    }
    if (options->server_name != NULL) {
        client->server_name = strdup(options->server_name);
        if (client->server_name == NULL) {
            return false;
        }
    }
    SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->ctx, tls_keep_session);
    if (!trust(client->ctx, options, ret_part, why) || !pin(client, options) ||
        (options->cert_file != NULL &&
         tls_load_pair(client->ctx, options->cert_file, options->key_file, ret_part, why) != 0)) {
        return false;
    }
    id_set(client);
    return true;
}

struct tls_client *tls_client_new(const struct tls_client_options *options, enum tls_part *ret_part,
                                  char why[TLS_WHY_BYTES])
{
    struct tls_client *client = calloc(1, sizeof(*client));

    *ret_part = TLS_PART_NONE;
    snprintf(why, TLS_WHY_BYTES, "out of memory");
    if (client == NULL) {
        return NULL;
    }
    if (!client_init(client, options, ret_part, why)) {
        tls_client_free(client);
        ERR_clear_error();
        return NULL;
    }
    return client;
}

void tls_client_free(struct tls_client *client)
{
    if (client != NULL) {
        SSL_CTX_free(client->ctx);
        free(client->server_name);
        free(client->pins);
        free(client);
    }
}

uint64_t tls_client_id(const struct tls_client *client)
{
    return client->id;
}

/* Whom the certificate must be for.  Addresses are not sent as SNI (RFC 6066 section 3). */
static bool expect_host(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1) {
        return true;
    }
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* The macro for it casts const away. */
    return SSL_set1_host(ssl, host) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)host) == 1;
}

SSL *tls_client_ssl(const struct tls_client *client, const char *host)
{
    SSL *ssl = SSL_new(client->ctx);

    if (ssl != NULL &&
        !expect_host(ssl, client->server_name != NULL ? client->server_name : host)) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}
