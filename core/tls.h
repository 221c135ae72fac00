/* SPDX-License-Identifier: Apache-2.0 */
/* TLS (1.2 and 1.3) on OpenSSL.
 *
 * struct tls_server: what a listener presents and asks for.  struct tls_client: what an upstream
 * must present.  Both are built on the main thread and then read-only, shared by all threads.
 * struct tls: one connection, owned by its stream (core/stream.h), which drives it; of one thread.
 *
 * Texts (`why`) say what is wrong with a file and never show what is in it. */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

#define TLS_WHY_BYTES 512

struct ssl_st;
struct ssl_session_st;
struct tls_server;
struct tls_client;

enum tls_profile { TLS_INTERMEDIATE, TLS_MODERN }; /* Mozilla's; modern: TLS 1.3 only */
enum tls_client_auth { TLS_CLIENT_AUTH_NONE, TLS_CLIENT_AUTH_REQUEST, TLS_CLIENT_AUTH_REQUIRE };
enum tls_part { TLS_PART_NONE, TLS_PART_CERT, TLS_PART_KEY, TLS_PART_CA, TLS_PART_STAPLE };

/* ---- Both sides' configuration ---- */

struct tls_server_options {
    enum tls_profile profile;
    bool only_1_3;
    enum tls_client_auth client_auth;
    const char *client_ca_file; /* PEM; NULL: none */
};
struct tls_certificate {
    const char *cert_file, *key_file; /* PEM; the certificate first, then its chain */
    const struct slice *hosts;        /* lower case, "*.example.com" stands for one label */
    size_t host_count;                /* 0: the DNS names of the certificate */
    const char *ocsp_file;            /* DER: the response to staple; NULL: none */
};
struct tls_certificate_facts {
    int64_t not_after;      /* Unix time */
    int64_t staple_until;   /* Unix time when the OCSP response lapses; 0: there is none */
    struct slice uncovered; /* a host that the certificate is not for; absent: none */
};

/* NULL with `why`: the client CA file, or memory. */
struct tls_server *tls_server_new(const struct tls_server_options *options,
                                  char why[TLS_WHY_BYTES]);
/* The first one is also for clients that name another host, or none.  ERR_CONFIG with `why`, and
 * *ret_part says which file it is about; ERR_EXISTS: another one has this host. */
int tls_server_add(struct tls_server *server, const struct tls_certificate *certificate,
                   struct tls_certificate_facts *ret_facts, enum tls_part *ret_part,
                   char why[TLS_WHY_BYTES]) MUST_CHECK;
void tls_server_unref(struct tls_server *server); /* any thread; NULL is fine */

/* SHA-256 of a certificate's public key (SubjectPublicKeyInfo). */
struct tls_pin {
    unsigned char digest[32];
};
/* Read it in base64, 44 characters, as RFC 7469 section 2.4 and curl write it.  False: it is not one. */
bool tls_pin_read(struct slice text, struct tls_pin *ret);

struct tls_client_options {
    const char *server_name;          /* to ask and check for; NULL: the host of the target */
    const char *ca_file;              /* NULL: the system's store */
    const char *cert_file, *key_file; /* our own certificate; NULL: none */
    const struct tls_pin *pins;       /* the server's own key must be one of them; copied */
    size_t pin_count;                 /* 0: any */
    bool insecure_skip_verify;
};
/* NULL with `why` and *ret_part. `server_name` is copied. */
struct tls_client *tls_client_new(const struct tls_client_options *options, enum tls_part *ret_part,
                                  char why[TLS_WHY_BYTES]);
void tls_client_free(struct tls_client *client); /* NULL is fine; connections may live on */
/* The same number for the same certificates, names and options, also of another tls_client: its
 * connections and sessions are as good. */
uint64_t tls_client_id(const struct tls_client *client);

/* The last session with one server (one `host`), for the next connection.  Zeroed: none. Owned by one thread,
 * outlives the connections that use it. */
struct tls_session {
    struct ssl_session_st *session;
    uint64_t client; /* id of the tls_client that it was made by: another one checks anew */
};
void tls_session_clear(struct tls_session *session);

/* ---- One connection ---- */

/* A client's certificate, which has been verified. */
struct tls_peer {
    struct slice subject;    /* RFC 4514, printable ASCII; absent: empty, or over 1 KiB */
    struct slice thumbprint; /* SHA-256 of the certificate in base64url (x5t#S256) */
};

struct tls {
    struct ssl_st *ssl;
    struct tls_server *server;   /* a reference; NULL: we are the client */
    struct tls_peer *peer;       /* of a server: its client; NULL: it has shown no certificate */
    struct tls_session *session; /* client: where to keep it */
    uint64_t client;             /* id of the tls_client */
    uint64_t start_ns;
    const char *failure; /* static word, when ERR_CRYPTO or ERR_TOO_BIG was returned */
    size_t allowance;    /* bytes that may still leave the socket in this event */
    uint32_t ahead;      /* what messages after the handshake cost more than the data */
    int fd;
    int io_error;        /* of the socket, behind what OpenSSL says */
    int end;             /* reading ended with this ERR_*, after bytes that came first */
    bool drained;        /* the socket had no more in this event */
    bool shaking;        /* the handshake has begun and is not over */
    bool is_up;          /* it is over, well */
    bool reads_by_write; /* the last read waits until the socket takes bytes */
    bool writes_by_read; /* the last write waits until the socket has bytes */
    bool is_quiet;       /* no close_notify */
};

/* NULL: no memory. */
struct tls *tls_accept(struct tls_server *server);
struct tls *tls_connect(const struct tls_client *client, const char *host,
                        struct tls_session *session);
/* Say that no more bytes will come (close_notify), unless that would block. */
void tls_send_end(struct tls *tls);
void tls_free(struct tls *tls); /* NULL is fine */

/* 0: done. ERR_BUSY: again when the socket is readable (reads_by_write: writable).  ERR_CRYPTO: see
 * tls->failure; or what ended the socket. */
int tls_handshake(struct tls *tls) MUST_CHECK;
/* Read all that has arrived, up to about `most` bytes, into `in`: bytes, or negative ERR_* (ERR_EOF:
 * the end, as the peer said; when it did not, only a server takes that for one; ERR_TOO_BIG: it sends
 * little but new keys, tickets and alerts).  With bytes and tls->end set, the next call returns that. */
ssize_t tls_read(struct tls *tls, struct buf *in, size_t most);
/* Send the front of `out`, drained by what was taken: bytes, or negative ERR_*. */
ssize_t tls_write(struct tls *tls, struct buf *out);
/* Bytes that the handshake's last read brought along wait. */
bool tls_has_input(const struct tls *tls);

/* Facts, after the handshake.  Static text: "TLSv1.3". */
const char *tls_version(const struct tls *tls);
bool tls_is_resumed(const struct tls *tls);
/* The client has sent plain HTTP (after ERR_CRYPTO). */
bool tls_got_http(const struct tls *tls);
