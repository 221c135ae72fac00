/* SPDX-License-Identifier: Apache-2.0 */
/* Completions of shells, made of the tables of commands and options. */
#include "gateway/cmd.h"

#include <string.h>

static void print_words(const struct command *command)
{
    for (size_t i = 0; command->words != NULL && command->words[i] != NULL; i++) {
        printf("%s ", command->words[i]);
    }
}

static void print_names(void)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        printf("%s%s", i == 0 ? "" : " ", commands[i]->name);
    }
}

/* Patterns "command:--option" of what is followed by a file. */
static void print_bash_files(void)
{
    const char *separator = "";

    for (size_t i = 0; commands[i] != NULL; i++) {
        for (const struct cmd_option *row = commands[i]->options; row->name != NULL; row++) {
            if (!cmd_option_is_file(row)) {
                continue;
            }
            if (!row->is_long_only) {
                printf("%s%s:-%c", separator, commands[i]->name, row->id);
                separator = "|";
            }
            printf("%s%s:--%s", separator, commands[i]->name, row->name);
            separator = "|";
        }
    }
}

static void print_bash(void)
{
    fputs("# bash completion of jwtgate\n_jwtgate()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
          "    case ${COMP_WORDS[1]}:$before in\n"
          "        ",
          stdout);
    print_bash_files();
    fputs(")\n"
          "            COMPREPLY=($(compgen -f -- \"$word\"))\n            return ;;\n"
          "    esac\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='",
          stdout);
    print_names();
    fputs("'\n    else\n        case ${COMP_WORDS[1]} in\n", stdout);
    for (size_t i = 0; commands[i] != NULL; i++) {
        printf("            %s) words='", commands[i]->name);
        print_words(commands[i]);
        if (commands[i] == &command_help) {
            print_names();
            fputc(' ', stdout);
        }
        for (const struct cmd_option *row = commands[i]->options; row->name != NULL; row++) {
            printf("--%s ", row->name);
        }
        puts("--help' ;;");
    }
    fputs("        esac\n    fi\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
          "complete -o default -F _jwtgate jwtgate\n",
          stdout);
}

/* `text` inside single quotes of a shell, where zsh's own specials are escaped too. */
static void print_quoted(const char *text, const char *specials)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", stdout);
            continue;
        }
        if (strchr(specials, *text) != NULL) {
            fputc('\\', stdout);
        }
        fputc(*text, stdout);
    }
}

static void print_zsh_option(const struct cmd_option *row)
{
    const char *value = row->value == NULL ? "" : row->value;

    for (int is_long = 0; is_long < 2; is_long++) {
        if (!is_long && row->is_long_only) {
            continue;
        }
        fputs("                '", stdout);
        if (is_long) {
            printf("--%s%s", row->name, row->value == NULL ? "" : "=");
        } else {
            printf("-%c", row->id);
        }
        fputc('[', stdout);
        print_quoted(row->help, "[]\\:");
        fputc(']', stdout);
        if (row->value != NULL) {
            printf(":%s:%s", value, cmd_option_is_file(row) ? "_files" : "");
        }
        fputs("' \\\n", stdout);
    }
}

static void print_zsh(void)
{
    fputs("#compdef jwtgate\n_jwtgate()\n{\n    if (( CURRENT == 2 )); then\n"
          "        local -a names=(\n",
          stdout);
    for (size_t i = 0; commands[i] != NULL; i++) {
        printf("            '%s:", commands[i]->name);
        print_quoted(commands[i]->summary, "\\:");
        fputs("'\n", stdout);
    }
    fputs("        )\n        _describe command names\n        return\n    fi\n"
          "    local name=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $name in\n",
          stdout);
    for (size_t i = 0; commands[i] != NULL; i++) {
        printf("        %s)\n            _arguments \\\n", commands[i]->name);
        for (const struct cmd_option *row = commands[i]->options; row->name != NULL; row++) {
            print_zsh_option(row);
        }
        if (commands[i]->words != NULL || commands[i] == &command_help) {
            fputs("                '1: :(", stdout);
            print_words(commands[i]);
            if (commands[i] == &command_help) {
                print_names();
            }
            fputs(")' \\\n", stdout);
        }
        fputs("                '--help[this text]' ;;\n", stdout);
    }
    fputs("    esac\n}\n_jwtgate \"$@\"\n", stdout);
}

static void print_fish(void)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];

        printf("complete -c jwtgate -n __fish_use_subcommand -a %s -d '", command->name);
        print_quoted(command->summary, "\\");
        fputs("'\n", stdout);
        if (command->words != NULL) {
            printf("complete -c jwtgate -n '__fish_seen_subcommand_from %s' -a '", command->name);
            print_words(command);
            if (command == &command_help) {
                print_names();
            }
            fputs("'\n", stdout);
        }
        for (const struct cmd_option *row = command->options; row->name != NULL; row++) {
            printf("complete -c jwtgate -n '__fish_seen_subcommand_from %s' -l %s", command->name,
                   row->name);
            if (!row->is_long_only) {
                printf(" -s %c", row->id);
            }
            printf("%s -d '", row->value == NULL ? "" : cmd_option_is_file(row) ? " -r" : " -x");
            print_quoted(row->help, "\\");
            fputs("'\n", stdout);
        }
    }
}

static int run(struct cmd_line *line)
{
    const char *shell = NULL;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        if (id != CMD_WORD) {
            return line->exit_code;
        }
        if (shell != NULL) {
            return cmd_unexpected(line);
        }
        shell = line->value;
    }
    if (shell == NULL) {
        return cmd_usage_error(line, "name a shell: bash, zsh or fish");
    }
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh();
    } else if (strcmp(shell, "fish") == 0) {
        print_fish();
    } else {
        return cmd_usage_error(line, "no shell \"%s\"; there are: bash, zsh, fish", shell);
    }
    return EXIT_YES;
}

static const char *const shells[] = { "bash", "zsh", "fish", NULL };
static const struct cmd_option options[] = { { .name = NULL } };

const struct command command_completion = {
    .name = "completion",
    .usage = "bash|zsh|fish",
    .summary = "print completions for a shell",
    .about = "Print completions for a shell, to be read at its start.",
    .words = shells,
    .options = options,
    .examples = "completion bash > /usr/share/bash-completion/completions/jwtgate\n"
                "completion zsh > /usr/share/zsh/vendor-completions/_jwtgate\n"
                "completion fish > /usr/share/fish/vendor_completions.d/jwtgate.fish",
    .run = run,
};
