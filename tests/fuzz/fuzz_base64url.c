/* SPDX-License-Identifier: Apache-2.0 */
/* What decodes must encode to the same text again: each byte string has one text. */
#include "core/base64url.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(BASE64URL_DECODED_BYTES(size));
    char *text = malloc(size + 3);
    size_t len;

    if (bytes != NULL && text != NULL && base64url_decode(slice_of(data, size), bytes, &len) == 0) {
        size_t text_len = base64url_encode(bytes, len, text);
        require(slice_eq(slice_of(text, text_len), slice_of(data, size)));
    }
    free(bytes);
    free(text);
    return 0;
}
