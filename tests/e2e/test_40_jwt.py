# SPDX-License-Identifier: Apache-2.0
"""Who may pass: each reason with its exact answer."""
import hashlib
import json
import os
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from support import AUDIENCE, ISSUER, SECRET, RsaKey, b64, bearer, claims, config_for, get, hs256, wait_until

pytestmark = pytest.mark.threads
OTHER_SECRET = "another-secret-of-the-tests-with-48-bytes-012345"
RSA, RSA_NEXT, RSA_STRANGER = RsaKey("k1"), RsaKey("k2"), RsaKey("k1")


def route(path, auth, **more):
    return {"match": {"path_prefix": path}, "upstream": "backend", "auth": auth, **more}


def CONFIG(backend, folder):
    (folder / "k1.pem").write_bytes(RSA.public_pem())
    (folder / "set.json").write_text(json.dumps({"keys": [
        RSA_NEXT.jwk(), {"kty": "unheard-of", "kid": "odd"}, {"kty": "oct", "kid": "oct", "k": b64(SECRET)}]}))
    os.environ["TEST_SECRET_2"] = OTHER_SECRET
    internal = {"issuer": ISSUER, "audiences": [AUDIENCE, "second"], "algorithms": ["HS256"], "clock_skew": "5s",
                "keys": [{"kid": "new", "secret": {"env": "TEST_SECRET"}},
                         {"kid": "old", "secret": {"env": "TEST_SECRET_2"}}]}
    corporate = {"issuer": "https://login.test/", "audiences": ["api"], "algorithms": ["RS256"], "clock_skew": "5s",
                 "keys": [{"kid": "k1", "public_key_file": "k1.pem"}, {"jwks_file": "set.json"}]}
    return config_for(
        backend, providers={
            "internal": internal, "corporate": corporate,
            "short": {**internal, "max_lifetime": "1h"},
            "typed": {**internal, "token_types": ["at+jwt"]},
            "bound": {**internal, "accept_bound_tokens": True},
            "open": {**internal, "audiences": "any"}},
        routes={
            "public": route("/public", "none"),
            "hs": route("/hs", {"provider": "internal"},
                        claims_to_headers={"sub": "X-User-Id", "/org/id": "X-Org", "level": "X-Level"}),
            "rs": route("/rs", {"provider": "corporate"}, claims_to_headers={"sub": "X-User-Id"}),
            "short": route("/short", {"provider": "short"}),
            "typed": route("/typed", {"provider": "typed"}),
            "bound": route("/bound", {"provider": "bound"}),
            "open": route("/open", {"provider": "open"}),
            "any": route("/any", {"any_of": [{"provider": "internal"}, {"provider": "corporate"}]},
                         claims_to_headers={"sub": "X-User-Id"}),
            "optional": route("/optional", {"optional": {"provider": "internal"}},
                              claims_to_headers={"sub": "X-User-Id"}),
            "scopes": route("/scopes", {"provider": "internal", "scopes": ["read", "write"]}),
            "scope-any": route("/scope-any", {"provider": "internal", "scopes": {"any": ["read", "admin"]}}),
            "claims": route("/claims", {"provider": "internal", "claims": {
                "tenant": ["acme", "globex"], "/realm_access/roles": {"contains": "ops"}}}),
            "forward": route("/forward", {"provider": "internal"}, forward_token=True)})


def rs(payload=None, key=RSA, **head):
    base = claims(iss="https://login.test/", aud="api", sub="corporate-1")
    return key.token({**base, **(payload or {})}, **head)


def check(gateway, backend, path, token, status, reason, error=None, detail=None, *fields):
    fields = list(fields) + ([bearer(token)] if token is not None else [])
    response = gateway.ask(get(path, *fields))
    assert response.status == status, response
    problem = response.json()
    assert response.get("Content-Type") == "application/problem+json"
    assert problem["status"] == status and problem["type"] == "about:blank"
    assert problem["title"] == {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}[status]
    assert problem["request_id"] == response.get("X-Request-Id")
    assert "reason" not in problem
    challenge = response.get("WWW-Authenticate")
    assert challenge.startswith('Bearer realm="jwtgate"'), challenge
    if error is None:
        assert challenge == 'Bearer realm="jwtgate"'
    else:
        assert f'error="{error}"' in challenge
    if detail:
        assert challenge == f'Bearer realm="jwtgate", error="{error}", error_description="{detail}"'
        assert problem["detail"] == detail
    line = gateway.access_line(request_id=problem["request_id"])
    assert (line["outcome"], line["reason"]) == ("denied", reason), line
    assert not backend.requests
    return response


INVALID = "The access token is invalid"


# --- good tokens -------------------------------------------------------------------------------

GOOD = {
    "HS256": lambda: ("/hs", hs256(kid="new")),
    "HS256 by another kid": lambda: ("/hs", hs256(secret=OTHER_SECRET, kid="old")),
    "HS256 without kid": lambda: ("/hs", hs256()),
    "HS256 without kid, second key": lambda: ("/hs", hs256(secret=OTHER_SECRET)),
    "without typ": lambda: ("/hs", hs256(typ=None)),
    "typ at+jwt": lambda: ("/hs", hs256(typ="at+jwt")),
    "typ application/at+jwt": lambda: ("/hs", hs256(typ="application/at+jwt")),
    "audience in a list": lambda: ("/hs", hs256(claims(aud=["x", AUDIENCE]))),
    "second audience": lambda: ("/hs", hs256(claims(aud="second"))),
    "exp with a fraction": lambda: ("/hs", hs256(claims(exp=time.time() + 100.5))),
    "exp within the skew": lambda: ("/hs", hs256(claims(exp=int(time.time())))),
    "nbf within the skew": lambda: ("/hs", hs256(claims(nbf=int(time.time()) + 3))),
    "without nbf and iat": lambda: ("/hs", hs256(claims(nbf=None, iat=None))),
    "RS256": lambda: ("/rs", rs()),
    "RS256 without kid": lambda: ("/rs", rs(kid=None)),
    "RS256 from a JWK set": lambda: ("/rs", rs(key=RSA_NEXT)),
    "any_of, first": lambda: ("/any", hs256()),
    "any_of, second": lambda: ("/any", rs()),
    "optional": lambda: ("/optional", hs256()),
    "short life": lambda: ("/short", hs256(claims(exp=int(time.time()) + 3000))),
    "typed": lambda: ("/typed", hs256(typ="at+jwt")),
    "bound": lambda: ("/bound", hs256(claims(cnf={"jkt": "x"}))),
    "any audience": lambda: ("/open", hs256(claims(aud="whatever"))),
    "no audience where any will do": lambda: ("/open", hs256(claims(aud=None))),
    "scopes as text": lambda: ("/scopes", hs256(claims(scope="a write read"))),
    "scopes as a list": lambda: ("/scopes", hs256(claims(scp=["read", "write"]))),
    "one of the scopes": lambda: ("/scope-any", hs256(claims(scope="admin"))),
    "claims": lambda: ("/claims", hs256(claims(tenant="globex", realm_access={"roles": ["dev", "ops"]}))),
    "header members nobody knows": lambda: ("/hs", hs256(foo={"a": [1]})),
    "jwk, jku, x5u in the header are ignored": lambda: ("/hs", hs256(jwk=RSA.jwk(), jku="http://evil/", x5u="http://evil/")),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_passes_now_and_from_the_cache(gateway, backend, name):
    path, token = GOOD[name]()
    with gateway.client() as client:
        for _ in range(3):
            response = client.ask(get(path, bearer(token)))
            assert response.status == 200, response
    assert len(backend.requests) == 3


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_has_no_case(gateway, backend, scheme):
    assert gateway.ask(get("/hs", f"Authorization: {scheme} {hs256()}")).status == 200


# --- refused tokens ----------------------------------------------------------------------------


def changed(token, part, change):
    parts = token.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def flip(text):
    return text[:10] + ("A" if text[10] != "A" else "B") + text[11:]


def now(delta):
    return int(time.time()) + delta


def spare_bits(text):
    """The same bytes with a set spare bit (32 bytes leave two)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) | 1]


BAD = {
    # reason: {name: (path, token)}
    "token_malformed": {
        "not a token": lambda: ("/hs", "abc"), "two parts": lambda: ("/hs", hs256().rsplit(".", 1)[0]),
        "four parts": lambda: ("/hs", hs256() + ".x"), "five parts": lambda: ("/hs", "a.b.c.d.e"),
        "dots": lambda: ("/hs", "." * 3000), "padding": lambda: ("/hs", hs256() + "="),
        "spare bits": lambda: ("/hs", changed(hs256(), 2, spare_bits)),
        "standard base64": lambda: ("/hs", changed(hs256(), 2, lambda s: "+/" + s[2:])),
        "header no JSON": lambda: ("/hs", hs256(header="nonsense")),
        "header an array": lambda: ("/hs", hs256(header="[]")),
        "header with a duplicate": lambda: ("/hs", hs256(header='{"alg":"HS256","alg":"HS256"}')),
        "header with an escaped duplicate": lambda: ("/hs", hs256(header='{"alg":"HS256","\\u0061lg":"none"}')),
        "header with trailing data": lambda: ("/hs", hs256(header='{"alg":"HS256"}x')),
        "header with a comment": lambda: ("/hs", hs256(header='{"alg":"HS256"/**/}')),
        "claims no JSON": lambda: ("/hs", hs256("nonsense")),
        "claims with a duplicate": lambda: ("/hs", hs256(json.dumps(claims())[:-1] + ', "exp": 9999999999}')),
        "claims with an escaped duplicate": lambda: ("/hs", hs256(json.dumps(claims())[:-1] + ', "\\u0065xp": 9999999999}')),
        "claims with NUL": lambda: ("/hs", hs256(json.dumps(claims(x="a"))[:-1] + ', "y": "\\u0000"}')),
        "claims with bad UTF-8": lambda: ("/hs", hs256(json.dumps(claims())[:-1].encode() + b', "y": "\xc0\xaf"}')),
        "claims with a BOM": lambda: ("/hs", hs256(b"\xef\xbb\xbf" + json.dumps(claims()).encode())),
        "claims too deep": lambda: ("/hs", hs256(json.dumps(claims())[:-1] + ', "y": ' + "[" * 100 + "]" * 100 + "}")),
        "exp a string": lambda: ("/hs", hs256(claims(exp=str(now(100))))),
        "exp an array": lambda: ("/hs", hs256(claims(exp=[now(100)]))),
        "exp huge": lambda: ("/hs", hs256(json.dumps(claims())[:-1].replace('"exp"', '"old"') + ', "exp": 1e400}')),
        "exp 2^63": lambda: ("/hs", hs256(claims(exp=2**63))),
        "nbf a string": lambda: ("/hs", hs256(claims(nbf="0"))),
    },
    "token_too_large": {"9 KiB": lambda: ("/hs", hs256(claims(pad="x" * 9000)))},
    "alg_not_allowed": {
        "none": lambda: ("/hs", hs256(alg="none").rsplit(".", 1)[0] + "."),
        "None": lambda: ("/hs", hs256(alg="None")), "HS384": lambda: ("/hs", hs256(alg="HS384", digest=hashlib.sha384)),
        "hs256": lambda: ("/hs", hs256(alg="hs256")), "RS256 at HS": lambda: ("/hs", rs()),
        "HS256 with the public key": lambda: ("/rs", hs256(claims(iss="https://login.test/", aud="api"), RSA.public_pem(), kid="k1")),
        "RS512": lambda: ("/rs", RSA.token(claims(), hashes.SHA512(), alg="RS512")),
        "PS256": lambda: ("/rs", RSA.token(claims(), pad=padding.PSS(padding.MGF1(hashes.SHA256()), 32), alg="PS256")),
    },
    "token_type_rejected": {
        "JWT where at+jwt": lambda: ("/typed", hs256()), "no typ where at+jwt": lambda: ("/typed", hs256(typ=None)),
        "logout+jwt": lambda: ("/hs", hs256(typ="logout+jwt"))},
    "crit_unsupported": {
        "unknown": lambda: ("/hs", hs256(crit=["x"], x=1)), "b64": lambda: ("/hs", hs256(crit=["b64"], b64=True)),
        "empty": lambda: ("/hs", hs256(crit=[]))},
    "kid_unknown": {
        "HS": lambda: ("/hs", hs256(kid="nobody")), "path": lambda: ("/hs", hs256(kid="../../dev/null")),
        "RS": lambda: ("/rs", rs(kid="k9")), "an oct key of a set": lambda: ("/rs", rs(kid="oct"))},
    "signature_invalid": {
        "flipped": lambda: ("/hs", changed(hs256(), 2, flip)), "other secret": lambda: ("/hs", hs256(secret=OTHER_SECRET, kid="new")),
        "no signature": lambda: ("/hs", hs256().rsplit(".", 1)[0] + "."),
        "truncated": lambda: ("/hs", changed(hs256(), 2, lambda s: b64(b"x" * 16))),
        "claims changed": lambda: ("/hs", changed(hs256(), 1, lambda s: b64(claims(sub="root")))),
        "RS flipped": lambda: ("/rs", changed(rs(), 2, flip)), "RS other key": lambda: ("/rs", rs(key=RSA_STRANGER)),
        "RS short": lambda: ("/rs", changed(rs(), 2, lambda s: b64(b"x" * 255))),
        "RS zeros": lambda: ("/rs", changed(rs(), 2, lambda s: b64(b"\0" * 256))),
        "PKCS1 with SHA-512": lambda: ("/rs", RSA.token(claims(iss="https://login.test/", aud="api"), hashes.SHA512()))},
    "issuer_mismatch": {
        "other": lambda: ("/hs", hs256(claims(iss="https://evil.test/"))), "no slash": lambda: ("/hs", hs256(claims(iss=ISSUER[:-1]))),
        "case": lambda: ("/hs", hs256(claims(iss=ISSUER.upper())))},
    "audience_mismatch": {
        "other": lambda: ("/hs", hs256(claims(aud="billing"))), "list": lambda: ("/hs", hs256(claims(aud=["a", "b"]))),
        "substring": lambda: ("/hs", hs256(claims(aud=AUDIENCE + "x"))), "csv": lambda: ("/hs", hs256(claims(aud="a," + AUDIENCE))),
        "empty list": lambda: ("/hs", hs256(claims(aud=[])))},
    "claim_missing": {
        "exp": lambda: ("/hs", hs256(claims(exp=None))), "iss": lambda: ("/hs", hs256(claims(iss=None))),
        "aud": lambda: ("/hs", hs256(claims(aud=None)))},
    "certificate_mismatch": {"cnf": lambda: ("/hs", hs256(claims(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})))},
    "bound_token_unsupported": {"cnf": lambda: ("/hs", hs256(claims(cnf={"jkt": "x"})))},
    "token_not_yet_valid": {"nbf": lambda: ("/hs", hs256(claims(nbf=now(60))))},
    "issued_in_future": {"iat": lambda: ("/hs", hs256(claims(iat=now(60))))},
    "lifetime_too_long": {"2 h": lambda: ("/short", hs256(claims(exp=now(7200))))},
    "claim_unusable": {
        "CR LF": lambda: ("/hs", hs256(claims(sub="a\r\nX-Admin: 1"))), "not ASCII": lambda: ("/hs", hs256(claims(sub="J\u00fcrgen"))),
        "too long": lambda: ("/hs", hs256(claims(sub="x" * 1500)))},
}
BAD_ROWS = [(reason, name) for reason, rows in BAD.items() for name in rows]
# Where two reasons are equally right for one token.
ALSO = {"claims no JSON": ("signature_invalid",), "exp huge": ("claim_missing",), "exp a string": ("claim_missing",),
        "exp an array": ("claim_missing",), "exp 2^63": ("claim_missing", "lifetime_too_long"),
        "nbf a string": ("claim_missing", "token_not_yet_valid"), "empty list": ("claim_missing",),
        "standard base64": ("signature_invalid",), "no signature": ("token_malformed",),
        "RS512": ("signature_invalid",), "None": ("token_malformed",), "dots": ("token_too_large",),
        "five parts": ("token_malformed",), "claims too deep": ("token_too_large",), "none": ("token_malformed",),
        "too long": ("token_malformed", "token_too_large")}


@pytest.mark.parametrize("reason, name", BAD_ROWS, ids=[f"{r}: {n}" for r, n in BAD_ROWS])
def test_a_bad_token_is_401(gateway, backend, reason, name):
    path, token = BAD[reason][name]()
    if name in ALSO:
        response = gateway.ask(get(path, bearer(token)))
        line = gateway.access_line(request_id=response.json()["request_id"])
        assert line["reason"] in (reason,) + ALSO[name]
        reason = line["reason"]
    check(gateway, backend, path, token, 401, reason, "invalid_token", INVALID)


def test_an_expired_token_says_so(gateway, backend):
    check(gateway, backend, "/hs", hs256(claims(exp=now(-60))), 401, "token_expired", "invalid_token",
          "The access token expired")


def test_no_token_is_401_without_an_error(gateway, backend):
    check(gateway, backend, "/hs", None, 401, "token_missing")


@pytest.mark.parametrize("value", ["Basic eDp5", "Digest x", "Token abc"])
def test_another_scheme_is_401_without_an_error(gateway, backend, value):
    check(gateway, backend, "/hs", None, 401, "auth_scheme_unsupported", None, None, f"Authorization: {value}")


def test_two_authorization_fields_are_400(gateway, backend):
    check(gateway, backend, "/hs", hs256(), 400, "multiple_tokens", "invalid_request", None, bearer(hs256()))


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer a b", "Bearer a, Bearer b", "Bearertoken", ""])
def test_a_broken_authorization_field_is_refused(gateway, backend, value):
    response = gateway.ask(get("/hs", f"Authorization: {value}"))
    assert response.status in (400, 401) and response.get("WWW-Authenticate").startswith("Bearer")
    assert not backend.requests


def test_a_token_in_the_query_or_a_cookie_is_not_looked_at(gateway, backend):
    check(gateway, backend, f"/hs?access_token={hs256()}", None, 401, "token_missing", None, None,
          f"Cookie: access_token={hs256()}")


# --- scopes and claims -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{}, {"scope": "read"}, {"scope": "readwrite"}, {"scope": ""}, {"scope": 5}])
def test_missing_scopes_are_403_and_named(gateway, backend, value):
    response = check(gateway, backend, "/scopes", hs256(claims(**value)), 403, "scope_insufficient",
                     "insufficient_scope")
    assert 'scope="read write"' in response.get("WWW-Authenticate")


def test_none_of_the_scopes_is_403(gateway, backend):
    check(gateway, backend, "/scope-any", hs256(claims(scope="write")), 403, "scope_insufficient",
          "insufficient_scope")


@pytest.mark.parametrize("value", [
    {}, {"tenant": "evil", "realm_access": {"roles": ["ops"]}}, {"tenant": "acme", "realm_access": {"roles": ["dev"]}},
    {"tenant": "acme", "realm_access": {"roles": "ops"}}, {"tenant": ["acme"], "realm_access": {"roles": ["ops"]}}])
def test_a_claim_rule_that_fails_is_403(gateway, backend, value):
    response = gateway.ask(get("/claims", bearer(hs256(claims(**value)))))
    assert response.status == 403
    assert response.get("WWW-Authenticate").startswith("Bearer")
    assert "scope=" not in response.get("WWW-Authenticate")
    line = gateway.access_line(request_id=response.json()["request_id"])
    assert line["reason"] == "claim_mismatch"
    assert not backend.requests


# --- choosing, identity ------------------------------------------------------------------------


def test_a_key_never_vouches_for_another_issuer(gateway, backend):
    token = hs256(claims(iss="https://login.test/", aud="api"))
    response = gateway.ask(get("/any", bearer(token)))
    assert response.status == 401
    assert not backend.requests


def test_optional_lets_through_without_a_token_and_without_identity(gateway, backend):
    assert gateway.ask(get("/optional", "X-User-Id: root")).status == 200
    assert backend.last().get("X-User-Id") is None


def test_optional_refuses_a_bad_token(gateway, backend):
    check(gateway, backend, "/optional", hs256(secret="x" * 40), 401, "signature_invalid", "invalid_token", INVALID)


def test_claims_become_fields(gateway, backend):
    token = hs256(claims(sub="alice", org={"id": "o-1"}, level=7))
    assert gateway.ask(get("/hs", bearer(token), "X-User-Id: root", "x-org: evil", "X_Level: 9")).status == 200
    seen = backend.last()
    assert seen.all("X-User-Id") == ["alice"] and seen.all("X-Org") == ["o-1"] and seen.all("X-Level") == ["7"]
    assert "x_level" not in seen.names()


def test_a_claim_that_is_absent_leaves_no_field(gateway, backend):
    assert gateway.ask(get("/hs", bearer(hs256()), "X-Org: evil")).status == 200
    assert backend.last().get("X-Org") is None


def test_a_cached_token_gives_the_same_identity(gateway, backend):
    alice, bob = hs256(claims(sub="alice")), hs256(claims(sub="bob"))
    with gateway.client() as client:
        for token in (alice, bob, alice, bob, alice):
            assert client.ask(get("/hs", bearer(token))).status == 200
    assert [r.get("X-User-Id") for r in backend.requests] == ["alice", "bob", "alice", "bob", "alice"]


def test_the_token_is_stripped_unless_the_route_says_otherwise(gateway, backend):
    token = hs256()
    assert gateway.ask(get("/hs", bearer(token))).status == 200
    assert backend.last().get("Authorization") is None
    assert gateway.ask(get("/forward", bearer(token))).status == 200
    assert backend.last().get("Authorization") == f"Bearer {token}"


def test_a_token_expires_while_cached(gateway, backend):
    token = hs256(claims(exp=now(-2)))  # 5 s of skew: three are left
    with gateway.client() as client:
        first = client.ask(get("/hs", bearer(token)))
        assert first.status == 200
        response = wait_until(lambda: (r := client.ask(get("/hs", bearer(token)))).status == 401 and r, what="the end of it")
        assert response.json()["detail"] == "The access token expired"


def test_a_near_copy_of_a_cached_token_is_refused(gateway, backend):
    token = hs256()
    assert gateway.ask(get("/hs", bearer(token))).status == 200
    assert gateway.ask(get("/hs", bearer(changed(token, 2, flip)))).status == 401
    assert gateway.ask(get("/hs", bearer(token + "."))).status == 401
    assert gateway.ask(get("/rs", bearer(token))).status == 401


def test_the_log_names_the_caller_and_never_the_token(gateway, backend):
    token = hs256(claims(sub="alice", jti="j-1", client_id="app"), kid="new")
    response = gateway.ask(get("/hs", bearer(token)))
    line = gateway.access_line(request_id=response.get("X-Request-Id"))
    assert (line["sub"], line["jti"], line["kid"], line["provider"], line["client_id"]) == (
        "alice", "j-1", "new", "internal", "app")
    for text in (gateway.access_file.read_text(), gateway.log()):
        assert token not in text and token.split(".")[2] not in text
        assert SECRET not in text


def test_decisions_are_counted_by_reason(gateway, backend):
    before = gateway.metric("jwtgate_auth_decisions_total", route="hs", reason="token_missing")
    good = gateway.metric("jwtgate_auth_decisions_total", route="hs", reason="ok", provider="internal")
    gateway.ask(get("/hs"))
    gateway.ask(get("/hs", bearer(hs256())))
    assert gateway.metric("jwtgate_auth_decisions_total", route="hs", reason="token_missing") == before + 1
    assert gateway.metric("jwtgate_auth_decisions_total", route="hs", reason="ok", provider="internal") == good + 1
    gateway.ask(get("/public"))
    assert gateway.metric("jwtgate_auth_decisions_total", route="public") == 0


def test_error_detail_reason_tells_the_reason(start, backend):
    config = config_for(backend, server={"error_detail": "reason"}, providers={
        "internal": {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
                     "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET"}}]}},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": {"provider": "internal"}}})
    gateway = start(config)
    response = gateway.ask(get("/", bearer(hs256(claims(aud="x")))))
    assert response.json()["reason"] == "audience_mismatch"


def test_a_secret_from_a_file_loses_one_newline(start, backend, scratch):
    file = scratch / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    gateway = start(config_for(backend, providers={
        "internal": {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
                     "keys": [{"kid": "1", "secret": {"file": str(file)}}]}},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": {"provider": "internal"}}}))
    assert gateway.ask(get("/", bearer(hs256()))).status == 200
