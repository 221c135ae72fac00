/* SPDX-License-Identifier: Apache-2.0 */
/* The OCSP response that is stapled to a certificate (RFC 6066 section 8, RFC 6960): from a file that
 * someone else keeps fresh.  It is checked when it is read; clients check its signature again. */
#include "core/clock.h"
#include "core/tls_context.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include <stdio.h>

#define SKEW_S 300 /* the responder's clock may be ahead */

static int refuse(char *why, const char *file, const char *what)
{
    snprintf(why, TLS_WHY_BYTES, "%.300s %s", file, what);
    ERR_clear_error();
    return ERR_CONFIG;
}

/* ---- is it about the certificate? ---- */

static bool is_digest(const ASN1_OCTET_STRING *hash, const unsigned char *digest, unsigned len)
{
    return ASN1_STRING_length(hash) == (int)len &&
           memcmp(ASN1_STRING_get0_data(hash), digest, len) == 0;
}

/* The issuer's certificate, when it stands behind the certificate; NULL: unknown. */
static X509 *issuer_of(SSL_CTX *ctx)
{
    X509 *cert = SSL_CTX_get0_certificate(ctx);
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_get0_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        if (X509_check_issued(sk_X509_value(chain, i), cert) == X509_V_OK) {
            return sk_X509_value(chain, i);
        }
    }
    return NULL;
}

static bool is_about(OCSP_SINGLERESP *single, SSL_CTX *ctx)
{
    X509 *cert = SSL_CTX_get0_certificate(ctx), *issuer = issuer_of(ctx);
    ASN1_OCTET_STRING *name_hash = NULL, *key_hash = NULL;
    ASN1_INTEGER *serial = NULL;
    ASN1_OBJECT *algorithm = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    /* OpenSSL's way to look into an id takes one that could be changed. */
    OCSP_id_get0_info(&name_hash, &algorithm, &key_hash, &serial,
                      (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single));
    const EVP_MD *md = EVP_get_digestbyobj(algorithm);

    return md != NULL && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(cert)) == 0 &&
           X509_NAME_digest(X509_get_issuer_name(cert), md, digest, &len) == 1 &&
           is_digest(name_hash, digest, len) &&
           (issuer == NULL || (X509_pubkey_digest(issuer, md, digest, &len) == 1 &&
                               is_digest(key_hash, digest, len)));
}

/* Signed by the issuer, or whom it has named for that. */
static bool is_signed(OCSP_BASICRESP *basic, SSL_CTX *ctx)
{
    X509 *issuer = issuer_of(ctx);
    STACK_OF(X509) * known;
    X509_STORE *store;
    bool ok;

    if (issuer == NULL) {
        return true; /* nobody here can tell */
    }
    known = sk_X509_new_null();
    store = X509_STORE_new();
    ok = store != NULL && known != NULL && sk_X509_push(known, issuer) > 0 &&
         X509_STORE_add_cert(store, issuer) == 1 &&
         X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
         OCSP_basic_verify(basic, known, store, 0) == 1;
    sk_X509_free(known);
    X509_STORE_free(store);
    return ok;
}

static int check_single(OCSP_SINGLERESP *single, const char *file, struct tls_staple *ret,
                        char *why)
{
    ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;

    if (OCSP_single_get0_status(single, NULL, NULL, &from, &until) != V_OCSP_CERTSTATUS_GOOD) {
        return refuse(why, file, "says that the certificate is not good: it has been revoked");
    }
    if (until == NULL) {
        return refuse(why, file, "does not say until when it holds");
    }
    ret->from = tls_unix_time(from);
    ret->until = tls_unix_time(until);
    return 0;
}

static int check_basic(SSL_CTX *ctx, OCSP_BASICRESP *basic, const char *file,
                       struct tls_staple *ret, char *why)
{
    if (basic == NULL) {
        return refuse(why, file, "is not an OCSP response that answers something");
    }
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);

        if (is_about(single, ctx)) {
            return is_signed(basic, ctx)
                       ? check_single(single, file, ret, why)
                       : refuse(why, file, "is not signed by the issuer of the certificate");
        }
    }
    return refuse(why, file, "is about another certificate");
}

/* ---- in handshakes ---- */

static int on_status(SSL *ssl, void *arg)
{
    const struct tls_staple *staple = arg;
    int64_t now = clock_unix();
    unsigned char *copy;

    if (now + SKEW_S < staple->from || now >= staple->until) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    copy = OPENSSL_memdup(staple->der, (size_t)staple->len);
    if (copy == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->len); /* takes it over */
    return SSL_TLSEXT_ERR_OK;
}

int tls_staple_load(SSL_CTX *ctx, const char *file, struct tls_staple *ret, char *why)
{
    BIO *bio = tls_open_file(file, false, why);
    OCSP_RESPONSE *response = bio == NULL ? NULL : d2i_OCSP_RESPONSE_bio(bio, NULL);
    bool is_whole = response != NULL && BIO_pending(bio) == 0 &&
                    OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL;
    OCSP_BASICRESP *basic = is_whole ? OCSP_response_get1_basic(response) : NULL;
    int err = ERR_CONFIG;

    if (bio != NULL) {
        err = check_basic(ctx, basic, file, ret, why);
    }
    if (err == 0) {
        ret->len = i2d_OCSP_RESPONSE(response, &ret->der);
        err = ret->len > 0 ? 0 : ERR_NO_MEMORY;
    }
    if (err == 0) {
        SSL_CTX_set_tlsext_status_cb(ctx, on_status);
        SSL_CTX_set_tlsext_status_arg(ctx, ret);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    BIO_free(bio);
    ERR_clear_error();
    return err;
}

void tls_staple_done(struct tls_staple *staple)
{
    OPENSSL_free(staple->der);
}
