# SPDX-License-Identifier: Apache-2.0
"""Revoked tokens: with a real redis-server whoever writes to it, and with the local store."""
import random
import signal
import subprocess
import time

import pytest

from redis_support import PASSWORD, Redis
from support import BINARY, AUDIENCE, ISSUER, Gateway, bearer, claims, config_for, get, hs256, wait_until

STALENESS = 0.6
pytestmark = pytest.mark.threads


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
                  "timeouts": {"connect": "3s", "command": "1s"}},
        "max_staleness": f"{int(STALENESS * 1000)}ms", "filter": {"expected_items": 1000}, **more})


ENVIRONMENT = {"TEST_REDIS_PASSWORD": PASSWORD}


def token(**changes):
    return hs256(claims(**changes), kid="k1")


def ask_now(gateway, path, jwt):
    return gateway.ask(get(path, bearer(jwt)))


def ask(gateway, path, jwt):
    return gateway.ask_known(get(path, bearer(jwt)))


def state(gateway):
    metrics = gateway.metrics()
    return next(s for s in ("cold", "live", "stale") if metrics[f'jwtgate_revocation_state{{state="{s}"}}'] == 1)


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
    wait_until(lambda: gateway.metric("jwtgate_redis_up") == 1 and state(gateway) == "live", what="live")


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
    assert is_revoked(ask(gateway, path, token(sub="user-7", client_id="app", iat=now - 50))), "perhaps issued before"
    assert is_revoked(ask(gateway, path, token(sub="user-7", client_id="app", iat=now - 49.1))), "of the same second"
    assert ask(gateway, path, token(sub="user-7", client_id="app", iat=now - 49)).status == 200
    assert ask(gateway, path, after).status == 200, "the next login works"
    assert is_revoked(ask(gateway, path, token(sub="user-7", client_id="app", iat=None)))


@pytest.mark.parametrize("path", ["/filtered", "/strict"])
def test_revoking_a_key_reaches_tokens_that_do_not_name_it(start, backend, redis, path):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    now = int(time.time())
    before, after = hs256(claims(iat=now - 100)), hs256(claims(iat=now))
    assert ask(gateway, path, before).status == 200
    redis.command("SET", "blocklist:before:kid:k1", str(now - 50), "EX", "600")
    time.sleep(STALENESS)
    assert is_revoked(ask(gateway, path, before))
    assert ask(gateway, path, after).status == 200


def test_a_watermark_that_is_no_time_is_no_answer(start, backend, redis):
    redis.command("SET", "blocklist:before:sub:user-7", "soon")
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    assert ask_now(gateway, "/filtered", token(sub="user-7")).status == 503
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
    wait_until(lambda: state(gateway) == "stale", what="doubt")
    response = ask_now(gateway, "/filtered", token())
    assert response.status == 503 and response.get("Retry-After") == "1"
    assert response.get("WWW-Authenticate") is None
    assert gateway.access_line(status=503)["reason"] == "revocation_unavailable"
    assert gateway.ask(get("/public")).status == 200
    assert ask(gateway, "/off", token()).status == 200
    assert gateway.admin("/readyz")[0] == 503
    redis.start()
    redis.revoke("bad")
    wait_until(lambda: state(gateway) == "live", what="synchronised again")
    time.sleep(STALENESS)  # perhaps before the revocation
    assert ask(gateway, "/filtered", token()).status == 200
    assert is_revoked(ask(gateway, "/filtered", token(jti="bad")))
    assert gateway.metric("jwtgate_revocation_resyncs_total", cause="server_changed") >= 1


def test_on_unavailable_allow_lets_through(start, backend, redis):
    gateway = start(on_redis(backend, redis, on_unavailable="allow"), environment=ENVIRONMENT)
    wait_until(lambda: state(gateway) == "live", what="synchronised")
    redis.kill()
    wait_until(lambda: state(gateway) == "stale", what="doubt")
    assert ask(gateway, "/filtered", token()).status == 200
    assert gateway.metric("jwtgate_revocation_lookups_total", result="error") == 1
    assert gateway.admin("/readyz")[0] == 200


def test_a_stopped_redis_is_refused_by_the_deadline(start, backend, redis):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    redis.signal(signal.SIGSTOP)
    begin = time.monotonic()
    assert ask_now(gateway, "/strict", token()).status == 503
    assert time.monotonic() - begin < 10
    time.sleep(STALENESS)
    assert ask_now(gateway, "/filtered", token()).status == 503, "the lease is over"
    redis.signal(signal.SIGCONT)
    wait_until(lambda: ask(gateway, "/filtered", token()).status == 200, what="redis is back")


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
    wait_until(lambda: is_revoked(ask(gateway, "/filtered", jwt)), what="it is refused")


def test_a_gateway_that_starts_first_waits_for_redis(start, backend, redis):
    redis.kill()
    gateway = start(on_redis(backend, redis) | {"server": {"workers": 1, "startup_timeout": "300ms"}},
                    wait=False, environment=ENVIRONMENT)
    gateway.listens()
    assert ask_now(gateway, "/filtered", token()).status == 503
    assert gateway.admin("/readyz")[0] == 503
    redis.start()
    redis.revoke("bad")
    wait_until(gateway.is_ready, what="ready")
    time.sleep(STALENESS)  # perhaps before the revocation
    assert is_revoked(ask(gateway, "/filtered", token(jti="bad")))


def test_wrong_password_is_never_live(start, backend, redis):
    gateway = start(on_redis(backend, redis) | {"server": {"workers": 1, "startup_timeout": "300ms"}},
                    wait=False, environment={"TEST_REDIS_PASSWORD": "wrong"})
    gateway.listens()
    assert ask_now(gateway, "/filtered", token()).status == 503
    gateway.stop()  # then all that it had to say is in the log
    assert PASSWORD not in gateway.log() and "wrong" not in gateway.log()


# --- the local store -----------------------------------------------------------------------------


def test_the_local_store_needs_a_place(start, backend):
    gateway = start(configuration(backend, {}), wait=False)
    assert gateway.process.wait(30) == 1
    assert "error: revocation: needs a place: server.state_dir is missing" in gateway.log()
    gateway.process = None


def test_a_place_that_is_not_there(start, backend, scratch):
    gateway = start(configuration(backend, {}, server={"state_dir": str(scratch / "none")}), wait=False)
    assert gateway.process.wait(30) == 1
    assert "error: server.state_dir: " in gateway.log() and "does not exist" in gateway.log()
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
    assert gateway.process.wait(30) == 1
    assert "revocations cannot be read" in gateway.log()
    gateway.process = None


# --- the commands --------------------------------------------------------------------------------


def jwtgate(gateway, *arguments, stdin=None):
    return subprocess.run([BINARY, *map(str, arguments), "-c", str(gateway.file)], capture_output=True, text=True,
                          timeout=60, check=False, input=stdin, env=gateway.environment, cwd=gateway.folder)


@pytest.fixture(params=["local", "redis"])
def kept(request, start, backend, scratch):
    """A gateway over each kind of store."""
    if request.param == "local":
        yield start(configuration(backend, {}, server={"state_dir": str(scratch)}))
    else:
        server = request.getfixturevalue("redis")
        yield start(on_redis(backend, server), environment=ENVIRONMENT)


def test_revoke_by_jti_and_by_token(kept):
    jwt, other = token(jti="one"), token(jti="two")
    for one in (jwt, other):
        assert ask(kept, "/filtered", one).status == 200
    done = jwtgate(kept, "revoke", "--jti", "one")
    assert done.returncode == 0 and done.stdout == "revoked blocklist:jti:one\n", done.stderr
    assert jwtgate(kept, "revoke", "--token", "-", stdin=other + "\n").returncode == 0
    time.sleep(STALENESS)
    for one in (jwt, other):
        assert is_revoked(ask(kept, "/filtered", one)) and is_revoked(ask(kept, "/strict", one))
    assert ask(kept, "/filtered", token()).status == 200
    assert jwtgate(kept, "revocations", "check", "--jti", "one").returncode == 0
    assert jwtgate(kept, "revocations", "check", "--jti", "three").returncode == 1
    wait_until(lambda: kept.metric("jwtgate_revocation_entries") == 2, what="both are counted")


@pytest.mark.parametrize("option, value", [("--subject", "user-9"), ("--client", "app"), ("--kid", "k1"),
                                           ("--issuer", ISSUER)])
def test_revoke_all_that_was_issued_before(kept, option, value):
    now = int(time.time())
    before, after = (token(sub="user-9", client_id="app", iat=now + when) for when in (-100, -10))
    assert jwtgate(kept, "revoke", option, value, "--before", now - 50).returncode == 0
    time.sleep(STALENESS)
    assert is_revoked(ask(kept, "/filtered", before))
    assert ask(kept, "/filtered", after).status == 200
    assert jwtgate(kept, "revoke", option, value, "--before", now - 90).returncode == 0
    time.sleep(STALENESS)
    assert is_revoked(ask(kept, "/filtered", token(sub="user-9", client_id="app", iat=now - 60))), "never made older"


def test_a_token_that_has_expired_is_not_stored(kept):
    done = jwtgate(kept, "revoke", "--jti", "old", "--expires", int(time.time()) - 1000)
    assert done.returncode == 0 and "nothing to do" in done.stdout
    assert jwtgate(kept, "revocations", "check", "--jti", "old").returncode == 1


def test_redis_gets_a_life_that_covers_the_skew_and_is_never_shortened(start, backend, redis):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    end = int(time.time()) + 600
    assert jwtgate(gateway, "revoke", "--jti", "a", "--expires", end).returncode == 0
    assert redis.command("EXISTS", "blocklist:jti:a") == "1"
    life = int(redis.command("TTL", "blocklist:jti:a"))
    assert 1180 < life <= 1201
    assert jwtgate(gateway, "revoke", "--jti", "a", "--expires", end - 500).returncode == 0
    assert int(redis.command("TTL", "blocklist:jti:a")) > 1160
    assert jwtgate(gateway, "revoke", "--jti", "a").returncode == 0
    assert jwtgate(gateway, "revoke", "--jti", "a", "--expires", end).returncode == 0
    assert redis.command("TTL", "blocklist:jti:a") == "-1"


def test_revoking_without_a_store_is_told(start, backend, redis):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    redis.kill()
    done = jwtgate(gateway, "revoke", "--jti", "a")
    assert done.returncode == 3 and "does not let us in" in done.stderr and not done.stdout


@pytest.mark.parametrize("arguments", [
    [], ["--jti", ""], ["--jti", "a", "--subject", "b"], ["--token", "x"], ["--jti", "a", "--before", "5"],
    ["--jti", "a", "--expires", "soon"], ["a"]])
def test_wrong_ways_to_revoke(arguments):
    done = subprocess.run([BINARY, "revoke", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and "Try: jwtgate help revoke" in done.stderr


def test_acknowledged_revocations_survive_kill_9_of_everything(start, backend, scratch):
    """Commands that write and the gateway that reads are killed at random moments."""
    config = configuration(backend, {}, server={"state_dir": str(scratch)})
    gateway = start(config)
    begin = time.monotonic()
    assert jwtgate(gateway, "revoke", "--jti", "first").returncode == 0
    usual, acknowledged = time.monotonic() - begin, ["first"]
    for i in range(25):
        writer = subprocess.Popen([BINARY, "revoke", "--jti", f"bad-{i}", "-c", str(gateway.file)],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=gateway.environment)
        try:
            if writer.wait(random.uniform(0.2, 1.6) * usual) == 0:
                acknowledged.append(f"bad-{i}")
        except subprocess.TimeoutExpired:
            writer.kill()
            writer.wait()
        writer.stdout.close()
        if i % 8 == 7:
            gateway.process.kill()
            gateway.process.wait()
            gateway.process = None
            gateway.start()
    assert len(acknowledged) > 1
    for jti in acknowledged:
        assert is_revoked(ask(gateway, "/filtered", token(jti=jti))), jti
    assert ask(gateway, "/filtered", token()).status == 200


# --- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize("revocation, message", [
    ({"redis": {"url": "http://redis.internal"}}, "not the address of a redis server"),
    ({"redis": {"url": "redis://user:pass@host"}}, "not the address of a redis server"),
    ({"redis": {}}, "\"url\" is missing"),
    ({"redis": {"url": "redis://host", "password": {"env": "NOT_SET_AT_ALL"}}}, "NOT_SET_AT_ALL is not set"),
    ({"filter": {"false_positive_rate": 2}}, "not a number in"),
    ({"on_unavailable": "maybe"}, "on_unavailable"),
])
def test_bad_configurations_are_explained(scratch, backend, revocation, message):
    gateway = Gateway(scratch, configuration(backend, revocation)).start(wait=False)
    assert gateway.process.wait(30) == 1
    assert message in gateway.log()


def test_a_route_that_asks_for_what_is_not_there_is_an_error(scratch, backend):
    gateway = Gateway(scratch, configuration(backend, None)).start(wait=False)
    assert gateway.process.wait(30) == 1
    assert "nothing says where they are kept" in gateway.log()
