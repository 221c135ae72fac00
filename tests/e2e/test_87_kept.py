# SPDX-License-Identifier: Apache-2.0
"""What a gateway itself has revoked holds when Redis loses it, and Redis gets it back."""
import subprocess
import time

import pytest

from redis_support import PASSWORD, Redis
from support import AUDIENCE, BINARY, ISSUER, bearer, claims, config_for, get, hs256, wait_until

STALENESS = 0.6
ENVIRONMENT = {"TEST_REDIS_PASSWORD": PASSWORD}
pytestmark = pytest.mark.threads


@pytest.fixture
def redis(scratch):
    server = Redis(scratch)
    yield server
    server.kill()


def configuration(backend, redis, **server):
    return config_for(
        backend, providers={"internal": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
            "keys": [{"kid": "k1", "secret": {"env": "TEST_SECRET"}}]}},
        revocation={"redis": {"url": f"redis://127.0.0.1:{redis.port}", "password": {"env": "TEST_REDIS_PASSWORD"},
                              "timeouts": {"connect": "3s", "command": "1s"}},
                    "max_staleness": f"{int(STALENESS * 1000)}ms", "filter": {"expected_items": 1000}},
        server={"workers": 1, **server},
        routes={name: {"match": {"path_prefix": f"/{name}"}, "upstream": "backend",
                       "auth": {"provider": "internal", "revocation": name}} for name in ("filtered", "strict")})


def token(**changes):
    return hs256(claims(**changes), kid="k1")


def ask(gateway, path, jwt):
    return gateway.ask_known(get(path, bearer(jwt))).status


def revoke(gateway, *arguments):
    done = subprocess.run([BINARY, "revoke", *map(str, arguments), "-c", str(gateway.file)], capture_output=True, text=True,
                          timeout=30, check=False, env=gateway.environment)
    assert done.returncode == 0, done.stderr


def is_live(gateway):
    return gateway.metric("jwtgate_revocation_state", state="live") == 1


def test_a_flush_does_not_make_a_revoked_token_good(start, backend, redis, scratch):
    gateway = start(configuration(backend, redis, state_dir=str(scratch)), environment=ENVIRONMENT)
    now = int(time.time())
    revoke(gateway, "--jti", "mine", "--expires", now + 600)
    revoke(gateway, "--subject", "user-9", "--before", now - 50)
    redis.revoke("theirs")
    time.sleep(STALENESS)
    mine, theirs = token(jti="mine"), token(jti="theirs")
    session, login = token(sub="user-9", iat=now - 100), token(sub="user-9", iat=now)
    for _ in range(3):
        redis.command("FLUSHALL")
        end = time.monotonic() + STALENESS
        while time.monotonic() < end:
            for path in ("/filtered", "/strict"):
                assert ask(gateway, path, mine) == 401
                assert ask(gateway, path, session) == 401
                assert ask(gateway, path, login) == 200
        wait_until(lambda: redis.command("EXISTS", "blocklist:jti:mine") == "1", what="redis has it again")
    assert 1180 < int(redis.command("TTL", "blocklist:jti:mine")) <= 1202
    assert redis.command("GET", "blocklist:before:sub:user-9") == str(now - 50)
    wait_until(lambda: is_live(gateway), what="synchronised")
    assert ask(gateway, "/filtered", theirs) == 200, "only who wrote it can write it again"
    gateway.logged("redis had lost revocations of this gateway")


def test_a_flush_without_a_state_folder(start, backend, redis):
    """Kept in memory, until the end of the process."""
    config = configuration(backend, redis)
    config["admin"]["token"] = {"env": "TEST_ADMIN_TOKEN"}  # the command goes through the gateway
    gateway = start(config, environment=ENVIRONMENT | {"TEST_ADMIN_TOKEN": "an-admin-token-of-the-tests"})
    revoke(gateway, "--jti", "mine")
    redis.command("FLUSHALL")
    for _ in range(5):
        for path in ("/filtered", "/strict"):
            assert ask(gateway, path, token(jti="mine")) == 401
            assert ask(gateway, path, token(jti="good")) == 200
    wait_until(lambda: redis.command("EXISTS", "blocklist:jti:mine") == "1", what="redis has it again")


def test_a_restart_of_both_at_once(start, backend, redis, scratch):
    gateway = start(configuration(backend, redis, state_dir=str(scratch)), environment=ENVIRONMENT)
    revoke(gateway, "--jti", "mine")
    gateway.stop()
    redis.kill()
    redis.start()
    assert redis.command("EXISTS", "blocklist:jti:mine") == "0"
    gateway = start(configuration(backend, redis, state_dir=str(scratch)), environment=ENVIRONMENT)
    for path in ("/filtered", "/strict"):
        assert ask(gateway, path, token(jti="mine")) == 401
    wait_until(lambda: redis.command("EXISTS", "blocklist:jti:mine") == "1", what="redis has it again")
    assert redis.command("TTL", "blocklist:jti:mine") == "-1"
    assert ask(gateway, "/filtered", token(jti="good")) == 200


def test_what_is_there_is_left_alone(start, backend, redis, scratch):
    """Another gateway hears of no change, and a longer life stays."""
    gateway = start(configuration(backend, redis, state_dir=str(scratch)), environment=ENVIRONMENT)
    revoke(gateway, "--jti", "mine", "--expires", int(time.time()) + 600)
    redis.command("EXPIRE", "blocklist:jti:mine", 5000)
    for _ in range(2):
        synced = gateway.metric("jwtgate_revocation_resyncs_total", cause="gap")
        redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        wait_until(lambda: gateway.metric("jwtgate_revocation_resyncs_total", cause="gap") > synced, what="a new synchronisation")
    time.sleep(0.2)
    assert int(redis.command("TTL", "blocklist:jti:mine")) > 4900
    gateway.stop()  # then all that it had to say is in the log
    assert "had lost" not in gateway.log()


def test_a_store_that_cannot_be_read_is_an_error(start, backend, redis, scratch):
    gateway = start(configuration(backend, redis, state_dir=str(scratch)), environment=ENVIRONMENT)
    gateway.stop()
    (scratch / "revocations" / "data.mdb").write_bytes(b"x" * 8192)
    gateway = start(configuration(backend, redis, state_dir=str(scratch)), wait=False, environment=ENVIRONMENT)
    assert gateway.process.wait(30) == 1
    assert "revocations cannot be read" in gateway.log()
    gateway.process = None
