#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone.  header_alone.py ROOT"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys


def compile_alone(root, header):
    flags = subprocess.run(["pkg-config", "--cflags", "libcrypto", "libevent", "yajl"],
                           capture_output=True, text=True, check=False).stdout.split()
    done = subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra",
                           "-Wno-unused-parameter", "-Werror", "-I", str(root), *flags,
                           "-fsyntax-only", "-x", "c", "-"],
                          input=f'#include "{header}"\n', capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    headers = sorted(p.relative_to(root).as_posix() for area in ("core", "plugins", "gateway")
                     for p in (root / area).rglob("*.h"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = [e for e in pool.map(lambda h: compile_alone(root, h), headers) if e]
    print("".join(errors) + f"{len(headers)} headers, {len(errors)} do not compile alone")
    return 1 if errors or not headers else 0


sys.exit(main())
