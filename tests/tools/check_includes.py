#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the source tree that a compiler does not hold: who may include whom, where a library may
be named, what may not be called, no path of a building machine.  check_includes.py ROOT"""
import pathlib
import re
import sys

# Who may include what, by prefix.
MAY_INCLUDE = {
    "core": ("core/",),
    "plugins": ("core/", "plugins/"),
    "gateway": ("core/", "gateway/", "plugins/plugin.h"),
}
# version.h is made by the build.
ANYONE = ("version.h",)
# Commands are the program's edge: they may use what the plugins are made of (the demo signs
# tokens); the registry names the list of built-in plugins and nothing else.
EXCEPTIONS = {
    "gateway/registry.c": ("plugins/builtin.h",),
}
COMMANDS_MAY = ("plugins/",)

# Each library is named in one place.
LIBRARIES = {
    "event2/": ("core/loop.", "core/stream.", "core/resolve.", "core/fetch."),
    "yajl/": ("core/json.c",),
    "openssl/ssl": ("core/tls.", "core/tls_"),
    "openssl/": ("plugins/", "gateway/cmd_", "gateway/access_log.", "gateway/admin_token.", "core/tls.", "core/tls_"),
    "curl/": ("core/fetch.",),
    "hiredis/": ("core/redis_wire.",),
    "lmdb.h": ("plugins/revocation/local_lmdb.",),
}

FORBIDDEN_CALLS = ("strcpy strcat sprintf vsprintf gets strtok strtok_r atoi atol alloca assert sleep "
                   "usleep getaddrinfo").split()
CALL = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN_CALLS) + r")\s*\(")
EXIT = re.compile(r"(?<![\w.>])_?exit\s*\(")
MALLOC_PRODUCT = re.compile(r"\b(?:malloc|realloc)\s*\([^;]*\w\s\*\s\w")
# A folder that is one machine's own: somebody's home; machine_paths() adds where this tree lies.
HOME = r"/(?:root/|home/\w)"
SHARED_BY_ALL = ("/", "/tmp", "/usr/src", "/usr/local/src", "/opt", "/srv", "/var/tmp")
# Under tests/: built by tests/fuzz/meson.build by its folder's list, and by the bench itself.
TOOLS_BUILT_ELSEWHERE = ("fuzz/", "bench/")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(match):
    """Keep the line numbers."""
    return re.sub(r"[^\n]", " ", match.group(0))


def may_include(path, name):
    area = path.split("/")[0]
    allowed = MAY_INCLUDE.get(area)
    if allowed is None or name in ANYONE:
        return True
    if path.startswith("gateway/cmd_"):
        allowed = allowed + COMMANDS_MAY
    return name.startswith(allowed + EXCEPTIONS.get(path, ()))


def may_name(path, name):
    for library, places in LIBRARIES.items():
        if name.startswith(library):
            return path.startswith(("tests/",) + places)
    return True


def check_c(path, text, report):
    lines = text.split("\n")
    if lines[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
        report(1, "the first line is not the licence line")
    if path.endswith(".h") and "#pragma once" not in text:
        report(1, "no #pragma once")
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        name = found.group(1)
        if re.match(r'\s*#\s*include\s+"', line):
            if "/" not in name and name not in ANYONE and not path.startswith("tests/"):
                report(number, f'"{name}" is not a full path')
            elif not may_include(path, name):
                report(number, f'{path.split("/")[0]}/ may not include "{name}"')
        elif not may_name(path, name):
            report(number, f"<{name}> may not be named here")
        if name == "assert.h" and "static_assert" not in text:
            report(number, "assert(3) is not used: require() or bug_if()")
    code = COMMENT_OR_TEXT.sub(blank, text)
    for number, line in enumerate(code.split("\n"), 1):
        found = CALL.search(line)
        if found and not (path.startswith("tests/") and found.group(1) in ("usleep", "getaddrinfo")):
            report(number, f"{found.group(1)}() is forbidden")
        if EXIT.search(line) and path != "gateway/main.c" and not path.startswith("tests/"):
            report(number, "exit() belongs to main.c")
        if MALLOC_PRODUCT.search(line):
            report(number, "malloc of a product: calloc checks for overflow")
        if len(line) > 0 and "\t" in line:
            report(number, "a tab")
    for number, line in enumerate(lines, 1):
        if len(line) > 120:
            report(number, "longer than 120 columns")


def check_listed(root, report):
    """Each C file is built: it is named in the meson.build of its area."""
    for area in ("core", "plugins", "gateway", "tests"):
        listed = (root / area / "meson.build").read_text(encoding="utf-8")
        for file in sorted((root / area).rglob("*.c")):
            path = file.relative_to(root / area).as_posix()
            name = f"/{file.stem[len('test_'):]}'" if path.startswith("unit/") else f"{path}'"
            if not path.startswith(TOOLS_BUILT_ELSEWHERE) and name not in listed:
                report(f"{area}/{path}:1: is in no meson.build")


def machine_paths(root):
    """What no file may contain: the home folders, this tree's own place and the folder around it."""
    place = root.resolve()
    folders = [f for f in (str(place), str(place.parent)) if f not in SHARED_BY_ALL]
    return re.compile("|".join([HOME] + [re.escape(f) + "/" for f in folders]))


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    errors = []
    machine = machine_paths(root)
    files = [p for area in ("core", "plugins", "gateway", "tests") for p in (root / area).rglob("*")]
    files += list(root.glob("*.md")) + [root / "meson.build", root / "dev", root / ".ci" / "run"]
    for file in sorted(p for p in files if p.is_file()):
        path = file.relative_to(root).as_posix()
        if "/corpus/" in path or "/node_modules/" in path or "__pycache__" in path:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue

        def report(line, what, path=path):
            errors.append(f"{path}:{line}: {what}")

        for number, line in enumerate(text.split("\n"), 1):
            if machine.search(line):
                report(number, "a path of a machine")
        if path.endswith((".c", ".h")):
            check_c(path, text, report)
    check_listed(root, errors.append)
    print("\n".join(errors + [f"{len(errors)} errors"]))
    return 1 if errors else 0


sys.exit(main())
