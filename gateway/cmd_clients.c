/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_clients.h"

#include "gateway/cmd.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_replace.h"
#include "gateway/config.h"
#include "plugins/issuer/clients_edit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_FILE_BYTES ((size_t)256 << 10) /* as the gateway reads it */
#define MAX_MEMORY     ((size_t)64 << 20)

static int find_file(struct cmd_clients *book, const char *file, const char *config)
{
    bool is_missing = false;
    struct diag diag;

    if (file != NULL) {
        book->file = file;
        return EXIT_YES;
    }
    diag_init(&diag);
    book->file_memory =
        config_find_path(config, "token_issuer", "clients_file", &diag, &is_missing);
    book->file = book->file_memory;
    if (diag.errors > 0) {
        diag_print(&diag, stderr);
    } else if (book->file == NULL) {
        fprintf(stderr, "jwtgate: the configuration has no token_issuer.clients_file; write it, or "
                        "name the file with --file\n");
    }
    diag_done(&diag);
    return book->file != NULL ? EXIT_YES : is_missing ? EXIT_UNKNOWN : EXIT_NO;
}

/* Is `text` a file of clients?  Mistakes are printed. */
static int parse(struct cmd_clients *book, struct slice text, struct clients **ret)
{
    const struct option_context ctx = { .diag = &book->diag, .arena = &book->arena };

    if (clients_parse(book->file, text, &ctx, ret) < 0) {
        diag_print(&book->diag, stderr);
        return EXIT_NO;
    }
    return EXIT_YES;
}

static int read_file(struct cmd_clients *book, bool may_be_missing)
{
    book->text = malloc(MAX_FILE_BYTES + 1);
    if (book->text == NULL) {
        return EXIT_UNKNOWN;
    }
    if (may_be_missing && access(book->file, F_OK) != 0 && errno == ENOENT) {
        book->len = (size_t)snprintf(book->text, MAX_FILE_BYTES, "%s", clients_edit_empty);
        return EXIT_YES;
    }
    size_t len;

    if (cmd_read_text(book->file, book->text, MAX_FILE_BYTES, &len) < 0) {
        return EXIT_UNKNOWN;
    }
    /* cmd_read_text() leaves out the blank end. */
    book->len = len;
    if (len < MAX_FILE_BYTES) {
        book->text[book->len++] = '\n';
    }
    return EXIT_YES;
}

int cmd_clients_open(struct cmd_clients *book, const struct cmd_clients_wish *wish)
{
    *book = (struct cmd_clients){ .lock = -1 };
    diag_init(&book->diag);
    arena_init(&book->arena, NULL, 0, MAX_MEMORY);
    int code = find_file(book, wish->file, wish->config);

    if (code == EXIT_YES && wish->changes) {
        book->lock = cmd_replace_lock(book->file);
        code = book->lock < 0 ? EXIT_UNKNOWN : EXIT_YES;
    }
    if (code == EXIT_YES) {
        code = read_file(book, wish->may_be_missing);
    }
    return code != EXIT_YES ? code : parse(book, slice_of(book->text, book->len), &book->clients);
}

void cmd_clients_close(struct cmd_clients *book)
{
    clients_free(book->clients);
    diag_done(&book->diag);
    arena_done(&book->arena);
    free(book->text);
    free(book->file_memory);
    if (book->lock >= 0) {
        close(book->lock);
    }
}

int cmd_clients_replace(struct cmd_clients *book, const char *text)
{
    struct clients *clients = NULL;

    if (strlen(text) > MAX_FILE_BYTES) {
        fprintf(stderr, "jwtgate: %s would be larger than 256 KiB\n", book->file);
        return EXIT_NO;
    }
    int code = parse(book, slice_str(text), &clients);

    clients_free(clients);
    if (code == EXIT_YES && cmd_replace_file(book->file, slice_str(text)) < 0) {
        code = EXIT_UNKNOWN;
    }
    return code;
}
