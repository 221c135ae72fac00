# SPDX-License-Identifier: Apache-2.0
"""Login through a backend: "issue_token" answers with a token in place of what the upstream says about the user."""
import gzip
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from jwcrypto import jwk, jwt

from support import BINARY, CLOSE, answer, bearer, config_for, get, wait_until

ISSUER = "https://gateway.test/"
USER = {"id": 42, "name": "Alice", "password_hash": "$2b$hunter2", "user": {"roles": ["ops", "dev"]}, "may": "read write"}
SECRET_PARTS = (b"hunter2", b"password_hash")


def CONFIG(backend, folder, **more):
    subprocess.run([BINARY, "keys", "generate", "--alg", "ES256", "-o", folder / "sign.pem"], check=True, capture_output=True)
    login = {"audiences": ["orders"], "claims": {"sub": "id", "roles": "/user/roles", "scope": "may"}}
    return config_for(
        backend,
        token_issuer={"issuer": ISSUER, "access_token": {"algorithm": "ES256", "ttl": "10m"},
                      "signing_keys": [{"key_file": str(folder / "sign.pem")}]},
        providers={"own": {"issuer": ISSUER, "audiences": ["orders"], "algorithms": ["ES256"], "max_lifetime": "1h",
                           "keys": [{"kid": kid(folder), "public_key_file": str(folder / "sign.pub.pem")}]}},
        routes={"login": {"match": {"path_prefix": "/login"}, "upstream": "backend", "auth": "none", "issue_token": login,
                          "timeouts": {"response": "2s"}},
                "orders": {"match": {"path_prefix": "/orders"}, "upstream": "backend", "auth": {"provider": "own", "scopes": ["read"]},
                           "claims_to_headers": {"sub": "X-User-Id", "roles": "X-Roles"}}}, **more)


def slow_config(backend, folder):
    """Where a test does something while an answer is awaited."""
    config = CONFIG(backend, folder)
    config["routes"]["login"]["timeouts"] = {"response": "60s"}
    config["server"]["shutdown_grace"] = "60s"
    return config


def kid(folder):
    return jwk.JWK.from_pem((folder / "sign.pub.pem").read_bytes()).thumbprint()


def user(body=None, *fields, status=200):
    text = body if isinstance(body, bytes) else json.dumps(USER if body is None else body).encode()
    return answer(status, text, *(fields or ("Content-Type: application/json",)), "Set-Cookie: session=hunter2", "X-Internal: hunter2")


def login(gateway, path="/login", **more):
    return gateway.ask(get(path, "Content-Type: application/json", method="POST", body=b'{"user":"alice","password":"p"}', **more))


def refused(gateway, response, status, reason, outcome):
    """The client learns nothing of the answer."""
    assert response.status == status and response.get("Content-Type") == "application/problem+json", response
    assert not any(part in json.dumps([response.body.decode(), response.fields]).encode() for part in SECRET_PARTS)
    assert response.get("Set-Cookie") is None and "reason" not in response.json()
    line = gateway.access_line(request_id=response.get("X-Request-Id"))
    assert (line.get("reason"), line["outcome"], line["status"]) == (reason, outcome, status)
    return line


def test_a_login_gives_a_token_that_opens_a_route(gateway, backend, module_scratch):
    backend.on("/login", user())
    before = gateway.metric("jwtgate_tokens_issued_total", client="-", grant="login")
    response = login(gateway)
    assert response.status == 200 and response.get("Content-Type") == "application/json"
    assert response.get("Cache-Control") == "no-store"
    assert backend.last().body == b'{"user":"alice","password":"p"}'
    made = response.json()
    assert (made["token_type"], made["expires_in"], made["scope"]) == ("Bearer", 600, "read write")
    # Nothing else of the upstream's answer: no member, no field.
    assert set(made) == {"access_token", "token_type", "expires_in", "scope"}
    assert response.get("Set-Cookie") is None and response.get("X-Internal") is None and b"hunter2" not in response.body
    token = jwt.JWT(jwt=made["access_token"], key=jwk.JWK.from_pem((module_scratch / "sign.pub.pem").read_bytes()), algs=["ES256"])
    claims = json.loads(token.claims)
    assert json.loads(token.header) == {"alg": "ES256", "kid": kid(module_scratch), "typ": "at+jwt"}
    assert {k: claims[k] for k in ("iss", "sub", "aud", "scope", "roles")} == {
        "iss": ISSUER, "sub": "42", "aud": "orders", "scope": "read write", "roles": ["ops", "dev"]}
    assert claims["exp"] - claims["iat"] == 600 and "password_hash" not in claims
    assert gateway.ask(get("/orders/7", bearer(made["access_token"]))).status == 200
    assert (backend.last().get("X-User-Id"), backend.last().get("X-Roles")) == ("42", "ops,dev")
    line = gateway.access_line(request_id=response.get("X-Request-Id"))
    assert (line["outcome"], line["sub"], line["jti"], line["upstream_status"]) == ("local", "42", claims["jti"], 200)
    assert made["access_token"].split(".")[2] not in gateway.access_file.read_text() + gateway.log()
    assert gateway.metric("jwtgate_tokens_issued_total", client="-", grant="login") == before + 1


def test_each_login_gives_another_token(gateway, backend):
    backend.on("/login", user())
    with gateway.client() as client:
        tokens = {client.ask(get("/login", method="POST", body=b"x")).json()["access_token"] for _ in range(5)}
    assert len(tokens) == 5 and len({r.connection.number for r in backend.requests}) == 1


BODY = json.dumps(USER).encode()


def chunked(*pieces, end=b"0\r\n\r\n"):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + end)


def slowly(data, pause=0.001):
    def script(connection):
        connection.read_body()
        for i in range(len(data)):
            connection.send(data[i:i + 1])
            time.sleep(pause)
    return script


def and_close(data):
    def script(connection):
        connection.read_body()
        connection.send(data)
        return CLOSE
    return script


def and_reset(data):
    def script(connection):
        connection.read_body()
        connection.send(data)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return CLOSE
    return script


@pytest.mark.parametrize("name, script", {
    "in one chunk": chunked(BODY), "in chunks": chunked(BODY[:1], BODY[1:30], BODY[30:]), "byte by byte": slowly(user()),
    "chunked, byte by byte": slowly(chunked(BODY[:7], BODY[7:])),
    "with trailers": chunked(BODY, end=b"0\r\nX-Secret: hunter2\r\n\r\n"),
    "as large as can be": user(BODY + b" " * (32768 - len(BODY))), "and in chunks": chunked(BODY, *[b" " * 256] * 100),
    "until the end": and_close(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + BODY),
    "behind a hint": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + user(),
    "created": user(None, "Content-Type: application/problem+json; charset=utf-8", status=201)}.items())
def test_however_the_answer_comes(gateway, backend, name, script):
    backend.on("/login", script)
    response = login(gateway)
    assert response.status == 200 and response.json()["token_type"] == "Bearer", (name, response)
    assert response.get("X-Secret") is None


@pytest.mark.parametrize("status, fields, body", [
    (401, ["Content-Type: application/json", "X-Why: locked"], b'{"error":"wrong password","id":1}'),
    (403, ["Content-Type: application/json"], b"{}"), (302, ["Location: /elsewhere", "Content-Type: application/json"], b"{}"),
    (500, ["Content-Type: application/json"], b"{"), (200, ["Content-Type: text/html", "Content-Encoding: x"], b"<p>" + b"x" * 100000),
    (200, ["X-No: type"], b'{"id":1}')])
def test_every_other_answer_passes_unchanged(gateway, backend, status, fields, body):
    backend.on("/login", answer(status, body, *fields))
    response = login(gateway)
    assert (response.status, response.body, response.complete) == (status, body, True)
    for field in fields:
        name, value = field.split(": ")
        assert response.get(name) == value
    assert gateway.access_line(request_id=response.get("X-Request-Id"))["outcome"] == "upstream"


def test_head_and_204_pass(gateway, backend):
    backend.on("/login", lambda c: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 77\r\n\r\n")
    response = gateway.ask(get("/login", method="HEAD"))
    assert (response.status, response.get("Content-Length"), response.body) == (200, "77", b"")
    backend.on("/login", b"HTTP/1.1 204 No Content\r\nContent-Type: application/json\r\n\r\n")
    assert login(gateway).status == 204


BROKEN = {
    "no JSON": (user(b"hunter2"), 502, "login_answer_json"),
    "a member twice": (user(b'{"id":"hunter2","id":"root"}'), 502, "login_answer_json"),
    "no subject": (user({"name": "hunter2"}), 502, "login_subject"),
    "compressed": (user(gzip.compress(BODY), "Content-Type: application/json", "Content-Encoding: gzip"), 502, "login_answer_encoded"),
    "compressed unsaid": (user(gzip.compress(BODY)), 502, "login_answer_json"),
    "compressed on the way": (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                              502, "transfer_coding"),
    "of two types": (user(b"hunter2", "Content-Type: text/html, application/json"), 502, "login_answer_json"),
    "a byte too large": (user(BODY + b" " * (32769 - len(BODY))), 502, "response_too_large"),
    "reset": (and_reset(user()[:-5]), 502, "response_cut"),
    "a part": (user(None, "Content-Type: application/json", "Content-Range: bytes 0-1/2", status=206), 502, "login_answer_partial"),
    "too large": (user({"id": "a", "hunter2": "x" * 40000}), 502, "response_too_large"),
    "too large in chunks": (chunked(*[b"hunter2 " * 512] * 20), 502, "response_too_large"),
    "too large for a token": (user({"id": "a", "user": {"roles": ["hunter2" * 200] * 8}}), 502, "login_claims_too_long"),
    "cut": (and_close(user()[:-5]), 502, "response_cut"),
    "cut in chunks": (and_close(chunked(BODY, end=b"")), 502, "response_cut"),
    "chunks that are none": (chunked(BODY, end=b"zz\r\n"), 502, "chunk_size"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_cannot_be_used_never_passes(gateway, backend, name):
    script, status, reason = BROKEN[name]
    backend.on("/login", script)
    outcome = "upstream_reset" if reason == "response_cut" else "upstream_protocol_error"
    refused(gateway, login(gateway), status, reason, outcome)
    assert gateway.ask(get("/login/other")).status == 200


def test_an_answer_that_does_not_come_to_its_end_is_504(gateway, backend):
    gate = threading.Event()

    def drip(connection):
        connection.read_body()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n")
        while not gate.wait(0.2):
            connection.send(b" ")
        return CLOSE

    backend.on("/login", drip)
    start = time.monotonic()
    refused(gateway, login(gateway), 504, "response_timeout", "upstream_timeout")
    gate.set()
    assert 1.5 < time.monotonic() - start < 20


def test_the_upstream_is_asked_for_plain_whole_answers(gateway, backend):
    backend.on("/login", user())
    gateway.ask(get("/login", "Accept-Encoding: gzip", "Range: bytes=3-20", "If-Range: x", method="POST", body=b"x"))
    assert not {"accept-encoding", "range", "if-range"} & set(backend.last().names())


def test_a_client_that_goes_takes_nothing_along(start, backend, scratch):
    gateway = start(slow_config(backend, scratch))
    reached, gate = threading.Event(), threading.Event()

    def wait_in_the_middle(connection):
        connection.read_body()
        connection.send(user()[:-10])
        reached.set()
        gate.wait(60)
        connection.send(user()[-10:])

    backend.on("/login", wait_in_the_middle)
    before = gateway.metric("jwtgate_tokens_issued_total", grant="login")
    with gateway.client() as client:
        client.send(get("/login", method="POST", body=b"x"))
        assert reached.wait(30)
        client.reset()
    line = gateway.access_line(status=499, route="login")
    gate.set()
    assert line["outcome"] == "client_gone"
    assert gateway.metric("jwtgate_tokens_issued_total", grant="login") == before
    # Gone while it is signed: at any time of a short one.
    backend.on("/login", user())
    for i in range(40):
        with gateway.client() as client:
            client.send(get("/login", method="POST", body=b"x"))
            time.sleep(i * 0.0002)
            client.reset()
    wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 0, what="all requests end")


def test_many_at_once(gateway, backend):
    backend.on("/login", user())
    statuses = []

    def work():
        with gateway.client() as client:
            statuses.extend(client.ask(get("/login", method="POST", body=b"x")).status for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200} and len(statuses) == 160


def test_without_a_key_there_is_no_token_and_no_answer(start, backend, scratch):
    config = CONFIG(backend, scratch)
    config["token_issuer"]["signing_keys"][0]["use"] = "publish"
    gateway = start(config)
    backend.on("/login", user())
    line = refused(gateway, login(gateway), 503, "signing_key_missing", "denied")
    assert line["upstream_status"] == 200
    backend.on("/login", answer(401, b"no"))
    assert login(gateway).status == 401


def test_a_reload_in_the_middle_of_a_login(start, backend, scratch):
    gateway = start(slow_config(backend, scratch))
    reached, gate = threading.Event(), threading.Event()

    def wait_in_the_middle(connection):
        connection.read_body()
        connection.send(user()[:-10])
        reached.set()
        gate.wait(60)
        connection.send(user()[-10:])

    backend.on("/login", wait_in_the_middle)
    with gateway.client() as client:
        client.send(get("/login", method="POST", body=b"x"))
        assert reached.wait(30)
        # Another key signs from now on; what is under way keeps the old one.
        subprocess.run([BINARY, "keys", "generate", "--alg", "ES256", "-o", scratch / "new.pem"], check=True, capture_output=True)
        config = json.loads(gateway.file.read_text())
        config["token_issuer"]["signing_keys"] = [{"key_file": str(scratch / "new.pem")}]
        gateway.file.write_text(json.dumps(config))
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.metric("jwtgate_config_reloads_total", result="success") == 1, what="the reload")
        gate.set()
        old = client.read().json()["access_token"]
    jwt.JWT(jwt=old, key=jwk.JWK.from_pem((scratch / "sign.pub.pem").read_bytes()), algs=["ES256"])
    backend.on("/login", user())
    new = login(gateway).json()["access_token"]
    jwt.JWT(jwt=new, key=jwk.JWK.from_pem((scratch / "new.pub.pem").read_bytes()), algs=["ES256"])


def test_the_gateway_stops_while_a_login_waits(start, backend, scratch):
    gateway = start(slow_config(backend, scratch))
    reached, gate = threading.Event(), threading.Event()

    def wait_in_the_middle(connection):
        connection.read_body()
        connection.send(user()[:-10])
        reached.set()
        gate.wait(60)
        connection.send(user()[-10:])

    backend.on("/login", wait_in_the_middle)
    with gateway.client() as client:
        client.send(get("/login", method="POST", body=b"x"))
        assert reached.wait(30)
        os.kill(gateway.process.pid, signal.SIGTERM)
        time.sleep(0.3)
        gate.set()
        assert client.read().json()["token_type"] == "Bearer"
    gateway.stop()


def test_the_configuration_is_checked(scratch, backend):
    config = CONFIG(backend, scratch)
    file = scratch / "c.jsonc"

    def check(change):
        changed = json.loads(json.dumps(config))
        change(changed)
        file.write_text(json.dumps(changed))
        return subprocess.run([BINARY, "check", "-c", file], capture_output=True, text=True, check=False)

    assert check(lambda c: None).returncode == 0
    done = check(lambda c: c.pop("token_issuer"))
    assert done.returncode == 1 and "routes.login.issue_token: nothing signs tokens" in done.stderr
    done = check(lambda c: c["routes"]["login"]["issue_token"]["claims"].update(exp="x"))
    assert done.returncode == 1 and 'routes.login.issue_token.claims: "exp" is written by the issuer alone' in done.stderr
