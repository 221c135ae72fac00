# SPDX-License-Identifier: Apache-2.0
"""Where keys come from: shared by providers, kept over reloads, by a proxy, vouched for by a file."""
import contextlib
import copy
import json
import signal
import socket
import threading
import time

import pytest
from jwks_support import config, fetches, key_set, publish, status, tls_server
from support import Backend, RsaKey, answer, b64, bearer, claims, get, wait_until


@pytest.fixture(scope="module")
def keys():
    return [RsaKey(f"key-{i}") for i in range(3)]


@pytest.fixture
def issuer():
    server = Backend()
    yield server
    server.stop()


def reload(gateway, settings, ok=True):
    def count():
        return [gateway.metric("jwtgate_config_reloads_total", result=result) for result in ("success", "failure")]

    before = count()
    gateway.file.write_text(json.dumps(settings))
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: sum(count()) > sum(before), what="the end of a reload")
    assert (count()[0] > before[0]) == ok, gateway.log()


def with_partner(settings, **jwks):
    """A second provider with the same keys."""
    settings = copy.deepcopy(settings)
    partner = copy.deepcopy(settings["providers"]["corp"])
    partner["issuer"] = "https://partner.test/"
    partner["jwks"].update(jwks)
    settings["providers"]["partner"] = partner
    settings["routes"]["partner"] = {"match": {"path_prefix": "/partner"}, "upstream": "backend",
                                     "auth": {"provider": "partner"}}
    return settings


def partner_token(key):
    return key.token(claims(iss="https://partner.test/"))


# ---- one store for one source ----


@pytest.mark.threads
def test_two_providers_of_one_address_share_one_fetch(start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(with_partner(config(backend, issuer, {"ttl": "1h"}, server={"workers": 2})))
    assert status(gateway, keys[0].token()) == 200
    assert status(gateway, partner_token(keys[0]), "/partner") == 200
    assert status(gateway, keys[0].token(), "/partner") == 401, "keys are shared, trust is not"
    assert len(issuer.requests) == 1
    for provider in ("corp", "partner"):
        assert gateway.metric("jwtgate_jwks_keys", provider=provider) == 1
        assert gateway.metric("jwtgate_jwks_fetches_total", provider=provider, result="ok") == 1
        assert f"[+]jwks/{provider} ok" in gateway.admin("/readyz?verbose")[1]
    time.sleep(0.2)
    publish(issuer, keys[0], keys[1])
    assert status(gateway, partner_token(keys[1]), "/partner") == 200
    assert status(gateway, keys[1].token()) == 200, "what one asked for both have"
    assert len(issuer.requests) == 2
    gateway.logged('partner,corp kid="key-1"')
    assert gateway.log().count('kid="key-1"') == 1


@pytest.mark.parametrize("other", [{"timeout": "400ms"}, {"max_bytes": "100KiB"}, {"on_suspicious": "hold"},
                                   {"cache": {"ttl": "2h", "min_refresh": "100ms", "stale_if_error": "1h"}}])
def test_other_options_are_another_source(other, start, backend, issuer, keys):
    publish(issuer, keys[0])
    gateway = start(with_partner(config(backend, issuer, {"ttl": "1h"}), **other))
    assert status(gateway, keys[0].token()) == 200
    assert status(gateway, partner_token(keys[0]), "/partner") == 200
    assert len(issuer.requests) == 2


# ---- reloads ----


@pytest.mark.threads
def test_what_a_reload_does_not_change_lives_on(start, backend, issuer, keys):
    publish(issuer, keys[0])
    settings = with_partner(config(backend, issuer, {"ttl": "1h"}))
    settings["server"]["workers"] = 1
    gateway = start(settings)

    def hits():
        return gateway.metric("jwtgate_token_cache_lookups_total", result="hit")

    token, other = keys[0].token(), partner_token(keys[0])
    assert status(gateway, token) == 200 and status(gateway, other, "/partner") == 200
    issuer.on("/keys", answer(500))  # nobody needs it
    for turn in range(4):
        changed = copy.deepcopy(settings)
        changed["providers"]["partner"]["clock_skew"] = f"{turn + 31}s"
        if turn % 2:  # another place in the list
            changed["providers"] = {"first": {**changed["providers"]["partner"], "issuer": "https://first.test/"},
                                    **changed["providers"]}
        before = hits()
        reload(gateway, changed)
        assert status(gateway, token) == 200
        assert hits() == before + 1, "the provider is the same: so is what is known of its tokens"
        assert status(gateway, other, "/partner") == 200, "its keys were there at once"
        assert hits() == before + 1, "the provider is another one: the token is looked at anew"
    assert len(issuer.requests) == 1
    assert gateway.metric("jwtgate_token_cache_entries") == 2
    changed = copy.deepcopy(settings)
    changed["providers"]["partner"]["audiences"] = ["other"]
    reload(gateway, changed)
    assert status(gateway, other, "/partner") == 401
    assert status(gateway, token) == 200
    del changed["providers"]["partner"], changed["routes"]["partner"]
    reload(gateway, changed)
    assert gateway.metric("jwtgate_token_cache_entries") == 1, "tokens go with their provider"
    shown = gateway.metrics()
    for gauge in ("keys", "keys_skipped", "last_success_timestamp_seconds"):
        assert f'jwtgate_jwks_{gauge}{{provider="corp"}}' in shown
        assert f'jwtgate_jwks_{gauge}{{provider="partner"}}' not in shown, "what is not there has no series"
    assert gateway.metric("jwtgate_jwks_fetches_total", provider="partner") > 0, "counters stay"
    reload(gateway, settings)
    assert gateway.metric("jwtgate_jwks_keys", provider="partner") == 1, "it is there again"


def test_a_changed_source_is_fetched_before_the_switch(start, backend, issuer, keys):
    publish(issuer, keys[0])
    settings = config(backend, issuer, {"ttl": "1h"}, server={"startup_timeout": "3s"})
    gateway = start(settings)
    token = keys[0].token()
    assert status(gateway, token) == 200
    changed = copy.deepcopy(settings)
    changed["providers"]["corp"]["jwks"]["uri"] += "-elsewhere"
    issuer.on("/keys-elsewhere", answer(500))
    reload(gateway, changed, ok=False)
    assert status(gateway, token) == 200
    issuer.on("/keys-elsewhere", answer(200, key_set(keys[1])))
    reload(gateway, changed)
    assert status(gateway, token) == 401
    assert status(gateway, keys[1].token()) == 200
    assert gateway.metric("jwtgate_jwks_keys", provider="corp") == 1


@pytest.mark.threads
def test_a_request_that_waits_for_a_key_outlives_a_reload(start, backend, issuer, keys):
    publish(issuer, keys[0])
    settings = with_partner(config(backend, issuer, {"ttl": "1h"}, timeout="20s"))
    gateway = start(settings)

    def ask_and_reload(turn):
        """A new key each time.  False: the machine was too busy for all of it within the two seconds of a wait."""
        time.sleep(0.2)
        go, new = threading.Event(), {**keys[1].jwk(), "kid": f"new-{turn}"}

        def slow(connection):
            go.wait(60)
            connection.send(answer(200, key_set(keys[0], new)))

        issuer.on("/keys", slow)
        issuer.requests.clear()
        with gateway.client() as client:
            begin = time.monotonic()
            client.send(get("/", bearer(keys[1].token(kid=new["kid"]))))
            wait_until(lambda: len(issuer.requests) == 1, what="the fetch")
            settings["providers"]["partner"]["clock_skew"] = f"{turn + 31}s"
            reload(gateway, settings)
            go.set()
            response, took = client.read(), time.monotonic() - begin
        if response.status == 503 and took > 1.9:
            return False
        assert response.status == 200
        assert status(gateway, keys[1].token(claims(iss="https://partner.test/"), kid=new["kid"]), "/partner") == 200
        assert len(issuer.requests) == 1
        return True

    assert any(ask_and_reload(turn) for turn in range(8))


def test_another_folder_for_the_copies_changes_nothing_else(start, backend, issuer, keys, scratch):
    for name in ("a", "b"):
        (scratch / name).mkdir()
    publish(issuer, keys[0])
    settings = config(backend, issuer, {"ttl": "2s"}, server={"cache_dir": str(scratch / "a")})
    gateway = start(settings)
    token = keys[0].token()
    assert status(gateway, token) == 200
    issuer.on("/keys", answer(500))
    settings["server"]["cache_dir"] = str(scratch / "b")
    reload(gateway, settings)
    assert status(gateway, token) == 200, "its keys were there at once"
    publish(issuer, keys[0])
    wait_until(lambda: list((scratch / "b").iterdir()), what="a copy in the new folder")
    assert status(gateway, token) == 200


@pytest.mark.threads
def test_a_stop_beside_questions_and_copies(start, backend, issuer, keys, scratch):
    """What workers have asked and threads have written arrives while all of it ends."""
    folder = scratch / "cache"
    folder.mkdir()
    publish(issuer, keys[0])
    gateway = start(config(backend, issuer, {"ttl": "1h"}, server={"workers": 2, "cache_dir": str(folder)}))
    head, payload, signature = keys[0].token().split(".")
    stop = threading.Event()

    def flood(name):
        count = 0
        with contextlib.suppress(OSError, AssertionError, EOFError):
            with gateway.client() as client:
                while not stop.is_set():
                    count += 1
                    fields = {"alg": "RS256", "typ": "JWT", "kid": f"{name}-{count}"}
                    client.ask(get("/", bearer(f"{b64(fields)}.{payload}.{signature}")))

    def rotate(connection):
        connection.send(answer(200, key_set(keys[0], {**keys[1].jwk(), "kid": f"{time.monotonic()}"})))

    issuer.on("/keys", rotate)
    threads = [threading.Thread(target=flood, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    gateway.stop()
    stop.set()
    for thread in threads:
        thread.join()


def test_other_certificates_in_the_same_file_count_after_a_reload(start, backend, keys, scratch):
    for name in ("a", "b"):
        (scratch / name).mkdir()
    server, ca_file = tls_server(scratch / "a", key_set(keys[0]))
    other, other_ca_file = tls_server(scratch / "b", key_set(keys[0]))
    try:
        trusted = scratch / "trusted.pem"
        trusted.write_bytes(ca_file.read_bytes())
        settings = config(backend, server, {"ttl": "1h"}, uri=f"https://localhost:{server.port}/keys",
                          ca_file=str(trusted), allow_http=False, server={"startup_timeout": "3s"})
        gateway = start(settings)
        assert status(gateway, keys[0].token()) == 200
        reload(gateway, settings)
        assert fetches(gateway) == 1, "the same file: nothing to do"
        trusted.write_bytes(other_ca_file.read_bytes())
        reload(gateway, settings, ok=False)
        wait_until(lambda: fetches(gateway, result="tls") >= 1, what="a fetch: the file's content decides")
        assert status(gateway, keys[0].token()) == 200
        trusted.write_bytes(other_ca_file.read_bytes() + ca_file.read_bytes())
        reload(gateway, settings)
        assert fetches(gateway, result="ok") == 2
        trusted.write_text("no certificate")
        reload(gateway, settings, ok=False)
        gateway.logged("holds no certificate")
        trusted.unlink()
        reload(gateway, settings, ok=False)
        assert status(gateway, keys[0].token()) == 200
    finally:
        server.stop()
        other.stop()


# ---- proxies ----


class Tunnel:
    """A proxy for CONNECT, to one place whatever the name."""

    def __init__(self, port, refuse=None):
        self.port_to, self.refuse, self.heads = port, refuse, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return
            head += data
        self.heads.append(head.decode())
        if self.refuse:
            client.sendall(self.refuse)
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self.port_to))
        client.sendall(b'HTTP/1.1 200 Connected\r\nETag: "of the proxy"\r\n\r\n')
        back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
        back.start()
        self._copy(client, server)
        back.join()

    @staticmethod
    def _copy(source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_proxies_of_the_environment_are_never_used(start, backend, issuer, keys):
    trap = Backend()
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    try:
        publish(issuer, keys[0])
        gateway = start(config(backend, issuer),
                        environment={name: f"http://127.0.0.1:{trap.port}" for name in names})
        assert status(gateway, keys[0].token()) == 200
        assert not trap.connections
    finally:
        trap.stop()


def test_a_proxy_of_the_configuration_is_used(start, backend, issuer, keys):
    """Also where the environment says that there is none for this host; and it is the one who knows the name."""
    proxy = Backend()
    try:
        proxy.on("http://keys.test/set", answer(200, key_set(keys[0])))
        gateway = start(config(backend, issuer, uri="http://keys.test/set", proxy=f"http://127.0.0.1:{proxy.port}"),
                        environment={"no_proxy": "*", "NO_PROXY": "*", "http_proxy": "http://127.0.0.1:1"})
        assert status(gateway, keys[0].token()) == 200
        assert {r.target for r in proxy.requests} == {"http://keys.test/set"}
        assert not issuer.requests
    finally:
        proxy.stop()


def test_https_goes_by_connect_and_its_certificate_counts(start, backend, keys, scratch):
    server, ca_file = tls_server(scratch, key_set(keys[0]))
    tunnel, wall = Tunnel(server.port), Tunnel(0, b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    try:
        def by(proxy, host):
            return config(backend, server, {"ttl": "1h"}, uri=f"https://{host}:{server.port}/keys", allow_http=False,
                          ca_file=str(ca_file), proxy=f"http://127.0.0.1:{proxy.port}",
                          server={"startup_timeout": "300ms"})

        gateway = start(by(tunnel, "localhost"))
        assert status(gateway, keys[0].token()) == 200
        assert tunnel.heads[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n")
        assert "Accept:" not in tunnel.heads[0], "what is for the server is not for the proxy"
        gateway = start(by(tunnel, "other.test"), wait=False)
        gateway.listens()
        wait_until(lambda: fetches(gateway, result="tls") >= 1, what="a fetch that meets a certificate of another name")
        gateway = start(by(wall, "localhost"), wait=False)
        gateway.listens()
        wait_until(lambda: fetches(gateway, result="connect") >= 1, what="a fetch that the proxy refuses")
        assert status(gateway, keys[0].token()) == 503
    finally:
        tunnel.stop()
        wall.stop()
        server.stop()


@pytest.mark.parametrize("proxy", ["proxy.test:3128", "http://proxy.test", "https://proxy.test:3128", "socks5://a.test:1",
                                   "http://user:secret@proxy.test:3128", "http://proxy.test:3128/path", ""])
def test_mistakes_about_a_proxy_are_told(proxy, start, backend, issuer):
    gateway = start(config(backend, issuer, proxy=proxy), wait=False)
    assert gateway.process.wait(30) == 1
    assert 'write "http://host:port"' in gateway.log()
    gateway.process = None
