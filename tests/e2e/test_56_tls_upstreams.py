# SPDX-License-Identifier: Apache-2.0
"""TLS with upstreams: who is believed, and what is said when nobody is."""
import json
import socket
import subprocess
import threading

import pytest

from support import BINARY, Backend, answer, config_for, free_port, get, wait_until
from tls_support import DAY, Authority, TlsBackend

pytestmark = pytest.mark.threads


@pytest.fixture(scope="module")
def authority(module_scratch):
    return Authority(module_scratch)


@pytest.fixture(scope="module")
def stranger(authority):
    return Authority(authority.folder, "stranger")


@pytest.fixture
def serve():
    """A TLS backend of this test's own."""
    running = []

    def begin(*arguments, **options):
        running.append(TlsBackend(*arguments, **options))
        return running[-1]

    yield begin
    for backend in running:
        backend.stop()


def config_to(backend, address=None, retries=1, timeouts=None, **tls):
    upstream = {"targets": [address or backend.address], "tls": tls, "retries": {"attempts": retries}}
    if timeouts:
        upstream["timeouts"] = timeouts
    return config_for(backend, upstreams={"backend": upstream}, server={"error_detail": "reason"})


def localhost(backend):
    return f"localhost:{backend.address.rsplit(':', 1)[1]}"


def refused(gateway, reason):
    response = gateway.ask(get("/"))
    assert response.status == 502, response
    assert response.json()["reason"] == reason
    line = gateway.access_line(reason=reason)
    assert line["outcome"] == "upstream_connect_failed" and line["status"] == 502


# --- good ones ---------------------------------------------------------------------------------


def test_an_upstream_by_address(start, serve, authority):
    backend = serve(authority.issue("address", "127.0.0.1"))
    gateway = start(config_to(backend, ca_file=str(authority.file)))
    assert gateway.ask(get("/")).status == 200
    assert backend.names == [None]  # addresses are not asked for
    assert backend.last().get("X-Forwarded-Proto") == "http"


def test_an_upstream_by_name(start, serve, authority):
    backend = serve(authority.issue("name", "localhost"))
    gateway = start(config_to(backend, localhost(backend), ca_file=str(authority.file)))
    assert gateway.ask(get("/")).status == 200
    assert backend.names == ["localhost"]


def test_the_server_name_stands_for_the_target(start, serve, authority):
    backend = serve(authority.issue("server-name", "orders.internal"))
    gateway = start(config_to(backend, ca_file=str(authority.file), server_name="orders.internal"))
    assert gateway.ask(get("/")).status == 200
    assert backend.names == ["orders.internal"]


def test_connections_are_kept_and_sessions_resumed(start, serve, authority):
    backend = serve(authority.issue("resumed", "127.0.0.1"))
    gateway = start(config_to(backend, ca_file=str(authority.file)))
    with gateway.client() as client:
        for _ in range(5):
            assert client.ask(get("/")).status == 200
        assert len(backend.handshakes) == 1
        backend.default = answer(200, b"bye", "Connection: close")
        for _ in range(4):
            assert client.ask(get("/")).status == 200
    assert [resumed for _, resumed, _ in backend.handshakes[1:]] == [True] * (len(backend.handshakes) - 1)
    assert len(backend.handshakes) >= 4


def test_a_client_certificate_is_shown(start, serve, authority):
    backend = serve(authority.issue("mutual", "127.0.0.1"), ca_file=authority.file)
    cert, key = authority.issue("gateway", "gateway.internal")
    gateway = start(config_to(backend, ca_file=str(authority.file), cert_file=cert, key_file=key))
    assert gateway.ask(get("/")).status == 200
    assert ("DNS", "gateway.internal") in backend.handshakes[0][2]["subjectAltName"]


def test_a_missing_client_certificate_is_told(start, serve, authority):
    backend = serve(authority.issue("demanding", "127.0.0.1"), ca_file=authority.file)
    gateway = start(config_to(backend, ca_file=str(authority.file)))
    response = gateway.ask(get("/"))
    assert response.status == 502
    assert response.json()["reason"] in ("tls_alert", "before_response")


def test_large_bodies_both_ways(start, serve, authority):
    backend = serve(authority.issue("large", "127.0.0.1"))
    backend.on("/echo", lambda connection: answer(200, connection.read_body()))
    gateway = start(config_to(backend, ca_file=str(authority.file)))
    body = bytes(range(256)) * 4096 * 8  # 8 MiB
    with gateway.client() as client:
        sender = threading.Thread(target=client.send, args=(get("/echo", method="POST", body=body),))
        sender.start()
        response = client.read()
        sender.join()
    assert response.complete and response.body == body


def test_a_chunked_answer(start, serve, authority):
    backend = serve(authority.issue("chunked", "127.0.0.1"))
    pieces = [b"x" * size for size in (1, 100, 16384, 16385, 40000)]
    backend.on("/", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
               b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
    gateway = start(config_to(backend, ca_file=str(authority.file)))
    response = gateway.ask(get("/"))
    assert response.complete and response.body == b"".join(pieces)


def test_an_answer_until_the_end_must_have_a_real_end(start, serve, authority):
    def until_close(connection, is_announced):
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall there is")
        if is_announced:
            connection.socket.unwrap()
        connection.socket.shutdown(socket.SHUT_RDWR)
        return b""

    backend = serve(authority.issue("ends", "127.0.0.1"))
    backend.on("/announced", lambda connection: until_close(connection, True))
    backend.on("/cut", lambda connection: until_close(connection, False))
    gateway = start(config_to(backend, ca_file=str(authority.file)))
    whole = gateway.ask(get("/announced"))
    assert whole.complete and whole.body == b"all there is"
    cut = gateway.ask(get("/cut"))
    assert cut is None or cut.status == 502 or not cut.complete
    assert gateway.access_line(path="/cut")["outcome"] == "upstream_reset"


# --- bad ones ----------------------------------------------------------------------------------


def test_an_expired_certificate(start, serve, authority):
    backend = serve(authority.issue("expired", "127.0.0.1", life=-DAY))
    refused(start(config_to(backend, ca_file=str(authority.file))), "tls_certificate_expired")
    assert not backend.requests


@pytest.mark.parametrize("host", ["other.test", "127.0.0.2"])
def test_a_wrong_name(start, serve, authority, host):
    backend = serve(authority.issue("wrong-name", host))
    refused(start(config_to(backend, ca_file=str(authority.file))), "tls_certificate_name")
    assert not backend.requests


def test_a_stranger(start, serve, authority, stranger):
    backend = serve(stranger.issue("strange", "127.0.0.1"))
    refused(start(config_to(backend, ca_file=str(authority.file))), "tls_certificate_untrusted")
    assert not backend.requests


def test_without_ca_file_the_systems_store_decides(start, serve, authority):
    backend = serve(authority.issue("private", "127.0.0.1"))
    refused(start(config_to(backend)), "tls_certificate_untrusted")
    assert not backend.requests


def test_verification_can_be_switched_off(start, serve, stranger):
    backend = serve(stranger.issue("any", "other.test", life=-DAY))
    gateway = start(config_to(backend, insecure_skip_verify=True))
    assert gateway.ask(get("/")).status == 200


def pin_of(cert_file):
    command = (f"openssl x509 -in {cert_file} -noout -pubkey | openssl pkey -pubin -outform der | "
               "openssl dgst -sha256 -binary | base64")
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def test_a_pinned_key(start, serve, authority, stranger):
    cert = authority.issue("pinned", "127.0.0.1")
    backend = serve(cert)
    other = pin_of(authority.issue("not-pinned", "127.0.0.1")[0])
    gateway = start(config_to(backend, ca_file=str(authority.file), pin_sha256=[other, pin_of(cert[0])]))
    for _ in range(3):
        assert gateway.ask(get("/")).status == 200
    backend.requests.clear()
    refused(start(config_to(backend, ca_file=str(authority.file), pin_sha256=[other])), "tls_key_not_pinned")
    own = stranger.issue("of-its-own", "other.test", life=-DAY)
    gateway = start(config_to(serve(own), insecure_skip_verify=True, pin_sha256=[pin_of(own[0])]))
    assert gateway.ask(get("/")).status == 200
    assert not backend.requests


def test_an_upstream_that_speaks_no_tls(start, authority):
    backend = Backend()
    try:
        response = start(config_to(backend, ca_file=str(authority.file))).ask(get("/"))
    finally:
        backend.stop()
    assert response.status == 502


def test_an_upstream_that_is_silent_in_the_handshake(start, authority):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        gateway = start(config_to(None, f"127.0.0.1:{silent.getsockname()[1]}", ca_file=str(authority.file),
                                  timeouts={"connect": "300ms"}))
        refused(gateway, "tls_timeout")


def test_another_target_is_tried(start, serve, authority, stranger):
    good, bad = serve(authority.issue("good", "127.0.0.1")), serve(stranger.issue("bad", "127.0.0.1"))
    gateway = start(config_for(good, upstreams={"backend": {"targets": [bad.address, good.address],
                                                            "tls": {"ca_file": str(authority.file)}}}))
    for _ in range(4):
        assert gateway.ask(get("/")).status == 200
    assert not bad.requests and len(good.requests) == 4


def test_failures_leave_no_connections(start, serve, authority, stranger):
    backend = serve(stranger.issue("leaky", "127.0.0.1"))
    gateway = start(config_to(backend, ca_file=str(authority.file)))
    for _ in range(20):
        assert gateway.ask(get("/")).status == 502
    wait_until(lambda: gateway.metric("jwtgate_upstream_connections") == 0, what="no connections")


# --- the configuration -------------------------------------------------------------------------


@pytest.mark.parametrize("tls, message", [
    ({"ca_file": "none.crt"}, "upstreams.backend.tls.ca_file: cannot open"),
    ({"ca_file": "gateway.key"}, "holds no PEM certificate"),
    ({"cert_file": "gateway.crt"}, 'needs a "key_file"'),
    ({"key_file": "gateway.key"}, 'needs a "cert_file"'),
    ({"cert_file": "gateway.crt", "key_file": "other.key"}, "does not belong to the certificate"),
    ({"server_name": "a:b"}, "is not a host name"),
    ({"verify": False}, 'unknown key "verify"'),
    ({"pin_sha256": ["abc"]}, "is not the SHA-256 of a public key in base64"),
    ({"pin_sha256": []}, "pin_sha256"),
])
def test_what_cannot_be(module_scratch, authority, tls, message):
    authority.issue("gateway", "gateway.internal")
    authority.issue("other", "gateway.internal")
    file = module_scratch / "checked.jsonc"
    file.write_text(json.dumps(config_to(None, "127.0.0.1:1", **tls), indent=2))
    done = subprocess.run([BINARY, "check", "-c", str(file)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "checked.jsonc:" in done.stderr


def test_trusting_anyone_is_an_error_of_lint(module_scratch):
    file = module_scratch / "checked.jsonc"
    file.write_text(json.dumps(config_to(None, "127.0.0.1:1", insecure_skip_verify=True), indent=2))
    command = [BINARY, "check", "-c", str(file)]
    assert "upstream-tls-unverified" in subprocess.run(command, capture_output=True, text=True, timeout=30,
                                                       check=True).stderr
    assert subprocess.run([*command, "--strict"], capture_output=True, timeout=30, check=False).returncode == 1


def test_both_sides_at_once(start, serve, authority):
    from tls_support import TlsClient, client_context
    backend = serve(authority.issue("inside", "127.0.0.1"))
    cert, key = authority.issue("outside", "a.test")
    config = config_to(backend, ca_file=str(authority.file))
    config["listeners"] = {"public": {"address": f"127.0.0.1:{free_port()}",
                                      "tls": {"certificates": [{"cert_file": cert, "key_file": key}]}}}
    gateway = start(config)
    backend.on("/echo", lambda connection: answer(200, connection.read_body()))
    body = b"z" * 3_000_000
    with TlsClient(gateway.port, client_context(authority.file)) as client:
        for _ in range(3):
            assert client.ask(get("/echo", method="PUT", body=body)).body == body
    assert backend.last().get("X-Forwarded-Proto") == "https"
