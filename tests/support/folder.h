/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of a test's own, with plain files in it. */
#pragma once

#include <sys/types.h>

void folder_make(void);
/* Valid until the call after the next. */
const char *folder_path(const char *name);
void folder_write(const char *name, const char *text, mode_t mode);
/* With all that is in it. */
void folder_remove(void);
