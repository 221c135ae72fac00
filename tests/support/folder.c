/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/folder.h"

#include <check.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[32];

void folder_make(void)
{
    snprintf(folder, sizeof(folder), "/tmp/jwtgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

const char *folder_path(const char *name)
{
    static char paths[2][320];
    static unsigned turn;

    turn = !turn;
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
    return paths[turn];
}

void folder_write(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(folder_path(name), "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(folder_path(name), mode), 0);
}

void folder_remove(void)
{
    DIR *dir = opendir(folder);

    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            unlink(folder_path(entry->d_name));
        }
    }
    closedir(dir);
    ck_assert_int_eq(rmdir(folder), 0);
}
