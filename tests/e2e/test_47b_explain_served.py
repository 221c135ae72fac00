# SPDX-License-Identifier: Apache-2.0
"""`jwtgate explain --request-id`: what a running gateway has decided, told like offline; no token is kept."""
import json
import subprocess
import time

import pytest

from support import BINARY, CLOSE, SECRET, bearer, claims, config_for, get, hs256
from test_40_jwt import BAD, BAD_ROWS, CONFIG, GOOD  # noqa: F401
from test_47_explain import ORDER, explain, failed


def served(gateway, request_id, *arguments, code=None):
    done = subprocess.run([BINARY, "explain", "--request-id", request_id, "-c", gateway.file, *arguments], capture_output=True,
                          text=True, timeout=30, env=gateway.environment, check=False)
    assert "Sanitizer" not in done.stderr and (code is None or done.returncode == code), done
    return done


def told(gateway, response, code):
    return json.loads(served(gateway, response.get("X-Request-Id"), "--json", code=code).stdout)


def states(story):
    return [step["state"] for step in story["steps"]]


@pytest.mark.parametrize("reason, name", BAD_ROWS, ids=[f"{r}: {n}" for r, n in BAD_ROWS])
def test_the_story_is_the_same_as_offline(gateway, backend, reason, name):
    path, token = BAD[reason][name]()
    response = gateway.ask(get(path, bearer(token)))
    story = told(gateway, response, 1)
    _, offline = explain(gateway, path, token=token)
    assert (story["status"], story["reason"], story["outcome"]) == (response.status, offline["reason"], offline["outcome"])
    assert [step["step"] for step in story["steps"]] == ORDER
    if reason != "claim_missing":  # which one it was, only the token could tell
        assert states(story) == states(offline) and failed(story) == failed(offline)
    line = gateway.access_line(request_id=response.get("X-Request-Id"))
    for key in ("method", "path", "route", "provider", "kid", "sub", "jti", "reason", "outcome", "status", "upstream_status"):
        logged = line.get(key)
        assert story.get(key) == (logged[:160 if key == "path" else 64] if isinstance(logged, str) else logged), key


@pytest.mark.parametrize("name", GOOD)
def test_what_passed(gateway, backend, name):
    path, token = GOOD[name]()
    response = gateway.ask(get(path, bearer(token)))
    story = told(gateway, response, 0)
    assert story["status"] == 200 and story["upstream_status"] == 200 and "FAILED" not in states(story)
    text = json.dumps(story)
    assert token not in text and token.split(".")[2] not in text and SECRET not in text


def test_the_text(gateway, backend):
    response = gateway.ask(get("/hs?secret=x", bearer(hs256(claims(sub="alice", exp=int(time.time()) - 60), kid="new"))))
    done = served(gateway, response.get("X-Request-Id"), code=1)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f'GET "/hs"    request "{response.get("X-Request-Id")}" at 20') and len(lines) == 14
    assert "secret=x" not in done.stdout and done.stderr == ""
    assert lines[3].split() == ["3", "header", "ok", "kid", '"new"']
    assert lines[8].split()[:5] == ["8", "time", "FAILED", "clock_skew", "5s,"] and lines[8].endswith("  -> token_expired")
    assert lines[-1] == "answer: 401 Unauthorized, denied: token_expired"


def test_what_was_no_matter_of_tokens(gateway, backend):
    story = told(gateway, gateway.ask(get("/nowhere")), 1)
    assert (story["status"], story["outcome"]) == (404, "no_route") and failed(story) == ["route"]
    story = told(gateway, gateway.ask(get("/public")), 0)
    assert set(states(story)[1:]) == {"not needed"}
    story = told(gateway, gateway.ask(get("/optional")), 0)
    assert story["steps"][1]["detail"].startswith("none")
    backend.on("/public/cut", lambda c: CLOSE)
    story = told(gateway, gateway.ask(get("/public/cut")), 1)
    assert (story["status"], story["outcome"]) == (502, "upstream_reset") and "FAILED" not in states(story)
    response = gateway.ask(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n")
    assert told(gateway, response, 1)["outcome"] == "bad_request"


def test_who_is_not_there(gateway):
    assert "no such request" in served(gateway, "01JD0000000000000000000000", code=3).stderr
    assert "no such request" in served(gateway, "a/b?c=%&d é", code=3).stderr
    served(gateway, "x" * 129, code=2)
    for arguments in (["GET", "/"], ["-H", "A: b"], ["--at", "1"]):
        served(gateway, "x", *arguments, code=2)
    for query in ("", "?request_id=", "?request_id=%zz", "?request_id=a&b=c", "?x=y"):
        assert gateway.admin(f"/api/explain{query}")[0] == 400, query
    assert gateway.admin("/api/explain?request_id=" + "x" * 129)[0] == 400
    assert gateway.admin("/api/explain?request_id=x", {"Host": "evil.test"})[0] == 403
    assert gateway.admin("/api/explain?request_id=x", method="POST")[0] == 405


def public(backend, **more):
    return config_for(backend, server={"workers": 3, "trusted_proxies": ["127.0.0.1/32"]}, **more)


def test_the_ring_forgets_the_oldest(start, backend):
    config = public(backend)
    config["server"]["workers"] = 1
    config["admin"]["explained_requests"] = 4
    gateway = start(config)
    ids = [gateway.ask(get(f"/{i}")).get("X-Request-Id") for i in range(6)]
    codes = [served(gateway, i).returncode for i in ids]
    assert codes == [3, 3, 0, 0, 0, 0]
    # Another size after a reload begins anew.
    config["admin"]["explained_requests"] = 2
    gateway.file.write_text(json.dumps(config))
    gateway.signal(1)
    gateway.wait_for_metric(1, "jwtgate_config_reloads_total", result="success")
    more = [gateway.ask(get(f"/{i}")).get("X-Request-Id") for i in range(3)]
    assert [served(gateway, i).returncode for i in ids[-1:] + more] == [3, 3, 0, 0]


def test_all_workers_are_asked_and_the_newest_counts(start, backend):
    gateway = start(public(backend))
    ids = [gateway.ask(get(f"/{i}", f"X-Request-Id: own id/{i}?")).get("X-Request-Id") for i in range(12)]
    if ids[0].startswith("own"):  # else such an id is not believed, and made anew
        assert all(served(gateway, i, code=0) for i in ids)
    for i in range(8):
        gateway.ask(get(f"/same/{i}", "X-Request-Id: same"))
    assert json.loads(served(gateway, "same", "--json", code=0).stdout)["path"] == "/same/7"


def test_none_are_kept_where_none_are_wanted(start, backend):
    config = public(backend)
    config["admin"]["explained_requests"] = 0
    gateway = start(config)
    served(gateway, gateway.ask(get("/")).get("X-Request-Id"), code=3)


def test_a_hidden_subject_stays_hidden(start, backend, scratch):
    (scratch / "secret").write_text(SECRET)
    (scratch / "secret").chmod(0o600)
    gateway = start(public(backend, access_log={"path": "-", "hash_subject": True}, providers={
        "own": {"issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["HS256"],
                "keys": [{"kid": "1", "secret": {"file": str(scratch / "secret")}}]}},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": {"provider": "own"}}}))
    response = gateway.ask(get("/", bearer(hs256(claims(sub="alice")))))
    story = served(gateway, response.get("X-Request-Id"), "--json", code=0).stdout
    assert "alice" not in story
    assert json.loads(story)["sub"] == gateway.access_line(request_id=response.get("X-Request-Id"))["sub"]


def test_another_configuration_is_told(start, backend, scratch):
    gateway = start(public(backend))
    response = gateway.ask(get("/"))
    config = json.loads(gateway.file.read_text())
    config["routes"]["new"] = {"match": {"path_prefix": "/new"}, "upstream": "backend", "auth": "none"}
    gateway.file.write_text(json.dumps(config))
    assert "another configuration" in served(gateway, response.get("X-Request-Id"), code=0).stderr
    config["routes"].pop("all")
    gateway.file.write_text(json.dumps(config))
    done = served(gateway, response.get("X-Request-Id"), code=0)
    assert "not in the configuration any more" in done.stderr and done.stdout.count("\n") == 2


def test_without_a_gateway_or_an_admin_listener(scratch, backend):
    file = scratch / "c.jsonc"
    for admin, message in (({}, "no gateway answers"), ({"admin": None}, "no admin listener")):
        file.write_text(json.dumps(config_for(backend, **admin)))
        done = subprocess.run([BINARY, "explain", "--request-id", "x", "-c", file], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 3 and message in done.stderr
