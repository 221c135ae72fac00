/* SPDX-License-Identifier: Apache-2.0 */
#include "core/headers.h"

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define NAME_MAX_BYTES 256u

#define SAME_2(c)      [c] = (c), [(c) + 1] = (c) + 1
#define SAME_4(c)      SAME_2(c), SAME_2((c) + 2)
#define SAME_8(c)      SAME_4(c), SAME_4((c) + 4)
#define SAME_26(c)     SAME_8(c), SAME_8((c) + 8), SAME_8((c) + 16), SAME_2((c) + 24)
#define LOWER_2(c)     [c] = (c) + 32, [(c) + 1] = (c) + 33
#define LOWER_8(c)     LOWER_2(c), LOWER_2((c) + 2), LOWER_2((c) + 4), LOWER_2((c) + 6)

const unsigned char header_name_byte[256] = {
    ['!'] = '!',  ['#'] = '#',  ['$'] = '$',  ['%'] = '%',  ['&'] = '&', ['\''] = '\'',
    ['*'] = '*',  ['+'] = '+',  ['-'] = '-',  ['.'] = '.',  ['^'] = '^', ['_'] = '_',
    ['`'] = '`',  ['|'] = '|',  ['~'] = '~',  SAME_8('0'),  SAME_2('8'), SAME_26('a'),
    LOWER_8('A'), LOWER_8('I'), LOWER_8('Q'), LOWER_2('Y'),
};

static const struct slice names[HEADER_IDS] = { [HEADER_OTHER] = { .ptr = "", .len = 0 },
#define X(id, name) [HEADER_##id] = { .ptr = (name), .len = sizeof(name) - 1 },
                                                HEADER_TABLE(X)
#undef X
};

/* Candidates by length of the name: at most four compare.  A unit test checks that every name of
 * HEADER_TABLE is here. */
static const uint8_t ids_by_length[20][5] = {
    [2] = { HEADER_TE },
    [3] = { HEADER_VIA },
    [4] = { HEADER_HOST, HEADER_DATE },
    [6] = { HEADER_ACCEPT, HEADER_COOKIE, HEADER_EXPECT },
    [7] = { HEADER_UPGRADE, HEADER_TRAILER },
    [9] = { HEADER_FORWARDED, HEADER_X_REAL_IP },
    [10] = { HEADER_CONNECTION, HEADER_USER_AGENT, HEADER_KEEP_ALIVE, HEADER_TRACESTATE },
    [11] = { HEADER_TRACEPARENT },
    [12] = { HEADER_CONTENT_TYPE, HEADER_X_REQUEST_ID },
    [13] = { HEADER_AUTHORIZATION, HEADER_CACHE_CONTROL },
    [14] = { HEADER_CONTENT_LENGTH, HEADER_HTTP2_SETTINGS },
    [15] = { HEADER_X_FORWARDED_FOR },
    [16] = { HEADER_X_FORWARDED_HOST, HEADER_X_FORWARDED_PORT, HEADER_WWW_AUTHENTICATE,
             HEADER_PROXY_CONNECTION },
    [17] = { HEADER_TRANSFER_ENCODING, HEADER_X_FORWARDED_PROTO },
    [18] = { HEADER_PROXY_AUTHENTICATE },
    [19] = { HEADER_PROXY_AUTHORIZATION },
};

static bool headers_grow(struct headers *headers, uint32_t size)
{
    struct header *items;

    if (size > UINT32_MAX / 2 / sizeof(*items)) {
        return false;
    }
    items = arena_alloc(headers->arena, size * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    if (headers->count > 0) {
        memcpy(items, headers->items, headers->count * sizeof(*items));
    }
    headers->items = items;
    headers->size = size;
    return true;
}

int headers_init(struct headers *headers, struct arena *arena, uint32_t expected)
{
    *headers = (struct headers){ .arena = arena };
    if (expected > 0 && !headers_grow(headers, expected)) {
        return ERR_NO_MEMORY;
    }
    return 0;
}

enum header_id header_id_of(struct slice name)
{
    const uint8_t *candidate;

    if (name.len < 2 || name.len >= sizeof(ids_by_length) / sizeof(ids_by_length[0])) {
        return HEADER_OTHER;
    }
    for (candidate = ids_by_length[name.len]; *candidate != HEADER_OTHER; candidate++) {
        const char *known = names[*candidate].ptr;

        if (known[0] == name.ptr[0] && memcmp(known, name.ptr, name.len) == 0) {
            return (enum header_id) * candidate;
        }
    }
    return HEADER_OTHER;
}

struct slice header_name_of(enum header_id id)
{
    return (unsigned)id < HEADER_IDS ? names[id] : names[HEADER_OTHER];
}

static int add(struct headers *headers, enum header_id id, struct slice name, struct slice value)
{
    if (headers->count == headers->size &&
        !headers_grow(headers, headers->size == 0 ? 8 : headers->size * 2)) {
        return ERR_NO_MEMORY;
    }
    headers->items[headers->count++] =
        (struct header){ .name = name, .value = value, .id = (uint8_t)id };
    return 0;
}

int headers_add(struct headers *headers, struct slice name, struct slice value)
{
    return add(headers, header_id_of(name), name, value);
}

int headers_add_id(struct headers *headers, enum header_id id, struct slice value)
{
    return add(headers, id, header_name_of(id), value);
}

static bool header_has_name(const struct header *header, enum header_id id, struct slice name)
{
    if (header->removed || header->id != id) {
        return false;
    }
    return id != HEADER_OTHER || slice_eq(header->name, name);
}

static struct slice get(const struct headers *headers, enum header_id id, struct slice name)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        if (header_has_name(&headers->items[i], id, name)) {
            return headers->items[i].value;
        }
    }
    return SLICE_ABSENT;
}

struct slice headers_get(const struct headers *headers, struct slice name)
{
    return get(headers, header_id_of(name), name);
}

struct slice headers_get_id(const struct headers *headers, enum header_id id)
{
    return get(headers, id, header_name_of(id));
}

static uint32_t count(const struct headers *headers, enum header_id id, struct slice name)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < headers->count; i++) {
        found += header_has_name(&headers->items[i], id, name);
    }
    return found;
}

uint32_t headers_count(const struct headers *headers, struct slice name)
{
    return count(headers, header_id_of(name), name);
}

uint32_t headers_count_id(const struct headers *headers, enum header_id id)
{
    return count(headers, id, header_name_of(id));
}

static uint32_t remove_all(struct headers *headers, enum header_id id, struct slice name)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < headers->count; i++) {
        if (header_has_name(&headers->items[i], id, name)) {
            headers->items[i].removed = true;
            found++;
        }
    }
    return found;
}

uint32_t headers_remove(struct headers *headers, struct slice name)
{
    return remove_all(headers, header_id_of(name), name);
}

uint32_t headers_remove_id(struct headers *headers, enum header_id id)
{
    return remove_all(headers, id, header_name_of(id));
}

static char fold(char c)
{
    return c == '_' ? '-' : ascii_lower(c);
}

static bool names_fold_equal(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (fold(a.ptr[i]) != fold(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

uint32_t headers_remove_folded(struct headers *headers, struct slice name)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < headers->count; i++) {
        struct header *header = &headers->items[i];

        if (!header->removed && names_fold_equal(header->name, name)) {
            header->removed = true;
            found++;
        }
    }
    return found;
}

/* The new field is added first: on ERR_NO_MEMORY the old ones are still there. */
int headers_set(struct headers *headers, struct slice name, struct slice value)
{
    enum header_id id = header_id_of(name);
    struct header added;
    int err;

    err = add(headers, id, name, value);
    if (err != 0) {
        return err;
    }

    added = headers->items[--headers->count];
    remove_all(headers, id, name);
    headers->items[headers->count++] = added;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool headers_next_token(struct slice *list, struct slice *ret_token)
{
    while (list->len > 0) {
        const char *start = list->ptr;
        const char *comma = memchr(start, ',', list->len);
        const char *end = comma == NULL ? start + list->len : comma;

        *list = slice_skip(*list, (size_t)(end - start) + 1);
        while (start < end && is_blank(*start)) {
            start++;
        }
        while (start < end && is_blank(end[-1])) {
            end--;
        }
        if (start < end) {
            *ret_token = slice_of(start, (size_t)(end - start));
            return true;
        }
    }
    return false;
}

bool headers_have_token(const struct headers *headers, enum header_id id, struct slice token)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];
        struct slice list = header->value;
        struct slice member;

        if (header->removed || header->id != id) {
            continue;
        }
        while (headers_next_token(&list, &member)) {
            if (slice_eq_nocase(member, token)) {
                return true;
            }
        }
    }
    return false;
}

bool header_name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (header_name_byte[(unsigned char)name.ptr[i]] == 0) {
            return false;
        }
    }
    return true;
}

static inline bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* Every byte of every head comes by here more than once, so sixteen are looked at together: the
 * mask has a bit for each control byte. */
#ifdef __SSE2__
#define WORD_BYTES 16u

static inline unsigned control_mask(const char *bytes)
{
    __m128i word = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(word, _mm_set1_epi8(0x1f)), word);
    __m128i tab = _mm_cmpeq_epi8(word, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(word, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}
#else
#define WORD_BYTES 8u

static inline unsigned control_mask(const char *bytes)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < WORD_BYTES; i++) {
        mask |= (unsigned)is_control((unsigned char)bytes[i]) << i;
    }
    return mask;
}
#endif

size_t header_value_span(const char *bytes, size_t len)
{
    size_t i = 0;

    for (; len - i >= WORD_BYTES; i += WORD_BYTES) {
        unsigned mask = control_mask(bytes + i);

        if (mask != 0) {
            return i + (unsigned)__builtin_ctz(mask);
        }
    }
    if (i > 0 && i < len) { /* the rest, together with bytes that were looked at */
        unsigned mask = control_mask(bytes + len - WORD_BYTES);

        return mask == 0 ? len : len - WORD_BYTES + (unsigned)__builtin_ctz(mask);
    }
    for (; i < len; i++) {
        if (is_control((unsigned char)bytes[i])) {
            return i;
        }
    }
    return len;
}

bool header_value_is_valid(struct slice value)
{
    return header_value_span(value.ptr, value.len) == value.len;
}
