/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_replace.h"

#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int complain(const char *what, const char *file)
{
    fprintf(stderr, "jwtgate: cannot %s %s: %s\n", what, file, strerror(errno));
    return ERR_IO;
}

int cmd_replace_lock(const char *file)
{
    int fd = file_open_folder(file);

    if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        close(fd);
        fd = -1;
    }
    if (fd < 0) {
        complain("lock the folder of", file);
    }
    return fd;
}

/* As the file that is there; a new one is the owner's alone, as mkstemp() makes it. */
static int take_over_mode(int fd, const char *file)
{
    struct stat st, own;

    if (lstat(file, &st) != 0) {
        return errno == ENOENT ? 0 : ERR_IO;
    }
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISLNK(st.st_mode) ? ELOOP : EINVAL;
        return ERR_IO;
    }
    if (fstat(fd, &own) != 0 || ((own.st_uid != st.st_uid || own.st_gid != st.st_gid) &&
                                 fchown(fd, st.st_uid, st.st_gid) != 0)) {
        return ERR_IO;
    }
    return fchmod(fd, st.st_mode & 07777) != 0 ? ERR_IO : 0;
}

int cmd_replace_file(const char *file, struct slice content)
{
    char name[PATH_MAX];

    if (snprintf(name, sizeof(name), "%s.new-XXXXXX", file) >= (int)sizeof(name)) {
        errno = ENAMETOOLONG;
        return complain("write", file);
    }
    int fd = mkostemp(name, O_CLOEXEC);

    if (fd < 0) {
        return complain("make a file beside", file);
    }
    int err = file_write(fd, content);

    if (err == 0) {
        err = take_over_mode(fd, file);
    }
    if (close(fd) != 0 || err < 0 || rename(name, file) != 0) {
        err = complain("replace", file);
        unlink(name);
        return err;
    }
    return file_sync_folder(file) < 0 ? complain("sync the folder of", file) : 0;
}
