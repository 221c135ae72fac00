# SPDX-License-Identifier: Apache-2.0
"""Revoking through the admin listener: who may, what is understood, and when it is true."""
import contextlib
import http.client
import json
import random
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from redis_support import PASSWORD, Redis
from support import BINARY, ISSUER, PATIENCE, Gateway, bearer, get, wait_until
from test_85_revocation import (ENVIRONMENT, STALENESS, ask, ask_now, configuration, is_revoked, jwtgate, on_redis,
                                token)

ADMIN_TOKEN = "an-admin-token-of-the-tests"
ADMIN = {"env": "TEST_ADMIN_TOKEN"}
pytestmark = pytest.mark.threads


@pytest.fixture
def redis(scratch):
    server = Redis(scratch)
    yield server
    server.kill()


def with_token(config, source=None):
    config["admin"]["token"] = ADMIN if source is None else source
    return config


@pytest.fixture
def local(start, backend, scratch):
    return start(with_token(configuration(backend, {}, server={"state_dir": str(scratch)})),
                 environment={"TEST_ADMIN_TOKEN": ADMIN_TOKEN})


@pytest.fixture(params=["local", "redis"])
def kept(request, start, backend):
    """A gateway over each kind of store."""
    if request.param == "local":
        return request.getfixturevalue("local")
    server = request.getfixturevalue("redis")
    return start(with_token(on_redis(backend, server)), environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})


def post(gateway, body, token=ADMIN_TOKEN, path="/revocations", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.admin_port, timeout=PATIENCE)
    try:
        text = body if isinstance(body, (str, bytes)) else json.dumps(body)
        fields = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {}),
                  **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request("POST", path, text, fields)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or "{}"), response.headers
    finally:
        connection.close()


def revoke(gateway, body):
    answers = []

    def is_answered():  # a store that does not answer in time on a busy machine is asked again
        answers.append(post(gateway, body))
        return answers[-1][0] != 503
    wait_until(is_answered, what="the store's answer")
    status, answer, _ = answers[-1]
    assert status == 200, answer
    return answer


def look(gateway, jti, token=ADMIN_TOKEN):
    status, text, _ = gateway.admin(f"/revocations/{jti}", {"Authorization": f"Bearer {token}"} if token else {})
    return status, json.loads(text)


def soon():
    return int(time.time()) + 600


# --- namespaces ---------------------------------------------------------------------------------------


def test_a_provider_with_a_namespace_has_names_of_its_own(start, backend, redis, scratch):
    """The same jti and sub of two issuers are two tokens; whoever takes a token finds the right name."""
    config = with_token(on_redis(backend, redis))
    other = "https://other.test/"
    config["providers"]["other"] = {**config["providers"]["internal"], "issuer": other, "revocation_namespace": "other"}
    config["routes"]["other"] = {"match": {"path_prefix": "/other"}, "upstream": "backend", "auth": {"provider": "other"}}
    gateway = start(config, environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    now = int(time.time())
    mine, theirs = token(jti="same"), token(jti="same", iss=other)

    def passes():
        return [ask(gateway, path, jwt).status == 200 for path, jwt in (("/filtered", mine), ("/other", theirs))]

    assert passes() == [True, True]
    revoke(gateway, {"jti": "same", "expires_at": soon()})
    assert passes() == [False, True]
    revoke(gateway, {"token": theirs})
    assert passes() == [False, False]
    assert redis.command("EXISTS", "blocklist:jti:other:same") == "1"
    for source in ("by-name", "by-command", "by-another"):
        jwt = token(jti=source, iss=other, sub=source, iat=now - 100)
        assert ask(gateway, "/other", jwt).status == 200
        if source == "by-name":
            revoke(gateway, {"before": {"sub": f"other:{source}", "time": now - 50}})
        elif source == "by-command":
            done = jwtgate(gateway, "revoke", "--token", "-", stdin=jwt)
            assert done.returncode == 0, done.stderr
            time.sleep(STALENESS)
        else:
            redis.command("SET", "blocklist:before:iss:" + other, now - 50)
            time.sleep(STALENESS)
        assert is_revoked(ask(gateway, "/other", jwt)), source


def test_providers_of_one_issuer_have_one_namespace(backend, scratch):
    config = configuration(backend, {})
    config["providers"]["again"] = {**config["providers"]["internal"], "revocation_namespace": "x"}
    gateway = Gateway(scratch, config).start(wait=False)
    assert gateway.process.wait(30) == 1
    assert "another provider of this issuer has another namespace" in gateway.log()


# --- what is revoked -------------------------------------------------------------------------------


def test_a_200_means_that_it_is_enforced_here(kept):
    """At once, on the filtered route too, in every worker: no wait between the answer and the request."""
    jwts = {f"now-{i}": token(jti=f"now-{i}") for i in range(20)}
    for jti, jwt in jwts.items():
        assert ask(kept, "/filtered", jwt).status == 200
        assert revoke(kept, {"jti": jti, "expires_at": soon()}) == {"revoked": 1, "expired": 0}
        assert is_revoked(ask(kept, "/filtered", jwt)) and is_revoked(ask(kept, "/strict", jwt))
        assert look(kept, jti) == (200, {"jti": jti, "revoked": True})
    assert ask(kept, "/filtered", token()).status == 200
    assert look(kept, "other") == (200, {"jti": "other", "revoked": False})
    assert kept.metric("jwtgate_revocations_total", result="ok") == 20


def test_a_token_names_itself(kept):
    jwt = token(jti="itself")
    assert revoke(kept, {"token": jwt}) == {"revoked": 1, "expired": 0}
    assert is_revoked(ask(kept, "/filtered", jwt))


def test_an_array_is_revoked_as_a_whole(kept):
    now = int(time.time())
    jwts = [token(jti="first"), token(jti="second"), token(sub="user-8", iat=now - 100)]
    answer = revoke(kept, [{"jti": "first", "expires_at": soon()}, {"token": jwts[1]},
                           {"before": {"sub": "user-8", "time": now - 50}},
                           {"jti": "long-ago", "expires_at": now - 1000}])
    assert answer == {"revoked": 3, "expired": 1}
    for jwt in jwts:
        assert is_revoked(ask(kept, "/filtered", jwt))
    assert ask(kept, "/filtered", token(sub="user-8", iat=now - 10)).status == 200, "the next login works"
    assert look(kept, "long-ago")[1]["revoked"] is False, "nothing is stored"
    assert kept.metric("jwtgate_revocations_total", result="expired") == 1


@pytest.mark.parametrize("kind, value", [("sub", "user-9"), ("client", "app"), ("kid", "k1"), ("iss", ISSUER)])
def test_each_kind_of_watermark(kept, kind, value):
    now = int(time.time())
    before, after = (token(sub="user-9", client_id="app", iat=now + when) for when in (-100, -10))
    revoke(kept, {"before": {kind: value, "time": now - 50}})
    assert is_revoked(ask(kept, "/filtered", before)) and ask(kept, "/filtered", after).status == 200
    revoke(kept, {"before": {kind: value, "time": now - 90}})
    assert is_revoked(ask(kept, "/filtered", token(sub="user-9", client_id="app", iat=now - 60))), "never made older"


def test_again_is_harmless_and_never_shortens(start, backend, redis):
    gateway = start(with_token(on_redis(backend, redis)), environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    end = soon()
    for expires_at in (end, end - 500, end):
        revoke(gateway, {"jti": "a", "expires_at": expires_at})
        assert 1160 < int(redis.command("TTL", "blocklist:jti:a")) <= 1201, "with the longest clock skew"
    assert redis.command("EXISTS", "blocklist:jti:a") == "1"
    revoke(gateway, {"jti": "a"})
    revoke(gateway, {"jti": "a", "expires_at": end})
    assert redis.command("TTL", "blocklist:jti:a") == "-1"
    redis.command("SET", "blocklist:before:sub:u", end, "EX", "5000")
    revoke(gateway, {"before": {"sub": "u", "time": end - 100}, "expires_at": end})
    assert redis.command("GET", "blocklist:before:sub:u") == str(end)
    assert int(redis.command("TTL", "blocklist:before:sub:u")) > 4000


def test_another_gateway_hears_of_it(start, backend, redis):
    environment = {**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN}
    one, two = (start(with_token(on_redis(backend, redis)), environment=environment) for _ in range(2))
    jwt = token(jti="everywhere")
    assert ask(two, "/filtered", jwt).status == 200
    revoke(one, {"token": jwt})
    time.sleep(STALENESS)
    assert is_revoked(ask(two, "/filtered", jwt))


# --- replicas --------------------------------------------------------------------------------------


def test_replicas_are_waited_for(start, backend, redis, scratch):
    (scratch / "replica").mkdir()
    replica = Redis(scratch / "replica", "--replicaof", "127.0.0.1", str(redis.port), "--masterauth", PASSWORD)
    try:
        gateway = start(with_token(on_redis(backend, redis)),
                        environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
        wait_until(lambda: post(gateway, {"jti": "warm", "wait_replicas": 1})[0] == 200, what="the replica follows")
        revoke(gateway, {"jti": "both", "expires_at": soon(), "wait_replicas": 1})
        assert replica.command("EXISTS", "blocklist:jti:both") == "1", "it was there when the answer came"
        status, answer, headers = post(gateway, {"jti": "three", "wait_replicas": 2})
        assert status == 503 and "too few of its replicas" in answer["detail"] and headers["Retry-After"]
        replica.signal(signal.SIGSTOP)

        def is_quick():  # on a busy machine in one try of some
            waiting = threading.Thread(target=post, args=(gateway, {"jti": "stuck", "wait_replicas": 1}))
            waiting.start()
            time.sleep(0.2)
            revoke(gateway, {"jti": "quick"})
            is_first = waiting.is_alive()
            waiting.join()
            return is_first
        assert any(is_quick() for _ in range(8)), "others are not held up by who waits for replicas"
        replica.signal(signal.SIGCONT)
    finally:
        replica.kill()


def test_the_local_store_has_no_replicas(local):
    status, answer, _ = post(local, {"jti": "a", "wait_replicas": 1})
    assert status == 400 and "no replicas" in answer["detail"]


# --- a store that is away --------------------------------------------------------------------------


def test_without_redis_nothing_is_promised(start, backend, redis):
    gateway = start(with_token(on_redis(backend, redis)), environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    redis.signal(signal.SIGSTOP)
    status, answer, headers = post(gateway, {"jti": "a"})
    assert status == 503 and answer["detail"] == "The store does not answer" and headers["Retry-After"] == "1"
    assert look(gateway, "b")[0] == 503
    redis.signal(signal.SIGCONT)
    redis.kill()
    assert post(gateway, {"jti": "a"})[0] == 503
    redis.start()
    wait_until(lambda: post(gateway, {"jti": "a"})[0] == 200, what="redis is back")
    assert gateway.metric("jwtgate_revocations_total", result="error") >= 2


def test_a_refusal_of_redis_is_none_of_success(start, backend, redis):
    gateway = start(with_token(on_redis(backend, redis)), environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    redis.command("LPUSH", "blocklist:jti:odd", "1")
    assert post(gateway, {"jti": "odd"})[0] == 503
    gateway.logged("redis refuses a revocation")


def test_a_full_store_is_told_and_what_is_there_holds(start, backend, redis):
    """Without a state folder what is kept here has 64 MiB."""
    gateway = start(with_token(on_redis(backend, redis)), environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    revoke(gateway, [{"jti": "early"}])
    status = 200
    for number in range(2000):
        status, answer, headers = post(gateway, [{"jti": f"{number:08}-{i:02}-" + "x" * 240} for i in range(100)])
        if status != 200:
            break
    assert (status, answer["detail"]) == (503, "The store is full"), answer
    assert headers["Retry-After"]
    for path in ("/filtered", "/strict"):
        assert is_revoked(ask(gateway, path, token(jti="early")))
        assert ask(gateway, path, token(jti="good")).status == 200
    assert gateway.metric("jwtgate_revocations_total", result="error") >= 100


def test_what_was_acknowledged_survives_kill_9(local):
    acknowledged, number = [], 0
    for _ in range(6):
        def kill(process=local.process, count=len(acknowledged)):
            wait_until(lambda: len(acknowledged) > count + 1, what="some that are acknowledged")
            time.sleep(random.uniform(0, 0.2))
            process.kill()
        killer = threading.Thread(target=kill)
        killer.start()
        while local.process.poll() is None:
            number += 1
            with contextlib.suppress(OSError, http.client.HTTPException):
                if post(local, {"jti": f"kill-{number}"})[0] == 200:
                    acknowledged.append(f"kill-{number}")
        killer.join()
        local.process.wait()
        local.process = None
        local.start()
    assert len(acknowledged) > 6
    for jti in acknowledged:
        assert is_revoked(ask(local, "/filtered", token(jti=jti))), jti
    assert ask(local, "/filtered", token()).status == 200


def test_a_client_that_goes_does_not_stop_it(kept):
    for i in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", kept.admin_port, timeout=PATIENCE)
        connection.request("POST", "/revocations", json.dumps({"jti": f"gone-{i}"}),
                           {"Authorization": f"Bearer {ADMIN_TOKEN}"})
        connection.close()
    wait_until(lambda: look(kept, "gone-19")[1].get("revoked"), what="it is revoked all the same")


# --- who may ---------------------------------------------------------------------------------------


def test_the_admin_token_is_needed(local):
    for token_ in (None, "wrong-token-of-the-tests", ADMIN_TOKEN + "x", ADMIN_TOKEN[:-1], ""):
        status, _, headers = post(local, {"jti": "a"}, token_)
        assert status == 401 and headers["WWW-Authenticate"].startswith('Bearer realm="jwtgate admin"')
    assert look(local, "a", None)[0] == 401
    assert post(local, {"jti": "a"}, None, Authorization=f"Basic {ADMIN_TOKEN}")[0] == 401
    assert look(local, "a") == (200, {"jti": "a", "revoked": False})
    local.logged("wrong_token peer=127.0.0.1")
    assert ADMIN_TOKEN not in local.log() and "wrong-token" not in local.log()


def test_reload_needs_the_token_too(local):
    assert post(local, "", None, "/reload")[0] == 401
    assert local.admin("/reload", {"Authorization": f"Bearer {ADMIN_TOKEN}"}, "POST")[0] == 200
    assert local.admin("/metrics")[0] == 200, "reading needs none"


def test_without_a_configured_token_nobody_may(start, backend, scratch):
    gateway = start(configuration(backend, {}, server={"state_dir": str(scratch)}))
    for token_ in (None, ADMIN_TOKEN):
        status, answer, _ = post(gateway, {"jti": "a"}, token_)
        assert status == 403 and "no admin.token" in answer["detail"]
    assert look(gateway, "a")[0] == 403
    assert gateway.admin("/reload", method="POST")[0] == 200, "from this machine"


@pytest.mark.parametrize("fields, status", [
    ({"Host": "evil.example"}, 403), ({"Host": "localhost"}, 200), ({"Sec_Fetch_Site": "cross-site"}, 403),
    ({"Sec_Fetch_Site": "same-site"}, 403), ({"Sec_Fetch_Site": "same-origin"}, 200), ({"Sec_Fetch_Site": "none"}, 200),
    ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403)])
def test_a_page_of_another_site_cannot(local, fields, status):
    assert post(local, {"jti": "a"}, **fields)[0] == status


def test_the_page_of_this_listener_can(local):
    assert post(local, {"jti": "a"}, Origin=f"http://127.0.0.1:{local.admin_port}")[0] == 200
    assert post(local, {"jti": "a"}, Origin=f"https://127.0.0.1:{local.admin_port}")[0] == 403


def test_it_is_not_on_a_public_listener(local, backend):
    assert local.ask(get("/revocations/a")).status == 404
    assert local.ask(get("/public/revocations")).status == 200


def test_other_methods_are_not_allowed(local):
    assert local.admin("/revocations")[0] == 405
    assert local.admin("/revocations/a", method="DELETE")[0] == 405


def test_without_revocation_there_is_none(start, backend):
    config = with_token(configuration(backend, {}))
    del config["revocation"], config["routes"]["strict"]
    gateway = start(config, environment={"TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    assert post(gateway, {"jti": "a"})[0] == 404


# --- what is understood ----------------------------------------------------------------------------


@pytest.mark.parametrize("body, detail", [
    ("", "not JSON"), ("nonsense", "not JSON"), ("[]", "no entries"), ("7", "not an object"), ("[[]]", "not an object"),
    ("{}", "none or several"), ({"jti": "a", "token": "b"}, "none or several"), ({"jti": 7}, "not a text"),
    ({"jti": ""}, "empty or too long"), ({"jti": "x" * 322}, "empty or too long"),
    ({"jti": "a", "expires_at": "soon"}, "not a time"), ({"jti": "a", "expires_at": -1}, "not a time"),
    ({"jti": "a", "expires_at": 1.5}, "not a time"), ({"token": "a.b.c"}, "not a token"), ({"token": 1}, "not a token"),
    ({"token": "e30.e30.e30", "expires_at": 5}, "does not go with"),
    ({"before": {"sub": "a"}}, "with \"time\""), ({"before": {"time": 5}}, "with \"time\""),
    ({"before": {"sub": 1, "time": 5}}, "none of sub"), ({"before": {"jti": "a", "time": 5}}, "none of sub"),
    ({"before": {"sub": "a", "time": 0}}, "empty or too long"), ({"before": {"sub": "", "time": 5}}, "empty or too long"),
    ({"before": {"sub": "a", "kid": "b", "time": 5}}, "with \"time\""), ({"jti": "a", "jit": 1}, "not known"),
    ({"jti": "a", "wait_replicas": -1}, "wait_replicas"), ({"jti": "a", "wait_replicas": 17}, "wait_replicas"),
    ('{"jti":"a","jti":"b"}', "not JSON"), ([{"jti": "fine"}, {"jti": 1}], "not a text")])
def test_what_is_not_understood_is_refused_as_a_whole(local, body, detail):
    status, answer, _ = post(local, body)
    assert status == 400 and detail in answer["detail"], answer
    assert look(local, "fine")[1]["revoked"] is False


def test_limits(local):
    many = [{"jti": f"many-{i}"} for i in range(256)]
    assert revoke(local, many)["revoked"] == 256
    status, answer, _ = post(local, many + [{"jti": "one more"}])
    assert status == 413 and "256" in answer["detail"]
    assert post(local, '{"jti":"a"}' + " " * 32768)[0] == 413
    assert local.admin("/revocations/" + "x" * 322, {"Authorization": f"Bearer {ADMIN_TOKEN}"})[0] == 400
    assert local.admin("/revocations/", {"Authorization": f"Bearer {ADMIN_TOKEN}"})[0] == 400


# --- over a reload ---------------------------------------------------------------------------------


def test_orders_go_on_over_reloads(kept):
    """Revoking without a pause while the configuration is loaded again: every 200 is enforced."""
    stop, said = threading.Event(), []

    def work(me):
        number = 0
        while not stop.is_set():
            number += 1
            if post(kept, {"jti": f"r{me}-{number}"})[0] == 200:
                said.append(f"r{me}-{number}")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    config = kept.config
    for size in (2000, 3000, 2000, 3000):
        config["revocation"]["filter"] = {"expected_items": size}
        kept.file.write_text(json.dumps(config))
        assert kept.admin("/reload", {"Authorization": f"Bearer {ADMIN_TOKEN}"}, "POST")[0] == 200
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(said) > 5
    for jti in said:
        assert is_revoked(ask(kept, "/filtered", token(jti=jti))), jti


# --- the token's configuration ---------------------------------------------------------------------


def test_the_token_may_be_in_a_file(start, backend, scratch):
    file = scratch / "admin-token"
    file.write_text(ADMIN_TOKEN + "\n")
    file.chmod(0o600)
    gateway = start(with_token(configuration(backend, {}, server={"state_dir": str(scratch)}), {"file": str(file)}))
    assert post(gateway, {"jti": "a"})[0] == 200


@pytest.mark.parametrize("source, mode, message", [
    ({"env": "NOT_SET_AT_ALL"}, 0o600, "NOT_SET_AT_ALL is not set"), ({"file": "t"}, 0o644, "others can read"),
    ({"file": "missing"}, 0o600, "No such file"), ({}, 0o600, "neither or both"),
    ({"env": "TEST_SECRET", "file": "t"}, 0o600, "neither or both"), ({"file": "short"}, 0o600, "16 to 512"),
    ({"file": "empty"}, 0o600, "is empty"), ({"file": "blank"}, 0o600, "16 to 512"), ({"file": "."}, 0o700, "not a regular file")])
def test_bad_tokens_are_explained(scratch, backend, source, mode, message):
    for name, text in (("t", ADMIN_TOKEN), ("short", "short"), ("empty", "\n"), ("blank", "a token with blanks")):
        (scratch / name).write_text(text)
        (scratch / name).chmod(mode)
    gateway = Gateway(scratch, with_token(configuration(backend, {}), source)).start(wait=False)
    assert gateway.process.wait(30) == 1
    assert message in gateway.log() and "admin.token" in gateway.log(), gateway.log()
    assert ADMIN_TOKEN not in gateway.log()


# --- numbers ---------------------------------------------------------------------------------------


def test_the_numbers_are_there(start, backend, redis):
    gateway = start(with_token(on_redis(backend, redis)), environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    for i in range(30):
        revoke(gateway, {"jti": f"counted-{i}"})
    for i in range(10):
        assert ask(gateway, "/strict", token()).status == 200
    metric = gateway.metric
    assert metric("jwtgate_redis_commands_total", **{"class": "revoke"}, result="ok") == 30
    assert metric("jwtgate_redis_commands_total", **{"class": "lookup"}, result="ok") == 10, "one for all names of a token"
    assert metric("jwtgate_redis_writes_total", **{"class": "lookup"}) == 10
    assert metric("jwtgate_redis_command_duration_seconds_count", **{"class": "lookup"}) == 10
    assert metric("jwtgate_redis_commands_total", **{"class": "follow"}, result="ok") > 3
    assert metric("jwtgate_revocation_delay_seconds_count", by="order") == 30
    wait_until(lambda: metric("jwtgate_revocation_delay_seconds_count", by="heartbeat") > 0, what="a heartbeat is back")
    wait_until(lambda: metric("jwtgate_revocation_entries") == 30, what="counted")
    assert 0 < metric("jwtgate_revocation_filter_fill_ratio") < 0.2
    redis.signal(signal.SIGSTOP)
    assert ask_now(gateway, "/strict", token()).status == 503
    redis.signal(signal.SIGCONT)
    assert metric("jwtgate_redis_commands_total", **{"class": "lookup"}, result="error") >= 1
    text = gateway.admin("/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the commands ----------------------------------------------------------------------------------


def test_revoke_goes_through_the_gateway(kept):
    """Enforced when the command ends, not only within max_staleness."""
    for i in range(5):
        jwt = token(jti=f"command-{i}")
        assert ask(kept, "/filtered", jwt).status == 200
        done = jwtgate(kept, "revoke", "--jti", f"command-{i}")
        assert done.returncode == 0 and done.stdout == f"revoked blocklist:jti:command-{i}\n", done.stderr
        assert is_revoked(ask(kept, "/filtered", jwt))
    now = int(time.time())
    assert jwtgate(kept, "revoke", "--subject", "user-9", "--before", now - 50, "--expires", now + 500).returncode == 0
    assert is_revoked(ask(kept, "/filtered", token(sub="user-9", iat=now - 100)))
    assert jwtgate(kept, "revoke", "--token", "-", stdin=token(jti="by-token")).returncode == 0
    assert look(kept, "by-token")[1]["revoked"] is True
    assert kept.metric("jwtgate_revocations_total", result="ok") == 7


def test_what_the_gateway_refuses_is_told(local):
    local.environment["TEST_ADMIN_TOKEN"] = "another-token-than-the-gateway-has"
    done = jwtgate(local, "revoke", "--jti", "refused")
    assert done.returncode == 3 and "refused (401): The admin token is needed" in done.stderr and not done.stdout
    assert look(local, "refused")[1]["revoked"] is False
    assert "another-token" not in done.stderr + local.log()


def test_without_a_gateway_the_store_is_written(local):
    local.stop()
    done = jwtgate(local, "revoke", "--jti", "offline")
    assert done.returncode == 0, done.stderr
    local.start()
    assert is_revoked(ask(local, "/filtered", token(jti="offline")))


def test_status_says_how_much_is_known(kept):
    revoke(kept, [{"jti": f"s-{i}"} for i in range(3)])
    wait_until(lambda: kept.metric("jwtgate_revocation_entries") == 3, what="counted")
    done = jwtgate(kept, "revocations", "status")
    assert done.returncode == 0, done.stderr
    words = dict(line.split() for line in done.stdout.splitlines())
    assert words["state"] == "live" and words["entries"] == "3"
    assert words.get("redis_up") in (None, "1")
    known = json.loads(jwtgate(kept, "revocations", "status", "--json").stdout)
    assert known["state"] == "live" and known["entries"] == 3 and set(known) == set(words)
    kept.stop()
    done = jwtgate(kept, "revocations", "status")
    assert done.returncode == 3 and "no answer from" in done.stderr and not done.stdout


def test_status_is_no_when_the_knowledge_is_old(start, backend, redis):
    gateway = start(on_redis(backend, redis), environment=ENVIRONMENT)
    redis.kill()
    wait_until(lambda: jwtgate(gateway, "revocations", "status").returncode == 1, what="stale")
    assert "stale" in jwtgate(gateway, "revocations", "status").stdout
    done = jwtgate(gateway, "revocations", "status", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["state"] == "stale"


def test_export_has_every_entry(kept):
    end = soon()
    many = [{"jti": f"e-{i}", "expires_at": end} for i in range(250)]
    revoke(kept, many)
    revoke(kept, [{"jti": "for-ever \"quoted\""}, {"before": {"iss": ISSUER, "time": 1_700_000_000}}])
    done = jwtgate(kept, "revocations", "export")
    assert done.returncode == 0, done.stderr
    rows = {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert len(rows) == 252
    assert end + 600 <= rows["blocklist:jti:e-7"]["expires_at"] <= end + 602
    assert "expires_at" not in rows['blocklist:jti:for-ever "quoted"']
    assert rows[f"blocklist:before:iss:{ISSUER}"]["value"] == 1_700_000_000
    done = jwtgate(kept, "revocations", "export", "--json")
    assert done.returncode == 0, done.stderr
    # An entry lives in whole seconds of the store's clock.
    ends = {row["key"]: row.get("expires_at", 0) for row in json.loads(done.stdout)}
    assert set(ends) == set(rows) and all(abs(ends[key] - rows[key].get("expires_at", 0)) <= 2 for key in ends)


def test_export_of_nothing(kept):
    assert jwtgate(kept, "revocations", "export").stdout == ""
    assert json.loads(jwtgate(kept, "revocations", "export", "--json").stdout) == []


@contextlib.contextmanager
def cut_after(port, count):
    """The port of a way to `port` that ends when so many bytes have come back on it."""
    def forward(client):
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            left = count
            while left > 0:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    left -= len(data) if ready is server else 0
                    (client if ready is server else server).sendall(data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=forward, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_an_export_that_is_not_whole_is_no_json(start, backend, redis, scratch):
    gateway = start(with_token(on_redis(backend, redis)), environment={**ENVIRONMENT, "TEST_ADMIN_TOKEN": ADMIN_TOKEN})
    for page in range(10):
        revoke(gateway, [{"jti": f"{page}-{i}"} for i in range(250)])
    config = json.loads(gateway.file.read_text())
    with cut_after(redis.port, 50_000) as port:
        config["revocation"]["redis"]["url"] = f"redis://127.0.0.1:{port}"
        file = scratch / "cut.jsonc"
        file.write_text(json.dumps(config))
        done = subprocess.run([BINARY, "revocations", "export", "--json", "-c", file], capture_output=True, text=True,
                              timeout=30, check=False, env=gateway.environment)
    assert done.returncode == 3 and "not all of it" in done.stderr
    assert done.stdout.startswith("[\n{") and not done.stdout.rstrip().endswith("]")


def test_check_as_json(kept):
    revoke(kept, [{"jti": "one \"quoted\""}])
    done = jwtgate(kept, "revocations", "check", "--json", "--jti", "one \"quoted\"")
    assert done.returncode == 0 and json.loads(done.stdout) == {"jti": "one \"quoted\"", "revoked": True}
    done = jwtgate(kept, "revocations", "check", "--json", "--jti", "two")
    assert done.returncode == 1 and json.loads(done.stdout) == {"jti": "two", "revoked": False}


@pytest.mark.parametrize("arguments", [[], ["look"], ["check"], ["status", "--jti", "a"], ["export", "more"]])
def test_wrong_ways_to_ask(local, arguments):
    done = jwtgate(local, "revocations", *arguments)
    assert done.returncode == 2 and "jwtgate help revocations" in done.stderr


def test_questions_of_one_turn_leave_in_one_write(start, backend, redis):
    gateway = start(on_redis(backend, redis) | {"server": {"workers": 1}}, environment=ENVIRONMENT)

    def numbers():
        return [gateway.metric(name, **{"class": "lookup"}) for name in ("jwtgate_redis_commands_total",
                                                                         "jwtgate_redis_writes_total")]
    jwt = token()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.client()) for _ in range(32)]
        for client in clients:
            assert client.ask(get("/strict", bearer(jwt))).status == 200  # connected, the token is in the cache
        before = numbers()
        gateway.signal(signal.SIGSTOP)
        for client in clients:
            client.send(get("/strict", bearer(jwt)))
        gateway.signal(signal.SIGCONT)
        for client in clients:
            assert client.read().status == 200
    after = numbers()
    assert after[0] - before[0] == 32
    assert after[1] - before[1] <= 4, "one for all that a turn of the loop finds"
