# SPDX-License-Identifier: Apache-2.0
"""What comes between: reloads and upgrades while a request, a client, a start or a stop is in the middle of something."""
import copy
import http.client
import pathlib
import signal
import socket
import ssl
import threading

import pytest
from redis_support import PASSWORD, Redis
from support import (AUDIENCE, ISSUER, PATIENCE, Client, answer, bearer, become_reaper, claims, config_for, free_port,
                     get, hs256, wait_until)
from test_65_reload import reload, reloads, two_routes, write
from tls_support import Authority, TlsClient, client_context

pytestmark = pytest.mark.threads


def change_all(config, backend):
    """Nothing stays but the listener: another name for everything."""
    changed = copy.deepcopy(config)
    changed["upstreams"] = {"other": {"targets": [backend.address]}}
    changed["routes"] = {"other": {"match": {"path_prefix": "/other"}, "upstream": "other", "auth": "none"}}
    for key in ("providers", "revocation"):
        changed.pop(key, None)
    return changed


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_body_that_is_on_its_way(start, backend, how):
    become_reaper()
    config = two_routes(backend)
    gateway = start(config)
    with gateway.client() as client:
        client.send(get("/a", "Content-Length: 10", method="POST") + b"01234")
        wait_until(lambda: backend.connections, what="the first half of it")
        if how == "reload":
            reload(gateway, change_all(config, backend))
        else:
            write(gateway, change_all(config, backend))
            old = gateway.upgrade()
        assert gateway.ask(get("/other")).status == 200
        client.send(b"56789")
        assert client.read().status == 200
    seen = next(r for r in backend.requests if r.method == "POST")
    assert seen.body == b"0123456789"
    if how == "upgrade":
        assert old.wait(30) == 0


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_question_to_redis_that_is_under_way(start, backend, scratch, how):
    """The old configuration's connection to redis lives until who asked has the answer."""
    become_reaper()
    redis = Redis(scratch)
    try:
        config = config_for(
            backend, providers={"internal": {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
                                             "keys": [{"kid": "k1", "secret": {"env": "TEST_SECRET"}}]}},
            revocation={"redis": {"url": f"redis://127.0.0.1:{redis.port}", "password": {"env": "TEST_REDIS_PASSWORD"},
                                  "timeouts": {"command": "30s"}}, "max_staleness": "30s"})
        config["routes"]["all"]["auth"] = {"provider": "internal", "revocation": "strict"}
        gateway = start(config, environment={"TEST_REDIS_PASSWORD": PASSWORD})
        good, bad = (hs256(claims(jti=jti), kid="k1") for jti in ("good", "bad"))
        redis.revoke("bad")
        wait_until(lambda: gateway.ask(get("/x", bearer(bad))).status == 401, what="the revocation")
        assert gateway.ask(get("/x", bearer(good))).status == 200
        with gateway.client() as first, gateway.client() as second:
            redis.signal(signal.SIGSTOP)
            first.send(get("/x", bearer(good)))
            second.send(get("/x", bearer(bad)))
            wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 2, what="both wait")
            changed = change_all(config, backend)
            if how == "reload":
                reload(gateway, changed)
            else:
                write(gateway, changed)
                old = gateway.upgrade()
            # The old process takes what the kernel had let in before its sockets were closed.
            wait_until(lambda: gateway.ask(get("/other")).status == 200, what="the new configuration")
            redis.signal(signal.SIGCONT)
            assert [first.read().status, second.read().status] == [200, 401]
        if how == "upgrade":
            assert old.wait(30) == 0
    finally:
        redis.signal(signal.SIGCONT)
        redis.kill()


def test_a_listener_that_goes_lets_its_requests_end(start, backend):
    release = threading.Event()
    backend.on("/a", lambda c: release.wait(60) and answer(200, b"late"))
    config = two_routes(backend)
    second = copy.deepcopy(config)
    port = free_port()
    second["listeners"]["second"] = {"address": f"127.0.0.1:{port}"}
    gateway = start(second)
    with Client(port) as busy, Client(port) as idle, Client(port) as about_to_ask:
        assert idle.ask(get("/b")).status == 200
        busy.send(get("/a"))
        wait_until(lambda: [r for r in backend.requests if r.target == "/a"], what="in flight")
        reload(gateway, config)
        response = about_to_ask.ask(get("/b"))
        assert response.status == 200 and response.get("Connection") == "close", "it was on its way"
        assert idle.is_closed()
        release.set()
        response = busy.read()
        assert response.body == b"late" and response.get("Connection") == "close"
        assert busy.is_closed()
    gateway.wait_for_metric(0, "jwtgate_connections", listener="second")


def test_no_reload_while_it_drains(start, backend):
    release = threading.Event()
    backend.on("/a", lambda c: release.wait(60) and answer(200, b"late"))
    config = two_routes(backend)
    gateway = start(config)
    with gateway.client() as client:
        client.send(get("/a"))
        backend.last()
        gateway.signal(signal.SIGTERM)
        gateway.logged("gateway draining")
        write(gateway, change_all(config, backend))
        gateway.signal(signal.SIGHUP)
        gateway.signal(signal.SIGUSR2)
        assert gateway.admin("/reload", method="POST")[0] == 503
        gateway.logged("cannot reload")
        gateway.logged("upgrade failed: this process goes on")
        gateway.logged("this process drains")
        release.set()
        assert client.read().body == b"late"
    assert gateway.process.wait(30) == 0


def test_a_stop_while_a_reload_waits(start, backend):
    """With a provider whose keys never come: the reload waits for them when the stop does."""
    silent = socket.create_server(("127.0.0.1", free_port()))
    with silent:
        config = two_routes(backend)
        config["server"]["startup_timeout"] = "5s"
        provider = {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["RS256"],
                    "jwks": {"uri": "http://127.0.0.1:%d/keys" % silent.getsockname()[1], "allow_http": True, "timeout": "5s"}}
        changed = {**config, "providers": {"corporate": provider}}
        gateway = start(config)
        write(gateway, changed)
        gateway.signal(signal.SIGHUP)
        silent.settimeout(PATIENCE)
        connection = silent.accept()[0]
        assert gateway.ask(get("/a")).status == 200
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(30) == 0
        connection.close()


def test_two_who_ask_at_once_both_hear_the_verdict(start, backend):
    config = two_routes(backend)
    gateway = start(config)
    changed = copy.deepcopy(config)
    changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
    write(gateway, changed)
    connections = [http.client.HTTPConnection("127.0.0.1", gateway.admin_port, timeout=PATIENCE) for _ in range(6)]
    for connection in connections:
        connection.request("POST", "/reload")
    responses = [(c.getresponse().status) for c in connections]
    assert responses == [200] * 6
    assert 2 <= reloads(gateway)[0] <= 6, "who came meanwhile waited for one more"
    assert gateway.ask(get("/c")).status == 200
    for connection in connections:
        connection.close()


def test_who_hangs_up_while_a_reload_runs(start, backend):
    config = two_routes(backend)
    gateway = start(config)
    for _ in range(10):
        with Client(gateway.admin_port) as client:
            client.send(get("/reload", "Content-Length: 0", method="POST", host="127.0.0.1"))
    wait_until(lambda: sum(reloads(gateway)) > 0, what="a reload")
    assert gateway.admin("/reload", method="POST")[0] == 200


def test_a_reload_while_it_starts(start, backend):
    """The start waits for keys; what is asked for meanwhile counts."""
    silent = socket.create_server(("127.0.0.1", free_port()))
    with silent:
        config = two_routes(backend)
        config["server"]["startup_timeout"] = "5s"
        config["providers"] = {"corporate": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["RS256"],
            "jwks": {"uri": "http://127.0.0.1:%d/keys" % silent.getsockname()[1], "allow_http": True, "timeout": "20s"}}}
        gateway = start(config, wait=False)
        silent.settimeout(PATIENCE)
        with silent.accept()[0]:
            changed = copy.deepcopy(config)
            changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
            changed["listeners"]["more"] = {"address": f"127.0.0.1:{free_port()}"}
            write(gateway, changed)
            gateway.signal(signal.SIGUSR2)
            gateway.logged("this process has not started yet")
            gateway.signal(signal.SIGHUP)
            gateway.logged("reload done")
            wait_until(lambda: gateway.ask(get("/c")).status == 200, what="the new configuration")
            with Client(int(changed["listeners"]["more"]["address"].rsplit(":", 1)[1])) as client:
                assert client.ask(get("/c")).status == 200


# --- certificates ------------------------------------------------------------------------------


def serial(client):
    return ssl.DER_cert_to_PEM_cert(client.socket.getpeercert(True))


def test_a_certificate_alone_has_changed(start, backend, scratch):
    authority = Authority(scratch)
    cert, key = authority.issue("a", "a.test")
    config = config_for(backend)
    config["listeners"]["public"]["tls"] = {"certificates": [{"cert_file": cert, "key_file": key}]}
    gateway = start(config)
    context = client_context(authority.file)
    with TlsClient(gateway.port, context) as old, Client(gateway.port) as slow:
        assert old.ask(get("/")).status == 200
        hello = ssl.MemoryBIO()
        reply = ssl.MemoryBIO()
        half = context.wrap_bio(reply, hello, server_hostname="a.test")
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        first = hello.read()
        slow.send(first[:20])
        authority.issue("a", "a.test")
        reload(gateway)
        with TlsClient(gateway.port, context) as new:
            assert new.ask(get("/")).status == 200
            assert serial(new) != serial(old)
        assert old.ask(get("/")).status == 200, "who is there stays"
        slow.send(first[20:])  # a handshake that the reload came into
        wait_until(lambda: finish(half, slow, reply, hello), what="the handshake")
        pathlib.Path(key).write_text("broken")
        reload(gateway, ok=False)
        with TlsClient(gateway.port, context) as new:
            assert new.ask(get("/")).status == 200


def finish(half, client, reply, hello):
    """One step of a handshake in memory; True at its end."""
    reply.write(client.socket.recv(65536))
    try:
        half.do_handshake()
        return True
    except ssl.SSLWantReadError:
        return False
    finally:
        client.send(hello.read())


def test_an_upgrade_with_tls(start, backend, scratch):
    """Connections of the old process go on; sessions of the old one end in a full handshake."""
    become_reaper()
    authority = Authority(scratch)
    cert, key = authority.issue("a", "a.test")
    config = config_for(backend, server={"workers": 2})
    config["listeners"]["public"]["tls"] = {"certificates": [{"cert_file": cert, "key_file": key}]}
    gateway = start(config)
    context = client_context(authority.file, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))
    with TlsClient(gateway.port, context) as client:
        assert client.ask(get("/")).status == 200
        session = client.socket.session
        old = gateway.upgrade()
        response = client.ask(get("/"))
        assert response.status == 200 and response.get("Connection") == "close"
    with TlsClient(gateway.port, context, session=session) as client:
        assert client.ask(get("/")).status == 200
    assert old.wait(30) == 0
