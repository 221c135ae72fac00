# SPDX-License-Identifier: Apache-2.0
"""Tokens and keys of jwtgate at npm's "jose", and its tokens at jwtgate, by every algorithm."""
import json
import pathlib
import subprocess
import time

import pytest

from support import ISSUER, bearer, config_for, get
from test_46_cli import ALGORITHMS, generate, jwk_of, jwtgate

HERE = pathlib.Path(__file__).parent


def jose(*tasks):
    done = subprocess.run(["node", HERE / "jose_tool.mjs"], input=json.dumps(tasks), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def private_jwk(folder, made):
    return json.loads(jwk_of(folder, made).export())


def claims_now(**more):
    now = int(time.time())
    return dict({"iss": ISSUER, "sub": "alice", "aud": "orders", "iat": now, "exp": now + 300, "jti": "j-1"}, **more)


@pytest.fixture(scope="module")
def keys(module_scratch):
    return {alg: generate(module_scratch, alg) for alg in ALGORITHMS}


@pytest.fixture(scope="module")
def providers(module_scratch, keys):
    def key(made):
        if made["alg"].startswith("HS"):
            return {"kid": made["kid"], "secret": {"file": str(module_scratch / made["file"])}}
        return {"kid": made["kid"], "public_key_file": str(module_scratch / made["public_file"])}

    return {alg: {"issuer": ISSUER, "audiences": ["orders"], "algorithms": [alg], "max_lifetime": "1h", "keys": [key(made)]}
            for alg, made in keys.items()}


def test_jose_verifies_our_tokens_by_our_keys(module_scratch, keys):
    tasks = []
    for alg, made in keys.items():
        done = jwtgate("token", "issue", "--key", made["file"], "--alg", alg, "--kid", made["kid"], "--issuer", ISSUER, "--subject", "alice",
                       "--audience", "orders", "--scope", "read", "--claim", 'roles=["ops"]', cwd=module_scratch)
        assert done.returncode == 0, (alg, done.stderr)
        task = {"op": "verify", "alg": alg, "token": done.stdout.strip(), "issuer": ISSUER, "audience": "orders"}
        if alg.startswith("HS"):
            tasks.append(dict(task, jwk=private_jwk(module_scratch, made)))
            continue
        published = jwtgate("keys", "jwks", "--alg", alg, made["public_file"], cwd=module_scratch)
        assert published.returncode == 0, (alg, published.stderr)
        tasks.append(dict(task, set=json.loads(published.stdout)))
    for alg, result in zip(keys, jose(*tasks)):
        assert "error" not in result, (alg, result)
        assert result["payload"]["sub"] == "alice" and result["payload"]["roles"] == ["ops"] and result["payload"]["scope"] == "read"
        assert result["protectedHeader"] == {"alg": alg, "kid": keys[alg]["kid"], "typ": "at+jwt"}
    # And none by another key of the same kind.
    spoilt = [dict(task, token=task["token"][:-6] + ("AAAAAA" if task["token"][-6:] != "AAAAAA" else "BBBBBB")) for task in tasks]
    assert all("error" in result for result in jose(*spoilt))


def test_the_gateway_and_verify_accept_tokens_of_jose(start, backend, module_scratch, keys, providers):
    gateway = start(config_for(backend, providers=providers, routes={
        alg: {"match": {"path_prefix": f"/{alg}"}, "upstream": "backend", "auth": {"provider": alg},
              "claims_to_headers": {"sub": "X-User-Id"}} for alg in providers}))
    tokens = jose(*[{"op": "sign", "alg": alg, "kid": made["kid"], "jwk": private_jwk(module_scratch, made), "claims": claims_now()}
                    for alg, made in keys.items()])
    for alg, token in zip(keys, tokens):
        assert isinstance(token, str), (alg, token)
        assert gateway.ask(get(f"/{alg}", bearer(token))).status == 200, alg
        assert backend.last().get("X-User-Id") == "alice"
        done = jwtgate("token", "verify", "-c", gateway.file, "--provider", alg, stdin=token)
        assert done.returncode == 0, (alg, done.stderr)
        others = [other for other in providers if other != alg]
        assert {gateway.ask(get(f"/{other}", bearer(token))).status for other in others} == {401}, alg


def test_the_gateways_own_tokens_and_key_set_are_read_by_jose(start, backend, scratch):
    """What a route with "issue_token" gives, by the keys that the gateway publishes."""
    for alg in ("RS256", "PS256", "ES256", "ES384", "EdDSA"):
        generate(scratch, alg)
        gateway = start(config_for(
            backend, token_issuer={"issuer": ISSUER, "access_token": {"algorithm": alg}, "signing_keys": [{"key_file": str(scratch / f"{alg}.pem")}]},
            routes={"login": {"match": {"exact": "/login"}, "upstream": "backend", "auth": "none",
                              "issue_token": {"audiences": ["orders"], "claims": {"sub": "id"}}}}))
        backend.on("/login", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n" + b'{"id":"alice"}')
        token = gateway.ask(get("/login")).json()["access_token"]
        published = gateway.ask(get("/.well-known/jwks.json")).json()
        [result] = jose({"op": "verify", "alg": alg, "set": published, "token": token, "issuer": ISSUER, "audience": "orders"})
        assert result["payload"]["sub"] == "alice", (alg, result)
