/* SPDX-License-Identifier: Apache-2.0 */
/* The file of clients, as `jwtgate client` reads and changes it.  Mistakes are said on stderr. */
#pragma once

#include "core/diag.h"
#include "plugins/issuer/clients.h"

struct cmd_clients {
    const char *file;
    char *file_memory; /* NULL: the file is an argument */
    int lock;          /* of its folder; -1: none */
    struct diag diag;
    struct arena arena;
    char *text;
    size_t len;
    struct clients *clients;
};

struct cmd_clients_wish {
    const char *file;    /* NULL: the one that the configuration names */
    const char *config;  /* NULL: the default places */
    bool changes;        /* nobody else shall change it meanwhile */
    bool may_be_missing; /* then it is one without clients */
};

/* An exit code of cmd.h.  To be closed in any case. */
int cmd_clients_open(struct cmd_clients *book, const struct cmd_clients_wish *wish);
/* Put `text` in the file's place, if it is as good as what is there. */
int cmd_clients_replace(struct cmd_clients *book, const char *text);
void cmd_clients_close(struct cmd_clients *book);
