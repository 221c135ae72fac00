/* SPDX-License-Identifier: Apache-2.0 */
/* An http server on loopback, on a thread of its own, for the tests of who fetches keys.  It answers what
 * it was told to answer at a path, 404 at any other, one answer to each connection. */
#pragma once

#include <check.h>

/* Key sets that differ in their only key; the key "s" of the last one cannot be used. */
#define KEYS_A                                                                                     \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","                               \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"
#define KEYS_B                                                                                     \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\","                               \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"
#define KEYS_A_AND_SECRET                                                                          \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","                               \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"oct\",\"kid\":\"s\","       \
    "\"k\":\"AAAA\"}]}"

#define KEY_SERVER_OK(fields, body) "HTTP/1.1 200 OK\r\nConnection: close\r\n" fields "\r\n" body
#define KEY_SERVER_FAILS            "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n"
/* Take the request and say nothing. */
#define KEY_SERVER_HANGS ""

void key_server_start(void);
void key_server_stop(void);
/* "http://127.0.0.1:port" and "…/keys", until it is started again. */
const char *key_server_origin(void);
const char *key_server_uri(void);
/* From the next request on; `answer` is the whole response, copied. */
void key_server_say(const char *path, const char *answer);
/* How many requests have come to the path. */
unsigned key_server_asked(const char *path);
/* The head of the last request, valid until the next call. */
const char *key_server_head(void);
