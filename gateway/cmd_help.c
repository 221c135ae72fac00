/* SPDX-License-Identifier: Apache-2.0 */
/* help and version, and what is generated from the tables: manual pages and the schema. */
#include "gateway/cmd.h"
#include "gateway/config_schema.h"
#include "gateway/metrics_table.h"
#include "plugins/issuer/clients.h"
#include "plugins/jwt/reason.h"

#include <string.h>

#include "version.h"

/* ---- topics ---- */

static void print_key(void *arg, const struct config_key *key)
{
    printf("%s\n    %s%s%s", key->path, key->type, key->required ? ", required" : "",
           key->range == NULL ? "" : ", ");
    printf("%s%s%s\n    %s\n", key->range == NULL ? "" : key->range,
           key->def == NULL ? "" : ", default ", key->def == NULL ? "" : key->def,
           key->help == NULL ? "" : key->help);
}

static int print_config(void)
{
    return config_each_key(print_key, NULL) < 0 ? EXIT_NO : EXIT_YES;
}

static int print_schema(void)
{
    return config_write_schema(stdout) < 0 ? EXIT_NO : EXIT_YES;
}

static int print_clients_schema(void)
{
    config_write_schema_of(stdout, "Clients of the token issuer of jwtgate", clients_options);
    return EXIT_YES;
}

static int print_reasons(void)
{
    for (unsigned r = 0; r < JWT_REASONS; r++) {
        enum jwt_reason reason = (enum jwt_reason)r;

        printf("%-24s %u  %s\n", jwt_reason_name(reason), jwt_reason_status(reason),
               reason == JWT_OK ? "" : jwt_reason_detail(reason));
    }
    return EXIT_YES;
}

static const char *metrics_type_name(const struct metrics_family *family)
{
    static const char *const names[] = { "counter", "gauge", "histogram" };

    return names[family->type];
}

static int print_metrics(void)
{
    for (unsigned i = 0; i < METRICS_FAMILIES; i++) {
        const struct metrics_family *family = &metrics_families[i];

        printf("%s\n    %s\n    %s\n", family->name, metrics_type_name(family), family->help);
    }
    return EXIT_YES;
}

/* ---- manual pages, in roff ---- */

static void print_roff(const char *text)
{
    bool is_start = true;

    for (; text != NULL && *text != '\0'; text++) {
        if (is_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", stdout);
        }
        is_start = *text == '\n';
        if (*text == '\\' || *text == '-') {
            fputs(*text == '-' ? "\\-" : "\\e", stdout);
        } else {
            fputc(*text, stdout);
        }
    }
}

static void print_roff_command(const struct command *command)
{
    fputs(".SS ", stdout);
    print_roff(command->name);
    fputs("\n.nf\n", stdout);
    for (const char *text = command->usage; *text != '\0';) {
        size_t len = strcspn(text, "\n");

        printf("\\fBjwtgate %s\\fR ", command->name);
        for (size_t i = 0; i < len; i++) {
            fputs(text[i] == '-' ? "\\-" : (char[]){ text[i], '\0' }, stdout);
        }
        fputc('\n', stdout);
        text += len + (text[len] == '\n');
    }
    fputs(".fi\n.PP\n", stdout);
    print_roff(command->about == NULL ? command->summary : command->about);
    fputc('\n', stdout);
    for (const struct cmd_option *row = command->options; row->name != NULL; row++) {
        fputs(".TP\n\\fB", stdout);
        if (!row->is_long_only) {
            printf("\\-%c\\fR, \\fB", row->id);
        }
        fputs("\\-\\-", stdout);
        print_roff(row->name);
        printf("\\fR%s%s\n", row->value == NULL ? "" : " ", row->value == NULL ? "" : row->value);
        print_roff(row->help);
        fputc('\n', stdout);
    }
}

static int print_man(void)
{
    puts(".TH JWTGATE 1 \"\" \"jwtgate " JWTGATE_VERSION "\"\n"
         ".SH NAME\njwtgate \\- an API gateway that verifies JSON Web Tokens\n"
         ".SH SYNOPSIS\n.B jwtgate\nCOMMAND [OPTIONS]\n"
         ".SH COMMANDS");
    for (size_t i = 0; commands[i] != NULL; i++) {
        print_roff_command(commands[i]);
    }
    puts(
        ".SH EXIT STATUS\n0 yes, done; 1 no, invalid, failed; 2 wrong usage; 3 could not find out\n"
        ".SH FILES\n\\&./jwtgate.jsonc, /etc/jwtgate/jwtgate.jsonc\n"
        ".SH SEE ALSO\n.BR jwtgate.jsonc (5), jwtgate\\-metrics (7)");
    return EXIT_YES;
}

static void print_roff_key(void *arg, const struct config_key *key)
{
    fputs(".TP\n\\fB", stdout);
    print_roff(key->path);
    fputs("\\fR\n", stdout);
    print_roff(key->help);
    printf("\n(%s%s", key->type, key->required ? ", required" : "");
    if (key->range != NULL) {
        fputs(", ", stdout);
        print_roff(key->range);
    }
    if (key->def != NULL) {
        fputs(", default ", stdout);
        print_roff(key->def);
    }
    fputs(")\n", stdout);
}

static int print_man_config(void)
{
    puts(".TH JWTGATE.JSONC 5 \"\" \"jwtgate " JWTGATE_VERSION "\"\n"
         ".SH NAME\njwtgate.jsonc \\- configuration of jwtgate\n"
         ".SH DESCRIPTION\nJSON with // and /* */ comments.  Unknown keys, repeated keys and wrong "
         "types are "
         "errors.\n"
         "Durations are an integer and one of ms, s, m, h, d; sizes an integer and one of B, KiB, "
         "MiB, "
         "GiB.\n"
         "Relative paths start at the folder of the file that names them.\n"
         ".SH KEYS");
    int err = config_each_key(print_roff_key, NULL);

    puts(".SH SEE ALSO\n.BR jwtgate (1)");
    return err < 0 ? EXIT_NO : EXIT_YES;
}

static int print_man_metrics(void)
{
    puts(".TH JWTGATE-METRICS 7 \"\" \"jwtgate " JWTGATE_VERSION "\"\n"
         ".SH NAME\njwtgate-metrics \\- what jwtgate counts\n"
         ".SH DESCRIPTION\nGET /metrics of the admin listener, in the text format of Prometheus.\n"
         ".SH METRICS");
    for (unsigned i = 0; i < METRICS_FAMILIES; i++) {
        const struct metrics_family *family = &metrics_families[i];

        printf(".TP\n\\fB%s\\fR (%s)\n", family->name, metrics_type_name(family));
        print_roff(family->help);
        fputc('\n', stdout);
    }
    puts(".SH SEE ALSO\n.BR jwtgate (1)");
    return EXIT_YES;
}

static const struct topic {
    const char *name;
    int (*print)(void), (*print_man)(void);
    const char *summary;
} topics[] = {
    { "config", print_config, print_man_config, "each key of the configuration" },
    { "metrics", print_metrics, print_man_metrics, "what is counted" },
    { "reasons", print_reasons, NULL, "why tokens are refused" },
    { "schema", print_schema, NULL, "JSON Schema of the configuration" },
    { "schema-clients", print_clients_schema, NULL, "JSON Schema of token_issuer.clients_file" },
};

void cmd_print_commands(FILE *out)
{
    fputs("usage: jwtgate COMMAND [OPTIONS]\n\nCommands\n", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        fprintf(out, "  %-14s  %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs("\nTopics of help\n", out);
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        fprintf(out, "  %-14s  %s\n", topics[i].name, topics[i].summary);
    }
    fputs("\nThe configuration is ./jwtgate.jsonc, else /etc/jwtgate/jwtgate.jsonc, or -c FILE.\n"
          "Exit codes\n"
          "  0 yes, done    1 no, invalid, failed    2 wrong usage    3 could not find out\n"
          "Examples\n"
          "  jwtgate demo\n"
          "  jwtgate check -c jwtgate.jsonc --print\n",
          out);
}

static int explain_word(const struct cmd_line *line, const char *word, bool is_man)
{
    const struct command *command = cmd_find(word);

    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        if (strcmp(topics[i].name, word) == 0 && (!is_man || topics[i].print_man != NULL)) {
            return is_man ? topics[i].print_man() : topics[i].print();
        }
    }
    if (command == NULL || is_man) {
        return cmd_usage_error(line, "no %s \"%s\"; see: jwtgate help",
                               is_man ? "manual page" : "command", word);
    }
    cmd_print_help(command, stdout);
    return EXIT_YES;
}

static int run_help(struct cmd_line *line)
{
    const char *word = NULL;
    bool is_man = false;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        if (id == 'm') {
            is_man = true;
        } else if (id == CMD_WORD && word == NULL) {
            word = line->value;
        } else {
            return id == CMD_WORD ? cmd_unexpected(line) : line->exit_code;
        }
    }
    if (word != NULL) {
        return explain_word(line, word, is_man);
    }
    if (is_man) {
        return print_man();
    }
    cmd_print_commands(stdout);
    return EXIT_YES;
}

static const char *const topic_words[] = { "config", "metrics",        "reasons",
                                           "schema", "schema-clients", NULL };

static const struct cmd_option help_options[] = {
    { 'm', "man", NULL, "as a manual page; of no topic, config or metrics", true },
    { .name = NULL },
};

const struct command command_help = {
    .name = "help",
    .usage = "[COMMAND | TOPIC] [--man]",
    .summary = "explain a command or a topic",
    .about = "Explain a command, or config (each key), metrics, reasons (why tokens are refused),\n"
             "schema (JSON Schema of the configuration), schema-clients (of the file of clients).\n"
             "With --man: jwtgate(1), with config jwtgate.jsonc(5), with metrics\n"
             "jwtgate-metrics(7).",
    .words = topic_words,
    .options = help_options,
    .examples = "help check\n"
                "help config | less\n"
                "help --man | man -l -",
    .run = run_help,
};

static int run_version(struct cmd_line *line)
{
    bool is_verbose = false;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'v': is_verbose = true; break;
        case CMD_WORD: return cmd_unexpected(line);
        default: return line->exit_code;
        }
    }
    puts("jwtgate " JWTGATE_VERSION);
    if (is_verbose) {
        puts("OpenSSL " JWTGATE_OPENSSL "\nlibevent " JWTGATE_LIBEVENT "\ncompiler " __VERSION__);
    }
    return EXIT_YES;
}

static const struct cmd_option version_options[] = {
    { 'v', "verbose", NULL, "also what it was built with", false },
    { .name = NULL },
};

const struct command command_version = {
    .name = "version",
    .usage = "[-v]",
    .summary = "print the version",
    .options = version_options,
    .run = run_version,
};
