# SPDX-License-Identifier: Apache-2.0
"""The gateway as an issuer: tokens, the keys that it publishes, their rotation."""
import base64
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import threading
import time
import urllib.parse
import uuid

import pytest
from jwcrypto import jwk, jwt

from support import BINARY, Gateway, bearer, config_for, free_port, get, wait_until

ISSUER = "https://issuer.test"
CLIENT, SCOPES, AUDIENCE = "shop", ["orders:read", "orders:write"], "orders"
FORM = "Content-Type: application/x-www-form-urlencoded"
GRANT = "grant_type=client_credentials"
JWKS = "/.well-known/jwks.json"


def jwtgate(*arguments, cwd=None, stdin=None):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=cwd,
                          check=False, input=stdin,
                          env=dict(os.environ, ASAN_OPTIONS="detect_leaks=1:exitcode=99",
                                   UBSAN_OPTIONS="halt_on_error=1:exitcode=99"))


@pytest.fixture(scope="module")
def shop(module_scratch):
    """clients.jsonc and the client's secret."""
    file = module_scratch / "clients.jsonc"
    done = jwtgate("client", "add", CLIENT, "-f", file, *(f"--scope={s}" for s in SCOPES), "--audience", AUDIENCE,
                   "--claim", "tenant=acme")
    assert done.returncode == 0, done.stderr
    return file, done.stdout.strip()


def make_key(folder, alg, *more):
    file = folder / f"{alg}.key.pem"
    if not file.exists():
        done = jwtgate("keys", "generate", "--alg", alg, "-o", file, *more)
        assert done.returncode == 0, done.stderr
    return file


def issuer_config(backend, shop, alg="RS256", **issuer):
    """Issues tokens and takes its own on /own."""
    config = config_for(
        backend, server={"workers": 2, "shutdown_grace": "60s"},
        token_issuer={"issuer": ISSUER, "clients_file": str(shop[0]), "access_token": {"algorithm": alg}, **issuer},
        providers={"own": {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": [alg],
                           "keys": [{"token_issuer": True}]}},
        routes={"own": {"match": {"path_prefix": "/own"}, "upstream": "backend",
                        "auth": {"provider": "own", "scopes": ["orders:read"]},
                        "claims_to_headers": {"sub": "X-User-Id"}}})
    return config


def verifier_config(backend, issuer, alg="RS256", ttl="1s"):
    """Takes what `issuer` (a gateway) issues, by the keys that it publishes."""
    return config_for(
        backend, server={"startup_timeout": "5s"},
        providers={"corp": {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": [alg], "clock_skew": "0s",
                            "jwks": {"uri": f"http://127.0.0.1:{issuer.port}{JWKS}", "allow_http": True,
                                     "cache": {"ttl": ttl, "min_refresh": "1s"}}}},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": {"provider": "corp"}}})


def basic(user, password):
    quoted = ":".join(urllib.parse.quote(part, safe="") for part in (user, password))
    return "Authorization: Basic " + base64.b64encode(quoted.encode()).decode()


def post(body=GRANT, *fields, path="/oauth2/token"):
    return get(path, FORM, *fields, method="POST", body=body.encode())


def ask(gateway, shop, body=GRANT, client=None):
    return (client or gateway).ask(post(body, basic(CLIENT, shop[1])))


def token_of(response):
    assert response.status == 200, (response, response.body)
    return response.json()["access_token"]


def read(token):
    parts = [json.loads(base64.urlsafe_b64decode(p + "=" * (-len(p) % 4))) for p in token.split(".")[:2]]
    return parts[0], parts[1]


# --- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["RS256", "PS512", "ES256", "ES384", "EdDSA"])
def test_tokens_verify_with_another_library_by_the_published_keys(start, backend, shop, module_scratch, alg):
    gateway = start(issuer_config(backend, shop, alg,
                                  signing_keys=[{"key_file": str(make_key(module_scratch, alg))}]))
    response = ask(gateway, shop)
    answered = response.json()
    token = token_of(response)
    assert response.get("Cache-Control") == "no-store" and response.get("Pragma") == "no-cache"
    assert response.get("Content-Type") == "application/json"
    assert {k: v for k, v in answered.items() if k != "access_token"} == {
        "token_type": "Bearer", "expires_in": 900, "scope": " ".join(SCOPES)}
    keys = jwk.JWKSet.from_json(gateway.ask(get(JWKS)).body.decode())
    verified = jwt.JWT(jwt=token, key=keys, algs=[alg], check_claims={"iss": ISSUER, "aud": AUDIENCE})
    said, header = json.loads(verified.claims), json.loads(verified.header)
    assert (header["typ"], header["alg"]) == ("at+jwt", alg) and set(header) == {"typ", "alg", "kid"}
    assert (said["sub"], said["client_id"], said["tenant"]) == (CLIENT, CLIENT, "acme")
    assert said["exp"] - said["iat"] == 900 and said["nbf"] == said["iat"]
    assert abs(said["iat"] - time.time()) < 30
    assert uuid.UUID(said["jti"]).version == 4
    line = gateway.access_line(path="/oauth2/token")
    assert (line["client_id"], line["jti"], line["kid"]) == (CLIENT, said["jti"], header["kid"])
    assert gateway.metric("jwtgate_tokens_issued_total", client=CLIENT, grant="client_credentials") == 1
    own = gateway.ask(get("/own", bearer(token)))
    assert own.status == 200 and backend.last().get("X-User-Id") == CLIENT


def test_hs256_tokens_are_for_the_gateway_itself(start, backend, shop, module_scratch):
    key = make_key(module_scratch, "HS256")
    config = issuer_config(backend, shop, "HS256", signing_keys=[{"key_file": str(key)}])
    gateway = start(config)
    token = token_of(ask(gateway, shop))
    assert gateway.ask(get("/own", bearer(token))).status == 200
    assert gateway.ask(get(JWKS)).json() == {"keys": []}
    config["providers"] = {}
    config["routes"] = {}
    gateway.file.write_text(json.dumps(config))
    done = jwtgate("check", "-c", gateway.file)
    assert done.returncode == 1 and "no provider verifies them" in done.stderr, done.stderr


def test_mistakes_have_their_place(scratch):
    def check(issuer):
        config = config_for("127.0.0.1:1", token_issuer={"issuer": ISSUER, **issuer})
        (scratch / "jwtgate.jsonc").write_text(json.dumps(config, indent=2))
        done = jwtgate("check", "--json", "-c", scratch / "jwtgate.jsonc")
        assert done.returncode == 1
        (mistake,) = json.loads(done.stdout)
        return (scratch / "jwtgate.jsonc").read_text().splitlines()[mistake["line"] - 1], mistake["message"]

    for issuer, line, message in (
            ({"signing_keys_file": "ring.json"}, '"signing_keys_file": "ring.json"', "does not exist"),
            ({"signing_keys": [{"key_file": "none.pem"}]}, "{", "cannot open"),
            ({}, '"token_issuer": {', "neither or both"),
            ({"issuer": "x", "signing_keys": [{"key_file": str(make_key(scratch, "RS256"))}]}, '"issuer": "x"',
             "not a web address"),
            ({"signing_keys": [{"key_file": str(make_key(scratch, "RS256"))}], "clients_file": "none"},
             '"clients_file": "none"', "does not exist"),
            ({"signing_keys": [{"key_file": str(make_key(scratch, "RS256"))}], "listener": "nowhere"},
             '"token_issuer": {', 'no listener "nowhere"'),
            ({"signing_keys": [{"key_file": str(make_key(scratch, "RS256"))}], "paths": {"jwks": "/a?b"}},
             '"jwks": "/a?b"', "not a plain path")):
        found = check(issuer)
        assert line in found[0] and message in found[1], (found, line, message)


def test_a_second_gateway_verifies_by_jwks(start, backend, shop, module_scratch):
    issuer = start(issuer_config(backend, shop, signing_keys=[{"key_file": str(make_key(module_scratch, "RS256"))}]))
    verifier = start(verifier_config(backend, issuer))
    token = token_of(ask(issuer, shop))
    assert verifier.ask(get("/x", bearer(token))).status == 200
    assert verifier.ask(get("/x", bearer(token[:-8] + "AAAAAAAA"))).status == 401


@pytest.fixture(scope="module")
def issuing(module_scratch, shared_backend, shop):
    folder = module_scratch / "issuing"
    folder.mkdir()
    gateway = Gateway(folder, issuer_config(
        shared_backend, shop, signing_keys=[{"key_file": str(make_key(module_scratch, "RS256"))}],
        jwks_max_age="90s", client_failures={"per_address": 1000, "per_client": 1000})).start()
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("more, scope, audience", [
    ("&scope=orders:read", "orders:read", AUDIENCE),
    ("&scope=orders%3Awrite+orders%3Aread", "orders:read orders:write", AUDIENCE),
    ("&audience=orders", " ".join(SCOPES), AUDIENCE),
])
def test_a_client_may_ask_for_less(issuing, shop, more, scope, audience):
    response = ask(issuing, shop, GRANT + more)
    claims = read(token_of(response))[1]
    assert response.json()["scope"] == claims["scope"] == scope and claims["aud"] == audience


def test_the_secret_may_be_in_the_form(issuing, shop):
    response = issuing.ask(post(f"{GRANT}&client_id={CLIENT}&client_secret={shop[1]}"))
    assert read(token_of(response))[1]["sub"] == CLIENT


@pytest.mark.parametrize("body, fields, status, error", [
    (GRANT, [], 401, "invalid_client"),
    (GRANT, [basic(CLIENT, "wrong")], 401, "invalid_client"),
    (GRANT, [basic("nobody", "wrong")], 401, "invalid_client"),
    (GRANT, ["Authorization: Basic !!"], 401, "invalid_client"),
    (GRANT, ["Authorization: Bearer abc"], 401, "invalid_client"),
    (f"{GRANT}&client_id={CLIENT}&client_secret=SECRET", ["BASIC"], 400, "invalid_request"),
    (f"{GRANT}&client_id=other", ["BASIC"], 400, "invalid_request"),
    ("", ["BASIC"], 400, "invalid_request"),
    (f"{GRANT}&{GRANT}", ["BASIC"], 400, "invalid_request"),
    (f"{GRANT}&x=1&x=2", ["BASIC"], 400, "invalid_request"),
    (f"{GRANT}&scope=%zz", ["BASIC"], 400, "invalid_request"),
    ("&".join(f"a{i}=1" for i in range(99)), ["BASIC"], 400, "invalid_request"),
    ("grant_type=password&username=a&password=b", ["BASIC"], 400, "unsupported_grant_type"),
    ("grant_type=authorization_code&code=1", ["BASIC"], 400, "unsupported_grant_type"),
    (f"{GRANT}&scope=admin", ["BASIC"], 400, "invalid_scope"),
    (f"{GRANT}&scope=orders:read++orders:write", ["BASIC"], 400, "invalid_scope"),
    (f"{GRANT}&audience=billing", ["BASIC"], 400, "invalid_target"),
    (f"{GRANT}&resource=https://x.test", ["BASIC"], 400, "invalid_target"),
])
def test_errors_are_those_of_rfc_6749(issuing, shop, body, fields, status, error):
    fields = [basic(CLIENT, shop[1]) if f == "BASIC" else f for f in fields]
    response = issuing.ask(post(body.replace("SECRET", shop[1]), *fields))
    assert (response.status, response.json()["error"]) == (status, error), response.body
    assert response.get("Cache-Control") == "no-store"
    assert (response.get("WWW-Authenticate") or "").startswith("Basic ") == (status == 401)
    assert shop[1] not in response.body.decode()


def test_requests_that_are_no_form_posts(issuing, shop):
    secret = basic(CLIENT, shop[1])
    json_body = get("/oauth2/token", "Content-Type: application/json", secret, method="POST", body=b"{}")
    assert issuing.ask(json_body).json()["error"] == "invalid_request"
    assert issuing.ask(post(GRANT, secret, path="/oauth2/token?scope=a")).json()["error"] == "invalid_request"
    wrong_method = issuing.ask(get("/oauth2/token", secret))
    assert wrong_method.status == 405 and wrong_method.get("Allow") == "POST"
    assert issuing.ask(post(GRANT + "&x=" + "y" * 21000, secret)).status == 413


def test_a_connection_goes_on_after_each_answer(issuing, shop):
    with issuing.client() as client:
        for body, status in ((GRANT, 200), (GRANT + "&scope=admin", 400), (GRANT, 200)):
            assert ask(issuing, shop, body, client).status == status


# --- what is published -------------------------------------------------------------------------


def test_the_key_set_may_be_kept_and_asked_for_again(issuing):
    with issuing.client() as client:
        first = client.ask(get(JWKS))
        assert first.status == 200 and first.get("Content-Type") == "application/jwk-set+json"
        assert first.get("Cache-Control") == "public, max-age=90"
        etag = first.get("ETag")
        (key,) = first.json()["keys"]
        assert set(key) == {"kty", "n", "e", "use", "alg", "kid"} and key["use"] == "sig"
        assert key["kid"] == jwk.JWK(**key).thumbprint()
        for value in (etag, f"W/{etag}", f'"a", {etag}', "*"):
            again = client.ask(get(JWKS, f"If-None-Match: {value}"))
            assert (again.status, again.body, again.get("ETag")) == (304, b"", etag), value
        assert client.ask(get(JWKS, 'If-None-Match: "other"')).status == 200
        head = client.ask(get(JWKS, method="HEAD"))
        assert (head.status, head.body) == (200, b"")
        assert int(head.get("Content-Length")) == len(first.body) and head.get("ETag") == etag
        assert client.ask(get(JWKS, method="POST", body=b"")).status == 405


@pytest.mark.parametrize("path", ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"])
def test_metadata_says_where_everything_is(issuing, path):
    response = issuing.ask(get(path))
    assert response.status == 200 and response.get("Content-Type") == "application/json"
    said = response.json()
    assert said["issuer"] == ISSUER
    assert said["token_endpoint"] == ISSUER + "/oauth2/token" and said["jwks_uri"] == ISSUER + JWKS
    assert said["grant_types_supported"] == ["client_credentials"] and said["response_types_supported"] == []
    assert said["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]


def test_paths_and_listeners_are_as_configured(start, backend, shop, module_scratch):
    config = issuer_config(backend, shop, signing_keys=[{"key_file": str(make_key(module_scratch, "RS256"))}],
                           issuer=ISSUER + "/tenant", listener="other", paths={"token": "/t", "jwks": "/k"})
    other = free_port()
    config["listeners"]["other"] = {"address": f"127.0.0.1:{other}"}
    config["providers"]["own"]["issuer"] = ISSUER + "/tenant"
    gateway = start(config)
    assert gateway.ask(get("/k")).status == 404
    gateway.port = other
    metadata = gateway.ask(get("/.well-known/oauth-authorization-server/tenant")).json()
    assert metadata == gateway.ask(get("/tenant/.well-known/openid-configuration")).json()
    assert (metadata["token_endpoint"], metadata["jwks_uri"]) == (ISSUER + "/t", ISSUER + "/k")
    assert len(gateway.ask(get("/k")).json()["keys"]) == 1
    response = gateway.ask(post(GRANT, basic(CLIENT, shop[1]), path="/t"))
    assert read(token_of(response))[1]["iss"] == ISSUER + "/tenant"
    assert gateway.ask(get(JWKS)).status == 404


def test_without_a_key_that_signs_no_token_is_issued(start, backend, shop, module_scratch):
    key = make_key(module_scratch, "RS256")
    gateway = start(issuer_config(backend, shop, signing_keys=[{"key_file": str(key), "use": "publish"}]))
    response = ask(gateway, shop)
    assert (response.status, response.json()["error"]) == (503, "temporarily_unavailable")
    assert int(response.get("Retry-After")) >= 1
    assert len(gateway.ask(get(JWKS)).json()["keys"]) == 1


def test_no_secret_is_in_any_log(start, backend, shop, module_scratch):
    key = make_key(module_scratch, "RS256")
    gateway = start(issuer_config(backend, shop, signing_keys=[{"key_file": str(key)}]))
    token = token_of(ask(gateway, shop))
    issued = token_of(gateway.ask(post(f"{GRANT}&client_id={CLIENT}&client_secret={shop[1]}")))
    ask(gateway, shop, GRANT + f"&scope={shop[1]}")
    gateway.ask(post(GRANT, basic(CLIENT, "wrong-" + shop[1])))
    gateway.ask(get("/own", bearer(token)))
    gateway.access_line(path="/own")
    gateway.access_line(status=401)
    text = gateway.log() + gateway.access_file.read_text() + "".join(gateway.metrics())
    private = "".join(line for line in key.read_text().splitlines() if "-----" not in line)
    encoded = base64.b64encode(f"{CLIENT}:{shop[1]}".encode()).decode()
    for secret in (shop[1], token, issued, token.split(".")[2], private[:40], encoded):
        assert secret not in text


# --- under load, and at the edges of lives -----------------------------------------------------


@pytest.fixture
def slow(start, backend, shop, module_scratch):
    """A gateway whose signatures take some milliseconds."""
    key = module_scratch / "slow.pem"
    if not key.exists():
        done = jwtgate("keys", "generate", "--bits", "4096", "-o", key)
        assert done.returncode == 0, done.stderr
    return start(issuer_config(backend, shop, signing_keys=[{"key_file": str(key)}]))


@pytest.mark.threads
def test_clients_that_go_while_their_token_is_signed(slow, shop):
    request = post(GRANT, basic(CLIENT, shop[1]))
    clients = []
    for number in range(60):
        client = slow.client()
        client.send(request)
        clients.append(client)
        if number % 3:
            client.reset()
    for client in clients[::3]:
        assert client.read("POST").status == 200
        client.close()
    wait_until(lambda: slow.metric("jwtgate_http_requests_in_flight", listener="public") == 0,
               what="the end of all requests")
    assert slow.access_line(outcome="client_gone")["path"] == "/oauth2/token"
    assert token_of(ask(slow, shop))


@pytest.mark.threads
def test_more_than_can_wait_is_answered_503(slow, shop):
    request = post(GRANT, basic(CLIENT, shop[1]))
    clients = [slow.client(timeout=60) for _ in range(400)]
    wait_until(lambda: slow.metric("jwtgate_connections", listener="public") == 400, what="all connections")
    slow.signal(signal.SIGSTOP)  # so that all of it comes at once
    for client in clients:
        client.send(request)
    slow.signal(signal.SIGCONT)
    responses = [client.read("POST") for client in clients]
    for client in clients:
        client.close()
    refused = [r for r in responses if r.status != 200]
    assert {r.status for r in refused} == {503} and all(int(r.get("Retry-After")) >= 1 for r in refused)
    wait_until(lambda: len(slow.access()) == 400, what="the access log")
    full = {line["request_id"] for line in slow.access() if line.get("reason") == "signing_queue_full"}
    # A machine that is too busy to sign in ten seconds what may wait refuses more.
    assert 0 < len(full) < 200 and full <= {r.get("X-Request-Id") for r in refused}
    for response in refused:
        assert response.get("X-Request-Id") not in full or response.json()["error"] == "temporarily_unavailable"
    assert len({token_of(r) for r in responses if r.status == 200}) == 400 - len(refused) > 0


@pytest.mark.threads
def test_a_stop_while_tokens_are_signed(slow, shop):
    request = post(GRANT, basic(CLIENT, shop[1]))
    clients = [slow.client(timeout=60) for _ in range(100)]
    wait_until(lambda: slow.metric("jwtgate_connections", listener="public") == 100, what="all connections")
    for client in clients:
        client.send(request)
    wait_until(lambda: slow.access(), what="the first token")
    slow.stop()
    statuses = [client.read("POST").status for client in clients]
    assert statuses == [200] * 100, "a drain finishes what was begun"


# --- rotation ----------------------------------------------------------------------------------


def reload(*gateways):
    for gateway in gateways:
        before = gateway.metric("jwtgate_config_reloads_total")
        gateway.signal(signal.SIGHUP)
        wait_until(lambda g=gateway, b=before: g.metric("jwtgate_config_reloads_total") > b, what="a reload")
        assert gateway.metric("jwtgate_config_last_reload_successful") == 1, gateway.log()[-2000:]


def rotate(file, *options, ok=True):
    done = jwtgate("keys", "rotate", "-c", file, *options)
    assert (done.returncode == 0) == ok, done.stderr
    return done


def states(file):
    rows = json.loads(jwtgate("keys", "list", "--json", "-c", file).stdout)
    return {row["kid"]: row["state"] for row in rows if "state" in row}


def write_rotating(scratch, **more):
    (scratch / "keys").mkdir()
    config = config_for("127.0.0.1:1", token_issuer={"issuer": ISSUER, "signing_keys_file": "keys/signing.json", **more})
    file = scratch / "jwtgate.jsonc"
    file.write_text(json.dumps(config))
    return file


def test_a_rotation_step_by_step(scratch):
    file = write_rotating(scratch)
    ring = scratch / "keys" / "signing.json"
    done = jwtgate("check", "-c", file)
    assert done.returncode == 1 and "keys rotate --init" in done.stderr
    first = rotate(file, "--init").stdout.split()[1]
    assert states(file) == {first: "signing"}
    assert "leave out --init" in rotate(file, "--init", ok=False).stderr
    second = json.loads(rotate(file, "--json").stdout)
    assert second["step"] == "publish" and second["alg"] == "RS256"
    assert states(file) == {first: "signing", second["kid"]: "published"}

    before = ring.read_bytes()
    since = json.loads(before)["keys"][1]["since"]
    refused = rotate(file, ok=False)
    safe = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since + 3600 + 60))
    assert refused.returncode == 1 and refused.stdout == "" and f"is safe from {safe} on" in refused.stderr
    assert ring.read_bytes() == before
    forced = rotate(file, "--force")
    assert "WARNING, forced" in forced.stderr and safe in forced.stderr
    assert states(file) == {first: "retired", second["kid"]: "signing"}
    since = json.loads(ring.read_text())["keys"][0]["since"]
    safe = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since + 900 + 60))
    assert f"remove {first} is safe from {safe} on" in rotate(file, ok=False).stderr
    rotate(file, "--force")
    assert states(file) == {second["kid"]: "signing"}
    assert sorted(p.name for p in ring.parent.iterdir()) == [f"signing-{second['kid']}.pem", "signing.json"]
    for path in ring.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_rotation_may_change_the_algorithm(scratch):
    file = write_rotating(scratch)
    rotate(file, "--init", "--alg", "ES256")
    made = json.loads(rotate(file, "--json", "--alg", "EdDSA").stdout)
    assert made["alg"] == "EdDSA"
    rows = json.loads(jwtgate("keys", "list", "--json", "-c", file).stdout)
    assert [row["key"] for row in rows] == ["P-256", "Ed25519"]
    assert jwtgate("keys", "rotate", "--alg", "none", "-c", file).returncode == 2


@pytest.mark.parametrize("damage", [
    lambda ring: ring.write_text("{}"),
    lambda ring: ring.write_text(ring.read_text().replace('"signing"', '"retired"')),
    lambda ring: ring.chmod(0o644),
    lambda ring: next(ring.parent.glob("*.pem")).unlink(),
    lambda ring: next(ring.parent.glob("*.pem")).chmod(0o640 if os.getuid() else 0o644),
    lambda ring: shutil.copy(make_key(ring.parent, "RS256"), next(ring.parent.glob("signing-*.pem"))),
])
def test_a_damaged_ring_is_refused_and_left_alone(scratch, damage):
    file = write_rotating(scratch)
    rotate(file, "--init")
    damage(scratch / "keys" / "signing.json")
    text = (scratch / "keys" / "signing.json").read_text()
    assert jwtgate("check", "-c", file).returncode == 1
    rotate(file, "--force", ok=False)
    assert (scratch / "keys" / "signing.json").read_text() == text


class Traffic:
    """Takes tokens from the issuer and shows each at once, and the old ones while they are valid, to all."""

    def __init__(self, issuer, shop, *verifiers):
        self.issuer, self.shop, self.verifiers = issuer, shop, verifiers
        self.refused, self.shown, self.kids, self.ends = [], 0, set(), False
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()

    def run(self):
        valid = []
        while not self.ends:
            response = ask(self.issuer, self.shop)
            if response.status != 200:
                self.refused.append((response.status, response.body))
                continue
            token = response.json()["access_token"]
            header, claims = read(token)
            self.kids.add(header["kid"])
            valid = [(t, e) for t, e in valid if e > time.time() + 1][-20:] + [(token, claims["exp"])]
            for old, end in (valid[0], valid[-1]):
                for verifier, path in self.verifiers:
                    response = verifier.ask(get(path, bearer(old)))
                    self.shown += 1
                    if response.status != 200 and time.time() < end:
                        self.refused.append((path, response.status, read(old)[0]["kid"]))


@pytest.mark.threads
def test_a_whole_rotation_refuses_no_good_token_and_accepts_no_retired_key(start, scratch, backend, shop):
    folder = scratch / "keys"
    folder.mkdir()
    config = issuer_config(backend, shop, signing_keys_file=str(folder / "signing.json"), jwks_max_age="2s",
                           rotation_slack="1s", access_token={"ttl": "4s"})
    (scratch / "jwtgate.jsonc").write_text(json.dumps(config))
    first = rotate(scratch / "jwtgate.jsonc", "--init").stdout.split()[1]
    stolen = scratch / "stolen.pem"
    shutil.copy(folder / f"signing-{first}.pem", stolen)
    issuer = start(config)
    file = issuer.file
    verifier = start(verifier_config(backend, issuer, ttl="2s"))
    forged = jwtgate("token", "issue", "--key", stolen, "--kid", first, "--issuer", ISSUER, "--audience", AUDIENCE,
                     "--scope", "orders:read", "--subject", "thief", "--ttl", "1h").stdout.strip()
    both = ((issuer, "/own"), (verifier, "/x"))
    assert [g.ask(get(path, bearer(forged))).status for g, path in both] == [200, 200], "it is still a good key"
    early = []
    with Traffic(issuer, shop, *both) as traffic:
        for step in ("publish", "sign", "remove"):
            while True:
                done = jwtgate("keys", "rotate", "--json", "-c", file)
                if done.returncode == 0:
                    break
                early.append(done.returncode)
                time.sleep(0.3)
            assert json.loads(done.stdout)["step"] == step
            reload(issuer)
        time.sleep(2.5)  # the verifier asks again within its ttl
    assert traffic.refused == [] and traffic.shown > 20
    assert len(traffic.kids) == 2 and set(states(file)) == traffic.kids - {first}
    assert set(early) == {1}, "each step had to wait"
    for gateway, path in both:
        wait_until(lambda g=gateway, p=path: g.ask(get(p, bearer(forged))).status == 401, what=path)
        assert gateway.access_line(path=path, status=401)["reason"] == "kid_unknown"
    assert not re.search(first, issuer.ask(get(JWKS)).body.decode())


@pytest.mark.threads
def test_reloads_while_tokens_are_signed(start, scratch, backend, shop):
    folder = scratch / "keys"
    folder.mkdir()
    config = issuer_config(backend, shop, signing_keys_file=str(folder / "signing.json"))
    (scratch / "jwtgate.jsonc").write_text(json.dumps(config))
    rotate(scratch / "jwtgate.jsonc", "--init")
    issuer = start(config)
    with Traffic(issuer, shop, (issuer, "/own")) as traffic:
        for _ in range(4):
            rotate(issuer.file, "--force")
            reload(issuer)
    assert [r for r in traffic.refused if r[0] != "/own"] == [], "only what --force broke may be refused"
    assert len(traffic.kids) >= 2
