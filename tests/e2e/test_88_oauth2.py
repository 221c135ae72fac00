# SPDX-License-Identifier: Apache-2.0
"""Revocation (RFC 7009) and introspection (RFC 7662) of tokens that the gateway issued."""
import json
import pathlib
import subprocess
import time

import pytest

from oauth_support import Issuer, payload, post, reload_and_wait, token_request
from redis_support import PASSWORD, Redis
from support import bearer, free_port, get, hs256, wait_until

FOLDER = pathlib.Path(__file__).resolve().parent
STALENESS = 0.6
ENVIRONMENT = {"TEST_REDIS_PASSWORD": PASSWORD}
CHOSEN = "correct horse+battery:staple%41"
pytestmark = pytest.mark.threads


@pytest.fixture
def issuer(scratch):
    issuer = Issuer(scratch)
    issuer.add("billing", "--scope", "orders:read", "--scope", "orders:write", "--audience", "orders", "--audience", "mail",
               "--claim", "tenant=acme")
    issuer.add("reports", "--audience", "reports")
    issuer.add("orders-api", "--audience", "orders")
    return issuer


@pytest.fixture
def redis(scratch):
    server = Redis(scratch)
    yield server
    server.kill()


def local(scratch):
    folder = scratch / "state"
    folder.mkdir(exist_ok=True)
    return {"revocation": {}, "server": {"state_dir": str(folder)}}


def shared(redis):
    return {"revocation": {"redis": {"url": f"redis://127.0.0.1:{redis.port}", "timeouts": {"connect": "3s", "command": "1s"},
                                     "password": {"env": "TEST_REDIS_PASSWORD"}},
                           "max_staleness": f"{int(STALENESS * 1000)}ms", "filter": {"expected_items": 1000}},
            "server": {"startup_timeout": "300ms"}}


def issue(gateway, issuer, client_id="billing", **fields):
    answer = gateway.ask(token_request(issuer.basic(client_id), **fields))
    assert answer.status == 200, answer.body
    return answer.json()["access_token"]


def introspect(gateway, issuer, token):
    return gateway.ask(post("/oauth2/introspect", {"token": token}, issuer.basic("billing")))


def revoke_now(gateway, issuer, token):
    return gateway.ask(post("/oauth2/revoke", {"token": token}, issuer.basic("billing")))


def revoke(gateway, issuer, token, client_id="billing", **fields):
    return gateway.ask_known(post("/oauth2/revoke", dict({"token": token}, **fields), issuer.basic(client_id)))


def passes(gateway, token):
    return gateway.ask_known(get("/orders", bearer(token))).status


def is_active(gateway, issuer, token, client_id="billing"):
    answer = gateway.ask_known(post("/oauth2/introspect", {"token": token}, issuer.basic(client_id)))
    assert answer.status == 200
    if not answer.json()["active"]:
        assert answer.body == b'{"active":false}'
    return answer.json()["active"]


# --- a client of others ------------------------------------------------------------------------


def run_client(issuer, algorithm, method, client_id, *steps):
    done = subprocess.run(["node", str(FOLDER / "oauth_client.mjs"), issuer.url, algorithm, method, client_id],
                          input=json.dumps({"secret": issuer.secrets[client_id], "steps": steps}), capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("algorithm", ["oauth2", "oidc"])
@pytest.mark.parametrize("method", ["basic", "post"])
def test_openid_client_works_by_metadata_alone(start, backend, scratch, issuer, algorithm, method):
    issuer.add("people", "--audience", "orders", chosen=CHOSEN)
    gateway = start(issuer.configuration(backend, **local(scratch)))
    for client_id in ("billing", "people"):
        issued, active, revoked, inactive = run_client(
            issuer, algorithm, method, client_id, ["token", {"audience": "orders"}], ["introspect"], ["revoke"], ["introspect"])
        assert issued["token_type"] == "bearer" and issued["expires_in"] == 300
        assert active["active"] is True and active["client_id"] == client_id and active["aud"] == "orders"
        assert revoked == "revoked" and inactive == {"active": False}
        assert passes(gateway, issued["access_token"]) == 401
    assert run_client(issuer, algorithm, method, "reports", ["token", {"scope": "orders:read"}], ["introspect", "x"],
                      ["revoke", "x"]) == [{"failed": "invalid_scope", "status": 400}, {"active": False}, "revoked"]


def test_metadata_says_what_there_is(start, backend, scratch, issuer):
    gateway = start(issuer.configuration(backend))
    metadata = gateway.ask(get("/.well-known/oauth-authorization-server")).json()
    assert metadata["introspection_endpoint"] == f"{issuer.url}/oauth2/introspect"
    assert metadata["introspection_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
    assert "revocation_endpoint" not in metadata, "there is no store"
    assert revoke(gateway, issuer, "x").status == 404
    assert is_active(gateway, issuer, issue(gateway, issuer))
    gateway.stop()
    gateway = start(issuer.configuration(backend, token_issuer={"paths": {"revoke": "/r", "introspect": "/i"}}, **local(scratch)))
    metadata = gateway.ask(get("/.well-known/openid-configuration")).json()
    assert metadata["revocation_endpoint"] == f"{issuer.url}/r" and metadata["introspection_endpoint"] == f"{issuer.url}/i"
    assert metadata["revocation_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
    token = issue(gateway, issuer)
    assert gateway.ask(post("/r", {"token": token}, issuer.basic("billing"))).status == 200
    assert gateway.ask(post("/i", {"token": token}, issuer.basic("billing"))).json() == {"active": False}
    assert introspect(gateway, issuer, token).status == 404


# --- revocation ----------------------------------------------------------------------------------


def test_a_revoked_token_is_refused_at_once_and_after_a_restart(start, backend, scratch, issuer):
    gateway = start(issuer.configuration(backend, **local(scratch)))
    token, other = issue(gateway, issuer, audience="orders"), issue(gateway, issuer, audience="orders")
    assert passes(gateway, token) == 200
    answer = revoke(gateway, issuer, token, token_type_hint="refresh_token")
    assert answer.status == 200 and answer.get("cache-control") == "no-store"
    assert passes(gateway, token) == 401 and passes(gateway, other) == 200
    assert revoke(gateway, issuer, token).status == 200
    gateway.process.kill()
    gateway.process.wait()
    gateway.process = None
    gateway = start(issuer.configuration(backend, **local(scratch)))
    assert passes(gateway, token) == 401 and passes(gateway, other) == 200


def test_a_second_gateway_hears_of_it(start, backend, redis, issuer):
    first = start(issuer.configuration(backend, **shared(redis)), environment=ENVIRONMENT)
    second = start(issuer.configuration(backend, port=free_port(), **shared(redis)), environment=ENVIRONMENT)
    token, other = issue(first, issuer, audience="orders"), issue(second, issuer, audience="orders")
    assert passes(first, token) == passes(second, token) == 200
    assert revoke(first, issuer, token).status == 200
    assert passes(first, token) == 401
    assert is_active(second, issuer, token) is False, "the store is asked, not the filter"
    time.sleep(STALENESS)
    assert passes(second, token) == 401
    assert passes(first, other) == passes(second, other) == 200
    assert redis.command("EXISTS", f"blocklist:jti:{payload(token)['jti']}") == "1"
    assert 300 < int(redis.command("TTL", f"blocklist:jti:{payload(token)['jti']}")) <= 300 + 601


def test_a_namespace_of_the_provider_is_that_of_the_endpoints(start, backend, redis, issuer):
    configuration = issuer.configuration(backend, **shared(redis))
    configuration["providers"]["own"]["revocation_namespace"] = "ours"
    gateway = start(configuration, environment=ENVIRONMENT)
    token, other = issue(gateway, issuer, audience="orders"), issue(gateway, issuer, audience="orders")
    assert revoke(gateway, issuer, token).status == 200
    assert passes(gateway, token) == 401 and passes(gateway, other) == 200
    assert is_active(gateway, issuer, token) is False and is_active(gateway, issuer, other)
    assert redis.command("EXISTS", f"blocklist:jti:ours:{payload(token)['jti']}") == "1"


def test_what_is_not_a_token_of_ours_is_answered_200_and_not_kept(start, backend, redis, issuer, scratch):
    gateway = start(issuer.configuration(backend, **shared(redis)), environment=ENVIRONMENT)
    good = issue(gateway, issuer)
    head, body, signature = good.split(".")
    (scratch / "other").mkdir()
    other = Issuer(scratch / "other")
    forged = head + "." + body + "." + ("A" if signature[0] != "A" else "B") + signature[1:]
    for token in ("x", "a.b.c", good + "x", forged, head + "." + body + ".", hs256({"iss": issuer.url, "jti": "1"}),
                  "%00", "A" * 16000):
        assert revoke(gateway, issuer, token).status == 200, token
        assert is_active(gateway, issuer, token) is False
    assert other.kid != issuer.kid
    assert redis.command("KEYS", "blocklist:jti:*") == []
    assert is_active(gateway, issuer, good)


def test_an_expired_token_is_nothing_to_keep(start, backend, redis, issuer):
    gateway = start(issuer.configuration(backend, token_issuer={"access_token": {"ttl": "3s"}}, **shared(redis)),
                    environment=ENVIRONMENT)
    token = issue(gateway, issuer)
    assert is_active(gateway, issuer, token)
    wait_until(lambda: is_active(gateway, issuer, token) is False, what="its end")
    assert passes(gateway, token) == 200, "within clock_skew it passes here"
    assert revoke(gateway, issuer, token).status == 200
    assert passes(gateway, token) == 401, "so it can still be revoked"


def test_a_client_revokes_its_own_tokens_only(start, backend, redis, issuer):
    gateway = start(issuer.configuration(backend, **shared(redis)), environment=ENVIRONMENT)
    token = issue(gateway, issuer, audience="orders")
    answer = revoke(gateway, issuer, token, "orders-api")
    assert (answer.status, answer.json()["error"]) == (400, "unauthorized_client")
    assert redis.command("KEYS", "blocklist:jti:*") == []
    assert passes(gateway, token) == 200
    assert gateway.access_line(path="/oauth2/revoke", status=400)["reason"] == "token_of_another_client"


# --- introspection -------------------------------------------------------------------------------


def test_introspection_says_what_the_token_says(start, backend, scratch, issuer):
    gateway = start(issuer.configuration(backend, **local(scratch)))
    token = issue(gateway, issuer, scope="orders:read")
    answer = introspect(gateway, issuer, token)
    assert answer.get("content-type") == "application/json" and answer.get("cache-control") == "no-store"
    assert answer.json() == dict(payload(token), active=True, token_type="Bearer")
    assert answer.json()["scope"] == "orders:read" and answer.json()["tenant"] == "acme"


def test_who_may_ask_about_what(start, backend, scratch, issuer):
    gateway = start(issuer.configuration(backend, **local(scratch)))
    both, mail = issue(gateway, issuer), issue(gateway, issuer, audience="mail")
    assert payload(both)["aud"] == ["orders", "mail"] and payload(mail)["aud"] == "mail"
    assert is_active(gateway, issuer, both) and is_active(gateway, issuer, mail), "its own"
    assert is_active(gateway, issuer, both, "orders-api"), "for its audience"
    assert is_active(gateway, issuer, mail, "orders-api") is False
    assert is_active(gateway, issuer, both, "reports") is False
    assert gateway.access_line(path="/oauth2/introspect", client_id="reports")["reason"] == "token_of_another_client"


def test_all_kinds_of_revocation_count(start, backend, redis, issuer):
    gateway = start(issuer.configuration(backend, **shared(redis)), environment=ENVIRONMENT)
    later = str(int(time.time()) + 100)
    for kind, value in (("sub", "billing"), ("client", "billing"), ("kid", issuer.kid), ("iss", issuer.url)):
        token = issue(gateway, issuer)
        assert is_active(gateway, issuer, token)
        redis.command("SET", f"blocklist:before:{kind}:{value}", later)
        assert is_active(gateway, issuer, token) is False, kind
        redis.command("DEL", f"blocklist:before:{kind}:{value}")


# --- what can go wrong ---------------------------------------------------------------------------


def test_without_the_store_nothing_is_active_and_nothing_is_revoked(start, backend, redis, issuer):
    gateway = start(issuer.configuration(backend, **shared(redis)), environment=ENVIRONMENT)
    token = issue(gateway, issuer)
    redis.kill()
    for answer in (introspect(gateway, issuer, token), revoke_now(gateway, issuer, token)):
        assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.get("retry-after")) >= 1
    assert introspect(gateway, issuer, "x").json() == {"active": False}, "that needs no store"
    assert revoke(gateway, issuer, "x").status == 200
    redis.start()
    assert revoke(gateway, issuer, token).status == 200, "the store is back"
    wait_until(lambda: introspect(gateway, issuer, token).json() == {"active": False}, what="this connection is back, too")


def test_on_unavailable_allow_is_not_for_introspection(start, backend, redis, issuer):
    configuration = issuer.configuration(backend, **shared(redis))
    configuration["revocation"]["on_unavailable"] = "allow"
    gateway = start(configuration, environment=ENVIRONMENT)
    token = issue(gateway, issuer, audience="orders")
    redis.kill()
    assert introspect(gateway, issuer, token).status == 503
    assert passes(gateway, token) == 200


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"])
def test_requests_that_are_refused(start, backend, scratch, issuer, path):
    gateway = start(issuer.configuration(backend, **local(scratch)))
    basic = issuer.basic("billing")
    secret = issuer.secrets["billing"]
    token = issue(gateway, issuer)
    for status, error, request in [
            (401, "invalid_client", post(path, {"token": token})),
            (401, "invalid_client", post(path, {"token": token}, issuer.basic("billing", "wrong"))),
            (401, "invalid_client", post(path, {"token": token}, issuer.basic("nobody", secret))),
            (401, "invalid_client", post(path, {"token": token}, f"Authorization: Bearer {token}")),
            (401, "invalid_client", post(path, {"token": token}, "Authorization: Basic ====")),
            (401, "invalid_client", post(path, {"token": token, "client_id": "billing"})),
            (400, "invalid_request", post(path, {"token": token, "client_id": "billing", "client_secret": secret}, basic)),
            (400, "invalid_request", post(path, {"token": token}, basic, basic)),
            (400, "invalid_request", post(path, {}, basic)),
            (400, "invalid_request", post(path, {"token": ""}, basic)),
            (400, "invalid_request", post(path, f"token={token}&token={token}".encode(), basic)),
            (400, "invalid_request", post(path, b"token=%g0", basic)),
            (400, "invalid_request", post(path, b"token=\xff", basic)),
            (400, "invalid_request", post(path, b"&".join(b"f%d=1" % i for i in range(40)), basic)),
            (400, "invalid_request", post(path + "?token=" + token, {"token": token}, basic)),
            (400, "invalid_request", post(path, {"token": token}, basic, content_type="application/json")),
            (400, "invalid_request", post(path, {"token": token}, basic, content_type=None))]:
        answer = gateway.ask(request)
        assert (answer.status, answer.json().get("error")) == (status, error), request
        assert answer.get("cache-control") == "no-store"
        assert (answer.get("www-authenticate") is not None) == (status == 401)
    assert gateway.ask(post(path, b"token=" + b"A" * 32000, basic)).status == 413
    answer = gateway.ask(get(path, basic))
    assert answer.status == 405 and answer.get("allow") == "POST"
    assert is_active(gateway, issuer, token)


def test_no_secret_and_no_token_in_any_log(start, backend, scratch, issuer):
    issuer.add("people", "--audience", "orders", chosen=CHOSEN)
    gateway = start(issuer.configuration(backend, **local(scratch)))
    token = issue(gateway, issuer)
    issue(gateway, issuer, "people")
    introspect(gateway, issuer, token)
    gateway.ask(post("/oauth2/introspect", {"token": token}, issuer.basic(issuer.secrets["billing"], "billing")))
    gateway.ask(post("/oauth2/introspect", {"token": token, "client_id": issuer.secrets["billing"], "client_secret": "x"}))
    revoke(gateway, issuer, token)
    wait_until(lambda: len(gateway.access()) >= 6, what="the access log")
    logs = gateway.log() + gateway.access_file.read_text()
    for secret in (issuer.secrets["billing"], CHOSEN, token, token.split(".")[2], "c3RhcGxl"):
        assert secret not in logs
    line = gateway.access_line(path="/oauth2/revoke")
    assert (line["client_id"], line["jti"]) == ("billing", payload(token)["jti"])


# --- clients that leave, reloads -----------------------------------------------------------------


def test_clients_that_leave_at_each_state(start, backend, redis, issuer):
    issuer.add("people", "--audience", "orders", chosen=CHOSEN)
    gateway = start(issuer.configuration(backend, token_issuer={"client_failures": {"per_address": 1000, "per_client": 1000}},
                                         **shared(redis)), environment=ENVIRONMENT)
    token = issue(gateway, issuer, audience="orders")
    for client_id in ("billing", "people"):
        for path in ("/oauth2/introspect", "/oauth2/revoke"):
            request = post(path, {"token": token}, issuer.basic(client_id))
            for size in (1, len(request) // 2, len(request) - 1, len(request), len(request)):
                with gateway.client() as client:
                    client.send(request[:size])
    wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 0, what="all have ended")
    assert passes(gateway, issue(gateway, issuer, audience="orders")) == 200
    assert issue(gateway, issuer, "people")


def test_a_reload_takes_the_clients_file_alone(start, backend, scratch, issuer):
    gateway = start(issuer.configuration(backend, **local(scratch)))
    token = issue(gateway, issuer)
    issuer.add("late", "--audience", "orders")
    assert gateway.ask(token_request(issuer.basic("late"))).status == 401
    reload_and_wait(gateway)
    assert issue(gateway, issuer, "late")
    issuer.clients.write_text(issuer.clients.read_text().replace('"billing"', '"gone"'))
    reload_and_wait(gateway)
    assert gateway.ask(token_request(issuer.basic("billing"))).status == 401
    assert is_active(gateway, issuer, token, "orders-api"), "its tokens pass until they are revoked"
    issuer.clients.write_text("{")
    before = gateway.log().count("reload failed")
    gateway.signal(1)
    wait_until(lambda: gateway.log().count("reload failed") > before, what="the reload's end")
    assert issue(gateway, issuer, "late"), "the old file still counts"
