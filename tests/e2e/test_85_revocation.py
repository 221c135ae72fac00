# SPDX-License-Identifier: Apache-2.0
"""Revoked tokens: with a real redis-server whoever writes to it, and with the local store."""
import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import AUDIENCE, ISSUER, Gateway, bearer, claims, config_for, free_port, get, hs256, wait_until

PASSWORD = "a-password-of-redis"
STALENESS = 0.6


class Redis:
    """A redis-server of one test, spoken to as other services would: a plain client, redis-cli."""

    def __init__(self, folder, *options):
        self.port, self.folder, self.options = free_port(), pathlib.Path(folder), options
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--save", "", "--requirepass", PASSWORD, *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.is_up, 10, "redis-server answers")

    def is_up(self):
        with contextlib.suppress(OSError, ValueError):
            return self.command("PING") == "PONG"
        return False

    def command(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=3) as sock:
            for command in (("AUTH", PASSWORD), words):
                sock.sendall(b"*%d\r\n" % len(command) + b"".join(
                    b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in map(str, command)))
                line = b""
                while not line.endswith(b"\r\n"):
                    byte = sock.recv(1)
                    if not byte:
                        raise ConnectionError("closed")
                    line += byte
            if line[:1] == b"-":
                raise ValueError(line.decode().strip())
            return line[1:].decode().strip()

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD, *words],
                              capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    def revoke(self, jti):
        return self.command("SET", f"blocklist:jti:{jti}", "1", "EX", "600")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number):
        self.process.send_signal(number)


@pytest.fixture
def redis(scratch):
    server = Redis(scratch)
    yield server
    server.kill()


def route(path, **auth):
    return {"match": {"path_prefix": path}, "upstream": "backend", "auth": {"provider": "internal", **auth}}


def configuration(backend, revocation, **parts):
    return config_for(
        backend, providers={"internal": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
            "keys": [{"kid": "k1", "secret": {"env": "TEST_SECRET"}}]}},
        revocation=revocation,
        routes={"filtered": route("/filtered"), "strict": route("/strict", revocation="strict"),
                "off": route("/off", revocation="off"),
                "public": {"match": {"path_prefix": "/public"}, "upstream": "backend", "auth": "none"}}, **parts)


def on_redis(backend, redis, **more):
    return configuration(backend, {
        "redis": {"url": f"redis://127.0.0.1:{redis.port}", "password": {"env": "TEST_REDIS_PASSWORD"},
                  "timeouts": {"command": "300ms"}},
        "max_staleness": f"{int(STALENESS * 1000)}ms", "filter": {"expected_items": 1000}, **more})


ENVIRONMENT = {"TEST_REDIS_PASSWORD": PASSWORD}


def token(**changes):
    return hs256(claims(**changes), kid="k1")


def ask(gateway, path, jwt):
    return gateway.ask(get(path, bearer(jwt)))


def state(gateway):
    return next(s for s in ("cold", "live", "stale") if gateway.metric("jwtgate_revocation_state", state=s) == 1)


def is_revoked(response):
    return response.status == 401 and 'error="invalid_token"' in response.get("WWW-Authenticate", "")


@pytest.mark.parametrize("path", ["/filtered", "/strict"])
def test_what_redis_cli_writes_is_enforced(start, backend, redis, path):
    redis.cli("SET", "blocklist:jti:early", "1", "EX", "600")
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    assert is_revoked(ask(gateway, path, token(jti="early")))
    good, jwt = token(jti="good"), token(jti="later")
    assert ask(gateway, path, jwt).status == 200
    redis.cli("SET", "blocklist:jti:later", "1", "EX", "600")
    time.sleep(STALENESS)
    assert is_revoked(ask(gateway, path, jwt))
    assert gateway.access_line(status=401)["reason"] == "token_revoked"
    assert ask(gateway, path, good).status == 200
    assert ask(gateway, "/off", jwt).status == 200
    redis.command("DEL", "blocklist:jti:later")
    assert ask(gateway, path, jwt).status == 200, "a maybe of the filter is confirmed"


def test_the_filter_answers_without_redis_and_counts(start, backend, redis):
    redis.revoke("bad")
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    for _ in range(5):
        assert ask(gateway, "/filtered", token()).status == 200
    assert ask(gateway, "/filtered", token(jti="bad")).status == 401
    assert ask(gateway, "/strict", token()).status == 200
    lookups = "jwtgate_revocation_lookups_total"
    assert gateway.metric(lookups, result="filter_miss") == 5
    assert gateway.metric(lookups, result="store_hit") == 1
    assert gateway.metric(lookups, result="store_miss") == 1
    assert gateway.metric("jwtgate_revocation_entries") == 1
    assert gateway.metric("jwtgate_redis_up") == 1
    assert state(gateway) == "live"


@pytest.mark.parametrize("path", ["/filtered", "/strict"])
@pytest.mark.parametrize("key", ["sub:user-7", "client:app", "kid:k1", f"iss:{ISSUER}"])
def test_a_watermark_revokes_what_was_issued_before_it(start, backend, redis, path, key):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    now = int(time.time())
    before = token(sub="user-7", client_id="app", iat=now - 100)
    after = token(sub="user-7", client_id="app", iat=now)
    assert ask(gateway, path, before).status == 200
    redis.command("SET", f"blocklist:before:{key}", str(now - 50), "EX", "600")
    time.sleep(STALENESS)
    assert is_revoked(ask(gateway, path, before))
    assert ask(gateway, path, after).status == 200, "the next login works"
    assert is_revoked(ask(gateway, path, token(sub="user-7", client_id="app", iat=None)))


def test_a_watermark_that_is_no_time_is_no_answer(start, backend, redis):
    redis.command("SET", "blocklist:before:sub:user-7", "soon")
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    assert ask(gateway, "/filtered", token(sub="user-7")).status == 503
    assert ask(gateway, "/filtered", token(sub="user-8")).status == 200


def test_a_token_without_jti_is_refused(start, backend, redis):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    assert ask(gateway, "/filtered", token(jti=None)).status == 401
    assert gateway.access_line(status=401)["reason"] == "claim_missing"
    assert ask(gateway, "/filtered", token(jti="")).status == 401
    assert ask(gateway, "/off", token(jti=None)).status == 200


def test_without_redis_tokens_are_refused_and_the_rest_goes_on(start, backend, redis):
    redis.revoke("bad")
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    redis.kill()
    wait_until(lambda: state(gateway) == "stale", 3, "doubt")
    response = ask(gateway, "/filtered", token())
    assert response.status == 503 and response.get("Retry-After") == "1"
    assert response.get("WWW-Authenticate") is None
    assert gateway.access_line(status=503)["reason"] == "revocation_unavailable"
    assert gateway.ask(get("/public")).status == 200
    assert ask(gateway, "/off", token()).status == 200
    assert gateway.admin("/readyz")[0] == 503
    redis.start()
    redis.revoke("bad")
    wait_until(lambda: state(gateway) == "live", 5, "synchronised again")
    assert ask(gateway, "/filtered", token()).status == 200
    assert is_revoked(ask(gateway, "/filtered", token(jti="bad")))
    assert gateway.metric("jwtgate_revocation_resyncs_total", cause="server_changed") >= 1


def test_on_unavailable_allow_lets_through(start, backend, redis):
    gateway = start(on_redis(backend, redis, on_unavailable="allow"), environment=ENVIRONMENT)
    redis.kill()
    wait_until(lambda: state(gateway) == "stale", 3, "doubt")
    assert ask(gateway, "/filtered", token()).status == 200
    assert gateway.metric("jwtgate_revocation_lookups_total", result="error") == 1
    assert gateway.admin("/readyz")[0] == 200


def test_a_stopped_redis_is_refused_by_the_deadline(start, backend, redis):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    redis.signal(signal.SIGSTOP)
    begin = time.monotonic()
    assert ask(gateway, "/strict", token()).status == 503
    assert time.monotonic() - begin < 2
    time.sleep(STALENESS)
    assert ask(gateway, "/filtered", token()).status == 503, "the lease is over"
    redis.signal(signal.SIGCONT)
    wait_until(lambda: ask(gateway, "/filtered", token()).status == 200, 5, "redis is back")


def test_a_stopped_gateway_does_not_trust_its_old_filter(start, backend, redis):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    jwt = token(jti="meanwhile")
    assert ask(gateway, "/filtered", jwt).status == 200
    gateway.signal(signal.SIGSTOP)
    with gateway.client() as client:
        redis.revoke("meanwhile")
        time.sleep(STALENESS + 0.2)
        client.send(get("/filtered", bearer(jwt)))
        gateway.signal(signal.SIGCONT)
        assert client.read().status in (401, 503)
    wait_until(lambda: is_revoked(ask(gateway, "/filtered", jwt)), 5, "it is refused")


def test_a_gateway_that_starts_first_waits_for_redis(start, backend, redis):
    redis.kill()
    gateway = start(on_redis(backend, redis) | {"server": {"workers": 1, "startup_timeout": "300ms"}},
                    wait=False, environment=ENVIRONMENT)
    wait_until(lambda: "listening" in gateway.log(), 10, "listening")
    assert ask(gateway, "/filtered", token()).status == 503
    assert gateway.admin("/readyz")[0] == 503
    redis.start()
    redis.revoke("bad")
    wait_until(gateway.is_ready, 5, "ready")
    assert is_revoked(ask(gateway, "/filtered", token(jti="bad")))


def test_wrong_password_is_never_live(start, backend, redis):
    gateway = start(on_redis(backend, redis) | {"server": {"workers": 1, "startup_timeout": "300ms"}},
                    wait=False, environment={"TEST_REDIS_PASSWORD": "wrong"})
    wait_until(lambda: "listening" in gateway.log(), 10, "listening")
    assert ask(gateway, "/filtered", token()).status == 503
    assert PASSWORD not in gateway.log() and "wrong" not in gateway.log()


# --- chaos ---------------------------------------------------------------------------------------


class Trouble:
    """Does something bad to redis or the gateway, again and again."""

    def __init__(self, redis, gateway, seconds):
        self.redis, self.gateway, self.done = redis, gateway, []
        self.end = time.monotonic() + seconds
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        acts = [self.kill_feed, self.kill_all, self.stop_redis, self.stop_gateway, self.kill_feed]
        while time.monotonic() < self.end:
            time.sleep(random.uniform(0.1, 0.6))
            act = random.choice(acts)
            with contextlib.suppress(OSError, ValueError):
                act()
                self.done.append(act.__name__)

    def kill_feed(self):
        self.redis.command("CLIENT", "KILL", "TYPE", "pubsub")

    def kill_all(self):
        self.redis.command("CLIENT", "KILL", "TYPE", "normal")

    def stop_redis(self):
        self.redis.signal(signal.SIGSTOP)
        time.sleep(random.uniform(0.05, 1.2))
        self.redis.signal(signal.SIGCONT)

    def stop_gateway(self):
        self.gateway.signal(signal.SIGSTOP)
        time.sleep(random.uniform(0.05, 1.2))
        self.gateway.signal(signal.SIGCONT)


def test_chaos_never_lets_a_revoked_token_pass(start, backend, redis):
    seconds = float(os.environ.get("JWTGATE_CHAOS_SECONDS", "12"))
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    good = [(f"good-{i}", token(jti=f"good-{i}")) for i in range(20)]
    revoked, counts, late, refused = [], {200: 0, 401: 0, 503: 0}, [], []
    trouble = Trouble(redis, gateway, seconds)
    number = 0
    while time.monotonic() < trouble.end:
        jti, number = f"bad-{number}", number + 1
        with contextlib.suppress(OSError, ValueError):
            redis.revoke(jti)
            revoked.append((time.monotonic(), jti, token(jti=jti)))
        for _ in range(3):
            with contextlib.suppress(OSError, EOFError, AssertionError):
                sent = time.monotonic()
                if revoked and random.random() < 0.7:
                    when, name, jwt = random.choice(revoked)
                    status = ask(gateway, "/filtered", jwt).status
                    if status == 200 and sent - when > STALENESS:
                        late.append((name, sent - when, trouble.done[-3:]))
                else:
                    name, jwt = random.choice(good)
                    status = ask(gateway, "/filtered", jwt).status
                    if status == 401:
                        refused.append((name, trouble.done[-3:]))
                counts[status] += 1
    trouble.thread.join()
    assert not late
    assert not refused
    assert counts[200] > 20 and counts[401] > 20, counts
    wait_until(lambda: state(gateway) == "live", 10, "live at the end")
    for _, _, jwt in random.sample(revoked, min(50, len(revoked))):
        assert is_revoked(ask(gateway, "/filtered", jwt))


# --- the local store -----------------------------------------------------------------------------


def test_the_local_store_needs_a_place(start, backend):
    gateway = start(configuration(backend, {}), wait=False)
    assert gateway.process.wait(10) == 1
    assert "state_dir" in gateway.log()
    gateway.process = None


def test_the_local_store_starts_empty_and_is_ready(start, backend, scratch):
    gateway = start(configuration(backend, {}, server={"state_dir": str(scratch)}))
    for path in ("/filtered", "/strict", "/off"):
        assert ask(gateway, path, token()).status == 200
    assert state(gateway) == "live"
    assert (scratch / "revocations" / "data.mdb").exists()


def test_a_damaged_local_store_is_an_error(start, backend, scratch):
    gateway = start(configuration(backend, {}, server={"state_dir": str(scratch)}))
    gateway.stop()
    (scratch / "revocations" / "data.mdb").write_bytes(b"x" * 8192)
    gateway = start(configuration(backend, {}, server={"state_dir": str(scratch)}), wait=False)
    assert gateway.process.wait(10) == 1
    assert "revocations cannot be read" in gateway.log()
    gateway.process = None


# --- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize("revocation, message", [
    ({"redis": {"url": "rediss://redis.internal"}}, "TLS"),
    ({"redis": {"url": "http://redis.internal"}}, "not the address of a redis server"),
    ({"redis": {"url": "redis://user:pass@host"}}, "not the address of a redis server"),
    ({"redis": {}}, "url"),
    ({"redis": {"url": "redis://host", "password": {"env": "NOT_SET_AT_ALL"}}}, "NOT_SET_AT_ALL is not set"),
    ({"filter": {"false_positive_rate": 2}}, "not a number in"),
    ({"on_unavailable": "maybe"}, "on_unavailable"),
])
def test_bad_configurations_are_explained(scratch, backend, revocation, message):
    gateway = Gateway(scratch, configuration(backend, revocation)).start(wait=False)
    assert gateway.process.wait(10) == 1
    assert message in gateway.log()


def test_a_route_that_asks_for_what_is_not_there_is_an_error(scratch, backend):
    gateway = Gateway(scratch, configuration(backend, None)).start(wait=False)
    assert gateway.process.wait(10) == 1
    assert "nothing says where they are kept" in gateway.log()
