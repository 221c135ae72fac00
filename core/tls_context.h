/* SPDX-License-Identifier: Apache-2.0 */
/* Private to core/tls.c and core/tls_context.c. */
#pragma once

#include "core/tls.h"

#include <openssl/ssl.h>

/* A connection's SSL, without a socket; NULL: no memory. */
SSL *tls_server_ssl(struct tls_server *server);
SSL *tls_client_ssl(const struct tls_client *client, const char *host);
struct tls_server *tls_server_ref(struct tls_server *server);
/* No two of them are the same while the process lives. */
uint64_t tls_client_id(const struct tls_client *client);
/* Callback: a server has given us a session. */
int tls_keep_session(SSL *ssl, SSL_SESSION *session);

/* core/tls_tickets.c: let the context's tickets be sealed with the process's rotating keys. */
int tls_tickets_use(SSL_CTX *ctx) MUST_CHECK;
