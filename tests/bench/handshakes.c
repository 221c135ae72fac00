/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes of TLS one after the other, on several connections at once:
 *   handshakes PORT SECONDS 1.2|1.3 full|resumed THREADS
 * Each ends with close_notify and is read to its end, so that the server has done all of its work.
 * Prints {"handshakes": N, "resumed": N, "errors": N}. */
#include <openssl/ssl.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in address = { .sin_family = AF_INET };
static SSL_CTX *context;
static int resumes;
static double end;

struct work {
    pthread_t thread;
    SSL_SESSION *session;
    long handshakes, resumed, errors;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct work *work = SSL_get_app_data(ssl);

    SSL_SESSION_free(work->session); /* each one is used once, as browsers do */
    work->session = session;
    return 1;
}

static int connect_once(struct work *work, SSL *ssl)
{
    struct linger linger = { 1, 0 }; /* no port waits: there are not enough */
    char bytes[4096];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1; /* the end goes out at once, behind what is not acknowledged yet */
    int ok = 0;

    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1) {
        ok = 1;
        (void)SSL_shutdown(ssl);
        while (SSL_read(ssl, bytes, sizeof(bytes)) > 0) { /* tickets come this way, too */
        }
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
    return ok;
}

static void handshake(struct work *work)
{
    SSL *ssl = SSL_new(context);

    SSL_set_app_data(ssl, work);
    SSL_set_tlsext_host_name(ssl, "bench.test");
    if (resumes && work->session != NULL) {
        SSL_set_session(ssl, work->session);
    }
    if (connect_once(work, ssl)) {
        work->handshakes++;
        work->resumed += SSL_session_reused(ssl);
    } else {
        work->errors++;
    }
    SSL_free(ssl);
}

static void *run(void *arg)
{
    while (now() < end) {
        handshake(arg);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct work work[64] = { 0 };
    long handshakes = 0, resumed = 0, errors = 0;

    if (argc != 6) {
        return 2;
    }
    long wanted = strtol(argv[5], NULL, 10);
    int threads = (int)(wanted < 64 ? wanted : 64);
    int version = strcmp(argv[3], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

    address.sin_port = htons((unsigned short)strtoul(argv[1], NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    resumes = strcmp(argv[4], "resumed") == 0;
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set1_groups_list(context, "X25519:P-256");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    end = now() + atof(argv[2]);
    for (int i = 0; i < threads; i++) {
        pthread_create(&work[i].thread, NULL, run, &work[i]);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(work[i].thread, NULL);
        handshakes += work[i].handshakes;
        resumed += work[i].resumed;
        errors += work[i].errors;
    }
    printf("{\"handshakes\": %ld, \"resumed\": %ld, \"errors\": %ld}\n", handshakes, resumed,
           errors);
    return 0;
}
