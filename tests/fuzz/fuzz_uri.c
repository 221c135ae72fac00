/* SPDX-License-Identifier: Apache-2.0 */
#include "core/uri.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

static bool holds(struct slice text, const char *part)
{
    for (size_t i = 0; i < text.len; i++) {
        if (slice_starts_with(slice_skip(text, i), slice_str(part))) {
            return true;
        }
    }
    return false;
}

static void check_path(struct slice path)
{
    require(path.len > 0);
    require(path.ptr[0] == '/' || slice_eq(path, SLICE("*")));
    require(!holds(path, "//") && !holds(path, "/./") && !holds(path, "/../"));
    require(!holds(path, "/.;") && !holds(path, "/..;"));
    require(!holds(path, "%2F") && !holds(path, "%5C") && !holds(path, "%00"));
    require(!holds(path, "%2f") && !holds(path, "%5c") && !holds(path, "\\"));
    require(memchr(path.ptr, '\0', path.len) == NULL);
}

/* The normal form is its own normal form. */
static void check_again(struct slice path)
{
    char *copy = malloc(path.len);
    struct uri uri;
    const char *reason;

    if (copy == NULL) {
        return;
    }
    memcpy(copy, path.ptr, path.len);
    require(uri_parse(copy, path.len, &uri, &reason) == 0);
    require(slice_eq(uri.path, path) && slice_is_absent(uri.query));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    struct uri uri;
    const char *reason;
    int err;

    if (copy == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    (void)uri_authority_is_valid(slice_of(data, size));
    err = uri_parse(copy, size, &uri, &reason);
    require((err == 0) == (reason == NULL));
    if (err == 0) {
        require(uri.path.len <= (size > 0 ? size : 1));
        require(slice_is_absent(uri.authority) || uri_authority_is_valid(uri.authority));
        check_path(uri.path);
        check_again(uri.path);
    }
    free(copy);
    return 0;
}
