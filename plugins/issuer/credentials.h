/* SPDX-License-Identifier: Apache-2.0 */
/* The id and the secret that a client presents (RFC 6749 section 2.3.1): in Authorization: Basic, where
 * both are form-urlencoded inside of the base64, or as client_id and client_secret of the form.  Pure. */
#pragma once

#include "core/headers.h"
#include "plugins/issuer/form.h"

enum credentials_result {
    CREDENTIALS_FOUND,
    CREDENTIALS_NONE,
    CREDENTIALS_MALFORMED, /* an Authorization that is no readable Basic */
    CREDENTIALS_SEVERAL,   /* in two ways, or for two clients */
    CREDENTIALS_NO_MEMORY,
};

struct credentials {
    struct slice id, secret; /* in the arena, or the form's; the secret may be empty */
};

/* Anything but CREDENTIALS_FOUND leaves `ret` alone. */
enum credentials_result credentials_find(const struct headers *headers, const struct form *form,
                                         struct arena *arena, struct credentials *ret);
/* Overwrite the secret where it was decoded. */
void credentials_wipe_secret(struct credentials *credentials);
