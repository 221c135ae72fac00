# SPDX-License-Identifier: Apache-2.0
"""Changing the configuration while serving: SIGHUP."""
import copy
import json
import re
import signal
import socket
import threading
import time

import pytest
from support import (AUDIENCE, ISSUER, PLAIN_BINARY, Backend, Client, RsaKey, SECRET, answer, bearer, claims,
                     config_for, free_port, get, hs256, wait_until)


def write(gateway, config):
    text = config if isinstance(config, str) else json.dumps(config, indent=2)
    other = gateway.file.with_suffix(".new")
    other.write_text(text)
    other.replace(gateway.file)


def reloads(gateway):
    return (int(gateway.metric("jwtgate_config_reloads_total", result="success")),
            int(gateway.metric("jwtgate_config_reloads_total", result="failure")))


def reload(gateway, config=None, ok=True, with_log=True):
    """Have it read `config`; the log of it (which is limited to ten lines a second)."""
    before, size = reloads(gateway), len(gateway.log())
    if config is not None:
        write(gateway, config)
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: sum(reloads(gateway)) > sum(before), what="the end of a reload")
    after = reloads(gateway)
    if not with_log:
        assert (after[0] > before[0], after[1] > before[1]) == (ok, not ok)
        return None
    log = wait_until(lambda: re.search(r" reload (done|failed)", gateway.log()[size:]) and gateway.log()[size:],
                     what="the log of a reload")
    assert (after[0] > before[0], after[1] > before[1]) == (ok, not ok), log
    return log


def two_routes(backend, **parts):
    config = config_for(backend, server={"workers": 2}, **parts)
    config["routes"] = {"a": {"match": {"path_prefix": "/a"}, "upstream": "backend", "auth": "none"},
                        "b": {"match": {"path_prefix": "/b"}, "upstream": "backend", "auth": "none"}}
    return config


@pytest.mark.threads
def test_routes_come_change_and_go(start, backend):
    config = two_routes(backend)
    gateway = start(config)
    with gateway.client() as client:
        assert client.ask(get("/a")).status == 200
        changed = copy.deepcopy(config)
        changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
        changed["routes"]["b"]["match"]["path_prefix"] = "/bb"
        del changed["routes"]["a"]
        log = reload(gateway, changed)
        assert "+route c" in log and "~route b" in log and "-route a" in log, log
        assert [client.ask(get(path)).status for path in ("/a", "/b", "/bb", "/c")] == [404, 404, 200, 200]
    assert gateway.metric("jwtgate_config_last_reload_successful") == 1
    gateway.wait_for_metric(1, "jwtgate_http_requests_total", route="a")  # counters live on
    assert len([row for row in gateway.metrics() if row.startswith("jwtgate_config_info")]) == 1


@pytest.mark.threads
@pytest.mark.parametrize("break_it, word", [
    (lambda c: c["routes"]["a"].update(upstream="nowhere"), r"jwtgate\.jsonc:\d+:\d+: error: routes\.a\.upstream"),
    (lambda c: c.update(nonsense=1), r'jwtgate\.jsonc:\d+:\d+: error: unknown key "nonsense"'),
    (lambda c: c["listeners"].update(other={"address": "192.0.2.77:81"}), r"cannot listen on 192\.0\.2\.77:81"),
    (lambda c: c.update(access_log={"path": "/nowhere/at/all/log"}), r"/nowhere/at/all/log"),
])
def test_an_error_leaves_everything_and_says_why(start, backend, break_it, word):
    config = two_routes(backend)
    gateway = start(config)
    broken = copy.deepcopy(config)
    broken["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
    break_it(broken)
    log = reload(gateway, broken, ok=False)
    assert re.search(word, log), log
    assert gateway.ask(get("/a")).status == 200
    assert gateway.ask(get("/c")).status == 404
    assert gateway.metric("jwtgate_config_last_reload_successful") == 0
    log = reload(gateway, "{ not json", ok=False)
    assert re.search(r"jwtgate\.jsonc:1:\d+: error", log), log
    gateway.file.unlink()
    reload(gateway, ok=False)
    assert gateway.ask(get("/a")).status == 200
    reload(gateway, config)
    assert gateway.metric("jwtgate_config_last_reload_successful") == 1


@pytest.mark.threads
def test_a_request_in_flight_ends_by_the_old_configuration(start, backend):
    config = two_routes(backend)
    release = threading.Event()

    def slow(connection):
        connection.read_body()
        release.wait(60)
        return answer(200, b"late")

    backend.on("/a", slow)
    gateway = start(config)
    with gateway.client() as client:
        client.send(get("/a"))
        backend.last()
        changed = copy.deepcopy(config)
        del changed["routes"]["a"]
        changed["upstreams"]["other"] = changed["upstreams"].pop("backend")
        changed["routes"]["b"]["upstream"] = "other"
        for _ in range(3):
            reload(gateway, changed)
            changed["routes"]["b"]["match"]["path_prefix"] += "b"
        release.set()
        response = client.read()
        assert (response.status, response.body) == (200, b"late")
        assert client.ask(get("/a")).status == 404
    line = gateway.access_line(path="/a", status=200)
    assert line["route"] == "a" and line["upstream"] == "backend"


@pytest.mark.threads
def test_listeners_come_and_go_and_kept_ones_stay_open(start, backend):
    config = two_routes(backend)
    gateway = start(config)
    with gateway.client() as kept:
        assert kept.ask(get("/a")).status == 200
        second = copy.deepcopy(config)
        port = free_port()
        second["listeners"]["second"] = {"address": f"127.0.0.1:{port}"}
        log = reload(gateway, second)
        assert "+listener second" in log
        clients = [Client(port) for _ in range(8)]
        for client in clients:
            assert client.ask(get("/b")).status == 200
        assert kept.ask(get("/a")).status == 200
        gateway.wait_for_metric(8, "jwtgate_http_requests_total", listener="second")
        assert gateway.metric("jwtgate_connections", listener="second") == 8
        reload(gateway, config)
        for client in clients:
            assert client.is_closed()
            client.close()
        with pytest.raises(OSError):
            Client(port)
        assert kept.ask(get("/a")).status == 200
        gateway.wait_for_metric(0, "jwtgate_connections", listener="second")
        gone = [row for row in gateway.metrics() if 'listener="second"' in row]
        assert gone and not any(row.startswith(("jwtgate_connections{", "jwtgate_http_requests_in_flight"))
                                for row in gone), "counters stay, gauges of what is not there do not"
        moved = copy.deepcopy(second)
        moved["listeners"]["second"]["address"] = f"127.0.0.1:{free_port()}"
        reload(gateway, second)
        reload(gateway, moved)
        with pytest.raises(OSError):
            Client(port)
        with Client(int(moved["listeners"]["second"]["address"].rsplit(":", 1)[1])) as client:
            assert client.ask(get("/b")).status == 200
        assert kept.ask(get("/a")).status == 200


@pytest.mark.threads
def test_the_admin_listener_moves(start, backend):
    config = two_routes(backend)
    gateway = start(config)
    moved = copy.deepcopy(config)
    port = free_port()
    moved["admin"]["address"] = f"127.0.0.1:{port}"
    write(gateway, moved)
    gateway.signal(signal.SIGHUP)
    gateway.admin_port = port
    wait_until(lambda: gateway.is_ready(), what="the new admin listener")
    wait_until(lambda: reloads(gateway) == (1, 0), what="the count")


def test_connections_to_upstreams_live_on(start, backend):
    config = two_routes(backend)
    config["server"]["workers"] = 1
    gateway = start(config)
    assert gateway.ask(get("/a")).status == 200
    changed = copy.deepcopy(config)
    changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
    reload(gateway, changed)
    assert gateway.ask(get("/c")).status == 200
    assert len(backend.connections) == 1
    changed["upstreams"]["backend"]["timeouts"] = {"connect": "2s"}
    reload(gateway, changed)
    assert gateway.ask(get("/c")).status == 200
    assert len(backend.connections) == 2


def test_workers_need_a_restart(start, backend):
    config = two_routes(backend)
    gateway = start(config)
    changed = copy.deepcopy(config)
    changed["server"]["workers"] = 3
    log = reload(gateway, changed)
    assert "restart the gateway" in log


def test_the_access_log_moves(start, backend, scratch):
    config = two_routes(backend)
    gateway = start(config)
    assert gateway.ask(get("/a?first")).status == 200
    changed = copy.deepcopy(config)
    changed["access_log"] = {"path": str(scratch / "access.log")}
    reload(gateway, changed)
    assert gateway.ask(get("/a")).status == 200
    wait_until(lambda: "/a" in (scratch / "access.log").read_text(), what="a line in the new file")
    changed["access_log"] = "off"
    reload(gateway, changed)
    assert gateway.ask(get("/a")).status == 200
    reload(gateway, config)
    assert gateway.ask(get("/b")).status == 200
    gateway.access_line(path="/b")
    assert len((scratch / "access.log").read_text().splitlines()) == 1


def provider(file, **more):
    return {"issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["HS256"],
            "keys": [{"kid": "one", "secret": {"file": str(file)}}], **more}


def test_verified_tokens_and_keys(start, backend, scratch):
    secret = scratch / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    config = two_routes(backend, providers={"corporate": provider(secret)})
    config["server"]["workers"] = 1
    config["routes"]["a"]["auth"] = {"provider": "corporate"}
    gateway = start(config)
    token, other = hs256(kid="one"), hs256(secret="x" * 48, kid="one")

    def hits():
        return gateway.metric("jwtgate_token_cache_lookups_total", result="hit")

    assert gateway.ask(get("/a", bearer(token))).status == 200
    changed = copy.deepcopy(config)
    changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": {"provider": "corporate"}}
    reload(gateway, changed)
    assert gateway.ask(get("/c", bearer(token))).status == 200
    assert hits() == 1, "the cache lives on"
    reload(gateway, config)
    reload(gateway, changed)
    assert gateway.ask(get("/c", bearer(token))).status == 200
    assert hits() == 2
    secret.write_text("x" * 48)
    reload(gateway)
    assert gateway.ask(get("/a", bearer(token))).status == 401, "the file alone has changed"
    assert gateway.ask(get("/a", bearer(other))).status == 200
    changed["providers"]["corporate"]["audiences"] = ["other"]
    log = reload(gateway, changed)
    assert "~provider corporate" in log
    assert gateway.ask(get("/a", bearer(other))).status == 401


def remote(server, path="/keys", issuer=ISSUER):
    return {"issuer": issuer, "audiences": [AUDIENCE], "algorithms": ["RS256"],
            "jwks": {"uri": f"http://127.0.0.1:{server.port}{path}", "allow_http": True, "timeout": "2s",
                     "cache": {"ttl": "1h", "min_refresh": "100ms"}}}


@pytest.mark.threads
def test_fetched_keys_live_on_and_new_ones_come_first(start, backend):
    key, server = RsaKey("one"), Backend()
    document = answer(200, json.dumps({"keys": [key.jwk()]}).encode(), "Content-Type: application/json")
    server.on("/keys", document).on("/other", document)
    config = two_routes(backend, providers={"corporate": remote(server)})
    config["server"]["startup_timeout"] = "5s"
    config["routes"]["a"]["auth"] = {"provider": "corporate"}
    gateway = start(config)
    assert gateway.ask(get("/a", bearer(key.token()))).status == 200
    changed = copy.deepcopy(config)
    changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": {"provider": "corporate"}}
    for _ in range(3):
        reload(gateway, changed)
        assert gateway.ask(get("/c", bearer(key.token()))).status == 200
        reload(gateway, config)
    assert len(server.requests) == 1, "an unchanged provider is not asked again"

    changed["providers"]["partner"] = remote(server, "/other", "https://partner.test/")
    changed["routes"]["c"]["auth"] = {"provider": "partner"}
    log = reload(gateway, changed)
    assert "+provider partner" in log
    partner = key.token(claims(iss="https://partner.test/"))
    assert gateway.ask(get("/c", bearer(partner))).status == 200
    assert gateway.ask(get("/a", bearer(key.token()))).status == 200
    assert "[+]jwks/partner ok" in gateway.admin("/readyz?verbose")[1]

    broken = copy.deepcopy(changed)
    broken["providers"]["partner"]["jwks"]["uri"] += "-is-not-there"
    server.on("/other-is-not-there", answer(404, b"", phrase="Not Found"))
    log = reload(gateway, broken, ok=False)
    assert "not ready in time: jwks/partner" in log
    assert gateway.ask(get("/c", bearer(partner))).status == 200
    server.stop()


def test_the_local_store_of_revocations_lives_on(start, backend, scratch):
    secret = scratch / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    config = two_routes(backend, providers={"corporate": provider(secret)}, revocation={})
    config["server"]["state_dir"] = str(scratch)
    config["routes"]["a"]["auth"] = {"provider": "corporate"}
    gateway = start(config)
    token = hs256(kid="one")
    assert gateway.ask(get("/a", bearer(token))).status == 200
    changed = copy.deepcopy(config)
    changed["routes"]["b"]["match"]["path_prefix"] = "/bb"
    reload(gateway, changed)
    assert gateway.ask(get("/a", bearer(token))).status == 200
    changed["revocation"] = {"on_unavailable": "allow"}
    reload(gateway, changed)
    assert gateway.ask(get("/a", bearer(token))).status == 200
    del changed["revocation"]
    reload(gateway, changed)
    assert gateway.ask(get("/a", bearer(token))).status == 200
    reload(gateway, config)
    assert gateway.ask(get("/a", bearer(token))).status == 200


@pytest.mark.threads
def test_the_admin_listener_answers_with_the_verdict(start, backend):
    config = two_routes(backend)
    gateway = start(config)
    changed = copy.deepcopy(config)
    changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
    write(gateway, changed)
    status, text, _ = gateway.admin("/reload", method="POST")
    assert (status, text) == (200, "+route c\n")
    assert gateway.ask(get("/c")).status == 200
    write(gateway, '{"version": 1,\n "nonsense": 2}')
    status, text, _ = gateway.admin("/reload", method="POST")
    assert status == 422 and "jwtgate.jsonc:2:2: error:" in text and "nothing was changed" in text, text
    assert gateway.admin("/reload", method="POST", headers={"Origin": "http://127.0.0.1"})[0] == 403
    assert gateway.admin("/reload", method="POST", headers={"Host": "evil.example"})[0] == 403
    assert gateway.admin("/reload")[0] == 404
    assert gateway.admin("/metrics", method="POST")[0] == 405
    assert reloads(gateway) == (1, 1)


def configurations(backends):
    """Each answers by itself: /x comes from the backend of the configuration."""
    made = []
    base = config_for(backends[0], server={"workers": 2})
    for number, backend in enumerate(backends):
        config = copy.deepcopy(base)
        config["upstreams"] = {f"backend{number}": {"targets": [backend.address]}}
        config["routes"] = {
            f"route{number}": {"match": {"path_prefix": "/x"}, "upstream": f"backend{number}", "auth": "none"},
            "only": {"match": {"path_prefix": f"/only{number}"}, "upstream": f"backend{number}", "auth": "none"},
        }
        made.append(config)
    return made


class Load(threading.Thread):
    """Keep-alive clients that know which answers are right."""

    def __init__(self, gateway, expected):
        super().__init__(daemon=True)
        self.gateway, self.expected, self.ended = gateway, expected, False
        self.count, self.wrong = 0, []

    def run(self):
        client = self.gateway.client()
        while not self.ended:
            if self.count % 500 == 499:
                client.close()
                client = self.gateway.client()
            allowed = set(self.expected)
            try:
                response = client.ask(get("/x"))
            except (OSError, socket.timeout) as error:
                self.wrong.append(repr(error))
                return
            allowed |= set(self.expected)
            self.count += 1
            if response is None or response.status != 200 or response.body.decode() not in allowed:
                self.wrong.append(repr(response))
                return
            if response.get("Connection") == "close":
                client.close()
                client = self.gateway.client()
        client.close()


@pytest.mark.threads
def test_a_hundred_reloads_under_load(start, scratch):
    backends = [Backend(keep_bytes=False) for _ in range(2)]
    for number, backend in enumerate(backends):
        backend.default = answer(200, str(number).encode())
    first, second = configurations(backends)
    second["listeners"]["extra"] = {"address": f"127.0.0.1:{free_port()}"}
    gateway = start(first)
    expected = ["0"]
    loads = [Load(gateway, expected) for _ in range(4)]
    for load in loads:
        load.start()
    memory = []
    try:
        for number in range(100):
            if number % 3 == 2:
                reload(gateway, '{"version": 1, "listeners": 5}', ok=False, with_log=False)
            else:
                config, word = (second, "1") if number % 3 == 0 else (first, "0")
                before = expected[-1]
                expected[:] = [before, word]
                reload(gateway, config, with_log=False)
                expected[:] = [word]
            if number in (19, 99):
                memory.append(gateway.rss_kib())
            assert not any(load.wrong for load in loads), [load.wrong for load in loads]
    finally:
        for load in loads:
            load.ended = True
        for load in loads:
            load.join(40)
    assert not any(load.wrong for load in loads), [load.wrong for load in loads]
    assert sum(load.count for load in loads) > 400
    assert reloads(gateway) == (67, 33)
    print("requests", sum(load.count for load in loads), "memory", memory)
    for backend in backends:
        backend.stop()


@pytest.mark.threads
def test_many_signals_and_a_stop_in_the_middle(start, backend):
    config = two_routes(backend)
    for pause in (0, 0.002, 0.01, 0.05):
        config = copy.deepcopy(config)
        config["listeners"]["public"]["address"] = f"127.0.0.1:{free_port()}"
        config["admin"]["address"] = f"127.0.0.1:{free_port()}"
        gateway = start(config)
        config["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
        write(gateway, config)
        for _ in range(20):
            gateway.signal(signal.SIGHUP)
        time.sleep(pause)
        gateway.stop()
        del config["routes"]["c"]


def test_what_a_token_may_is_asked_anew_after_each_reload(start, backend, scratch):
    """A new snapshot's routes may lie where an old one's were: nothing known about those may count."""
    secret = scratch / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)

    base = config_for(backend, providers={"corporate": provider(secret)}, server={"workers": 1})

    def asking_for(scope, claim):
        config = copy.deepcopy(base)
        config["routes"] = {"a": {
            "match": {"path_prefix": "/"}, "upstream": "backend", "claims_to_headers": {claim: "X-Claim"},
            "auth": {"provider": "corporate", "scopes": [scope]}}}
        return config

    gateway = start(asking_for("orders:read", "sub"), binary=PLAIN_BINARY)  # a sanitizer would keep freed memory aside
    token = hs256(claims(scope="orders:read", sub="somebody", tenant="acme"), kid="one")
    for turn in range(24):
        scope, claim = ("orders:read", "orders:done")[turn // 2 % 2], ("sub", "tenant")[turn // 4 % 2]
        reload(gateway, asking_for(scope, claim), with_log=False)
        if turn % 2 == 1:  # the memory of the last but one is free again
            continue
        response = gateway.ask(get("/", bearer(token)))
        assert response.status == (403 if scope == "orders:done" else 200), f"turn {turn}"
        if response.status == 200:
            assert backend.last().get("X-Claim") == {"sub": "somebody", "tenant": "acme"}[claim], f"turn {turn}"
