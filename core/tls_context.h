/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the core/tls*.c files. */
#pragma once

#include "core/tls.h"

#include <openssl/ssl.h>

/* A connection's SSL, without a socket; NULL: no memory. */
SSL *tls_server_ssl(struct tls_server *server);
SSL *tls_client_ssl(const struct tls_client *client, const char *host);
struct tls_server *tls_server_ref(struct tls_server *server);
/* Callback: OpenSSL has come to another message or alert. */
void tls_count_message(const SSL *ssl, int where, int value);
/* Callback: a server has given us a session. */
int tls_keep_session(SSL *ssl, SSL_SESSION *session);

/* core/tls_context.c */
/* The whole file as a memory BIO; NULL with `why`. `is_secret`: others may not be able to read it. */
BIO *tls_open_file(const char *file, bool is_secret, char *why);
int64_t tls_unix_time(const ASN1_TIME *time); /* 0: unreadable */
SSL_CTX *tls_context_new(const SSL_METHOD *method, bool only_1_3);
/* A certificate with its chain, and its key. */
int tls_load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                  enum tls_part *ret_part, char *why) MUST_CHECK;
/* The certificates of a file into `store`, their subjects into `names` (may be NULL). */
int tls_load_authorities(X509_STORE *store, STACK_OF(X509_NAME) * names, const char *file,
                         char *why) MUST_CHECK;
/* Mix certificates into `sum`; their order does not matter. */
#define TLS_DIGEST_BYTES 32
void tls_digest_store(X509_STORE *store, unsigned char sum[TLS_DIGEST_BYTES]);
void tls_digest_cert(const X509 *cert, unsigned char sum[TLS_DIGEST_BYTES]);

/* core/tls_peer.c: what the client has shown, in one allocation; *ret NULL: nothing.  ERR_NO_MEMORY. */
int tls_peer_read(SSL *ssl, struct tls_peer **ret) MUST_CHECK;

/* core/tls_staple.c */
struct tls_staple {
    unsigned char *der; /* NULL: none */
    int len;
    int64_t from, until; /* Unix time */
};
/* An OCSP response (DER) about the context's certificate, whose chain is there: given to clients that
 * ask while it holds.  Borrowed by the context until tls_staple_done().  ERR_CONFIG with `why`. */
int tls_staple_load(SSL_CTX *ctx, const char *file, struct tls_staple *ret, char *why) MUST_CHECK;
void tls_staple_done(struct tls_staple *staple);

/* core/tls_tickets.c: let the context's tickets be sealed with the process's rotating keys. */
int tls_tickets_use(SSL_CTX *ctx) MUST_CHECK;
