/* SPDX-License-Identifier: Apache-2.0 */
/* Reads arguments by a command's table, and prints it as help. */
#include "core/utf8.h"
#include "gateway/cmd.h"

#include <stdarg.h>
#include <string.h>

const struct command *cmd_find(const char *name)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

/* ---- parsing ---- */

int cmd_usage_error(const struct cmd_line *line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "jwtgate %s: ", line->command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry: jwtgate help %s\n", line->command->name);
    return EXIT_USAGE;
}

int cmd_unexpected(const struct cmd_line *line)
{
    return cmd_usage_error(line, "unexpected \"%s\"", line->value);
}

static int stop(struct cmd_line *line, int exit_code)
{
    line->exit_code = exit_code;
    return CMD_STOP;
}

static int print_help(struct cmd_line *line)
{
    cmd_print_help(line->command, stdout);
    return stop(line, EXIT_YES);
}

bool cmd_option_is_file(const struct cmd_option *row)
{
    return row->value != NULL && (strcmp(row->value, "FILE") == 0 || strcmp(row->value, "D") == 0);
}

static bool is_utf8(const char *text)
{
    size_t left = strlen(text);
    unsigned len = 1;
    uint32_t code;

    for (; left > 0 && len > 0; left -= len, text += len) {
        len = utf8_decode((const unsigned char *)text, left, &code);
    }
    return left == 0;
}

/* What is not the name of a file ends up in JSON, which would say something else. */
static int take_value(struct cmd_line *line, const struct cmd_option *row, const char *value)
{
    line->value = value;
    if (!cmd_option_is_file(row) && !is_utf8(value)) {
        return stop(line, cmd_usage_error(line, "the value of --%s is not UTF-8", row->name));
    }
    return row->id;
}

/* "--name", "--name=value" or "--name value". */
static int next_long(struct cmd_line *line, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t len = equals == NULL ? strlen(text) : (size_t)(equals - text);
    const struct cmd_option *row = line->command->options;

    if (strcmp(text, "help") == 0) {
        return print_help(line);
    }
    while (row->name != NULL && (strlen(row->name) != len || strncmp(row->name, text, len) != 0)) {
        row++;
    }
    if (row->name == NULL) {
        return stop(line, cmd_usage_error(line, "no option --%.*s", (int)len, text));
    }
    if (row->value == NULL) {
        return equals == NULL ? row->id
                              : stop(line, cmd_usage_error(line, "--%s takes no value", row->name));
    }
    if (equals == NULL && line->next == line->argc) {
        return stop(line, cmd_usage_error(line, "--%s needs %s", row->name, row->value));
    }
    return take_value(line, row, equals == NULL ? line->argv[line->next++] : equals + 1);
}

/* One letter of "-ab"; a value is the rest of the word, or the next one. */
static int next_letter(struct cmd_line *line)
{
    const struct cmd_option *row = line->command->options;
    char letter = *line->letters++;
    const char *rest = line->letters;

    if (*rest == '\0') {
        line->letters = NULL;
    }
    if (letter == 'h') {
        return print_help(line);
    }
    while (row->name != NULL && (row->is_long_only || row->id != letter)) {
        row++;
    }
    if (row->name == NULL) {
        return stop(line, cmd_usage_error(line, "no option -%c", letter));
    }
    if (row->value == NULL) {
        return row->id;
    }
    line->letters = NULL;
    if (*rest == '\0' && line->next == line->argc) {
        return stop(line, cmd_usage_error(line, "-%c needs %s", letter, row->value));
    }
    return take_value(line, row, *rest == '\0' ? line->argv[line->next++] : rest);
}

int cmd_next(struct cmd_line *line)
{
    line->value = NULL;
    if (line->letters != NULL) {
        return next_letter(line);
    }
    if (line->next == line->argc) {
        return CMD_END;
    }
    const char *text = line->argv[line->next++];

    if (line->only_words || text[0] != '-' || text[1] == '\0') {
        line->value = text;
        return CMD_WORD;
    }
    if (strcmp(text, "--") == 0) {
        line->only_words = true;
        return cmd_next(line);
    }
    if (text[1] == '-') {
        return next_long(line, text + 2);
    }
    line->letters = text + 1;
    return next_letter(line);
}

/* ---- help ---- */

/* Each line of `text` behind `prefix`. */
static void print_lines(FILE *out, const char *prefix, const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, "\n");

        fprintf(out, "%s%.*s\n", prefix, (int)len, text);
        text += len + (text[len] == '\n');
    }
}

static void print_usage(const struct command *command, FILE *out)
{
    const char *text = command->usage, *word = "usage:";

    do {
        size_t len = strcspn(text, "\n");

        fprintf(out, "%s jwtgate %s%s%.*s\n", word, command->name, len == 0 ? "" : " ", (int)len,
                text);
        text += len + (text[len] == '\n');
        word = "      ";
    } while (*text != '\0');
}

static int option_width(const struct cmd_option *row)
{
    return (int)(strlen(row->name) + (row->value == NULL ? 0 : strlen(row->value) + 1));
}

static void print_options(const struct command *command, FILE *out)
{
    int width = (int)strlen("help");

    for (const struct cmd_option *row = command->options; row->name != NULL; row++) {
        width = option_width(row) > width ? option_width(row) : width;
    }
    for (const struct cmd_option *row = command->options; row->name != NULL; row++) {
        const char letter[] = { '-', (char)row->id, ',', '\0' };

        fprintf(out, "  %3s --%s%s%s%*s  %s\n", row->is_long_only ? "" : letter, row->name,
                row->value == NULL ? "" : " ", row->value == NULL ? "" : row->value,
                width - option_width(row), "", row->help);
    }
    fprintf(out, "  -h, --help%*s  this text\n", width - (int)strlen("help"), "");
}

void cmd_print_help(const struct command *command, FILE *out)
{
    print_usage(command, out);
    fputc('\n', out);
    print_lines(out, "", command->about == NULL ? command->summary : command->about);
    fputc('\n', out);
    print_options(command, out);
    if (command->examples != NULL) {
        fputs("\nExamples\n", out);
        print_lines(out, "  jwtgate ", command->examples);
    }
}
