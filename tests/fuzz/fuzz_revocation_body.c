/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of POST /revocations: what is taken is whole, within the limits and under the prefix. */
#include "plugins/revocation/body.h"

#include "tests/fuzz/fuzz.h"

#define NOW 1800000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct revocation_body body = { 0 };
    const char *why = NULL;
    int err = revocation_body_read(slice_of(data, size), NOW, NULL, &body, &why);

    require(err == 0 || err == ERR_BAD_INPUT || err == ERR_TOO_BIG);
    require((err == 0) == (why == NULL));
    require(body.count + body.expired <= REVOCATION_BODY_MAX_ENTRIES);
    require(err != 0 || body.count + body.expired > 0);
    require(body.replicas <= REVOCATION_BODY_MAX_REPLICAS);
    for (unsigned i = 0; i < body.count; i++) {
        const struct revocation_entry *entry = &body.entries[i];

        require(entry->key_len < sizeof(entry->key));
        require(slice_starts_with(revocation_entry_key(entry), SLICE(REVOCATION_PREFIX)));
        require(entry->expires_at > NOW && entry->value > 0);
    }
    revocation_body_done(&body);
    return 0;
}
