/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte is the kind of body, the second the content length; the rest is the input. */
#include "core/h1_body.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

struct result {
    enum parse parse;
    enum h1_error error;
    size_t used;
    size_t len; /* of the payload */
};

static struct result read_body(enum http_body kind, uint64_t length, struct slice in, size_t step,
                               char *ret_payload)
{
    struct result result = { .parse = PARSE_MORE };
    struct h1_body body;

    h1_body_init(&body, kind, length);
    while (result.parse == PARSE_MORE && result.used < in.len) {
        struct slice rest = slice_skip(in, result.used);
        size_t skip, data;

        rest.len = rest.len < step ? rest.len : step;
        result.parse = h1_body_next(&body, rest, &skip, &data, &result.error);
        if (result.parse == PARSE_BAD) {
            result.used = 0; /* not the same for all steps */
            break;
        }
        require(skip <= rest.len && data <= rest.len - skip);
        require(skip + data > 0 || result.parse == PARSE_DONE);
        if (data > 0) {
            memcpy(ret_payload + result.len, rest.ptr + skip, data);
        }
        result.len += data;
        result.used += skip + data;
        require(body.data == result.len);
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in;
    struct result whole, cut;
    char *payload, *cut_payload;

    if (size < 2) {
        return 0;
    }
    in = slice_of(data + 2, size - 2);
    payload = malloc(size);
    cut_payload = malloc(size);
    if (payload != NULL && cut_payload != NULL) {
        enum http_body kind = (enum http_body)(data[0] % 4);

        whole = read_body(kind, data[1], in, in.len, payload);
        for (size_t step = 1; step < 8; step += 2) {
            cut = read_body(kind, data[1], in, step, cut_payload);
            require(cut.parse == whole.parse && cut.error == whole.error);
            require(cut.used == whole.used && cut.len == whole.len);
            require(memcmp(payload, cut_payload, whole.len) == 0);
        }
    }
    free(payload);
    free(cut_payload);
    return 0;
}
