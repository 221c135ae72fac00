# SPDX-License-Identifier: Apache-2.0
"""What `jwtgate check` says, and the exit codes."""
import copy
import json
import os
import re
import subprocess

import pytest

from support import BINARY, ISSUER, SECRET, config_for

GOOD = config_for("127.0.0.1:9001", providers={
    "internal": {"issuer": ISSUER, "audiences": ["orders"], "algorithms": ["HS256"], "max_lifetime": "1h",
                 "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET"}}]}},
    routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": {"provider": "internal"}}})


def jwtgate(*arguments, cwd=None, **environment):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=30, cwd=cwd, check=False,
                          env=dict(os.environ, TEST_SECRET=SECRET, ASAN_OPTIONS="detect_leaks=1:exitcode=99",
                                   UBSAN_OPTIONS="halt_on_error=1:exitcode=99", **environment))


def check(scratch, text, *arguments):
    file = scratch / "jwtgate.jsonc"
    file.write_text(text if isinstance(text, str) else json.dumps(text, indent=2))
    return jwtgate("check", "-c", file, *arguments)


def changed(path, value, base=None):
    """GOOD with one value replaced; a value of None removes the key."""
    config = copy.deepcopy(base or GOOD)
    *parents, last = path.split(".")
    place = config
    for name in parents:
        place = place.setdefault(name, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return config


def test_a_good_file_is_0(scratch):
    done = check(scratch, GOOD)
    assert done.returncode == 0, done.stderr


def test_comments_are_allowed(scratch):
    done = check(scratch, "// first\n" + json.dumps(GOOD) + "/* last */\n")
    assert done.returncode == 0, done.stderr


BAD = {
    # name: (path, value, what the message must hold)
    "unknown key": ("upstream", {}, 'unknown key "upstream"; did you mean "upstreams"'),
    "unknown key deep": ("providers.internal.audience", ["x"], 'providers.internal: unknown key "audience"; did you mean "audiences"'),
    "no version": ("version", None, "version"),
    "version 2": ("version", 2, "version"),
    "no listeners": ("listeners", None, "listeners"),
    "no routes": ("routes", None, "routes"),
    "auth missing": ("routes.all.auth", None, '"auth" is missing; write "auth": "none" to make the route public'),
    "no match": ("routes.all.match", None, "match"),
    "no upstream": ("routes.all.upstream", None, "upstream"),
    "unknown upstream": ("routes.all.upstream", "nobody", "backend"),
    "unknown provider": ("routes.all.auth", {"provider": "corp"}, 'no provider "corp"; there are: internal'),
    "number without unit": ("server.timeouts", {"keep_alive": 5}, '"5s"'),
    "fraction": ("server.timeouts", {"keep_alive": "1.5s"}, "keep_alive"),
    "unit KB": ("server.limits", {"body_bytes": "10KB"}, "KiB"),
    "wrong type": ("server.workers", [], "workers"),
    "bad address": ("listeners.public.address", "somewhere", "address"),
    "no algorithms": ("providers.internal.algorithms", None, "algorithms"),
    "alg none": ("providers.internal.algorithms", ["none"], "none"),
    "mixed families": ("providers.internal.algorithms", ["HS256", "RS256"], "algorithms"),
    "no audiences": ("providers.internal.audiences", None, "audiences"),
    "no issuer": ("providers.internal.issuer", None, "issuer"),
    "secret as text": ("providers.internal.keys", [{"kid": "1", "secret": "hunter2hunter2hunter2hunter2hunter2"}], "secret"),
    "secret of a missing variable": ("providers.internal.keys", [{"kid": "1", "secret": {"env": "NO_SUCH_VARIABLE"}}], "NO_SUCH_VARIABLE"),
    "kid twice": ("providers.internal.keys", [{"kid": "1", "secret": {"env": "TEST_SECRET"}}] * 2, "kid"),
    "claim field Host": ("routes.all.claims_to_headers", {"sub": "Host"}, "Host"),
    "claim field hop-by-hop": ("routes.all.claims_to_headers", {"sub": "Connection"}, "Connection"),
    "claim field framing": ("routes.all.claims_to_headers", {"sub": "Content-Length"}, "Content-Length"),
    "claim field no token": ("routes.all.claims_to_headers", {"sub": "X User"}, "X User"),
    "two claims for one field": ("routes.all.claims_to_headers", {"sub": "X-A", "iss": "x-a"}, "claims_to_headers"),
    "a tie": ("routes.other", {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none"}, "all"),
    "a tie by a slash": ("routes", {n: {"match": {"path_prefix": p}, "upstream": "backend", "auth": "none"}
                                    for n, p in (("a", "/x"), ("b", "/x/"))}, "a"),
    "later capability": ("rate_limits", {"x": {}}, 'unknown key "rate_limits"'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_shown_with_its_place(scratch, name):
    path, value, wanted = BAD[name]
    done = check(scratch, changed(path, value))
    assert done.returncode == 1, done.stderr
    assert wanted in done.stderr, done.stderr
    assert re.search(r"jwtgate\.jsonc:\d+:\d+: error: ", done.stderr), done.stderr
    assert re.search(r"^\d+ errors?, nothing was changed$", done.stderr, re.M), done.stderr
    assert "hunter2" not in done.stderr + done.stdout


SYNTAX = {
    "trailing comma": ('{\n  "version": 1,\n}', "trailing comma"),
    "duplicate": ('{\n  "version": 1,\n  "version": 1\n}', "version"),
    "BOM": ("\ufeff{}", "byte-order mark"),
    "not closed": ('{"version": 1', ""),
    "nothing": ("", ""),
    "an array": ("[]", ""),
}


@pytest.mark.parametrize("name", SYNTAX)
def test_a_syntax_error_has_its_place(scratch, name):
    text, wanted = SYNTAX[name]
    done = check(scratch, text)
    assert done.returncode == 1, done.stderr
    assert wanted in done.stderr and re.search(r":\d+:\d+: error: ", done.stderr), done.stderr


def test_all_errors_are_listed(scratch):
    config = changed("routes.all.upstream", "nobody", changed("server.timeouts", {"keep_alive": 5}, changed("upstream", {})))
    done = check(scratch, config)
    assert "3 errors, nothing was changed" in done.stderr, done.stderr


def test_the_place_is_the_keys(scratch):
    done = check(scratch, '{\n  "version": 1,\n  "listener": {}\n}')
    assert "jwtgate.jsonc:3:3: error:" in done.stderr, done.stderr
    assert '   3 |   "listener": {}' in done.stderr


def test_print_shows_the_effective_configuration(scratch):
    done = check(scratch, GOOD, "--print")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout and "<env TEST_SECRET>" in done.stdout
    for default in ('"32KiB"', '"10MiB"', '"30s"'):
        assert default in done.stdout
    assert json.loads(done.stdout)["version"] == 1


def test_json_lists_the_errors(scratch):
    done = check(scratch, changed("upstream", {}), "--json")
    assert done.returncode == 1
    row = json.loads(done.stdout)[0]
    assert set(row) >= {"file", "line", "column", "severity", "path", "message"}
    assert row["severity"] == "error"


def test_strict_makes_warnings_errors(scratch):
    config = changed("admin.address", "0.0.0.0:9901")
    done = check(scratch, config)
    assert done.returncode == 0 and "warning" in done.stderr, done.stderr
    done = check(scratch, config, "--strict")
    assert done.returncode == 1 and "admin.address" in done.stderr, done.stderr


def test_quiet_says_nothing_about_a_good_file(scratch):
    done = check(scratch, GOOD, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_secret_that_is_short_is_an_error(scratch):
    file = scratch / "short"
    file.write_text("short")
    file.chmod(0o600)
    done = check(scratch, changed("providers.internal.keys", [{"kid": "1", "secret": {"file": "short"}}]))
    assert done.returncode == 1 and "32" in done.stderr


def test_a_secret_file_that_others_can_read_is_an_error(scratch):
    file = scratch / "open"
    file.write_text(SECRET)
    file.chmod(0o644)
    done = check(scratch, changed("providers.internal.keys", [{"kid": "1", "secret": {"file": "open"}}]))
    assert done.returncode == 1, done.stderr


def test_a_small_rsa_key_is_an_error(scratch):
    from support import RsaKey
    (scratch / "small.pem").write_bytes(RsaKey("x", 1024).public_pem())
    provider = {"issuer": "i", "audiences": ["a"], "algorithms": ["RS256"], "keys": [{"kid": "x", "public_key_file": "small.pem"}]}
    done = check(scratch, changed("providers.other", provider))
    assert done.returncode == 1 and "2048" in done.stderr


def test_include_unites_maps_and_refuses_a_name_twice(scratch):
    (scratch / "conf.d").mkdir()
    part = {"routes": {"extra": {"match": {"path_prefix": "/extra"}, "upstream": "backend", "auth": "none"}}}
    (scratch / "conf.d" / "a.jsonc").write_text(json.dumps(part))
    assert check(scratch, changed("include", ["conf.d/*.jsonc"])).returncode == 0
    (scratch / "conf.d" / "b.jsonc").write_text(json.dumps(part))
    done = check(scratch, changed("include", ["conf.d/*.jsonc"]))
    assert done.returncode == 1 and "extra" in done.stderr and "a.jsonc" in done.stderr


def test_a_missing_file_is_3(scratch):
    for command in ("check", "run"):
        assert jwtgate(command, "-c", scratch / "none.jsonc").returncode == 3


def test_a_bad_file_does_not_start(scratch):
    file = scratch / "bad.jsonc"
    file.write_text('{"version": 1}')
    done = jwtgate("run", "-c", file)
    assert done.returncode == 1 and "listeners" in done.stderr


def test_wrong_usage_is_2(scratch):
    for arguments in ((), ("nonsense",), ("check", "--nonsense"), ("run", "-c")):
        assert jwtgate(*arguments, cwd=scratch).returncode == 2, arguments


def test_version_and_help(scratch):
    for arguments in (("--version",), ("version",)):
        done = jwtgate(*arguments)
        assert done.returncode == 0 and re.match(r"jwtgate \d+\.\d+\.\d+", done.stdout)
    for arguments in (("--help",), ("help",)):
        done = jwtgate(*arguments)
        assert done.returncode == 0 and "check" in done.stdout


def test_the_file_is_found_in_the_current_folder(scratch):
    (scratch / "jwtgate.jsonc").write_text(json.dumps(GOOD))
    assert jwtgate("check", cwd=scratch).returncode == 0


def test_the_demo_makes_what_it_needs_and_its_lines_work(scratch):
    import signal
    import time
    log = open(scratch / "out", "wb")
    demo = subprocess.Popen([BINARY, "demo", "--dir", "d", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], cwd=scratch,
                            stdout=log, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 30
        while b"Stop with" not in (scratch / "out").read_bytes() and time.monotonic() < end and demo.poll() is None:
            time.sleep(0.05)
        text = (scratch / "out").read_text()
        lines = re.findall(r"^  (curl .*)\n\s+# (\d+)", text, re.M)
        assert len(lines) >= 5, text
        for line, status in lines:
            done = subprocess.run(["sh", "-c", line], cwd=scratch, capture_output=True, text=True, timeout=60, check=False)
            assert done.stdout.startswith(f"HTTP/1.1 {status} "), (line, done)
            if line.endswith("/hs") and status == "200":
                body = json.loads(done.stdout.split("\r\n\r\n", 1)[1] if "\r\n\r\n" in done.stdout else done.stdout.split("\n\n", 1)[1])
                assert {"name": "x-user-id", "value": "alice"} in body["headers"]
                assert not [h for h in body["headers"] if h["name"] == "authorization"]
            if line.endswith("/oauth2/token"):
                token = re.search(r'"access_token":"([^"]+)"', done.stdout).group(1)
                address = re.search(r"http://[0-9.:]+", line).group(0)
                done = subprocess.run(["curl", "-i", "-H", f"Authorization: Bearer {token}", address + "/admin"],
                                      capture_output=True, text=True, timeout=60, check=False)
                assert done.stdout.startswith("HTTP/1.1 200 "), done
        assert any(line.endswith("/oauth2/token") for line, _ in lines)
        for name in ("hs256.secret", "rs256.pem", "hs256.token", "client.secret", "clients.jsonc"):
            assert (scratch / "d" / name).stat().st_mode & 0o077 == 0
        done = jwtgate("check", "--strict", "-c", scratch / "d" / "jwtgate.jsonc")
        assert done.returncode == 0, done.stderr
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(30) == 0
    finally:
        demo.kill()
        demo.wait()
