/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_print.h"

#include <stdlib.h>

void cmd_print_string(FILE *out, struct slice text)
{
    size_t size = 6 * text.len + 1;
    char *escaped = malloc(size);
    size_t len = escaped == NULL ? 0 : json_escape(text, escaped, size);

    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)escaped[i];

        /* DEL and the C1 controls, which terminals may obey. */
        if (c == 0x7f) {
            fputs("\\u007f", out);
        } else if (c == 0xc2 && i + 1 < len && (unsigned char)escaped[i + 1] < 0xa0) {
            fprintf(out, "\\u%04x", (unsigned char)escaped[++i]);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
    free(escaped);
}

void cmd_print_json(FILE *out, const struct json *value)
{
    bool is_object = value->type == JSON_OBJECT;

    switch (value->type) {
    case JSON_NULL: fputs("null", out); return;
    case JSON_BOOL: fputs(value->boolean ? "true" : "false", out); return;
    case JSON_NUMBER: fprintf(out, "%.*s", SLICE_FMT(value->text)); return;
    case JSON_STRING: cmd_print_string(out, value->text); return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    fputc(is_object ? '{' : '[', out);
    for (const struct json *item = value->child; item != NULL; item = item->next) {
        if (item != value->child) {
            fputc(',', out);
        }
        if (is_object) {
            cmd_print_string(out, item->key);
            fputc(':', out);
        }
        cmd_print_json(out, item);
    }
    fputc(is_object ? '}' : ']', out);
}
