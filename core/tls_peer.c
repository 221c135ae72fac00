/* SPDX-License-Identifier: Apache-2.0 */
/* Who a client is by its certificate, in two forms that others can use: a name and a thumbprint. */
#include "core/base64url.h"
#include "core/tls_context.h"

#include <openssl/err.h>

#include <stdlib.h>

#define MAX_SUBJECT_BYTES 1024
#define DIGEST_BYTES      32u /* SHA-256 */

/* RFC 4514 in ASCII: all else is escaped.  A longer name is none: cut, it could be someone else's; and
 * so is one that ends with a blank, which a header loses. */
static struct slice read_subject(const X509 *cert, BIO *bio, char **ret_text)
{
    int len = X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);

    if (len <= 0 || len > MAX_SUBJECT_BYTES || BIO_get_mem_data(bio, ret_text) != len ||
        (*ret_text)[len - 1] == ' ') {
        return SLICE_ABSENT;
    }
    return slice_of(*ret_text, (size_t)len);
}

static struct tls_peer *peer_new(const X509 *cert, BIO *bio)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char *text = NULL;
    struct slice subject = read_subject(cert, bio, &text);
    struct tls_peer *peer =
        malloc(sizeof(*peer) + BASE64URL_ENCODED_BYTES(DIGEST_BYTES) + subject.len);
    char *at = (char *)(peer + 1);

    if (peer == NULL || X509_digest(cert, EVP_sha256(), digest, NULL) != 1) {
        free(peer);
        return NULL;
    }
    peer->thumbprint = slice_of(at, base64url_encode(digest, DIGEST_BYTES, at));
    peer->subject = SLICE_ABSENT;
    if (subject.len > 0) {
        at += peer->thumbprint.len;
        memcpy(at, subject.ptr, subject.len);
        peer->subject = slice_of(at, subject.len);
    }
    return peer;
}

int tls_peer_read(SSL *ssl, struct tls_peer **ret)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    BIO *bio;

    *ret = NULL;
    if (cert == NULL) {
        return 0;
    }
    bio = BIO_new(BIO_s_mem());
    *ret = bio == NULL ? NULL : peer_new(cert, bio);
    BIO_free(bio);
    ERR_clear_error();
    return *ret == NULL ? ERR_NO_MEMORY : 0;
}
