# SPDX-License-Identifier: Apache-2.0
"""Faults that attacks on the whole program have found, each once."""
import contextlib
import threading
import time

import pytest

from support import (AUDIENCE, BINARY, ISSUER, CLOSE, answer, bearer, claims, config_for, get, hs256)


def provider(**parts):
    return {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
            "keys": [{"kid": "k", "secret": {"env": "TEST_SECRET"}}], **parts}


def guarded(backend, **parts):
    return config_for(
        backend, providers={"own": provider(**parts)},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": {"provider": "own"},
                        "claims_to_headers": {"sub": "X-User-Id"}}})


@pytest.mark.parametrize("fields", [16, 32, 64])
def test_interim_responses_that_use_up_the_memory_are_refused(start, backend, fields):
    size = [0]

    def talk(connection):
        head = b"HTTP/1.1 103 Early Hints\r\n" + b"".join(
            b"x-%d: %s\r\n" % (i, b"v" * size[0]) for i in range(fields)) + b"\r\n"
        with contextlib.suppress(OSError):
            connection.send(head * 15 + answer())
        return CLOSE
    backend.on("/hints", talk)
    gateway = start(config_for(backend))
    for per_head in range(12800, 31000, 1024):
        size[0] = per_head // fields
        response = gateway.ask(get("/hints"))
        assert response is not None, "closed without an answer"
        assert response.status in (200, 502)
    reasons = {line["outcome"] for line in gateway.access() if line.get("path") == "/hints"}
    assert reasons <= {"upstream", "upstream_protocol_error"}


def test_an_early_answer_to_an_upload_is_not_lost(start, backend):
    def refuse(connection):
        time.sleep(0.05)  # the gateway's socket is full by now
        connection.send(answer(413, b"too large", "Connection: close"))
        return CLOSE  # with unread bytes: a reset follows
    backend.on("/upload", refuse)
    gateway = start(config_for(backend))
    for _ in range(8):
        with gateway.client() as client:
            client.send(get("/upload", "Content-Length: 9000000", method="POST"))
            upload = threading.Thread(target=client.try_send, args=(b"x" * 9000000,))
            upload.start()
            assert client.read("POST").status == 413
            client.socket.shutdown(2)
            upload.join()


def test_a_flood_of_chunks_of_one_byte_is_refused(start, backend):
    gateway = start(config_for(backend))
    with gateway.client() as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        client.try_send(b"1\r\nx\r\n" * 30000 + b"0\r\n\r\n")
        assert client.read("POST").status == 400
    assert gateway.access_line(reason="chunk_overhead")["outcome"] == "bad_request"
    response = gateway.ask(get("/", "Transfer-Encoding: chunked", method="POST") + b"8\r\n12345678\r\n" * 30000 +
                           b"0\r\n\r\n")
    assert response.status == 200
    assert len(backend.last().body) == 240000


def test_a_server_may_stream_byte_by_byte(start, backend):
    backend.on("/bytes", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 30000 +
               b"0\r\n\r\n")
    response = start(config_for(backend)).ask(get("/bytes"))
    assert response.complete and len(response.body) == 30000


QUERIES = {"/x?access_token=T": "/x", "/x?a=1&access_token=T": "/x?a=1", "/x?access_token=T&b=2": "/x?b=2",
           "/x?a=1&access_token=T&b=%20": "/x?a=1&b=%20", "/x?access_token=T&access_tokens=1": "/x?access_tokens=1"}


@pytest.mark.parametrize("target", QUERIES)
def test_a_token_of_the_query_does_not_go_upstream(start, backend, target):
    gateway = start(guarded(backend, token={"query": "access_token"}))
    token = hs256()
    assert gateway.ask(get(target.replace("T", token))).status == 200
    assert backend.last().target == QUERIES[target]
    gateway.stop()  # then all that it had to say is written
    assert gateway.access()[-1]["path"] == "/x"
    assert token not in gateway.log() + gateway.access_file.read_text()


def test_a_token_of_the_query_goes_upstream_when_the_route_says_so(start, backend):
    config = guarded(backend, token={"query": "access_token"})
    config["routes"]["all"]["forward_token"] = True
    target = f"/x?a=1&access_token={hs256()}"
    assert start(config).ask(get(target)).status == 200
    assert backend.last().target == target


@pytest.mark.parametrize("subject", [" alice", "alice ", " "])
def test_a_claim_that_a_header_would_change_is_refused(start, backend, subject):
    response = start(guarded(backend)).ask(get("/", bearer(hs256(claims(sub=subject)))))
    assert response.status == 401
    assert not backend.requests


HOSTS = {"api.test": 401, "api.test.": 401, "API.test.:80": 401, "api.test..": 400, ".api.test": 400,
         "x.wild.test.": 401, "other.test.": 200, "[::1]": 401, "[::1]:80": 401, "[::2]": 200}


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_has_one_form_for_the_route_and_the_upstream(start, backend, host):
    config = guarded(backend)
    config["routes"]["all"]["match"]["hosts"] = ["api.test", "*.wild.test", "[::1]"]
    config["routes"]["public"] = {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none"}
    response = start(config).ask(get("/", host=host))
    assert response.status == HOSTS[host]
    if response.status == 200:
        assert backend.last().get("Host") == host.rstrip(".")


def test_waiting_clients_leave_descriptors_for_the_way_up(start, backend, scratch):
    few = scratch / "few"
    few.write_text(f'#!/bin/sh\nulimit -n 128\nexec "{BINARY}" "$@"\n')
    few.chmod(0o755)
    gateway = start(config_for(backend), binary=str(few))
    with contextlib.ExitStack() as stack:
        early = stack.enter_context(gateway.client())
        assert early.ask(get("/")).status == 200
        backend.drop_connections()
        for _ in range(150):
            stack.enter_context(gateway.client()).send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        time.sleep(0.2)
        assert early.ask(get("/")).status == 200
    assert gateway.ask(get("/")).status == 200
