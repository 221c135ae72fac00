/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/local_record.h"

#include "core/map.h"

static uint64_t sum_of(struct slice key, const struct local_record *record)
{
    /* Fixed: it has to be the same after a restart. */
    const uint64_t sum_key[2] = { UINT64_C(0x6a77746761746531), UINT64_C(0x7265766f6b656431) };
    int64_t numbers[2] = { record->value, record->expires_at };

    return map_siphash13(sum_key, key) * 31 +
           map_siphash13(sum_key, slice_of(numbers, sizeof(numbers)));
}

struct local_record local_record_of(const struct local_entry *entry)
{
    struct local_record record = { .value = entry->value, .expires_at = entry->expires_at };

    record.sum = sum_of(entry->key, &record);
    return record;
}

int local_record_read(struct slice key, struct slice bytes, struct local_entry *ret)
{
    struct local_record record;

    if (bytes.len != sizeof(record)) {
        return ERR_IO;
    }
    memcpy(&record, bytes.ptr, sizeof(record));
    if (sum_of(key, &record) != record.sum) {
        return ERR_IO;
    }
    *ret =
        (struct local_entry){ .key = key, .value = record.value, .expires_at = record.expires_at };
    return 0;
}

struct local_entry local_record_merge(const struct local_entry *a, const struct local_entry *b)
{
    return (struct local_entry){ .key = b->key,
                                 .value = a->value > b->value ? a->value : b->value,
                                 .expires_at = a->expires_at > b->expires_at ? a->expires_at
                                                                             : b->expires_at };
}

struct slice local_end_key(char buf[LOCAL_END_BYTES], int64_t expires_at, struct slice key)
{
    uint64_t end = (uint64_t)expires_at;

    for (unsigned i = 0; i < 8; i++) {
        buf[i] = (char)(unsigned char)(end >> (56 - 8 * i));
    }
    memcpy(buf + 8, key.ptr, key.len);
    return slice_of(buf, 8 + key.len);
}

int local_end_read(struct slice end, struct local_entry *ret)
{
    uint64_t expires_at = 0;

    if (end.len <= 8) {
        return ERR_IO;
    }
    for (unsigned i = 0; i < 8; i++) {
        expires_at = expires_at << 8 | (unsigned char)end.ptr[i];
    }
    *ret = (struct local_entry){ .key = slice_skip(end, 8), .expires_at = (int64_t)expires_at };
    return 0;
}
