/* SPDX-License-Identifier: Apache-2.0 */
/* What an upstream must present, and what we show it. */
#include "core/tls_context.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>

#define MAX_HOST_BYTES 255u

struct tls_client {
    uint64_t id;
    SSL_CTX *ctx;
    char *server_name; /* NULL: the host of the target */
};

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
static void id_set(struct tls_client *client, bool skips_verify)
{
    struct {
        unsigned char sum[TLS_DIGEST_BYTES], own[TLS_DIGEST_BYTES];
        char name[MAX_HOST_BYTES + 1];
        bool skips_verify;
    } parts;
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

    memset(&parts, 0, sizeof(parts)); /* also what is between them */
    tls_digest_store(SSL_CTX_get_cert_store(client->ctx), parts.sum);
    tls_digest_cert(SSL_CTX_get0_certificate(client->ctx), parts.own);
    snprintf(parts.name, sizeof(parts.name), "%s",
             client->server_name == NULL ? "" : client->server_name);
    parts.skips_verify = skips_verify;
    if (EVP_Digest(&parts, sizeof(parts), digest, NULL, EVP_sha256(), NULL) == 1) {
        memcpy(&client->id, digest, sizeof(client->id));
    }
}

static bool client_init(struct tls_client *client, const struct tls_client_options *options,
                        enum tls_part *ret_part, char *why)
{
    static const unsigned char alpn[] = "\x08http/1.1";
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
    if (!trust(client->ctx, options, ret_part, why) ||
        (options->cert_file != NULL &&
         tls_load_pair(client->ctx, options->cert_file, options->key_file, ret_part, why) != 0)) {
        return false;
    }
    id_set(client, options->insecure_skip_verify);
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
