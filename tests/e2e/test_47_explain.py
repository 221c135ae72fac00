# SPDX-License-Identifier: Apache-2.0
"""`jwtgate explain` says of each request what the server does with it."""
import json
import subprocess
import time

import pytest

from support import BINARY, bearer, claims, get, hs256
from test_40_jwt import BAD, BAD_ROWS, CONFIG, GOOD, rs  # noqa: F401

ORDER = ["route", "token", "header", "key", "signature", "issuer", "audience", "time", "binding", "revocation", "scopes", "headers"]


def explain(gateway, path, *arguments, token=None, method="GET", as_json=True):
    done = subprocess.run([BINARY, "explain", method, path, "-c", gateway.file, *(["--json"] if as_json else []),
                           *(["--token", "-"] if token is not None else []), *arguments],
                          input=token, capture_output=True, text=True, timeout=30, env=gateway.environment, check=False)
    assert done.returncode in (0, 1, 3) and "Sanitizer" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if as_json else done.stdout


def check_agrees(gateway, path, token, *fields):
    """The answer of explain, when it is that of the server."""
    response = gateway.ask(get(path, *([bearer(token)] if token is not None else []), *fields))
    arguments = [text for field in fields for text in ("-H", field)]
    code, told = explain(gateway, path, *arguments, token=token)
    states = [step["state"] for step in told["steps"]]
    assert [step["step"] for step in told["steps"]] == ORDER
    if response.status == 200:
        assert (code, told["answer"]) == (0, "forwarded") and "FAILED" not in states
        return told
    line = gateway.access_line(request_id=response.get("X-Request-Id"))
    assert (code, told["answer"], told["status"]) == (1, "refused", response.status)
    assert told.get("reason") == line.get("reason")
    assert told["outcome"] == line["outcome"]
    assert told.get("www_authenticate") == response.get("WWW-Authenticate")
    # One step failed: what comes before it was fine, what comes behind was not reached.
    assert states.count("FAILED") == 1
    at = states.index("FAILED")
    assert set(states[at + 1:]) <= {"not reached"}
    if told.get("reason"):
        assert told["steps"][at]["detail"].endswith(f"-> {told['reason']}")
    return told


def failed(told):
    return [step["step"] for step in told["steps"] if step["state"] == "FAILED"]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_passes(gateway, backend, name):
    told = check_agrees(gateway, *GOOD[name]())
    assert told["upstream"] == "backend"


@pytest.mark.parametrize("reason, name", BAD_ROWS, ids=[f"{r}: {n}" for r, n in BAD_ROWS])
def test_a_bad_token_is_refused_for_the_same_reason(gateway, backend, reason, name):
    check_agrees(gateway, *BAD[reason][name]())


OTHERS = {
    "no token": (lambda: ("/hs", None), "token"),
    "another scheme": (lambda: ("/hs", None, "Authorization: Basic eDp5"), "token"),
    "two tokens": (lambda: ("/hs", hs256(), bearer(hs256())), "token"),
    "expired": (lambda: ("/hs", hs256(claims(exp=int(time.time()) - 60))), "time"),
    "scopes": (lambda: ("/scopes", hs256(claims(scope="read"))), "scopes"),
    "claims": (lambda: ("/claims", hs256(claims(tenant="x"))), "scopes"),
    "any_of, a stranger": (lambda: ("/any", hs256(claims(iss="https://x.test/"))), "issuer"),
    "no route": (lambda: ("/nowhere", None), "route"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_step_that_failed_is_named(gateway, backend, name):
    make, step = OTHERS[name]
    assert failed(check_agrees(gateway, *make())) == [step]


def test_a_public_route_needs_nothing(gateway, backend):
    told = check_agrees(gateway, "/public", None)
    assert {step["state"] for step in told["steps"][1:]} == {"not needed"} and told["steps"][0]["state"] == "ok"
    told = check_agrees(gateway, "/optional", None)
    assert told["steps"][1]["detail"].startswith("none")


def test_the_claims_that_the_upstream_gets_are_shown(gateway, backend):
    _, told = explain(gateway, "/hs", token=hs256(claims(sub="alice", org={"id": "o1"})))
    assert told["headers"]["x-user-id"] == "alice" and told["headers"]["x-org"] == "o1"


def test_the_time_can_be_given(gateway):
    token = hs256()
    assert explain(gateway, "/hs", "--at", "2001-01-01T00:00:00Z", token=token)[1]["reason"] in ("issued_in_future",
                                                                                               "token_not_yet_valid")
    assert explain(gateway, "/hs", "--at", str(int(time.time()) + 10**7), token=token)[1]["reason"] == "token_expired"


def test_the_text_tells_each_step(gateway):
    code, text = explain(gateway, "/hs?x=1", token=hs256(claims(exp=int(time.time()) - 192)), as_json=False)
    lines = text.splitlines()
    assert code == 1 and len(lines) == 14 and lines[0] == "GET /hs    offline"
    assert lines[8].startswith(" 8 time        FAILED      exp ") and "ago" in lines[8] and lines[8].endswith("-> token_expired")
    assert lines[-1] == ('answer: 401 Unauthorized, WWW-Authenticate: Bearer realm="jwtgate", error="invalid_token", '
                         'error_description="The access token expired"')
    code, text = explain(gateway, "/rs", token=rs(), as_json=False)
    assert code == 0 and text.splitlines()[-1].startswith("answer: forwarded to upstream backend, with ")


def test_the_url_is_read_as_the_server_reads_it(gateway):
    assert explain(gateway, "https://api.test/public/../hs")[1]["route"] == "hs"
    assert explain(gateway, "http://api.test?x")[1]["status"] == 404
    for target in ("/hs/..%2fpublic", "/public\\x", "/%zz"):
        code, told = explain(gateway, target)
        assert (code, told["status"]) == (1, 400) == (1, gateway.ask(get(target)).status)


def test_a_token_is_not_an_argument(gateway):
    for arguments in (["--token", "eyJsecret"], ["-H", "no colon"], ["-H", "A: b\r\nC: d"], ["more"], ["--at", "now"]):
        done = subprocess.run([BINARY, "explain", "GET", "/hs", "-c", gateway.file, *arguments], capture_output=True,
                              text=True, timeout=30, env=gateway.environment, check=False)
        assert done.returncode == 2 and "eyJsecret" not in done.stderr, arguments
