/* SPDX-License-Identifier: Apache-2.0 */
/* What a transfer has received: the body, under its limit, and the fields that struct fetch_answer has.
 * Pure. */
#pragma once

#include "core/fetch.h"

enum fetch_field {
    FETCH_CONTENT_TYPE,
    FETCH_CACHE_CONTROL,
    FETCH_EXPIRES,
    FETCH_DATE,
    FETCH_AGE,
    FETCH_ETAG,
    FETCH_LAST_MODIFIED,
    FETCH_FIELDS
};

struct fetch_response { /* zeroed but for max_bytes is empty */
    size_t max_bytes;   /* of the body */
    char *body;
    size_t body_len, body_size;
    char *fields[FETCH_FIELDS];
    bool head_is_whole; /* its empty line has come; a head that was cut ends without */
};

/* ERR_TOO_BIG, ERR_NO_MEMORY. */
int fetch_response_body(struct fetch_response *response, struct slice data) MUST_CHECK;
/* A line of a head, with its end: of the response or of a 1xx before it.  The last of several fields of
 * one name counts; one over 1 KiB, or without memory, is as if it was not sent. */
void fetch_response_line(struct fetch_response *response, struct slice line);
/* Body and fields; they live as long as the response. */
void fetch_response_answer(const struct fetch_response *response, struct fetch_answer *ret);
void fetch_response_done(struct fetch_response *response);
