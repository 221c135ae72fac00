# SPDX-License-Identifier: Apache-2.0
"""Who a client is by its certificate: for the upstream, for the log, and for tokens that are bound to it."""
import base64
import hashlib
import ssl

import pytest

from support import AUDIENCE, ISSUER, bearer, claims, config_for, free_port, get, hs256
from tls_support import Authority, TlsClient, client_context

pytestmark = pytest.mark.threads
NAMES = {"subject": "X-Client-Subject", "thumbprint": "X-Client-Thumbprint"}


@pytest.fixture(scope="module")
def authority(module_scratch):
    return Authority(module_scratch)


@pytest.fixture(scope="module")
def pairs(authority):
    return {name: authority.issue(name, f"{name}.test") for name in ("server", "shop", "other")}


def thumbprint(pair):
    with open(pair[0], encoding="ascii") as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def gateway(module_scratch, shared_backend, authority, pairs):
    from support import Gateway
    folder = module_scratch / "gateway"
    folder.mkdir()
    provider = {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
                "keys": [{"kid": "k1", "secret": {"env": "TEST_SECRET"}}]}

    def route(path, auth, **more):
        return {"match": {"path_prefix": path}, "upstream": "backend", "auth": auth, **more}

    config = config_for(
        shared_backend, server={"workers": 2, "error_detail": "reason"},
        listeners={"public": {"address": f"127.0.0.1:{free_port()}", "tls": {
            "certificates": [{"cert_file": pairs["server"][0], "key_file": pairs["server"][1], "hosts": ["server.test"]}],
            "client_auth": "request", "client_ca_file": str(authority.file)}}},
        providers={"strict": provider, "lenient": {**provider, "accept_bound_tokens": True}},
        routes={"named": route("/named", "none", client_cert_to_headers=NAMES), "plain": route("/plain", "none"),
                "strict": route("/strict", {"provider": "strict"}, client_cert_to_headers=NAMES),
                "lenient": route("/lenient", {"provider": "lenient"})})
    gateway = Gateway(folder, config).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def ask(gateway, authority, pairs):
    def ask_as(name, path, *fields):
        context = client_context(authority.file, cert=pairs[name] if name else None)
        with TlsClient(gateway.port, context, "server.test") as client:
            return client.ask(get(path, *fields))
    return ask_as


def test_the_upstream_and_the_log_hear_who_it_was(gateway, backend, ask, pairs):
    assert ask("shop", "/named", "X-Client-Subject: CN=admin", "x_client_thumbprint: forged").status == 200
    seen = backend.last()
    assert seen.all("X-Client-Subject") == ["CN=shop"]
    assert seen.all("X-Client-Thumbprint") == [thumbprint(pairs["shop"])]
    assert not seen.all("x_client_thumbprint")
    line = gateway.access_line(path="/named")
    assert line["client_cert_subject"] == "CN=shop"
    assert line["client_cert_thumbprint"] == thumbprint(pairs["shop"])


@pytest.mark.parametrize("name, path", [(None, "/named/forged"), ("shop", "/plain/forged"), (None, "/plain/nobody")])
def test_nobody_can_say_so_of_themselves(gateway, backend, ask, name, path):
    assert ask(name, path, "X-Client-Subject: CN=admin", "X-Client-Thumbprint: forged").status == 200
    seen = backend.last()
    assert not seen.all("X-Client-Subject") and not seen.all("X-Client-Thumbprint")
    if name is None:
        assert "client_cert_subject" not in gateway.access_line(path=path)


def test_a_resumed_session_is_of_the_same_client(gateway, backend, authority, pairs):
    context = client_context(authority.file, cert=pairs["shop"])
    session = None
    for turn in range(3):
        with TlsClient(gateway.port, context, "server.test", session) as client:
            assert client.ask(get("/named")).status == 200
            assert client.socket.session_reused == (turn > 0)
            session = client.socket.session
        assert backend.last().get("X-Client-Subject") == "CN=shop"


@pytest.mark.parametrize("path, bound_to, name, reason", [
    ("/strict", "shop", "shop", None), ("/strict", "shop", "other", "certificate_mismatch"),
    ("/strict", "shop", None, "certificate_mismatch"), ("/strict", None, None, None),
    ("/lenient", "shop", "shop", None), ("/lenient", "shop", "other", "certificate_mismatch"),
    ("/lenient", "shop", None, None),
])
def test_a_token_that_is_bound_to_a_certificate(backend, ask, pairs, path, bound_to, name, reason):
    more = {"cnf": {"x5t#S256": thumbprint(pairs[bound_to])}} if bound_to else {}
    token = hs256(claims(**more))
    for _ in range(2):  # the second time the token is known
        backend.requests.clear()
        response = ask(name, path, bearer(token))
        if reason is None:
            assert response.status == 200, response
            continue
        assert response.status == 401 and response.json()["reason"] == reason
        assert 'error="invalid_token"' in response.get("WWW-Authenticate")
        assert not backend.requests


def test_a_bound_token_is_of_its_client_whoever_came_before(ask, pairs):
    token = hs256(claims(cnf={"x5t#S256": thumbprint(pairs["shop"])}))
    statuses = [ask(name, "/strict", bearer(token)).status for name in ("shop", "other", "shop", None, "shop")]
    assert statuses == [200, 401, 200, 401, 200]
