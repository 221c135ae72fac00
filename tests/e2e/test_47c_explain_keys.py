# SPDX-License-Identifier: Apache-2.0
"""`jwtgate explain` about keys that an issuer publishes, and about revocations: as far as offline can know."""
import subprocess
import time

import pytest

from jwks_support import config, key_set, publish
from support import BINARY, Backend, RsaKey, bearer, claims, get
from test_40_jwt import changed, flip
from test_47_explain import check_agrees, explain, failed
from test_47b_explain_served import states, told


@pytest.fixture(scope="module")
def keys():
    return [RsaKey("key-0"), RsaKey("key-1")]


@pytest.fixture
def issuer():
    server = Backend()
    yield server
    server.stop()


@pytest.fixture
def gateway(start, backend, issuer, keys, scratch):
    """Its keys are published by the issuer, and its revocations kept by itself."""
    publish(issuer, keys[0])
    (scratch / "set.json").write_bytes(key_set(keys[0]))
    made = config(backend, issuer, server={"state_dir": str(scratch)})
    made["revocation"] = {}
    made["routes"]["off"] = {"match": {"path_prefix": "/off"}, "upstream": "backend", "auth": {"provider": "corp", "revocation": "off"}}
    return start(made)


def good(**more):
    return claims(jti="j-1", **more)


CASES = {
    "good": (lambda k: k[0].token(good()), None),
    "good, without a kid": (lambda k: k[0].token(good(), kid=None), None),
    "a kid that is not there": (lambda k: k[1].token(good()), "key"),
    "another key under its kid": (lambda k: k[1].token(good(), kid="key-0"), "signature"),
    "a flipped signature": (lambda k: changed(k[0].token(good()), 2, flip), "signature"),
    "expired": (lambda k: k[0].token(good(exp=int(time.time()) - 100)), "time"),
    "another audience": (lambda k: k[0].token(good(aud="x")), "audience"),
    "another algorithm": (lambda k: k[0].token(good(), alg="RS512"), "header"),
    "no jti where revocations are looked for": (lambda k: k[0].token(claims(jti=None)), None),
}


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("no jti")])
def test_with_the_set_the_answer_is_the_servers(gateway, backend, scratch, keys, name):
    make, step = CASES[name]
    token = make(keys)
    response = gateway.ask(get("/off", bearer(token)))
    code, story = explain(gateway, "/off", "--jwks", scratch / "set.json", token=token)
    assert (code, failed(story)) == (0 if step is None else 1, [] if step is None else [step])
    if step is None:
        assert response.status == 200 and story["answer"] == "forwarded"
    else:
        line = gateway.access_line(request_id=response.get("X-Request-Id"))
        assert (story["status"], story["reason"]) == (response.status, line["reason"])
    assert states(told(gateway, response, code)) == states(story)


@pytest.mark.parametrize("name", ["good", "a kid that is not there", "another key under its kid", "expired"])
def test_without_it_what_depends_on_keys_is_unknown(gateway, keys, name):
    code, story = explain(gateway, "/off", token=CASES[name][0](keys))
    assert (code, story["answer"]) == (3, "unknown") and "FAILED" not in states(story)


def test_without_it_the_rest_is_known(gateway, backend, keys):
    assert failed(check_agrees(gateway, "/off", CASES["another algorithm"][0](keys))) == ["header"]
    assert failed(check_agrees(gateway, "/off", None)) == ["token"]


def test_a_revocation_is_known_to_the_gateway_alone(gateway, backend, scratch, keys):
    token = CASES["good"][0](keys)
    code, story = explain(gateway, "/", "--jwks", scratch / "set.json", token=token)
    assert code == 0 and story["steps"][9] == {"step": "revocation", "state": "unknown", "detail": "only a running gateway knows"}
    served = told(gateway, gateway.ask(get("/", bearer(token))), 0)
    assert served["steps"][9]["state"] == "ok"
    subprocess.run([BINARY, "revoke", "--jti", "j-1", "-c", gateway.file], check=True, capture_output=True, env=gateway.environment)
    deadline = time.monotonic() + 5
    while (response := gateway.ask(get("/", bearer(token)))).status == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    served = told(gateway, response, 1)
    assert (served["status"], served["reason"], failed(served)) == (401, "token_revoked", ["revocation"])
    assert states(told(gateway, gateway.ask(get("/off", bearer(token))), 0))[9] == "not needed"


def test_a_token_without_jti_where_revocations_are_looked_for(gateway, backend, scratch, keys):
    token = CASES["no jti where revocations are looked for"][0](keys)
    response = gateway.ask(get("/", bearer(token)))
    code, story = explain(gateway, "/", "--jwks", scratch / "set.json", token=token)
    assert response.status == 401 and failed(story) == ["revocation"]
    assert (code, story["status"], story["reason"]) == (1, 401, gateway.access_line(request_id=response.get("X-Request-Id"))["reason"])
