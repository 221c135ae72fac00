/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/h1_cut.h"

static void check_response(const struct http_response *res, enum http_method method)
{
    require(res->status >= 100 && res->status <= 599 && res->minor <= 1);
    require(res->body == HTTP_BODY_NONE || http_response_may_have_body(method, res->status));
    require(res->body != HTTP_BODY_CLOSE || !res->keep_alive);
    for (uint32_t i = 0; i < res->headers.count; i++) {
        const struct header *header = &res->headers.items[i];

        require(header_name_is_valid(header->name) && header_value_is_valid(header->value));
    }
}

static void parse(struct slice bytes, enum http_method method)
{
    char *head = malloc(bytes.len);
    struct http_response res;
    struct arena arena;

    if (head == NULL) {
        return;
    }
    memcpy(head, bytes.ptr, bytes.len);
    arena_init(&arena, NULL, 0, 1 << 20);
    if (h1_parse_response(head, bytes.len, &h1_limits_default, &arena, method, &res) == H1_OK) {
        check_response(&res, method);
    }
    arena_done(&arena);
    free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    size_t len;

    if (size == 0) {
        return 0;
    }
    len = h1_cut_check(in, false);
    in.len = len > 0 ? len : in.len;
    parse(in, HTTP_GET);
    parse(in, HTTP_HEAD);
    return 0;
}
