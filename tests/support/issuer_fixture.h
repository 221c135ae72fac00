/* SPDX-License-Identifier: Apache-2.0 */
/* An issuer with clients, as plugins see it: a key for HS256 and the endpoints that clients use. */
#pragma once

#include "tests/support/fake_host.h"

/* Of the secret "correct horse battery staple". */
#define CLIENT_HASH     "sha256:AAECAwQFBgcICQoLDA0ODw:EEqYVo55l7MGfPvwVPSRCq7RN6JXw-TBbKyW9De5Grw"
#define FORM_LINE       "content-type: application/x-www-form-urlencoded"
#define CLIENT_FORM(id) "client_id=" id "&client_secret=correct+horse+battery+staple"

extern struct fake_host issuer_host; /* its first plugin is the issuer's */

/* `clients`: members of "clients".  The time is 1800000000. */
void issuer_fixture_setup(const char *clients);
/* Once; `use`: the key's; `more`: members of the configuration, after a comma, or "". */
void issuer_fixture_load(const char *use, const char *more);
void issuer_fixture_teardown(void);
