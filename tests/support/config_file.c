/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/config_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct diag diag;
const char *config_file_conf_dir;

void config_file_setup(void)
{
    diag_init(&diag);
    setenv("JWTGATE_HS256_SECRET", "0123456789-abcdefghij-KLMNOPQRST-uvwxyz", 1);
}

void config_file_teardown(void)
{
    diag_done(&diag);
}

void write_file(const char *name, const char *text)
{
    FILE *out = fopen(name, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
}

struct config *load(const char *text)
{
    write_file("t.jsonc", text);
    return config_load("t.jsonc", &diag, NULL);
}

char *printed(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    diag_print(&diag, out);
    fclose(out);
    return text;
}

void assert_loads(struct config *config)
{
    char *text = printed();

    ck_assert_msg(config != NULL, "%s", text);
    free(text);
}

void config_file_expect_error(const struct config_error *error)
{
    struct config *config = load(error->text);

    ck_assert_msg(config == NULL, "%s", error->text);
    char *text = printed();

    ck_assert_msg(strncmp(text, error->line, strlen(error->line)) == 0,
                  "\n  expected %s\n  printed  %s", error->line, text);
    free(text);
}

int config_file_run(Suite *suite)
{
    char *conf_dir = NULL;
    static const char from_here[] = "/../../conf";
    char source[] = __FILE__;
    char folder[] = "/tmp/jwtgate-config-XXXXXX";
    char *slash = strrchr(source, '/');

    if (slash != NULL && (size_t)(slash - source) + sizeof(from_here) < 4096) {
        char path[4096];

        snprintf(path, sizeof(path), "%.*s%s", (int)(slash - source), source, from_here);
        conf_dir = realpath(path, NULL);
        config_file_conf_dir = conf_dir;
    }
    if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
        return 1;
    }
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    free(conf_dir);
    unlink("t.jsonc");
    if (chdir("..") == 0) {
        rmdir(folder);
    }
    return failed == 0 ? 0 : 1;
}
