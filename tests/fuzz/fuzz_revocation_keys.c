/* SPDX-License-Identifier: Apache-2.0 */
/* Names as Redis pushes them, and values of watermarks: any bytes.  A name that was added is found; a
 * name of a watermark also shows its kind.  The first byte says how much is the value. */
#include "plugins/revocation/filter.h"
#include "plugins/revocation/keys.h"

#include "tests/fuzz/fuzz.h"

static void check_name(struct revocation_filter *filter, struct slice name)
{
    revocation_filter_add(filter, name);
    require(bloom_may_have(filter->bloom, name));
}

static void check_value(struct revocation_filter *filter, struct slice value)
{
    char buf[REVOCATION_KEY_BYTES];
    int64_t time;

    if (revocation_read_time(value, &time) == 0) {
        require(time >= 0 && value.len <= 12);
    }
    for (unsigned i = 0; i < REVOCATION_KINDS; i++) {
        struct slice key = revocation_before_key(buf, (enum revocation_kind)i, value);
        require(key.len > 0 && key.len <= sizeof(buf));
        check_name(filter, key);
        require((atomic_load(&filter->kinds) & (1u << i)) != 0);
    }
    check_name(filter, revocation_jti_key(buf, value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t value_len = data[0] < size - 1 ? data[0] : size - 1;
    struct revocation_filter *filter = revocation_filter_new(64, 0.001, 1);

    require(filter != NULL);
    check_name(filter, slice_of(data + 1 + value_len, size - 1 - value_len));
    check_value(filter, slice_of(data + 1, value_len));
    revocation_filter_unref(filter);
    return 0;
}
