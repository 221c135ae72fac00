/* SPDX-License-Identifier: Apache-2.0 */
/* Files that commands change while a gateway may read them: whoever opens one finds the old text or the
 * new one, also after a loss of power, and of two commands at once one waits for the other. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

/* Keep other commands from changing files in the file's folder, which must exist; -1: said on stderr.
 * Close it when the change is made. */
int cmd_replace_lock(const char *file);
/* Put `content` in the place of the file, or make it (mode 0600).  Owner and mode stay what they were; a
 * symbolic link is refused.  Said on stderr: ERR_IO. */
int cmd_replace_file(const char *file, struct slice content) MUST_CHECK;
