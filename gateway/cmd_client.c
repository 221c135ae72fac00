/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate client`: who may ask the token endpoint for tokens. */
#include "gateway/cmd.h"
#include "gateway/cmd_clients.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_print.h"
#include "gateway/cmd_table.h"
#include "plugins/issuer/clients_edit.h"

#include <openssl/crypto.h>

#include <stdlib.h>

#define MAX_VALUES      64u
#define MAX_INPUT_BYTES 4096u

enum { OPTION_SCOPE = 256, OPTION_AUDIENCE, OPTION_CLAIM, OPTION_SECRET };

struct values {
    const char *items[MAX_VALUES];
    size_t count;
};

struct arguments {
    struct cmd_line *line;
    const char *verb, *id;
    const char *config, *file;
    struct values scopes, audiences, claims;
    bool secret_from_stdin, as_json;
};

static void say_reload(void)
{
    fprintf(stderr, "A gateway that runs knows it after a reload.\n");
}

/* ---- the secret ---- */

static int read_secret(char *ret, size_t size, size_t *ret_len)
{
    if (cmd_read_text("-", ret, size, ret_len) < 0) {
        return EXIT_UNKNOWN;
    }
    if (*ret_len < CLIENT_SECRET_MIN_BYTES || *ret_len > CLIENT_SECRET_MAX_BYTES) {
        fprintf(stderr, "jwtgate: a secret has %u to %u bytes, this one has %zu\n",
                CLIENT_SECRET_MIN_BYTES, CLIENT_SECRET_MAX_BYTES, *ret_len);
        return EXIT_NO;
    }
    for (size_t i = 0; i < *ret_len; i++) {
        if (ret[i] < 0x20 || ret[i] > 0x7e) { /* VSCHAR, RFC 6749 appendix A.2 */
            fprintf(stderr, "jwtgate: a secret is printable ASCII\n");
            return EXIT_NO;
        }
    }
    return EXIT_YES;
}

/* A chosen secret from standard input, or a new one: `ret`, and what is kept of it. */
static int make_secret(const struct arguments *args, char ret[MAX_INPUT_BYTES],
                       char kept_text[CLIENT_SECRET_TEXT_BYTES])
{
    enum client_secret_kind kind = CLIENT_SECRET_SHA256;
    struct client_secret kept;
    size_t len = 0;

    if (args->secret_from_stdin) {
        int code = read_secret(ret, MAX_INPUT_BYTES, &len);

        if (code != EXIT_YES) {
            return code;
        }
        kind = CLIENT_SECRET_SCRYPT;
    } else if (client_secret_generate(ret) == 0) {
        len = strlen(ret);
    }
    if (len == 0 || client_secret_keep(kind, slice_of(ret, len), &kept) < 0) {
        fprintf(stderr, "jwtgate: no secret could be made\n");
        return EXIT_UNKNOWN;
    }
    client_secret_write(&kept, kept_text);
    return EXIT_YES;
}

/* Once: nobody can read it again. */
static int print_secret(const char *id, const char *secret)
{
    if (printf("%s\n", secret) < 0 || fflush(stdout) != 0) {
        fprintf(stderr,
                "jwtgate: the secret of %s could not be printed; remove the client, and add it "
                "again\n",
                id);
        return EXIT_UNKNOWN;
    }
    fprintf(stderr, "This is the secret of %s; it is not kept and not shown again.\n", id);
    return EXIT_YES;
}

/* ---- add ---- */

static void write_list(FILE *out, const char *name, const struct values *values)
{
    if (values->count == 0) {
        return;
    }
    fprintf(out, ",\n" CLIENTS_EDIT_INDENT "  \"%s\": [", name);
    for (size_t i = 0; i < values->count; i++) {
        fputs(i == 0 ? "" : ", ", out);
        cmd_print_string(out, slice_str(values->items[i]));
    }
    fputc(']', out);
}

static void write_claims(FILE *out, const struct values *claims)
{
    if (claims->count == 0) {
        return;
    }
    fputs(",\n" CLIENTS_EDIT_INDENT "  \"claims\": {", out);
    for (size_t i = 0; i < claims->count; i++) {
        const char *equals = strchr(claims->items[i], '=');

        fputs(i == 0 ? " " : ", ", out);
        cmd_print_string(out, slice_of(claims->items[i], (size_t)(equals - claims->items[i])));
        fputs(": ", out);
        cmd_print_string(out, slice_str(equals + 1));
    }
    fputs(" }", out);
}

/* The client's object in clients.jsonc; malloc'ed. */
static char *write_object(const struct arguments *args, const char *kept)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL) {
        return NULL;
    }
    fprintf(out, "{\n" CLIENTS_EDIT_INDENT "  \"secret_hash\": \"%s\"", kept);
    write_list(out, "scopes", &args->scopes);
    write_list(out, "audiences", &args->audiences);
    write_claims(out, &args->claims);
    fputs("\n" CLIENTS_EDIT_INDENT "}", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int add_to_book(const struct arguments *args, struct cmd_clients *book, const char *kept)
{
    char *object = write_object(args, kept), *text = NULL;
    int err = object == NULL ? ERR_NO_MEMORY
                             : clients_edit_add(slice_of(book->text, book->len),
                                                slice_str(args->id), slice_str(object), &text);

    free(object);
    if (err < 0) {
        fprintf(stderr, "jwtgate: the client \"%s\" cannot be added: %s\n", args->id,
                err_text(err));
        return err == ERR_EXISTS ? EXIT_NO : EXIT_UNKNOWN;
    }
    int code = cmd_clients_replace(book, text);

    free(text);
    return code;
}

static int add(const struct arguments *args, struct cmd_clients *book)
{
    char secret[MAX_INPUT_BYTES], kept[CLIENT_SECRET_TEXT_BYTES];

    if (clients_find(book->clients, slice_str(args->id)) != NULL) {
        fprintf(stderr, "jwtgate: there is a client \"%s\"; remove it first\n", args->id);
        return EXIT_NO;
    }
    int code = make_secret(args, secret, kept);

    if (code == EXIT_YES) {
        code = add_to_book(args, book, kept);
    }
    if (code == EXIT_YES && !args->secret_from_stdin) {
        code = print_secret(args->id, secret);
    }
    if (code == EXIT_YES) {
        say_reload();
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    return code;
}

/* ---- remove ---- */

static int remove_client(const struct arguments *args, struct cmd_clients *book)
{
    char *text = NULL;
    int err = clients_edit_remove(slice_of(book->text, book->len), slice_str(args->id), &text);

    if (err < 0) {
        fprintf(stderr, "jwtgate: the client \"%s\" cannot be removed: %s\n", args->id,
                err_text(err));
        return err == ERR_NOT_FOUND ? EXIT_NO : EXIT_UNKNOWN;
    }
    int code = cmd_clients_replace(book, text);

    free(text);
    if (code == EXIT_YES) {
        say_reload();
        fprintf(stderr, "Its tokens pass until they expire: jwtgate revoke --client %s\n",
                args->id);
    }
    return code;
}

/* ---- list ---- */

static const char *kind_name(const struct client *client)
{
    return client->secret.kind == CLIENT_SECRET_SCRYPT ? "scrypt" : "sha256";
}

static void list_json_words(const char *name, const struct option_strings *words)
{
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < words->count; i++) {
        fputs(i == 0 ? "" : ",", stdout);
        cmd_print_string(stdout, words->items[i]);
    }
    putchar(']');
}

static void list_json(const struct client *client)
{
    fputs("{\"id\":", stdout);
    cmd_print_string(stdout, client->element.name);
    printf(",\"hash\":\"%s\"", kind_name(client));
    list_json_words("scopes", &client->scopes);
    list_json_words("audiences", &client->audiences);
    fputs(",\"claims\":", stdout);
    if (client->claims == NULL) {
        fputs("{}", stdout);
    } else {
        cmd_print_json(stdout, client->claims);
    }
    putchar('}');
}

/* Of claims the names; all of them is in the JSON. */
static void list_claims(struct cmd_table *table, const struct json *claims)
{
    struct slice names[MAX_VALUES];
    size_t count = 0;

    for (const struct json *claim = claims == NULL ? NULL : claims->child;
         claim != NULL && count < MAX_VALUES; claim = claim->next) {
        names[count++] = claim->key;
    }
    cmd_table_add_list(table, names, count);
}

static int list_table(const struct client *clients, size_t count)
{
    static const char *const titles[] = { "ID", "HASH", "SCOPES", "AUDIENCES", "CLAIMS" };
    struct cmd_table table;

    cmd_table_init(&table, titles, sizeof(titles) / sizeof(titles[0]));
    for (size_t i = 0; i < count; i++) {
        cmd_table_add(&table, clients[i].element.name);
        cmd_table_add(&table, slice_str(kind_name(&clients[i])));
        cmd_table_add_list(&table, clients[i].scopes.items, clients[i].scopes.count);
        cmd_table_add_list(&table, clients[i].audiences.items, clients[i].audiences.count);
        list_claims(&table, clients[i].claims);
    }
    return cmd_table_end(&table, stdout);
}

static int list(const struct arguments *args, struct cmd_clients *book)
{
    size_t count;
    const struct client *clients = clients_list(book->clients, &count);

    if (!args->as_json) {
        return list_table(clients, count);
    }
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? "[" : ",\n ", stdout);
        list_json(&clients[i]);
    }
    fputs(count == 0 ? "[]\n" : "]\n", stdout);
    return EXIT_YES;
}

/* ---- the command ---- */

static int with_clients(const struct arguments *args, bool changes, bool may_be_missing,
                        int (*fn)(const struct arguments *, struct cmd_clients *))
{
    const struct cmd_clients_wish wish = { args->file, args->config, changes, may_be_missing };
    struct cmd_clients book;
    int code = cmd_clients_open(&book, &wish);

    if (code == EXIT_YES) {
        code = fn(args, &book);
    }
    cmd_clients_close(&book);
    return code;
}

static int dispatch(const struct arguments *args)
{
    bool is_list = strcmp(args->verb, "list") == 0;
    bool is_add = strcmp(args->verb, "add") == 0;
    bool has_details = args->scopes.count + args->audiences.count + args->claims.count > 0;

    if (!is_list && !is_add && strcmp(args->verb, "remove") != 0) {
        return cmd_usage_error(args->line, "no \"%s\" of clients", args->verb);
    }
    if (is_list != (args->id == NULL)) {
        return cmd_usage_error(args->line, is_list ? "list takes no ID" : "name the client");
    }
    if (!is_add && (has_details || args->secret_from_stdin)) {
        return cmd_usage_error(args->line, "only add takes scopes, audiences, claims, a secret");
    }
    return is_list  ? with_clients(args, false, false, list)
           : is_add ? with_clients(args, true, true, add)
                    : with_clients(args, true, false, remove_client);
}

static int keep_value(const struct arguments *args, struct values *values)
{
    if (values->count == MAX_VALUES) {
        return cmd_usage_error(args->line, "at most %u of a kind", MAX_VALUES);
    }
    values->items[values->count++] = args->line->value;
    return EXIT_YES;
}

static int keep_claim(struct arguments *args)
{
    const char *equals = strchr(args->line->value, '=');

    if (equals == NULL || equals == args->line->value) {
        return cmd_usage_error(args->line, "--claim takes K=V");
    }
    return keep_value(args, &args->claims);
}

static int keep_secret(struct arguments *args)
{
    if (strcmp(args->line->value, "-") != 0) {
        return cmd_usage_error(args->line,
                               "a secret is never an argument: --secret - reads it from "
                               "standard input");
    }
    args->secret_from_stdin = true;
    return EXIT_YES;
}

static int keep_word(struct arguments *args)
{
    if (args->verb == NULL) {
        args->verb = args->line->value;
    } else if (args->id == NULL) {
        args->id = args->line->value;
    } else {
        return cmd_unexpected(args->line);
    }
    return EXIT_YES;
}

static int run(struct cmd_line *line)
{
    struct arguments args = { .line = line };
    int id, code = EXIT_YES;

    while (code == EXIT_YES && (id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case OPTION_SCOPE: code = keep_value(&args, &args.scopes); break;
        case OPTION_AUDIENCE: code = keep_value(&args, &args.audiences); break;
        case OPTION_CLAIM: code = keep_claim(&args); break;
        case OPTION_SECRET: code = keep_secret(&args); break;
        case 'f': args.file = line->value; break;
        case 'c': args.config = line->value; break;
        case 'j': args.as_json = true; break;
        case CMD_WORD: code = keep_word(&args); break;
        default: return line->exit_code;
        }
    }
    if (code != EXIT_YES) {
        return code;
    }
    if (args.verb == NULL) {
        return cmd_usage_error(line, "say what: add, list or remove");
    }
    return dispatch(&args);
}

static const char *const words[] = { "add", "list", "remove", NULL };

static const struct cmd_option options[] = {
    { OPTION_SCOPE, "scope", "SCOPE", "that it may ask for; may be repeated", true },
    { OPTION_AUDIENCE, "audience", "AUD", "that its tokens may have; may be repeated", true },
    { OPTION_CLAIM, "claim", "K=V", "that its tokens carry, too; may be repeated", true },
    { OPTION_SECRET, "secret", "-", "read a secret from standard input, not make one", true },
    { 'f', "file", "FILE", "the file of clients; by default the configuration's", false },
    CMD_OPTION_CONFIG,
    CMD_OPTION_JSON,
    { .name = NULL },
};

const struct command command_client = {
    .name = "client",
    .usage = "add ID [--scope SCOPE]... [--audience AUD]... [--claim K=V]...\n"
             "list [--json]\n"
             "remove ID",
    .summary = "say who may ask for tokens",
    .about = "add prints a new secret once and keeps its hash.  A secret that you choose (16\n"
             "bytes or more) comes from standard input with --secret -.  The rest of the file\n"
             "stays as it is, comments too; only those inside of a removed client go with it.",
    .words = words,
    .options = options,
    .examples = "client add billing --scope orders:read --audience orders\n"
                "client add reports --secret - < secret.txt\n"
                "client list",
    .run = run,
};
