/* SPDX-License-Identifier: Apache-2.0 */
/* One encrypted connection.  OpenSSL reads and writes the socket itself, through a BIO of ours that
 * never raises SIGPIPE and knows when the socket is drained, so that an event costs one read().  Kernel
 * TLS wants OpenSSL's own socket BIO, which would read() once more each time: it is not used. */
#include "core/tls.h"

#include "core/clock.h"
#include "core/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#define RECORD_BYTES    16384u /* the most that one TLS record carries */
#define GATHER_BYTES    4096u  /* a shorter block shares its record with what follows */
#define READ_ROOM_BYTES 1024u
#define HANDSHAKE_BYTES 65536u /* at one event */
/* A step of OpenSSL after the handshake (new keys take three to five) counts as this much data, and
 * the steps may run so far ahead of the data. */
#define MESSAGE_COST 4096u
#define MAX_AHEAD    (64u * MESSAGE_COST)

/* ---- the socket ---- */

static int socket_error(void)
{
    switch (errno) {
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT: return ERR_RESET;
    case ENOMEM:
    case ENOBUFS: return ERR_NO_MEMORY;
    default: return ERR_IO;
    }
}

static int bio_read(BIO *bio, char *buf, int len)
{
    struct tls *tls = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (tls->drained || tls->allowance == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    do {
        n = recv(tls->fd, buf, (size_t)len, 0);
    } while (n < 0 && errno == EINTR);
    tls->drained = n < len;
    if (n > 0) {
        tls->allowance -= (size_t)n < tls->allowance ? (size_t)n : tls->allowance;
        return (int)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        BIO_set_retry_read(bio);
        return -1;
    }
    tls->io_error = n == 0 ? ERR_EOF : socket_error();
    return (int)n;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
    struct tls *tls = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    do {
        n = send(tls->fd, buf, (size_t)len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        BIO_set_retry_write(bio);
    } else if (n < 0) {
        tls->io_error = socket_error();
    }
    return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method; /* immutable once made */

static void make_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

    if (method == NULL) {
        return;
    }
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    bio_method = method;
}

static BIO *bio_new(struct tls *tls)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    pthread_once(&once, make_bio_method);
    bio = bio_method == NULL ? NULL : BIO_new(bio_method);
    if (bio != NULL) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- making and freeing ---- */

/* Takes over `ssl`, also when it is NULL or there is no memory. */
static struct tls *tls_new(SSL *ssl)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    BIO *bio = tls == NULL ? NULL : bio_new(tls);

    if (ssl == NULL || bio == NULL) {
        BIO_free(bio);
        SSL_free(ssl);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    tls->ssl = ssl;
    tls->fd = -1;
    tls->start_ns = clock_precise_ns();
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, tls);
    return tls;
}

struct tls *tls_accept(struct tls_server *server)
{
    struct tls *tls = tls_new(tls_server_ssl(server));

    if (tls == NULL) {
        return NULL;
    }
    tls->server = tls_server_ref(server);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

struct tls *tls_connect(const struct tls_client *client, const char *host,
                        struct tls_session *session)
{
    struct tls *tls = tls_new(tls_client_ssl(client, host));

    if (tls == NULL) {
        return NULL;
    }
    tls->client = tls_client_id(client);
    tls->session = session;
    SSL_set_connect_state(tls->ssl);
    if (session != NULL && session->session != NULL && session->client == tls->client) {
        SSL_set_session(tls->ssl, session->session);
    }
    return tls;
}

void tls_send_end(struct tls *tls)
{
    if (!tls->is_up || tls->is_quiet || (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) != 0) {
        return;
    }
    (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_free(tls->ssl);
    ERR_clear_error();
    tls_server_unref(tls->server);
    free(tls->peer);
    free(tls);
}

void tls_session_clear(struct tls_session *session)
{
    SSL_SESSION_free(session->session);
    *session = (struct tls_session){ 0 };
}

int tls_keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *tls = SSL_get_app_data(ssl);

    if (tls == NULL || tls->session == NULL) {
        return 0;
    }
    SSL_SESSION_free(tls->session->session);
    tls->session->session = session;
    tls->session->client = tls->client;
    return 1; /* the reference is ours */
}

/* ---- what a peer may cost ---- */

/* New keys, tickets and alerts after the handshake are work without data.  A peer that sends little
 * else is cut off at the next record, in the midst of what one read of the socket has brought. */
void tls_count_message(const SSL *ssl, int where, int value)
{
    struct tls *tls = SSL_get_app_data(ssl);

    if (tls == NULL || !tls->is_up || (where & (SSL_CB_LOOP | SSL_CB_ALERT)) == 0) {
        return;
    }
    tls->ahead += MESSAGE_COST;
    if (tls->ahead > MAX_AHEAD) {
        SSL_set_shutdown(tls->ssl, SSL_RECEIVED_SHUTDOWN | SSL_SENT_SHUTDOWN);
    }
}

static void count_data(struct tls *tls, size_t bytes)
{
    tls->ahead -= bytes < tls->ahead ? (uint32_t)bytes : tls->ahead;
}

/* ---- errors ---- */

static const char *verify_word(long result)
{
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return "tls_certificate_expired";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return "tls_certificate_name";
    case X509_V_ERR_APPLICATION_VERIFICATION: return "tls_key_not_pinned";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: return "tls_certificate_untrusted";
    default: return "tls_certificate_invalid";
    }
}

static const char *failure_word(const struct tls *tls)
{
    unsigned long error = ERR_peek_error();
    long verified = SSL_get_verify_result(tls->ssl);

    if (verified != X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE) {
        return verify_word(verified);
    }
    switch (ERR_GET_REASON(error)) {
    case SSL_R_HTTP_REQUEST: return "tls_http_request";
    case SSL_R_WRONG_VERSION_NUMBER: return "tls_not_spoken";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE: return "tls_no_shared_cipher";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return "tls_version";
    case SSL_R_NO_APPLICATION_PROTOCOL: return "tls_alpn";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "tls_certificate_missing";
    default: return ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET ? "tls_alert" : "tls_failed";
    }
}

/* A peer that just closes may have been cut off by someone in between.  For a client that could be
 * half an answer; a server loses nothing: requests say how long they are. */
static int tls_unannounced_end(const struct tls *tls)
{
    return tls->server != NULL ? ERR_EOF : ERR_RESET;
}

/* Why an operation of OpenSSL did not go on; leaves its error queue empty. */
static int tls_error(struct tls *tls, int result)
{
    int err = ERR_CRYPTO;

    if (tls->ahead > MAX_AHEAD) {
        tls->failure = "tls_flood";
        tls->is_quiet = true;
        ERR_clear_error();
        return ERR_TOO_BIG;
    }
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return ERR_BUSY;
    case SSL_ERROR_ZERO_RETURN: return ERR_EOF;
    case SSL_ERROR_SYSCALL: err = tls->io_error == 0 ? ERR_RESET : tls->io_error; break;
    default:
        if (tls->io_error != 0) {
            err = tls->io_error;
        } else if (ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE) {
            err = ERR_NO_MEMORY;
        } else {
            tls->failure = failure_word(tls);
        }
    }
    ERR_clear_error();
    tls->is_quiet = true; /* nothing can be sent any more */
    return err == ERR_EOF ? tls_unannounced_end(tls) : err;
}

/* ---- moving bytes ---- */

int tls_handshake(struct tls *tls)
{
    int result;

    tls->shaking = true;
    tls->drained = false;
    tls->allowance = HANDSHAKE_BYTES;
    ERR_clear_error();
    result = SSL_do_handshake(tls->ssl);
    if (result != 1) {
        tls->reads_by_write = SSL_want_write(tls->ssl);
        return tls_error(tls, result);
    }
    tls->reads_by_write = false;
    tls->shaking = false;
    int err = tls->server == NULL ? 0 : tls_peer_read(tls->ssl, &tls->peer);

    tls->is_up = err == 0;
    return err;
}

bool tls_has_input(const struct tls *tls)
{
    return SSL_has_pending(tls->ssl) == 1;
}

/* One SSL_read() into `in`: bytes or ERR_*. */
static int read_record(struct tls *tls, struct buf *in)
{
    size_t room = buf_tail_room(in);
    char *at;

    room = room < READ_ROOM_BYTES || room > BUF_BLOCK_BYTES ? BUF_BLOCK_BYTES : room;
    at = buf_reserve(in, room);
    if (at == NULL) {
        return ERR_NO_MEMORY;
    }
    int n = SSL_read(tls->ssl, at, (int)room);
    buf_commit(in, n > 0 ? (size_t)n : 0);
    if (n > 0) {
        count_data(tls, (size_t)n);
        return n;
    }
    tls->reads_by_write = SSL_want_write(tls->ssl);
    return tls_error(tls, n);
}

ssize_t tls_read(struct tls *tls, struct buf *in, size_t most)
{
    size_t sum = 0;
    int n = 0;

    if (tls->end != 0) {
        return tls->end;
    }
    tls->drained = false;
    tls->allowance = most + RECORD_BYTES; /* small records: far more than there is in them */
    tls->reads_by_write = false;
    tls->io_error = 0; /* of a write */
    ERR_clear_error();
    /* To the last whole record that has left the socket: no event would tell of it. */
    for (;;) {
        n = read_record(tls, in);
        if (n <= 0) {
            break;
        }
        sum += (size_t)n;
        tls->drained = tls->drained || sum >= most;
    }
    if (sum == 0) {
        return n;
    }
    tls->end = n == ERR_BUSY ? 0 : n;
    return (ssize_t)sum;
}

/* What goes into the next record.  When a write is repeated its bytes are the same, possibly with
 * more behind them, as OpenSSL demands. */
static struct slice next_record(const struct buf *out)
{
    static _Thread_local char gathered[RECORD_BYTES];
    struct slice front = buf_front(out);
    struct iovec iov[8];
    size_t len = 0;

    if (front.len >= GATHER_BYTES || front.len == out->len) {
        return front;
    }
    unsigned count = buf_iovecs(out, iov, sizeof(iov) / sizeof(iov[0]));

    for (unsigned i = 0; i < count && len < sizeof(gathered); i++) {
        size_t room = sizeof(gathered) - len;
        size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

        memcpy(gathered + len, iov[i].iov_base, n);
        len += n;
    }
    return slice_of(gathered, len);
}

ssize_t tls_write(struct tls *tls, struct buf *out)
{
    size_t sum = 0;

    tls->writes_by_read = false;
    ERR_clear_error();
    while (out->len > 0) {
        struct slice record = next_record(out);
        int n = SSL_write(tls->ssl, record.ptr, (int)record.len);

        if (n > 0) {
            buf_drain(out, (size_t)n);
            count_data(tls, (size_t)n);
            sum += (size_t)n;
            continue;
        }
        tls->writes_by_read = SSL_want_read(tls->ssl);
        int err = tls_error(tls, n);

        if (err != ERR_BUSY || sum == 0) {
            return err == ERR_EOF ? ERR_RESET : err;
        }
        break;
    }
    return (ssize_t)sum;
}

/* ---- facts ---- */

const char *tls_version(const struct tls *tls)
{
    return SSL_get_version(tls->ssl);
}

bool tls_is_resumed(const struct tls *tls)
{
    return SSL_session_reused(tls->ssl) == 1;
}

bool tls_got_http(const struct tls *tls)
{
    return tls->failure != NULL && strcmp(tls->failure, "tls_http_request") == 0;
}
