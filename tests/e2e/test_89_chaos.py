# SPDX-License-Identifier: Apache-2.0
"""Everything bad at once to Redis, its replica, its sentinel and the gateway, while tokens are revoked and used.

The promise that is tested.  A revocation is acknowledged
- ours: when POST /revocations says 200.  No request that is sent later passes, whatever Redis loses.
- of others: when Redis and one replica have it (SET, then WAIT 1).  No request that is sent more than max_staleness
  later passes, for as long as Redis has it: a flush, a restart without data of the master (to which its
  replica then falls in) loses it, and only who wrote it can write it again.  A fail-over to the replica does not.
A good token is never refused as revoked.  With "on_unavailable": "deny" nothing passes but by the answer of a filter
that is in step or of Redis.

JWTGATE_CHAOS_SECONDS=600 ./dev test e2e goes on for longer; each disturbance happens in any case."""
import collections
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import threading
import time

import pytest

from redis_support import PASSWORD, Redis, Sentinel, talk
from support import AUDIENCE, ISSUER, bearer, claims, config_for, get, hs256, wait_until

SECONDS = float(os.environ.get("JWTGATE_CHAOS_SECONDS", "20"))
STALENESS = 0.8
ADMIN_TOKEN = "an-admin-token-of-the-tests"
ENVIRONMENT = {"TEST_REDIS_PASSWORD": PASSWORD, "TEST_ADMIN_TOKEN": ADMIN_TOKEN}
TROUBLE = (OSError, ValueError, EOFError, http.client.HTTPException)
pytestmark = pytest.mark.threads


def token(jti):
    return hs256(claims(jti=jti, exp=int(time.time()) + 6000), kid="k1")


def configuration(backend, sentinel, folder):
    config = config_for(
        backend, providers={"internal": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
            "keys": [{"kid": "k1", "secret": {"env": "TEST_SECRET"}}]}},
        revocation={"redis": {"sentinels": [f"127.0.0.1:{sentinel.port}"], "master_name": Sentinel.NAME,
                              "password": {"env": "TEST_REDIS_PASSWORD"}, "timeouts": {"command": "300ms"}},
                    "max_staleness": f"{int(STALENESS * 1000)}ms", "filter": {"expected_items": 1000}},
        server={"workers": 2, "state_dir": str(folder)},
        routes={name: {"match": {"path_prefix": f"/{name}"}, "upstream": "backend",
                       "auth": {"provider": "internal", "revocation": name}} for name in ("filtered", "strict")})
    config["admin"]["token"] = {"env": "TEST_ADMIN_TOKEN"}
    return config


class Revoked:
    def __init__(self, jti, grace):
        self.jti, self.token, self.grace = jti, token(jti), grace
        self.since = time.monotonic()
        self.lost = float("inf")


def is_replica(redis):
    try:
        return redis.command("ROLE")[0] == "slave"
    except OSError:  # who becomes one drops its clients
        return False


class Chaos:
    def __init__(self, servers, sentinel, gateway):
        self.servers, self.sentinel, self.gateway = servers, sentinel, gateway
        self.revoked, self.theirs = [], []
        self.good = [token(f"good-{i}") for i in range(20)]
        self.done, self.answers, self.wrong = collections.Counter(), collections.Counter(), []
        self.is_over = threading.Event()
        self.writing = threading.Lock()  # held while Redis loses what it has

    def master(self):
        port = self.sentinel.master_port()
        return next(server for server in self.servers if server.port == port)

    # --- who revokes ------------------------------------------------------------------------------

    def keep(self, jti, grace):
        self.revoked.append(Revoked(jti, grace))
        return self.revoked[-1]

    def write_theirs(self):
        """As another service would."""
        for number in range(1_000_000):
            if self.is_over.wait(0.03):
                return
            with self.writing, contextlib.suppress(*TROUBLE, StopIteration):
                jti = f"theirs-{number}"
                sock = socket.create_connection(("127.0.0.1", self.master().port), timeout=1)
                if talk(sock, ("AUTH", PASSWORD), ("SET", f"blocklist:jti:{jti}", "1", "EX", "6000"),
                        ("WAIT", "1", "300")) == "1":
                    self.theirs.append(self.keep(jti, STALENESS))

    def write_ours(self):
        for number in range(1_000_000):
            if self.is_over.wait(0.05):
                return
            with contextlib.suppress(*TROUBLE):
                jti = f"ours-{number}"
                connection = http.client.HTTPConnection("127.0.0.1", self.gateway.admin_port, timeout=3)
                with contextlib.closing(connection):
                    connection.request("POST", "/revocations", json.dumps({"jti": jti, "expires_at": int(time.time()) + 6000}),
                                       {"Content-Type": "application/json", "Authorization": f"Bearer {ADMIN_TOKEN}"})
                    if connection.getresponse().status == 200:
                        self.keep(jti, 0)
                        self.answers["revoked"] += 1

    # --- who asks ---------------------------------------------------------------------------------

    def ask(self, jwt):
        path = random.choice(("/filtered", "/strict"))
        response = self.gateway.ask(get(path, bearer(jwt)), timeout=3)
        if response is None:
            raise EOFError
        return path, response.status

    def ask_known(self, jwt):
        return self.gateway.ask_known(get(random.choice(("/filtered", "/strict")), bearer(jwt))).status

    def ask_once(self):
        known = self.revoked[-1 - int(random.expovariate(0.05)) % len(self.revoked)] if self.revoked else None
        if known is None or random.random() < 0.3:
            path, status = self.ask(random.choice(self.good))
            if status not in (200, 503):
                self.wrong.append((f"a good token: {status}", path))
        else:
            sent = time.monotonic()
            path, status = self.ask(known.token)
            age = sent - known.since
            if status == 200 and age > known.grace and time.monotonic() < known.lost:
                self.wrong.append((f"{known.jti} passed {age:.3f} s after it was acknowledged", path, self.recent()))
            elif status not in (200, 401, 503):
                self.wrong.append((f"{known.jti}: {status}", path))
        self.answers[status] += 1

    def recent(self):
        return list(self.done.items())

    def ask_on(self):
        while not self.is_over.is_set():
            with contextlib.suppress(*TROUBLE, AssertionError):  # no answer within the time
                self.ask_once()

    # --- what happens -----------------------------------------------------------------------------

    def lose_theirs(self):
        now = time.monotonic()
        for one in self.theirs:
            one.lost = min(one.lost, now)
        self.theirs.clear()

    def kill_subscriptions(self):
        self.master().command("CLIENT", "KILL", "TYPE", "pubsub")

    def kill_connections(self):
        self.master().command("CLIENT", "KILL", "TYPE", "normal")

    def stop_redis(self):
        master = self.master()
        master.signal(signal.SIGSTOP)
        time.sleep(random.uniform(0.3, 1.2))
        master.signal(signal.SIGCONT)

    def stop_gateway(self):
        """Longer than its lease."""
        self.gateway.signal(signal.SIGSTOP)
        time.sleep(STALENESS + random.uniform(0.1, 0.5))
        self.gateway.signal(signal.SIGCONT)

    def flush(self):
        with self.writing:
            self.lose_theirs()
            self.master().command("FLUSHALL")

    def restart_with_data(self):
        master = self.master()
        master.kill()
        master.start()

    def restart_empty(self):
        with self.writing:
            self.lose_theirs()
            master = self.master()
            master.kill()
            shutil.rmtree(master.folder / "appendonlydir")
            master.start()

    def fail_over(self):
        old = self.master()
        self.sentinel.fail_over()
        self.settle(old)

    def crash_and_fail_over(self):
        old = self.master()
        old.kill()
        wait_until(lambda: self.sentinel.master_port() != old.port, what="the replica is promoted")
        old.start(self.master())
        self.settle(old)

    def settle(self, old):
        wait_until(lambda: self.sentinel.master_port() != old.port and is_replica(old),
                   what="the old master is a replica")

    def is_whole(self):
        with contextlib.suppress(*TROUBLE, StopIteration):
            master = self.master()
            other = next(s for s in self.servers if s is not master)
            return (master.command("ROLE")[0] == "master" and other.command("ROLE")[3] == "connected" and
                    self.sentinel.knows_a_replica())
        return False

    ACTS = (kill_subscriptions, kill_connections, stop_redis, stop_gateway, flush, restart_with_data, restart_empty,
            fail_over, crash_and_fail_over)

    def run(self, seconds):
        threads = [threading.Thread(target=fn, daemon=True)
                   for fn in (self.write_theirs, self.write_ours, self.ask_on, self.ask_on, self.ask_on)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        acts = []
        while time.monotonic() < end or len(self.done) < len(self.ACTS):
            acts = acts or random.sample(self.ACTS, len(self.ACTS))
            wait_until(self.is_whole, what="both servers and the sentinel agree")
            time.sleep(random.uniform(0.1, 0.6))
            act = acts.pop()
            act(self)
            self.done[act.__name__] += 1
        self.is_over.set()
        for thread in threads:
            thread.join(20)


@pytest.fixture
def chaos(start, backend, scratch):
    for name in ("first", "second", "sentinel"):
        (scratch / name).mkdir()
    options = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--appendonly", "yes",
               "--appendfsync", "always", "--repl-diskless-load", "swapdb")
    running = [Redis(scratch / "first", *options)]
    running.append(Redis(scratch / "second", *options, master=running[0]))
    running.append(Sentinel(scratch / "sentinel", running[0], down_after_ms=2000))
    try:
        wait_until(running[2].knows_a_replica, what="the sentinel sees the replica")
        yield Chaos(running[:2], running[2], start(configuration(backend, running[2], scratch), environment=ENVIRONMENT))
    finally:
        for server in reversed(running):
            server.kill()


def test_no_revoked_token_passes_whatever_happens(chaos):
    seed = random.randrange(1 << 32)
    random.seed(seed)
    chaos.run(SECONDS)
    print(f"seed={seed} {dict(chaos.done)} {dict(chaos.answers)} theirs={len(chaos.theirs)}")
    assert not chaos.wrong
    assert set(chaos.done) == {act.__name__ for act in Chaos.ACTS}
    assert min(chaos.answers[status] for status in (200, 401, 503)) > 20, chaos.answers
    assert chaos.answers["revoked"] > 20 and len(chaos.revoked) > chaos.answers["revoked"] + 20

    wait_until(lambda: chaos.gateway.metric("jwtgate_revocation_state", state="live") == 1, what="live at the end")
    time.sleep(STALENESS)
    left = [one for one in chaos.revoked if one.lost == float("inf")]
    for one in random.sample(left, min(100, len(left))):
        assert chaos.ask_known(one.token) == 401, one.jti
    for jwt in chaos.good:
        assert chaos.ask_known(jwt) == 200
    # Nothing passed but by an answer.
    lookups = {result: chaos.gateway.metric("jwtgate_revocation_lookups_total", result=result)
               for result in ("filter_miss", "store_miss", "local_hit", "store_hit", "error")}
    passed = sum(line["status"] == 200 for line in chaos.gateway.access() if line.get("route") in ("filtered", "strict"))
    assert 0 < passed <= lookups["filter_miss"] + lookups["store_miss"], lookups
    assert all(lookups[result] > 0 for result in ("filter_miss", "store_miss", "local_hit", "store_hit", "error")), lookups
