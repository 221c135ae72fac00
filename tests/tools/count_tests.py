#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sum the results of meson (testlog.json) and pytest (junit XML) runs.

The last line is `N passed, M failed`.  A program on Check counts as its checks.  A file that is
missing (the run did not get that far) counts as one failure.
"""
import json
import re
import sys
import xml.etree.ElementTree as ElementTree

CHECKS = re.compile(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)")


def of_meson(path):
    passed = failed = 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            test = json.loads(line)
            good = test["result"] in ("OK", "EXPECTEDFAIL")
            sums = [tuple(map(int, m)) for m in CHECKS.findall(test.get("stdout") or "")]
            bad = sum(f + e for _, f, e in sums)
            if not sums or good == (bad > 0):  # no sums, or they do not tell the same story
                passed, failed = passed + good, failed + (not good)
            else:
                passed, failed = passed + sum(n for n, _, _ in sums) - bad, failed + bad
    return passed, failed


def of_junit(path):
    passed = failed = 0
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))  # a test that cannot run has failed
        passed += max(int(suite.get("tests", 0)) - bad - skipped, 0)
        failed += bad + skipped
    return passed, failed


def main():
    passed = failed = 0
    for path in sys.argv[1:]:
        try:
            good, bad = of_junit(path) if path.endswith(".xml") else of_meson(path)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            print(f"{path}: {error}")
            good, bad = 0, 1
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
