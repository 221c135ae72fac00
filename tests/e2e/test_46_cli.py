# SPDX-License-Identifier: Apache-2.0
"""The commands: what check warns of."""
import copy
import json
import os
import subprocess

import pytest

from support import BINARY, ISSUER, SECRET, config_for

OTHER_SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef"
WEAK_SECRET = "abcd" * 12
FLAT_SECRET = "aaaaaaaaaaaaaaaaaabaaaaaaaaaaaaaaaaaacdaaaa"
BASE = config_for("127.0.0.1:9001", providers={
    "internal": {"issuer": ISSUER, "audiences": ["orders"], "algorithms": ["HS256"], "max_lifetime": "1h",
                 "keys": [{"kid": "1", "secret": {"env": "SECRET_1"}}]}},
    routes={"orders": {"match": {"path_prefix": "/orders"}, "upstream": "backend", "auth": {"provider": "internal"}}})
BASE["upstreams"]["other"] = {"targets": ["127.0.0.1:9002"]}
BASE["admin"] = {"address": "127.0.0.1:9901"}


def jwtgate(*arguments, stdin=None, cwd=None, **environment):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=cwd,
                          check=False, input=stdin,
                          env=dict(os.environ, SECRET_1=SECRET, SECRET_2=OTHER_SECRET, WEAK=WEAK_SECRET,
                                   FLAT=FLAT_SECRET, ASAN_OPTIONS="detect_leaks=1:exitcode=99",
                                   UBSAN_OPTIONS="halt_on_error=1:exitcode=99", **environment))


def changed(*changes):
    """BASE with (path, value) set in turn; None removes."""
    config = copy.deepcopy(BASE)
    for path, value in changes:
        *parents, last = path.split(".")
        place = config
        for name in parents:
            place = place.setdefault(name, {})
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    return config


def write(scratch, config):
    file = scratch / "jwtgate.jsonc"
    file.write_text(json.dumps(config, indent=2))
    return file


# --- check: the lint ---------------------------------------------------------------------------


def hs(secret, kid="1", **more):
    return dict({"issuer": "https://two.test/", "audiences": ["two"], "algorithms": ["HS256"], "max_lifetime": "1h",
                 "keys": [{"kid": kid, "secret": {"env": secret}}]}, **more)


def rs(file, **more):
    return dict({"issuer": "https://rsa.test/", "audiences": ["two"], "algorithms": ["RS256"], "max_lifetime": "1h",
                 "keys": [{"kid": "r", "public_key_file": file}]}, **more)


def route(path, upstream="backend", auth="none", **more):
    return dict({"match": {"path_prefix": path}, "upstream": upstream, "auth": auth}, **more)


KEY_2 = {"kid": "2", "secret": {"env": "SECRET_2"}}
KEY_1_AGAIN = {"kid": "2", "secret": {"env": "SECRET_1"}}
KEYS = "providers.internal.keys"
INTERNAL = {"provider": "internal"}
SCOPED = {"provider": "internal", "scopes": ["a"]}

# rule: (what it points at, a configuration that triggers it, its neighbours that do not)
LINT = {
    "hs-secret-shared": [
        (KEYS, [(KEYS, [BASE["providers"]["internal"]["keys"][0], KEY_1_AGAIN])],
         [(KEYS, [BASE["providers"]["internal"]["keys"][0], KEY_2])]),
        ("providers.two.keys", [("providers.two", hs("SECRET_1"))], [("providers.two", hs("SECRET_2"))]),
        ("providers.internal.audiences", [("providers.internal.audiences", ["a", "b"])],
         [("providers.internal.audiences", ["a"])]),
    ],
    "audience-any": [
        ("providers.internal.audiences", [("providers.internal.audiences", "any")],
         [("providers.internal.audiences", ["any"])]),
    ],
    "audience-shared-across-upstreams": [
        ("providers.internal.audiences", [("routes.x", route("/x", "other", INTERNAL))],
         [("routes.x", route("/x", "backend", INTERNAL))]),
        ("providers.internal.audiences",
         [("routes.x", route("/x", "other", SCOPED))],
         [("routes.x", route("/x", "other", SCOPED)), ("routes.orders.auth", SCOPED)]),
    ],
    "lifetime-unbounded": [
        ("providers.internal", [("providers.internal.max_lifetime", None)], []),
        ("providers.internal.max_lifetime", [("providers.internal.max_lifetime", "25h")],
         [("providers.internal.max_lifetime", "24h")]),
    ],
    "token-in-query": [
        ("providers.internal.token", [("providers.internal.token", {"query": "access_token"})],
         [("providers.internal.token", {"header": "X-Token"})]),
    ],
    "token-in-cookie": [
        ("providers.internal.token", [("providers.internal.token", {"cookie": "session"})],
         [("providers.internal.token", {"header": "X-Token"})]),
    ],
    "public-under-protected": [
        ("routes.x", [("routes.x", route("/orders/x", "other"))], [("routes.x", route("/ordersx", "other"))]),
        ("routes.x", [("routes.x", dict(route("/"), match={"exact": "/orders/x"}))],
         [("routes.x", dict(route("/"), match={"exact": "/orders-x"}))]),
    ],
    "claim-header-on-public-upstream": [
        ("routes.x",
         [("routes.x", route("/x")), ("routes.orders.claims_to_headers", {"sub": "X-User"})],
         [("routes.x", route("/x", "other")), ("routes.orders.claims_to_headers", {"sub": "X-User"})]),
        ("routes.x",
         [("routes.x", route("/x")), ("routes.orders.claims_to_headers", {"sub": "X-User"})],
         [("routes.x", route("/x"))]),
    ],
    "same-key-two-providers": [
        ("providers.b.keys", [("providers.a", rs("a.pem")), ("providers.b", rs("a.pem"))],
         [("providers.a", rs("a.pem")), ("providers.b", rs("b.pem"))]),
    ],
    "weak-secret": [
        ("providers.two.keys", [("providers.two", hs("WEAK"))], [("providers.two", hs("SECRET_2"))]),
        ("providers.two.keys", [("providers.two", hs("FLAT"))], [("providers.two", hs("SECRET_2"))]),
    ],
    "admin-public": [
        ("admin.address", [("admin.address", "0.0.0.0:9901")], [("admin.address", "[::1]:9901")]),
    ],
}
CASES = [pytest.param(rule, *case, id=f"{rule}-{i}") for rule, cases in LINT.items() for i, case in enumerate(cases)]


@pytest.fixture
def keys(scratch):
    for name in ("a", "b"):
        subprocess.run(["openssl", "genrsa", "-out", scratch / f"{name}.key", "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", scratch / f"{name}.key", "-pubout", "-out", scratch / f"{name}.pem"],
                       check=True, capture_output=True)
    return scratch


def rules(done):
    return [(row["rule"], row["path"]) for row in json.loads(done.stdout) if row.get("rule")]


def test_the_base_has_no_warning(scratch):
    done = jwtgate("check", "--strict", "-c", write(scratch, BASE))
    assert (done.returncode, done.stdout) == (0, "") and "warning" not in done.stderr, done.stderr


@pytest.mark.parametrize("rule, place, bad, good", CASES)
def test_lint(scratch, request, rule, place, bad, good):
    if rule == "same-key-two-providers":
        request.getfixturevalue("keys")
    done = jwtgate("check", "--json", "-c", write(scratch, changed(*bad)))
    assert done.returncode == 0, done.stdout
    assert rules(done) == [(rule, place)], done.stdout
    row = json.loads(done.stdout)[0]
    assert row["line"] > 1 and row["column"] >= 1 and row["message"] and row["remedy"]
    assert jwtgate("check", "--strict", "--quiet", "-c", scratch / "jwtgate.jsonc").returncode == 1
    done = jwtgate("check", "--strict", "--json", "-c", write(scratch, changed(*good)))
    assert done.returncode == 0 and rules(done) == [], done.stdout


def test_the_lint_shows_rule_place_and_no_secret(scratch):
    done = jwtgate("check", "--strict", "-c", write(scratch, changed(("providers.two", hs("WEAK")))))
    assert done.returncode == 1
    assert "[weak-secret]" in done.stderr and "jwtgate.jsonc:" in done.stderr and "openssl rand" in done.stderr
    assert WEAK_SECRET not in done.stderr and "1 error, nothing was changed" in done.stderr


# --- help, completion, version -----------------------------------------------------------------


def command_names():
    text = jwtgate("help").stdout
    return [line.split()[0] for line in text.split("Commands\n")[1].split("\n\n")[0].splitlines()]


def test_each_command_has_help_that_fits_a_screen():
    for name in command_names():
        done = jwtgate("help", name)
        assert done.returncode == 0 and done.stdout == jwtgate(name, "--help").stdout
        lines = done.stdout.splitlines()
        assert done.stdout.startswith(f"usage: jwtgate {name}") and len(lines) <= 40
        assert all(len(line) <= 90 for line in lines), done.stdout


def test_wrong_usage_is_2_and_says_where_help_is():
    for arguments in (["check", "--nope"], ["check", "-x"], ["check", "x"], ["check", "-c"], ["check", "--strict=1"],
                      ["completion", "csh"], ["completion"], ["version", "x"]):
        done = jwtgate(*arguments)
        assert done.returncode == 2 and f"Try: jwtgate help {arguments[0]}" in done.stderr and not done.stdout
    assert jwtgate("help", "nope").returncode == 2 and jwtgate("nope").returncode == 2 and jwtgate().returncode == 2


def test_options_can_be_written_in_all_usual_ways(scratch):
    file = write(scratch, BASE)
    for arguments in (["-c", file], [f"-c{file}"], ["--config", file], [f"--config={file}"]):
        assert jwtgate("check", "--quiet", *arguments).returncode == 0
    assert jwtgate("check", "-qc", file).returncode == 2  # -q is long only


def test_bash_completes_commands_and_options(scratch):
    file = scratch / "completion"
    file.write_text(jwtgate("completion", "bash").stdout)
    script = (f'. {file}; COMP_WORDS=(jwtgate che); COMP_CWORD=1; _jwtgate; echo "${{COMPREPLY[@]}}";'
              'COMP_WORDS=(jwtgate check --st); COMP_CWORD=2; _jwtgate; echo "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["check", "--strict"]


def test_other_shells_get_every_command_and_option():
    for shell in ("zsh", "fish"):
        done = jwtgate("completion", shell)
        assert done.returncode == 0
        for name in command_names():
            assert name in done.stdout
        assert "strict" in done.stdout


def test_version_says_what_it_was_built_with():
    assert jwtgate("version").stdout == jwtgate("--version").stdout
    assert "OpenSSL 3" in jwtgate("version", "-v").stdout


# --- routes ------------------------------------------------------------------------------------


def test_routes_shows_what_is_exposed(scratch):
    file = write(scratch, changed(("routes.open", dict(route("/"), match={"exact": "/open", "methods": ["GET"]})),
                                  ("routes.some", route("/some", "other", {"optional": SCOPED})),
                                  ("routes.orders.auth", {"any_of": [SCOPED, INTERNAL]})))
    done = jwtgate("routes", "-c", file)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["open", "orders", "internal:", "some"]
    assert lines[1].split() == ["open", "any", "/open", "GET", "backend", "PUBLIC"]
    assert lines[2].endswith(f"internal: iss {ISSUER}, aud orders, scope a")
    assert "PUBLIC, or internal" in lines[4]
    rows = json.loads(jwtgate("routes", "--json", "-c", file).stdout)
    assert [(r["route"], r["public"], len(r["auth"])) for r in rows] == [("open", True, 0), ("orders", False, 2), ("some", True, 1)]
    assert rows[0]["exact"] == "/open" and rows[0]["methods"] == ["GET"] and rows[1]["path_prefix"] == "/orders"
    assert rows[1]["auth"][0] == {"provider": "internal", "issuer": ISSUER, "audiences": ["orders"], "scopes": ["a"],
                                  "any_scope": False, "claims": []}


def test_commands_without_a_configuration_are_3(scratch):
    done = jwtgate("routes", cwd=scratch)
    assert done.returncode == 3 and "jwtgate.jsonc" in done.stderr
    assert jwtgate("routes", "-c", write(scratch, changed(("version", 2)))).returncode == 1
