/* SPDX-License-Identifier: Apache-2.0 */
/* What a listener presents and asks for: one SSL_CTX per certificate, chosen by SNI. */
#include "core/map.h"
#include "core/tls_context.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_HOST_BYTES 255u

struct tls_name {
    struct tls_name *next;
    SSL_CTX *ctx; /* of the server's list */
    size_t len;
    char text[];
};

struct tls_context {
    struct tls_context *next;
    SSL_CTX *ctx;
    struct tls_staple staple;
};

struct tls_server {
    atomic_int refs;
    struct tls_server_options options; /* its strings are not used any more */
    X509_STORE *client_store;          /* NULL: client certificates are not asked for */
    STACK_OF(X509_NAME) * client_names;
    unsigned char scope[16];      /* sessions of other listeners are not resumed here */
    struct tls_context *contexts; /* one per certificate, the first one last */
    SSL_CTX *first;
    struct tls_name *names;
    struct map by_name; /* "api.example.com", "*.example.com" -> tls_name */
};

static void names_free(struct tls_server *server)
{
    while (server->names != NULL) {
        struct tls_name *next = server->names->next;
        free(server->names);
        server->names = next;
    }
    map_done(&server->by_name);
}

static void server_free(struct tls_server *server)
{
    names_free(server);
    while (server->contexts != NULL) {
        struct tls_context *next = server->contexts->next;
        SSL_CTX_free(server->contexts->ctx);
        tls_staple_done(&server->contexts->staple);
        free(server->contexts);
        server->contexts = next;
    }
    X509_STORE_free(server->client_store);
    sk_X509_NAME_pop_free(server->client_names, X509_NAME_free);
    free(server);
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
    atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
    return server;
}

void tls_server_unref(struct tls_server *server)
{
    if (server != NULL && atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) == 1) {
        server_free(server);
    }
}

/* A session without, or with another kind of, client certificate must not be resumed where one is
 * demanded: the scope of sessions is what is asked of clients. */
static void scope_set(struct tls_server *server)
{
    unsigned char sum[TLS_DIGEST_BYTES] = { 0 };

    tls_digest_store(server->client_store, sum);
    sum[0] ^= (unsigned char)server->options.client_auth;
    memcpy(server->scope, sum, sizeof(server->scope));
}

struct tls_server *tls_server_new(const struct tls_server_options *options, char why[TLS_WHY_BYTES])
{
    struct tls_server *server = calloc(1, sizeof(*server));
    int err = 0;

    snprintf(why, TLS_WHY_BYTES, "out of memory");
    if (server == NULL) {
        return NULL;
    }
    atomic_init(&server->refs, 1);
    server->options = *options;
    if (options->client_auth != TLS_CLIENT_AUTH_NONE) {
        server->client_store = X509_STORE_new();
        server->client_names = sk_X509_NAME_new_null();
        err = server->client_store == NULL || server->client_names == NULL
                  ? ERR_NO_MEMORY
                  : tls_load_authorities(server->client_store, server->client_names,
                                         options->client_ca_file, why);
        scope_set(server);
    }
    if (err != 0) {
        server_free(server);
        return NULL;
    }
    return server;
}

static struct tls_name *find_name(const struct tls_server *server, struct slice host)
{
    return map_get(&server->by_name, host);
}

/* The exact name, else a wildcard in place of its first label (RFC 9525 section 6.3). */
static struct tls_name *match_name(const struct tls_server *server, const char *text)
{
    char host[MAX_HOST_BYTES + 1];
    size_t len = strlen(text);

    if (len == 0 || len > MAX_HOST_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        host[i] = ascii_lower(text[i]);
    }
    struct tls_name *name = find_name(server, slice_of(host, len));
    const char *dot = memchr(host, '.', len);

    if (name != NULL || dot == NULL || dot == host) {
        return name;
    }
    size_t at = (size_t)(dot - host) - 1;

    host[at] = '*';
    return find_name(server, slice_of(host + at, len - at));
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_server *server = arg;
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_name *name = host == NULL ? NULL : match_name(server, host);

    if (name != NULL && name->ctx != SSL_get_SSL_CTX(ssl) &&
        SSL_set_SSL_CTX(ssl, name->ctx) == NULL) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return name == NULL ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

/* A client that speaks none of ours hears so (RFC 7301 section 3.2). */
static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                   const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;

    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool ask_for_certificates(SSL_CTX *ctx, const struct tls_server *server)
{
    int mode = SSL_VERIFY_PEER;

    if (server->client_store == NULL) {
        return true;
    }
    if (server->options.client_auth == TLS_CLIENT_AUTH_REQUIRE) {
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set1_cert_store(ctx, server->client_store);
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(server->client_names);

    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_client_CA_list(ctx, names);
    return names != NULL;
}

static SSL_CTX *server_context(struct tls_server *server)
{
    bool only_1_3 = server->options.only_1_3 || server->options.profile == TLS_MODERN;
    SSL_CTX *ctx = tls_context_new(TLS_server_method(), only_1_3);

    if (ctx == NULL) {
        return NULL;
    }
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, server);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    if (tls_tickets_use(ctx) != 0 || !ask_for_certificates(ctx, server) ||
        SSL_CTX_set_session_id_context(ctx, server->scope, sizeof(server->scope)) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static int add_name(struct tls_server *server, SSL_CTX *ctx, struct slice host)
{
    struct tls_name *name;

    if (find_name(server, host) != NULL) {
        return ERR_EXISTS;
    }
    name = malloc(sizeof(*name) + host.len);
    if (name == NULL) {
        return ERR_NO_MEMORY;
    }
    name->ctx = ctx;
    name->len = host.len;
    for (size_t i = 0; i < host.len; i++) {
        name->text[i] = ascii_lower(host.ptr[i]);
    }
    if (map_set(&server->by_name, slice_of(name->text, name->len), name) != 0) {
        free(name);
        return ERR_NO_MEMORY;
    }
    name->next = server->names;
    server->names = name;
    return 0;
}

/* The names in the certificate; those that another certificate has stay with it. */
static int add_own_names(struct tls_server *server, SSL_CTX *ctx)
{
    GENERAL_NAMES *names =
        X509_get_ext_d2i(SSL_CTX_get0_certificate(ctx), NID_subject_alt_name, NULL, NULL);
    int err = 0;

    for (int i = 0; err == 0 && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS) {
            err = add_name(server, ctx,
                           slice_of(ASN1_STRING_get0_data(name->d.dNSName),
                                    (size_t)ASN1_STRING_length(name->d.dNSName)));
            err = err == ERR_EXISTS ? 0 : err;
        }
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return err;
}

/* "*.example.com" is checked with a name that it stands for. */
static bool covers(X509 *cert, struct slice host)
{
    char text[MAX_HOST_BYTES + 2];
    int len = snprintf(text, sizeof(text), "%s%.*s", slice_starts_with(host, SLICE("*")) ? "a" : "",
                       (int)(host.ptr[0] == '*' ? host.len - 1 : host.len),
                       host.ptr + (host.ptr[0] == '*'));

    return len > 0 && (size_t)len < sizeof(text) &&
           X509_check_host(cert, text, (size_t)len, 0, NULL) == 1;
}

static int add_hosts(struct tls_server *server, SSL_CTX *ctx, const struct tls_certificate *cert,
                     struct tls_certificate_facts *ret, char *why)
{
    X509 *x509 = SSL_CTX_get0_certificate(ctx);
    int err = cert->host_count == 0 ? add_own_names(server, ctx) : 0;

    ret->not_after = tls_unix_time(X509_get0_notAfter(x509));
    for (size_t i = 0; i < cert->host_count && err == 0; i++) {
        err = add_name(server, ctx, cert->hosts[i]);
        if (err == ERR_EXISTS) {
            snprintf(why, TLS_WHY_BYTES, "two certificates are for \"%.*s\"",
                     SLICE_FMT(cert->hosts[i]));
        } else if (!covers(x509, cert->hosts[i])) {
            ret->uncovered = cert->hosts[i];
        }
    }
    ERR_clear_error();
    return err;
}

int tls_server_add(struct tls_server *server, const struct tls_certificate *certificate,
                   struct tls_certificate_facts *ret_facts, enum tls_part *ret_part,
                   char why[TLS_WHY_BYTES])
{
    struct tls_context *link = calloc(1, sizeof(*link));
    int err;

    *ret_part = TLS_PART_NONE;
    *ret_facts = (struct tls_certificate_facts){ 0 };
    snprintf(why, TLS_WHY_BYTES, "out of memory");
    if (link == NULL) {
        return ERR_NO_MEMORY;
    }
    link->ctx = server_context(server);
    link->next = server->contexts;
    server->contexts = link; /* also after an error: names may point to it */
    if (link->ctx == NULL) {
        snprintf(why, TLS_WHY_BYTES, "TLS cannot be set up");
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    server->first = server->first == NULL ? link->ctx : server->first;
    err = tls_load_pair(link->ctx, certificate->cert_file, certificate->key_file, ret_part, why);
    if (err == 0 && certificate->ocsp_file != NULL) {
        *ret_part = TLS_PART_STAPLE;
        err = tls_staple_load(link->ctx, certificate->ocsp_file, &link->staple, why);
        ret_facts->staple_until = link->staple.until;
    }
    if (err == 0) {
        *ret_part = TLS_PART_NONE;
        err = add_hosts(server, link->ctx, certificate, ret_facts, why);
    }
    return err;
}

SSL *tls_server_ssl(struct tls_server *server)
{
    return server->first == NULL ? NULL : SSL_new(server->first);
}
