# SPDX-License-Identifier: Apache-2.0
"""Keys by URL: a scripted key server with every fault; the last good set goes on serving."""
import gzip
import json
import os
import threading
import time

import pytest

from jwks_support import config, fetches, key_set, publish, status, tls_server
from support import (CLOSE, Backend, Client, RsaKey, answer, b64, bearer, claims, free_port, get, wait_until)


@pytest.fixture(scope="module")
def keys():
    return [RsaKey(f"key-{i}") for i in range(3)]


@pytest.fixture
def issuer():
    server = Backend()
    yield server
    server.stop()


def test_a_key_of_the_issuer_is_enough(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer))
    assert status(gateway, keys[0].token()) == 200
    assert status(gateway, keys[0].token(kid=None)) == 200
    assert status(gateway, keys[1].token(kid="key-0")) == 401
    assert status(gateway, keys[0].token(claims(aud="other"))) == 401
    assert gateway.metric("jwtgate_jwks_keys", provider="corp") == 1
    assert abs(gateway.metric("jwtgate_jwks_last_success_timestamp_seconds") - time.time()) < 20
    assert "[+]jwks/corp ok" in gateway.admin("/readyz?verbose")[1]
    assert gateway.logged("key added")


@pytest.mark.threads
def test_a_rotation_is_seen_before_its_time(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer, {"ttl": "1h"}))
    assert status(gateway, keys[0].token()) == 200
    time.sleep(0.2)
    publish(issuer, keys[0], keys[1])
    assert status(gateway, keys[1].token()) == 200
    assert status(gateway, keys[0].token()) == 200
    assert fetches(gateway, result="ok") == 2


@pytest.mark.threads
def test_a_withdrawn_key_and_its_tokens_are_dead_at_the_next_refresh(start, backend, issuer, keys):
    publish(issuer, keys[0], keys[1])
    gateway = start(config(backend, issuer, server={"workers": 2}))
    token = keys[0].token()
    for _ in range(4):
        assert status(gateway, token) == 200
    publish(issuer, keys[1])
    wait_until(lambda: gateway.metric("jwtgate_jwks_keys", provider="corp") == 1, what="the new set")
    for _ in range(8):
        response = gateway.ask(get("/", bearer(token)))
        assert response.status == 401
    assert gateway.logged("key removed")
    assert gateway.metric("jwtgate_auth_decisions_total", reason="kid_unknown") == 8


def test_a_server_that_says_not_modified_is_believed(start, backend, issuer, keys):
    def script(connection):
        if connection.request.get("If-None-Match") == '"v1"':
            connection.send(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n')
        else:
            connection.send(answer(200, key_set(keys[0]), 'ETag: "v1"'))

    issuer.on("/keys", script)
    gateway = start(config(backend, issuer))
    token = keys[0].token()
    assert status(gateway, token) == 200
    wait_until(lambda: fetches(gateway, result="not_modified") >= 2, what="revalidations")
    assert status(gateway, token) == 200
    assert fetches(gateway, result="ok") == 1


def test_cache_control_shortens_the_life_of_a_set(start, backend, issuer, keys):
    publish(issuer, keys[0], fields=["Cache-Control: public, max-age=1"])
    gateway = start(config(backend, issuer, {"ttl": "1h"}))
    wait_until(lambda: fetches(gateway, result="ok") >= 3, what="refreshes")


def drip(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(40):
        connection.send(b" ")
        time.sleep(0.1)
    return CLOSE


def flood(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for _ in range(1600):
        connection.send(chunk)
    return CLOSE


def hang(connection):
    time.sleep(3)
    return CLOSE


BOMB = gzip.compress(b'{"keys":[' + b" " * 30_000_000 + b"]}")
FAULTS = {
    "error": (answer(500, b"oops", phrase="Internal"), "http_error"),
    "hang": (hang, "timeout"),
    "byte by byte": (drip, "timeout"),
    "100 MiB": (flood, "too_large"),
    "gzip bomb": (answer(200, BOMB, "Content-Encoding: gzip"), "parse"),
    "html": (answer(200, b"<html>Sign in</html>", "Content-Type: text/html"), "parse"),
    "html type": (lambda c: c.send(answer(200, b'{"keys":[]}', "Content-Type: text/html")), "parse"),
    "truncated": (answer(200, b'{"keys":[{"kty":"RSA","n":"abc'), "parse"),
    "cut": (lambda c: (c.send(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"ke'), CLOSE)[1], "connect"),
    "no keys": (answer(200, b'{"keys":[]}'), "parse"),
    "only secrets": (answer(200, json.dumps({"keys": [
        {"kty": "oct", "kid": "key-0", "k": b64(b"k" * 32)}]}).encode()), "parse"),
    "redirect": (answer(302, b"", "Location: /elsewhere", phrase="Found"), "http_error"),
    "10000 keys": (answer(200, json.dumps({"keys": [{"kty": "RSA"}] * 10000}).encode()), "parse"),
    "closed": (lambda c: CLOSE, "connect"),
    "not http": (lambda c: (c.send(b"SSH-2.0-OpenSSH_9\r\n"), CLOSE)[1], "connect"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_last_good_set_serves_through(fault, start, backend, issuer, keys):
    script, result = FAULTS[fault]
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer))
    token = keys[0].token()
    assert status(gateway, token) == 200
    before = gateway.rss_kib()
    issuer.on("/keys", script)
    wait_until(lambda: fetches(gateway, result=result) >= 1, what=f"a fetch with {result}")
    assert status(gateway, token) == 200
    assert status(gateway, keys[0].token()) == 200
    assert status(gateway, keys[1].token()) in (401, 503)
    assert not any(r.target == "/elsewhere" for r in issuer.requests)
    assert gateway.rss_kib() - before < 60_000
    publish(issuer, keys[0], keys[1])
    wait_until(lambda: status(gateway, keys[1].token()) == 200, what="the server is back")


def test_unusable_keys_are_skipped_and_counted(start, backend, issuer, keys):
    good = keys[0].jwk()
    publish(issuer, good, {"kty": "oct", "kid": "s", "k": b64(b"k" * 32)}, {**good, "kid": "e", "use": "enc"},
            {**good, "kid": "o", "key_ops": ["encrypt"]}, RsaKey("small", 1024), {"kty": "Cyan"}, {**good})
    gateway = start(config(backend, issuer))
    assert status(gateway, keys[0].token()) == 200
    assert gateway.metric("jwtgate_jwks_keys") == 1
    assert gateway.metric("jwtgate_jwks_keys_skipped") == 6


def test_of_two_keys_with_one_kid_the_first_serves_on(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer))
    assert status(gateway, keys[0].token()) == 200
    publish(issuer, keys[0], {**keys[1].jwk(), "kid": "key-0"})
    wait_until(lambda: gateway.metric("jwtgate_jwks_keys_skipped") == 1, what="the set with the double")
    assert status(gateway, keys[0].token()) == 200
    assert status(gateway, keys[1].token(kid="key-0")) == 401


def test_a_certificate_that_expires_in_mid_life_leaves_the_last_good_set(start, backend, keys, scratch):
    (scratch / "good").mkdir()
    (scratch / "bad").mkdir()
    server, ca_file = tls_server(scratch / "good", key_set(keys[0]))
    expired, expired_file = tls_server(scratch / "bad", key_set(keys[0], keys[1]), days=-1)
    try:
        with open(ca_file, "ab") as both:
            both.write(expired_file.read_bytes())
        gateway = start(config(backend, server, uri=f"https://localhost:{server.port}/keys",
                               ca_file=str(ca_file), allow_http=False))
        assert status(gateway, keys[0].token()) == 200
        server.context.load_cert_chain(expired_file, scratch / "bad" / "key.pem")
        wait_until(lambda: fetches(gateway, result="tls") >= 1, what="a fetch with the expired certificate")
        assert status(gateway, keys[0].token()) == 200
        assert status(gateway, keys[1].token()) in (401, 503)
    finally:
        server.stop()
        expired.stop()


def test_a_server_that_goes_away_in_mid_life_and_comes_back(start, backend, keys):
    server = Backend()
    publish(server, keys[0])
    gateway = start(config(backend, server, {"ttl": "1s", "stale_if_error": "6s"}))
    token = keys[0].token()
    assert status(gateway, token) == 200
    server.stop()
    wait_until(lambda: fetches(gateway, result="connect") >= 1, what="a fetch that fails")
    assert status(gateway, token) == 200
    response = wait_until(lambda: (r := gateway.ask(get("/", bearer(token)))).status == 503 and r,
                          what="the end of stale_if_error")
    assert response.get("Retry-After") and response.get("WWW-Authenticate") is None
    assert gateway.metric("jwtgate_jwks_keys", provider="corp") == 0
    again = Backend(server.port)
    publish(again, keys[0])
    wait_until(lambda: status(gateway, token) == 200, what="the server is back")
    again.stop()


def test_a_server_that_is_down_at_the_start_is_waited_for(start, backend, keys):
    port = free_port()

    class Later:
        pass

    later = Later()
    later.port = port
    gateway = start(config(backend, later, server={"startup_timeout": "300ms"}), wait=False)
    gateway.listens()
    response = wait_until(lambda: gateway.ask(get("/", bearer(keys[0].token()))))
    assert response.status == 503 and response.get("Retry-After")
    assert response.get("WWW-Authenticate") is None
    assert gateway.ask(get("/open")).status == 200
    code, text, _ = gateway.admin("/readyz")
    assert code == 503 and "[-]jwks/corp" in text
    server = Backend(port)
    publish(server, keys[0])
    wait_until(lambda: status(gateway, keys[0].token()) == 200, what="the keys arrive")
    assert gateway.admin("/readyz")[0] == 200
    server.stop()


@pytest.mark.threads
def test_a_server_that_is_down_for_too_long(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer, {"ttl": "1s", "stale_if_error": "4s"}))
    token = keys[0].token()
    assert status(gateway, token) == 200
    issuer.on("/keys", answer(500))
    started = time.monotonic()
    wait_until(lambda: status(gateway, token) == 503, what="the end of stale_if_error")
    assert 1.0 < time.monotonic() - started < 20
    publish(issuer, keys[0])
    wait_until(lambda: status(gateway, token) == 200, what="the server is back")


def test_the_keys_of_the_last_run_serve_while_the_server_is_down(start, backend, issuer, keys, scratch):
    folder = scratch / "cache"
    folder.mkdir()
    publish(issuer, keys[0])
    settings = config(backend, issuer, {"ttl": "1h"}, server={"cache_dir": str(folder)})
    start(settings).stop()
    files = list(folder.iterdir())
    assert len(files) == 1 and json.loads(files[0].read_text()) == json.loads(key_set(keys[0]))
    issuer.on("/keys", lambda c: CLOSE)
    gateway = start(settings)
    assert status(gateway, keys[0].token()) == 200
    gateway.stop()
    files[0].write_text("{\"keys\":[]}")
    gateway = start({**settings, "server": {**settings["server"], "startup_timeout": "100ms"}}, wait=False)
    gateway.logged("keys on disk are not used")
    gateway.listens()
    assert status(gateway, keys[0].token()) == 503
    gateway.stop()
    files[0].write_bytes(key_set(keys[0]))
    os.utime(files[0], (1, 1))
    gateway = start({**settings, "server": {**settings["server"], "startup_timeout": "100ms"}}, wait=False)
    gateway.listens()
    assert status(gateway, keys[0].token()) == 503


def test_the_copy_on_disk_is_written_when_keys_change_and_only_then(start, backend, issuer, keys, scratch):
    folder = scratch / "cache"
    folder.mkdir()
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer, server={"cache_dir": str(folder)}))
    file = wait_until(lambda: next(iter(folder.glob("*.json")), None), what="the copy")
    first = file.stat()
    wait_until(lambda: fetches(gateway, result="ok") >= 3, what="refreshes")
    same = file.stat()
    assert same.st_ino == first.st_ino and same.st_mtime > first.st_mtime, "confirmed, not written"
    publish(issuer, keys[0], keys[1])
    wait_until(lambda: file.stat().st_ino != first.st_ino, what="another file in its place")
    assert json.loads(file.read_text()) == json.loads(key_set(keys[0], keys[1]))
    file.unlink()
    wait_until(file.exists, what="it is there again")
    file.unlink()
    folder.rmdir()
    publish(issuer, keys[1])
    gateway.logged("cannot keep the keys on disk")
    assert status(gateway, keys[1].token()) == 200
    assert not list(scratch.glob("cache/*"))


def test_a_signal_ends_the_wait_at_the_start(start, backend, issuer):
    issuer.on("/keys", hang)
    gateway = start(config(backend, issuer, server={"startup_timeout": "60s"}), wait=False)
    wait_until(lambda: issuer.requests, what="the fetch")
    gateway.stop(seconds=20)


@pytest.mark.threads
def test_many_requests_with_a_new_kid_cause_one_fetch(start, backend, issuer, keys):
    publish(issuer, keys[0])
    settings = config(backend, issuer, {"ttl": "1h", "min_refresh": "1s"}, server={"workers": 2})
    settings["upstreams"]["backend"]["timeouts"] = {"connect": "10s"}
    gateway = start(settings)
    time.sleep(1.2)

    def slow(connection):
        time.sleep(0.2)
        connection.send(answer(200, key_set(keys[0], keys[1])))

    issuer.on("/keys", slow)
    issuer.requests.clear()
    clients = [Client(gateway.port) for _ in range(1000)]
    tokens = [keys[1].token() for _ in range(8)]
    for i, client in enumerate(clients):
        client.send(get("/", bearer(tokens[i % 8])))
    assert [c.read().status for c in clients] == [200] * 1000
    assert len(issuer.requests) == 1
    for client in clients:
        client.close()


def test_random_kids_cause_few_fetches_and_disturb_nobody(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer, {"ttl": "1h", "min_refresh": "1s"}, server={
        "workers": 2, "limits": {"requests_per_connection": 1000000}}))
    good, stop, failures = keys[0].token(), threading.Event(), []
    assert status(gateway, good) == 200

    def ask_well():
        with gateway.client() as client:
            while not stop.is_set():
                code = client.ask(get("/", bearer(good))).status
                if code != 200:
                    failures.append(code)

    thread = threading.Thread(target=ask_well)
    thread.start()
    issuer.requests.clear()
    before, started, count = gateway.rss_kib(), time.monotonic(), 0
    token = keys[1].token()
    head, payload, signature = token.split(".")
    with gateway.client() as client:
        while time.monotonic() - started < 3 or count <= 50:
            fields = {"alg": "RS256", "typ": "JWT", "kid": f"random-{count}"}
            code = client.ask(get("/", bearer(f"{b64(fields)}.{payload}.{signature}"))).status
            assert code == 401
            count += 1
    stop.set()
    thread.join()
    assert not failures
    assert 1 <= len(issuer.requests) <= 2 + (time.monotonic() - started), "at most one in min_refresh"
    assert gateway.rss_kib() - before < 40_000


def test_tokens_that_no_key_could_save_cause_no_fetch(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer, {"ttl": "1h"}))
    time.sleep(0.2)
    issuer.requests.clear()
    now = int(time.time())
    for payload in (claims(iss="https://evil.test/"), claims(aud="other"), claims(exp=now - 100),
                    claims(nbf=now + 500), claims(exp=None)):
        assert status(gateway, keys[1].token(payload)) == 401
    assert status(gateway, keys[1].token(alg="HS256")) == 401
    assert not issuer.requests


def test_a_failed_fetch_does_not_make_a_kid_unknown(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer, {"ttl": "1h"}))
    time.sleep(0.2)
    issuer.on("/keys", answer(500))
    token = keys[1].token()
    assert status(gateway, token) == 503
    publish(issuer, keys[0], keys[1])
    wait_until(lambda: status(gateway, token) == 200, what="the key")


@pytest.mark.parametrize("reason", ["all_replaced", "kid_reused", "key_shrunk"])
def test_a_suspicious_set_is_counted_and_held(reason, start, backend, issuer, keys):
    old, new = {"all_replaced": (keys[0], keys[1]), "kid_reused": (keys[0], RsaKey("key-0")),
                "key_shrunk": (RsaKey("key-0", 3072), keys[0])}[reason]
    publish(issuer, old)
    gateway = start(config(backend, issuer, {"ttl": "3s", "min_refresh": "3s"}, on_suspicious="hold"))
    assert status(gateway, old.token()) == 200
    publish(issuer, new)
    wait_until(lambda: gateway.metric("jwtgate_jwks_suspicious_total", reason=reason) == 1, what="the count")
    assert status(gateway, old.token()) == 200
    wait_until(lambda: status(gateway, new.token()) == 200, what="the next fetch confirms it")
    assert gateway.metric("jwtgate_jwks_suspicious_total") == 1
    assert status(gateway, old.token()) == 401


@pytest.mark.parametrize("path", ["/tenant/.well-known/openid-configuration",
                                  "/.well-known/oauth-authorization-server/tenant"])
def test_discovery(path, start, backend, issuer, keys):
    name = f"http://127.0.0.1:{issuer.port}/tenant"
    publish(issuer, keys[0])
    issuer.default = answer(404, b"", phrase="Not Found")
    issuer.on(path, answer(200, json.dumps({
        "issuer": name, "jwks_uri": f"http://127.0.0.1:{issuer.port}/keys"}).encode()))
    gateway = start(config(backend, issuer, discovery=True, name=name))
    assert status(gateway, keys[0].token(claims(iss=name))) == 200


@pytest.mark.parametrize("metadata", [{"issuer": "https://evil.test"}, {"jwks_uri": "file:///etc/passwd"},
                                      {"jwks_uri": None}])
def test_metadata_that_are_not_ours(metadata, start, backend, issuer, keys):
    name = f"http://127.0.0.1:{issuer.port}"
    publish(issuer, keys[0])
    good = {"issuer": name, "jwks_uri": f"http://127.0.0.1:{issuer.port}/keys"}
    issuer.on("/.well-known/openid-configuration", answer(200, json.dumps({**good, **metadata}).encode()))
    gateway = start(config(backend, issuer, discovery=True, name=name,
                           server={"startup_timeout": "300ms"}), wait=False)
    gateway.listens()
    assert status(gateway, keys[0].token(claims(iss=name))) == 503
    assert not any(r.target == "/keys" for r in issuer.requests)


@pytest.mark.parametrize("jwks, text", [
    ({}, "neither or both"),
    ({"uri": "https://a.test/k", "discovery": True}, "neither or both"),
    ({"uri": "http://a.test/k"}, "allow_http"),
    ({"uri": "a.test"}, "no https address"),
    ({"uri": "https://a.test/k", "ca_file": 5}, "ca_file"),
    ({"uri": "https://a.test/k", "cache": {"ttl": "5"}}, "ttl"),
])
def test_mistakes_of_the_configuration_are_told(jwks, text, start, backend, issuer):
    settings = config(backend, issuer)
    settings["providers"]["corp"]["jwks"] = jwks
    gateway = start(settings, wait=False)
    assert gateway.process.wait(30) == 1
    assert text in gateway.log()
    gateway.process = None


def test_an_unknown_certificate_is_refused_and_a_known_one_is_not(start, backend, keys, scratch):
    server, ca_file = tls_server(scratch, key_set(keys[0]))
    try:
        uri = f"https://localhost:{server.port}/keys"
        gateway = start(config(backend, server, uri=uri, ca_file=str(ca_file), allow_http=False))
        assert status(gateway, keys[0].token()) == 200
        gateway = start(config(backend, server, uri=uri, allow_http=False,
                               server={"startup_timeout": "300ms"}), wait=False)
        gateway.listens()
        wait_until(lambda: fetches(gateway, result="tls") >= 1, what="a fetch that fails")
        assert status(gateway, keys[0].token()) == 503
    finally:
        server.stop()


def test_an_expired_certificate_is_refused(start, backend, keys, scratch):
    server, ca_file = tls_server(scratch, key_set(keys[0]), days=-1)
    try:
        gateway = start(config(backend, server, uri=f"https://localhost:{server.port}/keys",
                               ca_file=str(ca_file), server={"startup_timeout": "300ms"}), wait=False)
        gateway.listens()
        wait_until(lambda: fetches(gateway, result="tls") >= 1, what="a fetch that fails")
    finally:
        server.stop()


def test_check_online_says_what_it_found(backend, issuer, keys, scratch):
    import subprocess
    from support import BINARY

    file = scratch / "online.jsonc"
    file.write_text(json.dumps(config(backend, issuer)))

    def check():
        return subprocess.run([BINARY, "check", "-c", str(file), "--online"], capture_output=True, text=True,
                              timeout=60)

    publish(issuer, keys[0], {"kty": "oct", "kid": "secret", "k": b64(b"k" * 32)})
    found = check()
    assert found.returncode == 0, found.stderr
    assert "jwks/corp: ok: 1 key from" in found.stderr and "key \"key-0\" RS256" in found.stderr
    assert "\"secret\" skipped" in found.stderr
    name = f"http://127.0.0.1:{issuer.port}"
    issuer.default = answer(404, b"", phrase="Not Found")
    issuer.on("/.well-known/oauth-authorization-server", answer(200, json.dumps(
        {"issuer": name, "jwks_uri": f"{name}/keys"}).encode()))
    plain = file.read_text()
    file.write_text(json.dumps(config(backend, issuer, discovery=True, name=name)))
    found = check()
    assert found.returncode == 0 and "ok: 1 key from" in found.stderr, found.stderr
    file.write_text(plain)
    issuer.on("/keys", answer(500))
    found = check()
    assert found.returncode == 1 and "status 500" in found.stderr
