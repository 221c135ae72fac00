/* SPDX-License-Identifier: Apache-2.0 */
/* SSL_CTX from files: what a listener presents, what an upstream must present. */
#include "core/tls_context.h"

#include "core/map.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Mozilla's intermediate profile without its finite-field Diffie-Hellman: large computations for
 * anyone who asks. */
#define CIPHERS_1_2                                                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS         "X25519:P-256:P-384"
#define MAX_FILE_BYTES (1u << 20)
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

struct tls_client {
    uint64_t id;
    SSL_CTX *ctx;
    char *server_name; /* NULL: the host of the target */
};

/* ---- files ---- */

/* Others may not read a key, unless root owns it and lets a group. */
static bool mode_is_private(const struct stat *st)
{
    mode_t mode = st->st_mode & 0777;

    return (mode & 077) == 0 || (st->st_uid == 0 && (mode & ~(mode_t)0640) == 0);
}

static bool check_file(int fd, const char *file, bool is_secret, size_t *ret_size, char *why)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)MAX_FILE_BYTES) {
        snprintf(why, TLS_WHY_BYTES, "%.300s is not a file of at most 1 MiB", file);
        return false;
    }
    if (is_secret && !mode_is_private(&st)) {
        snprintf(why, TLS_WHY_BYTES, "the key file %.300s can be read by others (mode %04o)", file,
                 (unsigned)(st.st_mode & 0777));
        return false;
    }
    *ret_size = (size_t)st.st_size;
    return true;
}

/* The whole file as a memory BIO; NULL with `why`. */
static BIO *open_file(const char *file, bool is_secret, char *why)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t size = 0, len = 0;
    char bytes[4096];
    ssize_t n = 1;
    BIO *bio = NULL;

    if (fd < 0) {
        snprintf(why, TLS_WHY_BYTES, "cannot open %.300s: %s", file, strerror(errno));
        return NULL;
    }
    if (check_file(fd, file, is_secret, &size, why)) {
        bio = BIO_new(is_secret ? BIO_s_secmem() : BIO_s_mem());
        snprintf(why, TLS_WHY_BYTES, "cannot read %.300s", file);
    }
    while (bio != NULL && n > 0 && len < MAX_FILE_BYTES) {
        n = read(fd, bytes, sizeof(bytes));
        if (n > 0 && BIO_write(bio, bytes, (int)n) != n) {
            n = -1;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    close(fd);
    if (n < 0) {
        BIO_free(bio);
        return NULL;
    }
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
    BIO *bio = open_file(file, false, why);
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
    BIO *bio = open_file(file, true, why);
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

static int load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file,
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

/* The certificates of a file into `store`, their subjects into `names` (may be NULL). */
static int load_authorities(X509_STORE *store, STACK_OF(X509_NAME) * names, const char *file,
                            char *why)
{
    BIO *bio = open_file(file, false, why);
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

/* ---- what both sides share ---- */

static SSL_CTX *new_context(const SSL_METHOD *method, bool only_1_3)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (ctx == NULL) {
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    if (SSL_CTX_set_min_proto_version(ctx, only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) != 1 ||
        SSL_CTX_set1_groups_list(ctx, GROUPS) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* ---- servers ---- */

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
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(server->client_store);

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

        if (cert != NULL && X509_digest(cert, EVP_sha256(), digest, NULL) == 1) {
            for (size_t k = 0; k < sizeof(server->scope); k++) {
                server->scope[k] ^= digest[k];
            }
        }
    }
    server->scope[0] ^= (unsigned char)server->options.client_auth;
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
                  : load_authorities(server->client_store, server->client_names,
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
    SSL_CTX *ctx = new_context(TLS_server_method(), only_1_3);

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

static int64_t unix_time_of(const ASN1_TIME *time)
{
    struct tm tm = { 0 };

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int add_hosts(struct tls_server *server, SSL_CTX *ctx, const struct tls_certificate *cert,
                     struct tls_certificate_facts *ret, char *why)
{
    X509 *x509 = SSL_CTX_get0_certificate(ctx);
    int err = cert->host_count == 0 ? add_own_names(server, ctx) : 0;

    *ret = (struct tls_certificate_facts){ .not_after = unix_time_of(X509_get0_notAfter(x509)) };
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
    err = load_pair(link->ctx, certificate->cert_file, certificate->key_file, ret_part, why);
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

/* ---- clients ---- */

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
        return load_authorities(SSL_CTX_get_cert_store(ctx), NULL, options->ca_file, why) == 0;
    }
    if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        snprintf(why, TLS_WHY_BYTES, "the system's certificates cannot be read");
        return false;
    }
    return true;
}

static bool client_init(struct tls_client *client, const struct tls_client_options *options,
                        enum tls_part *ret_part, char *why)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    static atomic_ullong last_id;

    client->id = (uint64_t)atomic_fetch_add(&last_id, 1) + 1;
    client->ctx = new_context(TLS_client_method(), false);
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
    return trust(client->ctx, options, ret_part, why) &&
           (options->cert_file == NULL ||
            load_pair(client->ctx, options->cert_file, options->key_file, ret_part, why) == 0);
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
