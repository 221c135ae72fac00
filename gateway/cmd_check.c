/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/check.h"
#include "gateway/cmd.h"

#include <getopt.h>
#include <stdio.h>

static const char help[] =
    "usage: jwtgate check [-c FILE] [--strict] [--print] [--quiet] [--json]\n"
    "\n"
    "Read a configuration and say all that is wrong with it.  Nothing is started.\n"
    "\n"
    "  -c, --config FILE  the configuration\n"
    "      --strict       warnings are errors\n"
    "      --print        print the configuration with all defaults; secrets as their source\n"
    "      --quiet        only the exit code\n"
    "      --json         messages as a JSON array on standard output\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit codes: 0 valid, 1 invalid, 2 wrong usage, 3 no such file\n"
    "\n"
    "Examples\n"
    "  jwtgate check\n"
    "  jwtgate check -c jwtgate.jsonc --print > effective.json\n";

static const struct option long_options[] = {
    { "config", required_argument, NULL, 'c' },
    { "strict", no_argument, NULL, 's' },
    { "print", no_argument, NULL, 'p' },
    { "quiet", no_argument, NULL, 'q' },
    { "json", no_argument, NULL, 'j' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

int cmd_check(int argc, char **argv)
{
    struct check_request request = { .file = NULL };
    int c;

    while ((c = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
        switch (c) {
        case 'c': request.file = optarg; break;
        case 's': request.strict = true; break;
        case 'p': request.print = true; break;
        case 'q': request.quiet = true; break;
        case 'j': request.json = true; break;
        case 'h': fputs(help, stdout); return EXIT_YES;
        default: return cmd_usage_error("check");
        }
    }
    if (optind < argc) {
        fprintf(stderr, "jwtgate check: unexpected \"%s\"\n", argv[optind]);
        return cmd_usage_error("check");
    }
    return check_config(&request);
}
