/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own answers: problem details (RFC 9457) with the fields that their status asks for.
 * The client learns the status and a general text; the reason goes to the log and the metrics. */
#pragma once

#include "gateway/request.h"

/* Fill req->response and req->reply_body from the reply of a plugin or from the outcome. */
int reply_build(struct request *req) MUST_CHECK;
