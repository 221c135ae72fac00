/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/issuer_fixture.h"

#include "core/clock.h"
#include "plugins/builtin.h"
#include "plugins/issuer/client_endpoints.h"

#include <check.h>

#include <stdio.h>

#include "tests/support/folder.h"

struct fake_host issuer_host;

void issuer_fixture_setup(const char *clients)
{
    char text[1024];

    folder_make();
    folder_write("key", "0123456789abcdef0123456789abcdef", 0600);
    snprintf(text, sizeof(text), "{\"clients\":{%s}}", clients);
    folder_write("clients.jsonc", text, 0600);
    clock_set(1000, UINT64_C(1800000000000000));
}

void issuer_fixture_load(const char *use, const char *more)
{
    static const struct gw_plugin *const plugins[] = { &issuer_plugin, &revocation_plugin,
                                                       &client_endpoints_plugin, NULL };
    char text[1024];

    snprintf(text, sizeof(text),
             "{\"token_issuer\":{\"issuer\":\"https://i.test\",\"access_token\":{\"algorithm\":"
             "\"HS256\"},\"signing_keys\":[{\"key_file\":\"%s\",\"use\":\"%s\"}],"
             "\"clients_file\":\"%s\"}%s}",
             folder_path("key"), use, folder_path("clients.jsonc"), more);
    unsigned errors = fake_host_load(&issuer_host, plugins, text);

    if (errors > 0) {
        diag_print(&issuer_host.diag, stderr);
    }
    ck_assert_uint_eq(errors, 0);
}

void issuer_fixture_teardown(void)
{
    fake_host_done(&issuer_host);
    folder_remove();
    clock_unset();
}
