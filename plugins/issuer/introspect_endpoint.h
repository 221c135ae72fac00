/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/introspect (RFC 7662): is this token of ours good, by signature, time and revocation?  The
 * store itself is asked, never a filter; when it does not answer the answer is 503.
 *
 * A client may ask about tokens that were issued to it, and about those for an audience that is in its
 * `audiences`: a resource server is a client that has its own there.  About others it learns what it learns
 * about no token at all: {"active":false} (section 2.2). */
#pragma once

#include "plugins/plugin.h"

extern const struct gw_plugin introspect_endpoint_plugin;
