# SPDX-License-Identifier: Apache-2.0
"""The commands: the lint, help, routes, keys, tokens."""
import base64
import copy
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import uuid

import pytest
from jwcrypto import jwk, jwt

from support import BINARY, ISSUER, ROOT, SECRET, config_for, free_port, wait_until

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


# --- what is printed ---------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["fmt", "jwtgate.jsonc"], ["routes"], ["keys", "list"], ["help"]], ids=lambda each: each[0])
def test_output_that_is_lost_is_no_success(scratch, arguments):
    """Else a full disk would cost whoever does `jwtgate fmt x > y && mv y x` the file."""
    write(scratch, BASE)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BINARY, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, cwd=scratch,
                              check=False, env=dict(os.environ, SECRET_1=SECRET))
    assert done.returncode == 3 and "cannot write standard output: No space left" in done.stderr, done.stderr


def test_what_would_go_to_a_closed_output_goes_nowhere_else(scratch):
    """Else the next file or socket has its number."""
    config = changed(("admin", {"address": f"127.0.0.1:{free_port()}"}))
    port = int(config["listeners"]["public"]["address"].rsplit(":", 1)[1])
    file = write(scratch, config)
    process = subprocess.Popen(["sh", "-c", 'exec "$0" run -c "$1" <&- >&- 2>&-', BINARY, file],
                               env=dict(os.environ, SECRET_1=SECRET))
    try:
        wait_until(lambda: not_refused(port), what="the gateway listens")
        for fd in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == "/dev/null"
    finally:
        process.terminate()
        assert process.wait(30) == 0
    done = subprocess.run(["sh", "-c", 'exec "$0" fmt "$1" >&-', BINARY, file], stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False)
    assert done.returncode == 3 and "cannot write standard output" in done.stderr, done.stderr


def not_refused(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


# --- check: the lint ---------------------------------------------------------------------------


def hs(secret, kid="1", **more):
    return dict({"issuer": "https://two.test/", "audiences": ["two"], "algorithms": ["HS256"], "max_lifetime": "1h",
                 "keys": [{"kid": kid, "secret": {"env": secret}}]}, **more)


def rs(file, **more):
    return dict({"issuer": "https://rsa.test/", "audiences": ["two"], "algorithms": ["RS256"], "max_lifetime": "1h",
                 "keys": [{"kid": "r", "public_key_file": file}]}, **more)


def web(uri):
    return {"issuer": "https://web.test/", "audiences": ["web"], "algorithms": ["RS256"], "max_lifetime": "1h",
            "jwks": {"uri": uri, "allow_http": True}}


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
    "jwks-over-http": [
        ("providers.web.jwks", [("providers.web", web("http://keys.test/set"))], [("providers.web", web("https://keys.test/set"))]),
    ],
    "revocation-off": [
        ("routes.orders", [("revocation", {}), ("server.state_dir", "."), ("routes.orders.auth", dict(INTERNAL, revocation="off"))],
         [("revocation", {}), ("server.state_dir", "."), ("routes.orders.auth", dict(INTERNAL, revocation="strict"))]),
    ],
    "revocation-fail-open-writes": [
        ("routes.orders", [("revocation", {"on_unavailable": "allow"}), ("server.state_dir", ".")],
         [("revocation", {"on_unavailable": "deny"}), ("server.state_dir", ".")]),
        ("routes.orders", [("revocation", {"on_unavailable": "allow"}), ("server.state_dir", "."),
                           ("routes.orders.match.methods", ["GET", "PUT"])],
         [("revocation", {"on_unavailable": "allow"}), ("server.state_dir", "."), ("routes.orders.match.methods", ["GET"])]),
    ],
    "skew-too-large": [
        ("providers.internal.clock_skew", [("providers.internal.clock_skew", "301s")],
         [("providers.internal.clock_skew", "5m")]),
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


def test_every_rule_has_a_case():
    text = "".join(file.read_text() for folder in ("core", "plugins", "gateway") for file in (ROOT / folder).rglob("*.c"))
    named = {rule for argument in re.findall(r"diag_lint\([^,]*,([^,]*),", text) for rule in re.findall(r'"([a-z-]+)"', argument)}
    tls = "".join(file.read_text() for file in pathlib.Path(__file__).parent.glob("test_5*_tls*.py"))
    assert set(LINT) | {rule for rule in named if f'"{rule}"' in tls} == named


@pytest.mark.parametrize("file", sorted((ROOT / "conf").glob("*.jsonc")), ids=lambda file: file.name)
def test_what_is_shipped_has_no_warning(file):
    done = jwtgate("check", "--strict", "-c", file, JWTGATE_HS256_SECRET=SECRET)
    assert done.returncode == 0, done.stderr


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
        assert all(len(line) <= 84 for line in lines), done.stdout


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


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("arguments", ["check -c", "fmt", "client list -f", "client add a -f", "client remove a -f",
                                       "keys jwks", "keys thumbprint", "token issue --key", "token inspect --token-file"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(scratch, kind, arguments):
    file = pathlib.Path("/dev/zero") if kind == "device" else scratch / kind
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    done = jwtgate(*arguments.split(), file)
    assert done.returncode in (1, 3) and "not a regular file" in done.stderr and done.stdout == "", done


def test_commands_without_a_configuration_are_3(scratch):
    done = jwtgate("routes", cwd=scratch)
    assert done.returncode == 3 and "jwtgate.jsonc" in done.stderr
    assert jwtgate("routes", "-c", write(scratch, changed(("version", 2)))).returncode == 1


# --- keys --------------------------------------------------------------------------------------

ALGORITHMS = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
              "EdDSA"]


def generate(scratch, alg, *more):
    """What `keys generate` says about the key that it made."""
    done = jwtgate("keys", "generate", "--alg", alg, "-o", f"{alg}.pem", "--json", *more, cwd=scratch)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def jwk_of(scratch, made):
    """The private key, for jwcrypto."""
    text = (scratch / made["file"]).read_bytes()
    if made["alg"].startswith("HS"):
        return jwk.JWK(kty="oct", k=base64.urlsafe_b64encode(text.strip()).rstrip(b"=").decode())
    return jwk.JWK.from_pem(text)


def test_a_private_key_is_for_its_owner_alone(scratch):
    os.umask(0o022)
    made = generate(scratch, "ES256")
    assert made["file"] == "ES256.pem" and made["public_file"] == "ES256.pub.pem"
    assert (scratch / "ES256.pem").stat().st_mode & 0o777 == 0o600
    assert (scratch / "ES256.pub.pem").stat().st_mode & 0o777 == 0o644
    assert generate(scratch, "HS256").get("public_file") is None
    assert (scratch / "HS256.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_written_over_what_exists(scratch):
    (scratch / "there.pem").write_text("precious")
    (scratch / "target").write_text("precious")
    (scratch / "link.pem").symlink_to("target")
    (scratch / "dangling.pem").symlink_to("nowhere")
    (scratch / "half.pub.pem").write_text("precious")
    for name in ("there.pem", "link.pem", "dangling.pem", "half.pem"):
        for alg in ("ES256", "HS256") if name != "half.pem" else ("ES256",):
            done = jwtgate("keys", "generate", "--alg", alg, "-o", name, cwd=scratch)
            assert done.returncode == 1 and "exists" in done.stderr, done.stderr
    assert sorted(p.name for p in scratch.iterdir()) == ["dangling.pem", "half.pub.pem", "link.pem", "target", "there.pem"]
    assert {(scratch / n).read_text() for n in ("there.pem", "target", "half.pub.pem")} == {"precious"}


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_keys_have_the_size_that_was_asked_for(scratch, bits):
    made = generate(scratch, "RS256", "--bits", bits)
    assert jwk_of(scratch, made).export_public(as_dict=True)["n"].__len__() == (bits // 8 * 4 + 2) // 3


def test_other_sizes_and_algorithms_are_wrong_usage(scratch):
    for arguments in (["--bits", "1024"], ["--alg", "ES256", "--bits", "2048"], ["--alg", "none"], ["--bits", "2048x"]):
        assert jwtgate("keys", "generate", "-o", "x.pem", *arguments, cwd=scratch).returncode == 2, arguments
    assert jwtgate("keys", "generate").returncode == 2 and jwtgate("keys").returncode == 2
    assert jwtgate("keys", "rot").returncode == 2 and list(scratch.iterdir()) == []


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_kid_is_the_thumbprint_that_others_compute(scratch, alg):
    made = generate(scratch, alg)
    key = jwk_of(scratch, made)
    assert made["kid"] == key.thumbprint()
    files = ["file"] + (["public_file"] if "public_file" in made else [])
    for name in files:
        assert jwtgate("keys", "thumbprint", made[name], cwd=scratch).stdout.strip() == made["kid"]


def test_a_key_set_has_public_members_only(scratch):
    made = [generate(scratch, alg) for alg in ("RS256", "ES256", "ES384", "ES512", "EdDSA")]
    done = jwtgate("keys", "jwks", *(m["file"] for m in made), cwd=scratch)
    assert done.returncode == 0, done.stderr
    keys = json.loads(done.stdout)["keys"]
    assert [k["kid"] for k in keys] == [m["kid"] for m in made]
    for key, one in zip(keys, made):
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key) and key["use"] == "sig"
        assert jwk.JWK(**key).thumbprint() == one["kid"]
        assert {n: v for n, v in jwk_of(scratch, one).export_public(as_dict=True).items() if n != "kid"}.items() <= key.items()
    assert [k.get("alg") for k in keys] == [None, "ES256", "ES384", "ES512", "EdDSA"]


def test_a_secret_is_never_published(scratch):
    generate(scratch, "HS256")
    done = jwtgate("keys", "jwks", "HS256.pem", cwd=scratch)
    assert done.returncode == 1 and done.stdout == ""


def test_list_shows_the_keys_of_the_configuration_and_no_secret(scratch):
    generate(scratch, "RS256")
    file = write(scratch, changed(("providers.rsa", rs("RS256.pub.pem"))))
    rows = json.loads(jwtgate("keys", "list", "--json", "-c", file).stdout)
    kid = jwtgate("keys", "thumbprint", scratch / "RS256.pem").stdout.strip()
    assert rows == [{"provider": "internal", "kid": "1", "key": "secret 48", "thumbprint": "-"},
                    {"provider": "rsa", "kid": "r", "key": "RSA 2048", "thumbprint": kid}]
    assert kid in jwtgate("keys", "list", "-c", file).stdout


def test_a_file_that_is_no_key_is_1_and_a_missing_one_3(scratch):
    (scratch / "bad.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (scratch / "short").write_text("short")
    assert jwtgate("keys", "thumbprint", scratch / "bad.pem").returncode == 1
    assert jwtgate("keys", "thumbprint", scratch / "short").returncode == 1
    assert jwtgate("keys", "thumbprint", scratch / "missing").returncode == 3


# --- tokens ------------------------------------------------------------------------------------


def provider_for(made, **more):
    key = ({"kid": made["kid"], "public_key_file": made["public_file"]} if "public_file" in made else
           {"kid": made["kid"], "secret": {"file": made["file"]}})
    return dict({"issuer": "https://new.test/", "audiences": ["api"], "algorithms": [made["alg"]], "max_lifetime": "1h",
                 "keys": [key]}, **more)


def with_key(scratch, alg):
    made = generate(scratch, alg)
    return made, write(scratch, changed(("providers.new", provider_for(made))))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_others_verify_our_tokens(scratch, alg):
    made = generate(scratch, alg)
    done = jwtgate("token", "issue", "--key", made["file"], "--alg", alg, "--issuer", "https://i.test/", "--subject", "alice",
                   "--audience", "a", "--audience", "b", "--scope", "x y", "--claim", 'n={"m":[1,true]}', "--claim", "t=text",
                   "--ttl", "5m", cwd=scratch)
    assert done.returncode == 0, done.stderr
    token = jwt.JWT(jwt=done.stdout.strip(), key=jwk_of(scratch, made), algs=[alg])
    claims = json.loads(token.claims)
    assert json.loads(token.header) == {"alg": alg, "typ": "at+jwt", "kid": made["kid"]}
    assert claims["iss"] == "https://i.test/" and claims["sub"] == "alice" and claims["aud"] == ["a", "b"]
    assert claims["scope"] == "x y" and claims["n"] == {"m": [1, True]} and claims["t"] == "text"
    assert claims["exp"] - claims["iat"] == 300 and uuid.UUID(claims["jti"]).version == 4


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_we_verify_tokens_of_others(scratch, alg):
    made, file = with_key(scratch, alg)
    claims = {"iss": "https://new.test/", "aud": "api", "sub": "bob", "exp": int(time.time()) + 60, "iat": int(time.time())}
    token = jwt.JWT(header={"alg": alg, "typ": "at+jwt", "kid": made["kid"]}, claims=claims, algs=[alg])
    token.make_signed_token(jwk_of(scratch, made))
    done = jwtgate("token", "verify", "--json", "-c", file, stdin=token.serialize())
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {"valid": True, "reason": "ok", "provider": "new", "claims": claims}


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_a_token_of_a_provider_verifies_by_it(scratch, alg):
    made, file = with_key(scratch, alg)
    key = ["--key", scratch / made["file"]] if alg != "HS256" else []
    token = jwtgate("token", "issue", "--provider", "new", "-c", file, *key).stdout
    done = jwtgate("token", "verify", "-c", file, stdin=token)
    assert done.returncode == 0 and done.stdout.startswith("valid: ok, provider new\n"), done.stdout
    (scratch / "token").write_text(token)
    assert jwtgate("token", "verify", "-c", file, "--token-file", scratch / "token").returncode == 0
    assert jwtgate("token", "verify", "-c", file, "--provider", "new", stdin=token).returncode == 0
    done = jwtgate("token", "verify", "-c", file, "--provider", "internal", stdin=token)
    assert done.returncode == 1 and "INVALID" in done.stdout


def test_verify_says_why_not(scratch):
    _, file = with_key(scratch, "HS256")
    good = jwtgate("token", "issue", "--provider", "new", "-c", file).stdout.strip()

    def reason(token, *more):
        done = jwtgate("token", "verify", "--json", "-c", file, *more, stdin=token)
        assert done.returncode == 1, done.stderr
        return json.loads(done.stdout)["reason"]

    head, payload, signature = good.split(".")
    assert reason("rubbish") == "token_malformed"
    assert reason(f"{head}.{payload}.{signature[:-4]}AAAA") == "signature_invalid"
    assert reason(good, "--at", "2001-01-01T00:00:00Z") == "issued_in_future"
    assert reason(good, "--at", "4000000000") == "token_expired"
    other = jwtgate("token", "issue", "--provider", "new", "-c", file, "--issuer", "https://x.test/").stdout
    assert reason(other) == "issuer_mismatch" and reason(other, "--provider", "new") == "issuer_mismatch"
    assert reason(jwtgate("token", "issue", "--provider", "new", "-c", file, "--ttl", "2h").stdout) == "lifetime_too_long"
    assert jwtgate("token", "verify", "-c", file, "--provider", "nobody", stdin=good).returncode == 2
    assert jwtgate("token", "verify", "-c", file, "--at", "yesterday", stdin=good).returncode == 2
    assert jwtgate("token", "verify", "-c", file, "--token-file", scratch / "missing").returncode == 3


def test_inspect_says_that_nothing_is_verified_and_obeys_no_terminal_codes(scratch):
    made, file = with_key(scratch, "HS256")
    token = jwtgate("token", "issue", "--provider", "new", "-c", file, "--claim", "x=\x1b[31m\x9b\x7f").stdout
    done = jwtgate("token", "inspect", stdin=token)
    assert done.returncode == 0 and done.stdout.splitlines()[0].startswith("NOT VERIFIED")
    assert not set("\x1b\x9b\x7f") & set(done.stdout)
    assert json.loads(jwtgate("token", "inspect", "--json", stdin=token).stdout)["claims"]["x"] == "\x1b[31m\x9b\x7f"
    assert jwtgate("token", "inspect", stdin="a.b").returncode == 1
    assert json.loads(jwtgate("token", "inspect", "--json", stdin=token).stdout)["header"]["kid"] == made["kid"]


def test_a_token_is_not_an_argument(scratch):
    done = jwtgate("token", "inspect", "eyJsecret.token.here")
    assert done.returncode == 2 and "eyJsecret" not in done.stderr


def test_issue_needs_a_key_that_can_sign(scratch):
    made, file = with_key(scratch, "ES256")
    for arguments, code in ((["--key", scratch / made["public_file"]], 1), (["--provider", "new", "-c", file], 1), ([], 2),
                            (["--key", scratch / made["file"], "--alg", "RS256"], 1),
                            (["--key", scratch / made["file"], "--claim", "iss=x"], 1),
                            (["--key", scratch / made["file"], "--claim", "x"], 1),
                            (["--key", scratch / made["file"], "--ttl", "5"], 2),
                            (["--key", scratch / "missing"], 3)):
        done = jwtgate("token", "issue", *arguments)
        assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stderr)


def test_keys_that_the_issuer_publishes_can_be_given(scratch):
    made = generate(scratch, "RS256")
    (scratch / "keys.json").write_text(jwtgate("keys", "jwks", made["file"], cwd=scratch).stdout)
    file = write(scratch, changed(("providers.web", web("https://web.test/keys")),
                                  ("routes.web", route("/web", "other", {"provider": "web"}))))
    token = jwtgate("token", "issue", "--provider", "web", "--key", made["file"], "-c", file, cwd=scratch).stdout
    given = ["--jwks", scratch / "keys.json"]
    assert jwtgate("token", "verify", "-c", file, stdin=token).returncode == 3
    assert jwtgate("token", "verify", "-c", file, *given, stdin=token).returncode == 0
    done = jwtgate("explain", "GET", "/web", "--token", "-", "-c", file, stdin=token)
    assert done.returncode == 3 and "\nanswer: unknown" in done.stdout and " key         unknown" in done.stdout
    done = jwtgate("explain", "GET", "/web", "--token", "-", "-c", file, *given, stdin=token)
    assert done.returncode == 0 and "\nanswer: forwarded to upstream other" in done.stdout, done.stdout
    generate(scratch, "ES256")
    (scratch / "keys.json").write_text(jwtgate("keys", "jwks", "ES256.pem", cwd=scratch).stdout)
    assert jwtgate("token", "verify", "-c", file, *given, stdin=token).returncode == 1
    assert jwtgate("token", "verify", "-c", file, "--jwks", scratch / "missing", stdin=token).returncode == 3
