/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/identity.h"

#define ID_BYTES sizeof(((struct redis_identity *)0)->run_id)

/* The value behind "name:" in an INFO text. */
static void read_info(struct slice text, const char *name, char ret_value[ID_BYTES])
{
    size_t len = strlen(name);

    ret_value[0] = '\0';
    for (size_t i = 0; i + len < text.len; i++) {
        if ((i == 0 || text.ptr[i - 1] == '\n') && memcmp(text.ptr + i, name, len) == 0 &&
            text.ptr[i + len] == ':') {
            size_t used = 0;
            for (i += len + 1;
                 i < text.len && text.ptr[i] != '\r' && text.ptr[i] != '\n' && used + 1 < ID_BYTES;
                 i++) {
                ret_value[used++] = text.ptr[i];
            }
            ret_value[used] = '\0';
            return;
        }
    }
}

static bool take_id(char known[ID_BYTES], struct slice info, const char *name)
{
    char value[ID_BYTES];

    read_info(info, name, value);
    bool is_other = strcmp(known, value) != 0;
    memcpy(known, value, ID_BYTES);
    return is_other;
}

bool redis_identity_take(struct redis_identity *identity, struct slice info)
{
    bool is_other = take_id(identity->run_id, info, "run_id");

    is_other |= take_id(identity->replication_id, info, "master_replid");
    is_other |= take_id(identity->role, info, "role");
    return is_other;
}
