/* SPDX-License-Identifier: Apache-2.0 */
/* Body bytes between the two sides of an attempt: the request's up, the response's down.  Each
 * direction stops its source while its sink is behind, so that memory is bounded whatever the
 * peers do. */
#pragma once

#include "gateway/attempt.h"

/* Up: write what has arrived of the request's body, then ask the client for more. */
void relay_up(struct attempt *attempt);
/* The part that appends to the connection's output; nothing when there is none. */
int relay_write_body(struct attempt *attempt) MUST_CHECK;
/* The same with the request's head in the output: it leaves in one write with what is there of the body. */
void relay_begin_up(struct attempt *attempt);

/* Down: move response bytes to the client.  May end the attempt in DONE or FAILED. */
void relay_down(struct attempt *attempt);
/* Nobody takes them for now, and the server is not to blame for it. */
void relay_hold(struct attempt *attempt);
/* Or move them to the request's kept_body, until that is complete (and the attempt over) or has more bytes
 * than it may.  May end the attempt in DONE or FAILED. */
void relay_keep(struct attempt *attempt);
