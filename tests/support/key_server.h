/* SPDX-License-Identifier: Apache-2.0 */
/* An http server on loopback, on a thread of its own, for the tests of who fetches keys.  It answers what
 * it was told to answer at a path, 404 at any other, one answer to each connection. */
#pragma once

#include <check.h>

/* Public keys of RFC 8037 appendix A.2 and RFC 8032 section 7.1 (test 2), and one that no remote set may
 * have. */
#define KEY_A                                                                                      \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","                                          \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define KEY_B                                                                                      \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\","                                          \
    "\"x\":\"PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw\"}"
#define KEY_SECRET                  "{\"kty\":\"oct\",\"kid\":\"s\",\"k\":\"AAAA\"}"

#define KEYS_A                      "{\"keys\":[" KEY_A "]}"
#define KEYS_B                      "{\"keys\":[" KEY_B "]}" /* replaces all of KEYS_A */
#define KEYS_A_AND_B                "{\"keys\":[" KEY_A "," KEY_B "]}"
#define KEYS_A_AND_SECRET           "{\"keys\":[" KEY_A "," KEY_SECRET "]}"

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
