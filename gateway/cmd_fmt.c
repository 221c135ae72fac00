/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate fmt`: configuration files in their canonical form (core/json_format.h). */
#include "core/diag.h"
#include "core/file.h"
#include "core/json_format.h"
#include "gateway/cmd.h"
#include "gateway/cmd_replace.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY ((size_t)1 << 30)

struct file {
    const char *name;
    struct arena arena;
    struct stat st;
    struct slice text;
};

/* One of the above, said on stderr. */
static int complain(const struct file *file, const char *what)
{
    fprintf(stderr, "jwtgate fmt: %s: %s\n", file->name, what);
    return EXIT_UNKNOWN;
}

/* ---- reading ---- */

static int read_all(struct file *file, int fd)
{
    size_t size = (size_t)file->st.st_size, len = 0;
    char *text = arena_alloc(&file->arena, size + 1);
    int err = text == NULL ? ERR_NO_MEMORY : file_read(fd, text, size, &len);

    file->text = slice_of(text, len);
    return err;
}

static int open_and_read(struct file *file)
{
    const char *problem = NULL;
    int fd = file_open(file->name, 0, &file->st, &problem);

    if (fd < 0) {
        return complain(file, problem);
    }
    if ((uint64_t)file->st.st_size > json_limits_config.max_bytes) {
        problem = "is larger than 4 MiB";
    } else if (read_all(file, fd) < 0) {
        problem = "cannot be read";
    }
    close(fd);
    return problem == NULL ? EXIT_YES : complain(file, problem);
}

/* In its place, as a whole or not at all; through symbolic links, which stay. */
static int replace(const struct file *file, struct slice text)
{
    char target[PATH_MAX];

    if (realpath(file->name, target) == NULL) {
        return complain(file, strerror(errno));
    }
    return cmd_replace_file(target, text) < 0 ? EXIT_UNKNOWN : EXIT_YES;
}

/* ---- the command ---- */

static int report_syntax(const struct file *file, const struct json_error *error)
{
    struct diag diag;

    diag_init(&diag);
    int number = diag_add_file(&diag, file->name, file->text);

    if (number >= 0) {
        diag_syntax(&diag, number, error);
    }
    diag_print(&diag, stderr);
    diag_done(&diag);
    return EXIT_NO;
}

static int format_file(struct file *file, bool in_place)
{
    struct json_error error;
    struct slice formatted;
    int result = open_and_read(file);

    if (result != EXIT_YES) {
        return result;
    }
    int err = json_format(&file->arena, file->text, &json_limits_config, &error, &formatted);

    if (err == ERR_BAD_INPUT) {
        return report_syntax(file, &error);
    }
    if (err < 0) {
        return complain(file, err_text(err));
    }
    if (in_place) {
        return slice_eq(formatted, file->text) ? EXIT_YES : replace(file, formatted);
    }
    return fwrite(formatted.ptr, 1, formatted.len, stdout) == formatted.len
               ? EXIT_YES
               : complain(file, "cannot be printed");
}

/* All files, also behind one that fails; the worst result. */
static int format_files(char *const *names, int count, bool in_place)
{
    int worst = EXIT_YES;

    for (int i = 0; i < count; i++) {
        struct file file = { .name = names[i] };

        arena_init(&file.arena, NULL, 0, MEMORY);
        int result = format_file(&file, in_place);

        worst = result > worst ? result : worst;
        arena_done(&file.arena);
    }
    return worst;
}

static int run(struct cmd_line *line)
{
    bool in_place = false;
    int id, count = 0;

    /* The words move to the front of argv, behind the command. */
    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'w': in_place = true; break;
        case CMD_WORD: line->argv[++count] = line->argv[line->next - 1]; break;
        default: return line->exit_code;
        }
    }
    return count == 0 ? cmd_usage_error(line, "name a file")
                      : format_files(line->argv + 1, count, in_place);
}

static const struct cmd_option options[] = {
    { 'w', "write", NULL, "replace the files instead of printing them", false },
    { .name = NULL },
};

const struct command command_fmt = {
    .name = "fmt",
    .usage = "[-w] FILE...",
    .summary = "bring configurations into canonical form",
    .about = "Print configurations in their canonical form: two spaces a level, short objects on\n"
             "one line, comments kept.  Values and their order do not change.  A file with a\n"
             "syntax error is left alone; -w replaces the others in one step, with their mode.\n"
             "Exit codes: 0 done, 1 a syntax error, 2 wrong usage, 3 not readable or writable",
    .options = options,
    .examples = "fmt -w jwtgate.jsonc conf.d/*.jsonc\n"
                "fmt jwtgate.jsonc | diff jwtgate.jsonc -",
    .run = run,
};
