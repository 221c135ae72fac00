# SPDX-License-Identifier: Apache-2.0
"""Ways to reach a real redis-server: TLS, unix socket, user, database, sentinels."""
import json
import os
import signal
import subprocess
import time

import pytest

from redis_support import PASSWORD, SENTINEL_PASSWORD, Redis, Sentinel
from support import AUDIENCE, BINARY, ISSUER, bearer, claims, config_for, free_port, get, hs256, wait_until
from tls_support import Authority

STALENESS = 0.6
ENVIRONMENT = {"TEST_REDIS_PASSWORD": PASSWORD, "TEST_SENTINEL_PASSWORD": SENTINEL_PASSWORD}
pytestmark = pytest.mark.threads


def configuration(backend, redis, **more):
    return config_for(
        backend, providers={"internal": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
            "keys": [{"kid": "k1", "secret": {"env": "TEST_SECRET"}}]}},
        revocation={"redis": {"password": {"env": "TEST_REDIS_PASSWORD"}, "timeouts": {"connect": "3s", "command": "1s"}, **redis},
                    "max_staleness": f"{int(STALENESS * 1000)}ms", "filter": {"expected_items": 1000}, **more},
        server={"workers": 1, "startup_timeout": "300ms"},
        routes={name: {"match": {"path_prefix": f"/{name}"}, "upstream": "backend",
                       "auth": {"provider": "internal", "revocation": name}} for name in ("filtered", "strict")})


def token(jti):
    return hs256(claims(jti=jti), kid="k1")


def ask_now(gateway, path, jti):
    return gateway.ask(get(path, bearer(token(jti)))).status


def ask(gateway, path, jti):
    return gateway.ask_known(get(path, bearer(token(jti)))).status


def assert_enforced(gateway, redis, jti):
    redis.revoke(jti)
    time.sleep(STALENESS)
    for path in ("/filtered", "/strict"):
        assert ask(gateway, path, "good") == 200
        assert ask(gateway, path, jti) == 401


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def authority(scratch):
    return Authority(scratch)


@pytest.fixture
def servers():
    running = []
    yield running
    for server in reversed(running):
        server.kill()


def encrypted(servers, scratch, authority, host):
    cert, key = authority.issue(host, host)
    server = Redis(scratch, tls=(cert, key, str(authority.file)))
    servers.append(server)
    return server


def test_redis_over_tls_is_verified_and_verifies(start, backend, scratch, authority, servers):
    redis = encrypted(servers, scratch, authority, "127.0.0.1")
    cert, key = authority.issue("gateway", "gateway.test")
    gateway = start(configuration(backend, {"url": f"rediss://127.0.0.1:{redis.port}", "tls": {
        "ca_file": str(authority.file), "cert_file": cert, "key_file": key}}), environment=ENVIRONMENT)
    assert_enforced(gateway, redis, "bad")
    done = subprocess.run([BINARY, "revoke", "--jti", "by-command", "-c", gateway.file], capture_output=True, text=True,
                          timeout=30, check=False, env=gateway.environment)
    assert done.returncode == 0, done.stderr
    assert redis.command("EXISTS", "blocklist:jti:by-command") == "1"


def test_the_name_in_the_certificate_counts(start, backend, scratch, authority, servers):
    redis = encrypted(servers, scratch, authority, "redis.test")
    cert, key = authority.issue("gateway", "gateway.test")
    tls = {"ca_file": str(authority.file), "cert_file": cert, "key_file": key}
    url = f"rediss://127.0.0.1:{redis.port}"
    gateway = start(configuration(backend, {"url": url, "tls": tls}), wait=False, environment=ENVIRONMENT)
    gateway.listens()
    assert ask_now(gateway, "/filtered", "good") == 503
    gateway.logged("redis cannot be used: TLS: ")
    gateway.stop()
    gateway = start(configuration(backend, {"url": url, "tls": tls | {"server_name": "redis.test"}}), environment=ENVIRONMENT)
    assert_enforced(gateway, redis, "bad")


def test_an_unknown_authority_is_not_believed(start, backend, scratch, authority, servers):
    redis = encrypted(servers, scratch, authority, "127.0.0.1")
    other = Authority(scratch, "other")
    gateway = start(configuration(backend, {"url": f"rediss://127.0.0.1:{redis.port}", "tls": {"ca_file": str(other.file)}}),
                    wait=False, environment=ENVIRONMENT)
    gateway.listens()
    assert ask_now(gateway, "/strict", "good") == 503


# --- plain ways ----------------------------------------------------------------------------------


def test_a_unix_socket(start, backend, scratch, servers):
    redis = Redis(scratch, "--unixsocket", str(scratch / "redis.sock"))
    servers.append(redis)
    gateway = start(configuration(backend, {"url": f"unix:{scratch}/redis.sock"}), environment=ENVIRONMENT)
    assert_enforced(gateway, redis, "bad")


def test_a_user_of_few_rights_and_a_database(start, backend, scratch, servers):
    """All that the gateway needs."""
    redis = Redis(scratch)
    servers.append(redis)
    redis.command("ACL", "SETUSER", "jwtgate", "on", f">{PASSWORD}2", "resetchannels", "&__redis__:invalidate", "~blocklist:*",
                  "-@all", "+ping", "+select", "+info", "+client|id", "+client|tracking", "+subscribe", "+scan", "+exists",
                  "+get", "+set", "+ttl", "+eval")
    gateway = start(configuration(backend, {"url": f"redis://127.0.0.1:{redis.port}/2", "username": "jwtgate"}),
                    environment={"TEST_REDIS_PASSWORD": PASSWORD + "2"})
    assert ask(gateway, "/filtered", "bad") == 200
    done = subprocess.run([BINARY, "revoke", "--jti", "bad", "-c", gateway.file], capture_output=True, text=True,
                          timeout=30, check=False, env=gateway.environment)
    assert done.returncode == 0, done.stderr
    time.sleep(STALENESS)
    assert ask(gateway, "/filtered", "bad") == 401
    assert ask(gateway, "/strict", "bad") == 401
    assert redis.command("EXISTS", "blocklist:jti:bad") == "0", "it is in database 2"
    assert redis.cli("-n", "2", "EXISTS", "blocklist:jti:bad") == "1"


def test_keys_begin_with_what_is_configured(start, backend, scratch, servers):
    redis = Redis(scratch)
    servers.append(redis)
    gateway = start(configuration(backend, {"url": f"redis://127.0.0.1:{redis.port}", "prefix": "app/{revoked}:"}),
                    environment=ENVIRONMENT)
    redis.revoke("of-another-list")
    redis.command("SET", "app/{revoked}:jti:theirs", "1", "EX", "600")
    done = subprocess.run([BINARY, "revoke", "--jti", "ours", "-c", gateway.file], capture_output=True, text=True,
                          timeout=30, check=False, env=gateway.environment)
    assert done.returncode == 0, done.stderr
    assert redis.command("EXISTS", "app/{revoked}:jti:ours") == "1"
    time.sleep(STALENESS)
    for path in ("/filtered", "/strict"):
        assert [ask(gateway, path, jti) for jti in ("of-another-list", "theirs", "ours")] == [200, 401, 401]
    done = subprocess.run([BINARY, "revocations", "check", "--jti", "ours", "-c", gateway.file], capture_output=True,
                          timeout=30, check=False, env=gateway.environment)
    assert done.returncode == 0


# --- sentinels -----------------------------------------------------------------------------------


@pytest.fixture
def pair(scratch, servers):
    """A master, its replica, and a sentinel that knows both."""
    for name in ("first", "second", "sentinel"):
        (scratch / name).mkdir()
    first = Redis(scratch / "first", "--repl-diskless-sync-delay", "0")
    servers.append(first)
    second = Redis(scratch / "second", master=first)
    servers.append(second)
    sentinel = Sentinel(scratch / "sentinel", first)
    servers.append(sentinel)
    wait_until(sentinel.knows_a_replica, what="the sentinel sees the replica")
    return first, second, sentinel


def by_sentinels(*ports, **more):
    return {"sentinels": [f"127.0.0.1:{port}" for port in ports], "master_name": Sentinel.NAME, **more}


def test_sentinels_say_where_redis_is_and_a_fail_over_is_followed(start, backend, pair):
    first, second, sentinel = pair
    gateway = start(configuration(backend, by_sentinels(free_port(), sentinel.port)), environment=ENVIRONMENT)
    assert_enforced(gateway, first, "before")
    wait_until(lambda: second.command("EXISTS", "blocklist:jti:before") == "1", what="the replica has it")
    sentinel.fail_over()
    wait_until(lambda: sentinel.master_port() == second.port, what="the replica was promoted")
    wait_until(lambda: second.command("ROLE") [0] == "master", what="it says so")
    assert_enforced(gateway, second, "after")
    assert ask(gateway, "/filtered", "before") == 401
    assert gateway.metric("jwtgate_revocation_resyncs_total", cause="server_changed") >= 1


def test_a_master_that_hangs_is_left_for_the_new_one(start, backend, pair):
    """The old one does not close its connections."""
    first, second, sentinel = pair
    gateway = start(configuration(backend, by_sentinels(sentinel.port)), environment=ENVIRONMENT)
    assert ask(gateway, "/filtered", "good") == 200
    first.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: sentinel.master_port() == second.port, what="the replica was promoted")
        assert_enforced(gateway, second, "after")
    finally:
        first.signal(signal.SIGCONT)


def name_another_master(sentinel, redis, epoch=7):
    """As sentinels tell each other: name, address and epoch of the new master."""
    sentinel.command("PUBLISH", "__sentinel__:hello",
                     f"127.0.0.1,{free_port()},{'a' * 40},{epoch},{Sentinel.NAME},127.0.0.1,{redis.port},{epoch}")
    wait_until(lambda: sentinel.master_port() == redis.port, what="the sentinel takes over what it hears")


def test_a_master_that_was_cut_off_is_left(start, backend, pair):
    """Redis goes on and takes writes, but the sentinels have named another: its word counts no more."""
    first, second, sentinel = pair
    gateway = start(configuration(backend, by_sentinels(sentinel.port)), environment=ENVIRONMENT)
    assert ask(gateway, "/filtered", "good") == 200
    second.command("REPLICAOF", "NO", "ONE")
    name_another_master(sentinel, second)
    assert first.command("ROLE")[0] == "master", "the old one does not know"
    assert_enforced(gateway, second, "after")


def test_sentinels_that_were_set_up_anew_are_believed_again(start, backend, pair):
    """Their count of fail-overs begins at 0."""
    first, second, sentinel = pair
    gateway = start(configuration(backend, by_sentinels(sentinel.port)), environment=ENVIRONMENT)
    sentinel.fail_over()
    wait_until(lambda: sentinel.master_port() == second.port, what="the replica was promoted")
    assert_enforced(gateway, second, "after")
    sentinel.command("SENTINEL", "REMOVE", Sentinel.NAME)
    sentinel.command("SENTINEL", "MONITOR", Sentinel.NAME, "127.0.0.1", second.port, 1)
    for kind in ("normal", "pubsub"):
        second.command("CLIENT", "KILL", "TYPE", kind)
    assert_enforced(gateway, second, "again")


def test_sentinels_that_do_not_know_the_name(start, backend, pair):
    _, _, sentinel = pair
    gateway = start(configuration(backend, by_sentinels(sentinel.port) | {"master_name": "other"}), wait=False,
                    environment=ENVIRONMENT)
    gateway.listens()
    assert ask_now(gateway, "/strict", "good") == 503
    gateway.logged("No such master")


def test_a_replica_that_a_sentinel_names_is_not_followed(start, backend, pair, scratch, servers):
    """What a sentinel says may be old."""
    _, second, _ = pair
    (scratch / "old").mkdir()
    old = Sentinel(scratch / "old", second, quorum=3)
    servers.append(old)
    assert old.master_port() == second.port
    gateway = start(configuration(backend, by_sentinels(old.port)), wait=False, environment=ENVIRONMENT)
    gateway.listens()
    if old.master_port() == second.port:
        assert ask_now(gateway, "/strict", "good") == 503
    gateway.logged("it is not a master")


LOGIN = {"sentinel_password": {"env": "TEST_SENTINEL_PASSWORD"}}


def sentinel_with(scratch, servers, master, **login):
    sentinel = Sentinel(scratch / "locked", master, **login)
    servers.append(sentinel)
    return sentinel


@pytest.fixture
def master(scratch, servers):
    redis = Redis(scratch)
    servers.append(redis)
    return redis


def test_sentinels_that_have_a_password(start, backend, scratch, servers, master):
    sentinel = sentinel_with(scratch, servers, master, password=SENTINEL_PASSWORD)
    gateway = start(configuration(backend, by_sentinels(sentinel.port, **LOGIN)), environment=ENVIRONMENT)
    assert_enforced(gateway, master, "bad")
    done = subprocess.run([BINARY, "revoke", "--jti", "by-command", "-c", gateway.file], capture_output=True, text=True,
                          timeout=30, check=False, env=gateway.environment)
    assert done.returncode == 0, done.stderr
    # The watch over fail-overs is let in, too.
    (scratch / "second").mkdir()
    second = Redis(scratch / "second")
    servers.append(second)
    name_another_master(sentinel, second)
    assert_enforced(gateway, second, "after")
    gateway.stop()
    assert SENTINEL_PASSWORD not in gateway.log()


def test_a_user_of_few_rights_at_the_sentinels(start, backend, scratch, servers, master):
    """All that the gateway needs."""
    sentinel = sentinel_with(
        scratch, servers, master, password="another",
        user=f"jwtgate on >{SENTINEL_PASSWORD} -@all +auth +ping +sentinel|master +sentinel|get-master-addr-by-name")
    gateway = start(configuration(backend, by_sentinels(sentinel.port, sentinel_username="jwtgate", **LOGIN)),
                    environment=ENVIRONMENT)
    assert_enforced(gateway, master, "bad")
    wait_until(lambda: "user=jwtgate" in str(sentinel.command("CLIENT", "LIST")), what="it is that user")


@pytest.mark.parametrize("login, code", [({}, "NOAUTH"), (LOGIN, "WRONGPASS")])
def test_sentinels_that_do_not_let_us_in(start, backend, scratch, servers, master, login, code):
    sentinel = sentinel_with(scratch, servers, master, password="another")
    gateway = start(configuration(backend, by_sentinels(sentinel.port, **login)), wait=False, environment=ENVIRONMENT)
    gateway.listens()
    gateway.logged(f"a sentinel says {code}")
    assert ask_now(gateway, "/strict", "good") == 503
    gateway.stop()
    assert SENTINEL_PASSWORD not in gateway.log()


def test_another_password_of_the_sentinels_comes_with_a_reload(start, backend, scratch, servers, master):
    sentinel = sentinel_with(scratch, servers, master, password=SENTINEL_PASSWORD)
    secret = scratch / "sentinel-password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    gateway = start(configuration(backend, by_sentinels(sentinel.port, sentinel_password={"file": str(secret)})),
                    wait=False, environment=ENVIRONMENT)
    gateway.listens()
    gateway.logged("a sentinel says WRONGPASS")
    secret.write_text(SENTINEL_PASSWORD + "\n")
    gateway.process.send_signal(signal.SIGHUP)
    assert_enforced(gateway, master, "bad")


# --- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize("redis, message", [
    ({"url": "redis://a", "sentinels": ["b"], "master_name": "m"}, 'both "url" and "sentinels"'),
    ({"sentinels": ["b"]}, '"sentinels" without "master_name"'),
    ({"url": "redis://a", "master_name": "m"}, '"master_name" without "sentinels"'),
    ({"sentinels": ["b:x"], "master_name": "m"}, '"b:x" is not the address of a sentinel'),
    ({"sentinels": [], "master_name": "m"}, "sentinels"),
    ({"url": "redis://a", "database": 2}, '"database" is for "sentinels"'),
    ({"url": "redis://a", **LOGIN}, '"sentinel_password" without "sentinels"'),
    ({"url": "redis://a", "sentinel_username": "u"}, '"sentinel_password" without "sentinels"'),
    ({"sentinels": ["b"], "master_name": "m", "sentinel_username": "u"}, '"sentinel_username" without "sentinel_password"'),
    ({"sentinels": ["b"], "master_name": "m", "sentinel_password": "text"}, "sentinel_password"),
    ({"sentinels": ["b"], "master_name": "m", "sentinel_password": {"env": "NOT_SET"}}, "revocation.redis.sentinel_password"),
    ({"url": "redis://a", "prefix": "block*"}, "cannot begin a key"),
    ({"url": "redis://a", "prefix": ""}, "prefix"),
    ({"url": "redis://a", "tls": {}}, "not encrypted"),
    ({"url": "rediss://a", "tls": {"cert_file": "x"}}, "only one of"),
    ({"url": "rediss://a", "tls": {"ca_file": "missing.pem"}}, "revocation.redis.tls.ca_file"),
    ({"url": "rediss://a", "tls": {"insecure_skip_verify": True}}, "unknown key"),
])
def test_wrong_keys_are_explained(scratch, backend, redis, message):
    file = scratch / "c.jsonc"
    file.write_text(json.dumps(configuration(backend, redis)))
    done = subprocess.run([BINARY, "check", "-c", file], capture_output=True, text=True, timeout=30, check=False,
                          env=dict(os.environ, TEST_SECRET="x" * 40, **ENVIRONMENT))
    assert done.returncode == 1 and message in done.stdout + done.stderr
