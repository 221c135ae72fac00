/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd.h"

#include <getopt.h>
#include <stdio.h>

/* gateway/gateway.h; not included, because its struct option is not that of getopt.h. */
int gateway_run(const char *config_file);

static const char help[] =
    "usage: jwtgate run [-c FILE]\n"
    "\n"
    "Serve in the foreground until SIGTERM or SIGINT; log to standard error.\n"
    "\n"
    "  -c, --config FILE  the configuration\n"
    "  -h, --help         this text\n"
    "\n"
    "Example\n"
    "  jwtgate run -c /etc/jwtgate/jwtgate.jsonc\n";

static const struct option long_options[] = {
    { "config", required_argument, NULL, 'c' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

int cmd_run(int argc, char **argv)
{
    const char *file = NULL;
    int c;

    while ((c = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
        switch (c) {
        case 'c': file = optarg; break;
        case 'h': fputs(help, stdout); return EXIT_YES;
        default: return cmd_usage_error("run");
        }
    }
    if (optind < argc) {
        fprintf(stderr, "jwtgate run: unexpected \"%s\"\n", argv[optind]);
        return cmd_usage_error("run");
    }
    return gateway_run(file);
}
