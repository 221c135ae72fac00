# SPDX-License-Identifier: Apache-2.0
"""Requests and responses pass, and what must not pass does not."""
import re
import threading
import time

import pytest

from support import CLOSE, Client, answer, claims, config_for, get, hs256, bearer, wait_until

pytestmark = pytest.mark.threads


def CONFIG(backend, folder):
    return config_for(
        backend,
        upstreams={"backend": {"targets": [backend.address], "timeouts": {"response": "20s"}}},
        providers={"internal": {"issuer": "https://issuer.test/", "audiences": ["orders"],
                                "algorithms": ["HS256"], "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET"}}]}},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none"},
                "private": {"match": {"path_prefix": "/private"}, "upstream": "backend",
                            "auth": {"provider": "internal"}, "claims_to_headers": {"sub": "X-User-Id"}}})


# --- connections -------------------------------------------------------------------------------


def test_a_connection_is_kept_for_the_next_request(gateway, backend):
    with gateway.client() as client:
        for number in range(5):
            assert client.ask(get(f"/{number}")).status == 200
    assert [r.target for r in backend.requests] == [f"/{n}" for n in range(5)]
    assert len({r.connection.number for r in backend.requests}) == 1


def test_pipelined_requests_are_answered_in_order(gateway, backend):
    for number in range(10):
        backend.on(f"/{number}", answer(200, b"body %d" % number))
    with gateway.client() as client:
        client.send(b"".join(get(f"/{n}") for n in range(10)))
        assert [client.read().body for _ in range(10)] == [b"body %d" % n for n in range(10)]


def test_a_pipelined_request_behind_a_body_is_not_part_of_it(gateway, backend):
    with gateway.client() as client:
        client.send(get("/a", method="POST", body=b"x" * 1000) + get("/b"))
        assert client.read().status == 200 and client.read().status == 200
    assert [(r.target, len(r.body)) for r in backend.requests] == [("/a", 1000), ("/b", 0)]


def test_a_request_sent_byte_by_byte_is_served(gateway, backend):
    with gateway.client() as client:
        for byte in get("/bytewise", method="POST", body=b"abc"):
            client.send(bytes([byte]))
        assert client.read().status == 200
    assert backend.last().body == b"abc"


def test_connection_close_of_the_client_closes_after_the_answer(gateway, backend):
    with gateway.client() as client:
        response = client.ask(get("/", "Connection: close"))
        assert response.status == 200
        assert "close" in (response.get("Connection") or "").lower()
        assert client.is_closed()
    assert backend.last().get("Connection") != "close"


def test_connection_close_of_the_backend_does_not_close_the_client(gateway, backend):
    backend.on("/bye", lambda c: (c.send(answer(200, b"bye", "Connection: close")), CLOSE)[1])
    with gateway.client() as client:
        assert client.ask(get("/bye")).body == b"bye"
        assert client.ask(get("/bye")).body == b"bye"
    assert len({r.connection.number for r in backend.requests}) == 2


def test_http_1_0_is_answered_and_closed(gateway, backend):
    with gateway.client() as client:
        response = client.ask(b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n")
        assert response.status == 200 and response.body == b"ok"
        assert client.is_closed()
    assert backend.last().version == "HTTP/1.1"


def test_http_1_0_gets_no_chunked_body(gateway, backend):
    backend.on("/c", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    with gateway.client() as client:
        response = client.ask(b"GET /c HTTP/1.0\r\nHost: a\r\n\r\n")
        assert response.get("Transfer-Encoding") is None
        assert response.body == b"abc"


def test_an_empty_line_before_the_request_is_ignored(gateway, backend):
    assert gateway.ask(b"\r\n" + get("/"), "GET").status == 200


# --- bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 65536, 3_000_000])
def test_a_body_with_a_length_goes_up_and_comes_down(gateway, backend, size):
    body = bytes(i % 251 for i in range(1000)) * (size // 1000) + b"x" * (size % 1000)

    def echo(connection):
        return answer(200, connection.read_body())
    backend.on("/echo", echo)
    response = gateway.ask(get("/echo", method="POST", body=body))
    assert response.status == 200 and response.complete and response.body == body
    seen = backend.last()
    assert seen.all("Content-Length") == [str(size)] and not seen.all("Transfer-Encoding")


def test_a_chunked_body_goes_up(gateway, backend):
    with gateway.client() as client:
        client.send(get("/up", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"5\r\nhello\r\n").send(b"6;a=b\r\n world\r\n0\r\nX-Trailer: gone\r\n\r\n")
        assert client.read().status == 200
    seen = backend.last()
    assert seen.body == b"hello world"
    assert seen.all("Transfer-Encoding") == ["chunked"] and not seen.all("Content-Length")
    assert not seen.trailers


def test_a_large_chunked_body_goes_up_whole(gateway, backend):
    chunk = b"1000\r\n" + b"z" * 4096 + b"\r\n"
    with gateway.client() as client:
        client.send(get("/up", "Transfer-Encoding: chunked", method="POST") + chunk * 300 + b"0\r\n\r\n")
        assert client.read().status == 200
    assert backend.last().body == b"z" * 4096 * 300


def test_a_chunked_body_comes_down_without_extensions_and_trailers(gateway, backend):
    backend.on("/down", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n")
    with gateway.client() as client:
        response = client.ask(get("/down"))
        assert response.complete and response.body == b"hello!"
        assert not response.trailers
        assert client.ask(get("/next")).status == 200


def test_a_body_until_close_comes_down_and_the_client_stays(gateway, backend):
    backend.on("/eof", lambda c: (c.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"e" * 50000), CLOSE)[1])
    with gateway.client() as client:
        response = client.ask(get("/eof"))
        assert response.complete and response.body == b"e" * 50000
        assert client.ask(get("/next")).status == 200


def test_a_large_body_comes_down_whole(gateway, backend):
    backend.on("/big", answer(200, b"d" * 5_000_000))
    response = gateway.ask(get("/big"))
    assert response.complete and response.body == b"d" * 5_000_000


def test_chunks_arrive_while_the_backend_still_works(gateway, backend):
    second = threading.Event()

    def slow(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        second.wait(60)
        connection.send(b"6\r\nsecond\r\n0\r\n\r\n")
    backend.on("/events", slow)
    with gateway.client() as client:
        client.send(get("/events"))
        wait_until(lambda: client._more() and b"first" in client.buffer, what="the first chunk")
        assert b"second" not in client.buffer
        second.set()
        assert client.read().body == b"firstsecond"


@pytest.mark.parametrize("status, fields", [
    (204, []), (304, ["ETag: x"]), (304, ["Content-Length: 100"])])
def test_answers_without_a_body_have_none(gateway, backend, status, fields):
    head = "\r\n".join([f"HTTP/1.1 {status} X", *fields]) + "\r\n\r\n"
    backend.on("/none", head.encode())
    with gateway.client() as client:
        response = client.ask(get("/none"))
        assert response.status == status
        assert client.ask(get("/next")).body == b"ok"


def test_head_has_the_length_and_no_body(gateway, backend):
    backend.on("/h", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    with gateway.client() as client:
        response = client.ask(get("/h", method="HEAD"))
        assert response.status == 200 and response.get("Content-Length") == "1234"
        assert client.ask(get("/next")).body == b"ok"
    assert backend.requests[0].method == "HEAD"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"])
def test_the_method_passes(gateway, backend, method):
    assert gateway.ask(get("/m", method=method)).status == 200
    assert backend.last().method == method


def test_a_get_with_a_body_keeps_it(gateway, backend):
    assert gateway.ask(get("/", body=b"query")).status == 200
    assert backend.last().body == b"query"


# --- 1xx and Expect ----------------------------------------------------------------------------


def test_expect_100_continue_gets_the_backends_or_our_100(gateway, backend):
    def script(connection):
        if connection.request.get("Expect"):
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return answer(200, connection.read_body())
    backend.on("/e", script)
    with gateway.client() as client:
        client.send(get("/e", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        wait_until(lambda: client._more() and b"\r\n\r\n" in client.buffer, what="100 Continue")
        assert client.buffer.startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        response = client.read("POST")
        assert response.status == 200 and response.body == b"hello"
        assert client.ask(get("/next")).status == 200


def test_expect_100_continue_on_a_refused_request_gets_the_refusal_at_once(gateway, backend):
    with gateway.client() as client:
        response = client.ask(get("/private", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        assert response.status == 401 and not response.interim
    assert not backend.requests


def test_an_unknown_expectation_is_417(gateway, backend):
    response = gateway.ask(get("/", "Expect: 200-ok"))
    assert response.status == 417
    assert not backend.requests


def test_interim_answers_do_not_end_the_exchange(gateway, backend):
    backend.on("/i", b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + answer(200, b"final"))
    with gateway.client() as client:
        response = client.ask(get("/i"))
        assert response.status == 200 and response.body == b"final"
        assert client.ask(get("/next")).body == b"ok"


def test_an_interim_answer_does_not_reach_an_http_1_0_client(gateway, backend):
    backend.on("/i", b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(200, b"final"))
    response = gateway.ask(b"GET /i HTTP/1.0\r\nHost: a\r\n\r\n")
    assert response.status == 200 and not response.interim


# --- early answers, truncation -----------------------------------------------------------------


def test_an_answer_before_the_body_is_sent_reaches_the_client(gateway, backend):
    def early(connection):
        connection.send(answer(403, b"no", "Connection: close"))
        time.sleep(0.2)
        return CLOSE
    backend.on("/early", early)
    with gateway.client() as client:
        client.send(get("/early", "Content-Length: 1000000", method="POST") + b"x" * 1000)
        response = client.read("POST")
        assert response.status == 403 and response.body == b"no"
        client.try_send(b"x" * 999000)
        assert client.is_closed() or client.ask(get("/next")).status == 200


def test_a_body_cut_by_the_backend_is_seen_as_cut(gateway, backend):
    def cut(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        return CLOSE
    backend.on("/cut", cut)
    with gateway.client() as client:
        response = client.ask(get("/cut"))
        assert response.status == 200 and not response.complete
        assert client.is_closed()


def test_a_chunked_body_cut_by_the_backend_is_seen_as_cut(gateway, backend):
    def cut(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        return CLOSE
    backend.on("/cut", cut)
    with gateway.client() as client:
        response = client.ask(get("/cut"))
        assert response.status == 200 and not response.complete
        assert client.is_closed()


def test_an_idle_connection_that_the_backend_closed_costs_a_get_nothing(gateway, backend):
    dying = {"left": 1}

    def once_then_die(connection):
        if dying["left"]:
            dying["left"] -= 1
            return answer()
        if connection.number == backend.requests[0].connection.number:
            return CLOSE  # without a byte: as if the close had crossed the request
        return answer(200, b"again")
    backend.on("/r", once_then_die)
    with gateway.client() as client:
        assert client.ask(get("/r")).body == b"ok"
        assert client.ask(get("/r")).body == b"again"


def test_a_post_is_not_repeated(gateway, backend):
    first = {}

    def once_then_die(connection):
        connection.read_body()
        if not first:
            first["number"] = connection.number
            return answer()
        return CLOSE
    backend.on("/r", once_then_die)
    with gateway.client() as client:
        assert client.ask(get("/r", method="POST", body=b"1")).status == 200
        before = len(backend.requests)
        response = client.ask(get("/r", method="POST", body=b"2"))
        assert response.status == 502
        assert len(backend.requests) == before + 1


def test_connections_that_the_backend_closed_while_idle_are_not_used(gateway, backend):
    with gateway.client() as client:
        assert client.ask(get("/1")).status == 200
        backend.drop_connections()
        gateway.wait_for_metric(0, "jwtgate_upstream_connections")
        assert client.ask(get("/2", method="POST", body=b"x")).status == 200


# --- fields ------------------------------------------------------------------------------------


def test_hop_by_hop_fields_do_not_pass(gateway, backend):
    backend.on("/hop", answer(200, b"ok", "Keep-Alive: timeout=9", "Proxy-Authenticate: x", "X-Private: 1",
                              "Connection: X-Private", "X-Kept: yes", "Upgrade: websocket"))
    response = gateway.ask(get("/hop", "Connection: X-Named, keep-alive", "X-Named: 1", "Keep-Alive: 5",
                               "Proxy-Authorization: Basic eDp5", "TE: trailers", "Upgrade: h2c",
                               "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Proxy-Connection: x",
                               "X-Kept: yes"))
    seen = backend.last()
    for name in ("x-named", "keep-alive", "proxy-authorization", "te", "upgrade", "http2-settings",
                 "proxy-connection", "trailer"):
        assert name not in seen.names(), name
    assert seen.get("X-Kept") == "yes"
    for name in ("Keep-Alive", "X-Private", "Upgrade"):
        assert response.get(name) is None, name
    assert response.get("X-Kept") == "yes"


def test_connection_cannot_remove_an_identity_field(gateway, backend):
    token = hs256(claims(sub="alice"))
    response = gateway.ask(get("/private", bearer(token), "Connection: X-User-Id, Authorization"))
    assert response.status == 200
    assert backend.last().all("X-User-Id") == ["alice"]


@pytest.mark.parametrize("name", ["X-User-Id", "x-user-id", "X_User_Id", "X-User_Id"])
@pytest.mark.parametrize("path", ["/public", "/private"])
def test_an_identity_field_of_the_client_never_passes(gateway, backend, name, path):
    fields = [f"{name}: mallory", f"{name}: root"]
    if path == "/private":
        fields.append(bearer(hs256(claims(sub="alice"))))
    assert gateway.ask(get(path, *fields)).status == 200
    seen = backend.last()
    values = [v for n, v in seen.fields if n.lower().replace("_", "-") == "x-user-id"]
    assert values == (["alice"] if path == "/private" else [])


def test_the_token_does_not_pass(gateway, backend):
    assert gateway.ask(get("/private", bearer(hs256()))).status == 200
    assert backend.last().get("Authorization") is None


def test_authorization_passes_on_a_public_route(gateway, backend):
    assert gateway.ask(get("/", "Authorization: Basic eDp5")).status == 200


def test_forwarded_fields_are_ours(gateway, backend):
    assert gateway.ask(get("/", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
                           "X-Forwarded-Host: evil", "Forwarded: for=6.6.6.6", host="shop.test:8080")).status == 200
    seen = backend.last()
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert seen.all("X-Forwarded-Host") == ["shop.test:8080"]
    assert seen.all("Host") == ["shop.test:8080"]
    assert not seen.all("Forwarded")


def test_forwarded_fields_of_a_trusted_proxy_are_kept(start, backend):
    gateway = start(config_for(backend, server={"trusted_proxies": ["127.0.0.0/8"]}))
    assert gateway.ask(get("/", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
                           "X-Request-Id: from-outside")).status == 200
    seen = backend.last()
    assert re.fullmatch(r"6\.6\.6\.6, ?127\.0\.0\.1", ", ".join(seen.all("X-Forwarded-For")))
    assert seen.all("X-Forwarded-Proto") == ["https"]
    assert seen.all("X-Request-Id") == ["from-outside"]
    assert gateway.access_line(client_ip="6.6.6.6")["peer_ip"] == "127.0.0.1"


def test_via_names_the_gateway_both_ways(gateway, backend):
    response = gateway.ask(get("/", "Via: 1.0 front"))
    assert any("jwtgate" in v for v in backend.last().all("Via"))
    assert any("1.0 front" in v for v in backend.last().all("Via"))
    assert any("jwtgate" in v for v in response.all("Via"))


def test_a_request_id_is_made_and_returned(gateway, backend):
    response = gateway.ask(get("/", "X-Request-Id: chosen-by-the-client"))
    made = backend.last().all("X-Request-Id")
    assert len(made) == 1 and re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", made[0])
    assert response.all("X-Request-Id") == made


def test_a_valid_traceparent_keeps_its_trace_and_gets_a_new_parent(gateway, backend):
    trace = "0af7651916cd43dd8448eb211c80319c"
    assert gateway.ask(get("/", f"traceparent: 00-{trace}-b7ad6b7169203331-01", "tracestate: a=1")).status == 200
    seen = backend.last()
    found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", seen.all("traceparent")[0])
    assert found.group(1) == trace and found.group(2) != "b7ad6b7169203331"
    assert seen.all("tracestate") == ["a=1"] and len(seen.all("traceparent")) == 1


@pytest.mark.parametrize("value", [
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "ff", ""])
def test_a_bad_traceparent_starts_a_new_trace(gateway, backend, value):
    assert gateway.ask(get("/", f"traceparent: {value}", "tracestate: a=1")).status == 200
    seen = backend.last()
    assert len(seen.all("traceparent")) == 1 and not seen.all("tracestate")
    assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]", seen.get("traceparent"))
    assert "0af7651916cd43dd8448eb211c80319c" not in seen.get("traceparent").lower()


def test_repeated_fields_and_their_order_pass(gateway, backend):
    backend.on("/set", answer(200, b"ok", "Set-Cookie: a=1", "Set-Cookie: b=2"))
    response = gateway.ask(get("/set", "Accept: a", "Cookie: x=1", "Accept: b"))
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert backend.last().all("Accept") == ["a", "b"]


def test_status_and_fields_of_the_backend_pass(gateway, backend):
    backend.on("/teapot", answer(418, b"short and stout", "Content-Type: text/tea", phrase="I'm a teapot"))
    response = gateway.ask(get("/teapot"))
    assert (response.status, response.body, response.get("Content-Type")) == (418, b"short and stout", "text/tea")


def test_the_query_passes_untouched(gateway, backend):
    assert gateway.ask(get("/q?a=%2F..%2f&b=c+d&&=")).status == 200
    assert backend.last().target == "/q?a=%2F..%2f&b=c+d&&="


def test_strip_prefix_rewrites_the_path(start, backend):
    gateway = start(config_for(backend, routes={"a": {
        "match": {"path_prefix": "/api"}, "upstream": "backend", "auth": "none", "rewrite": {"strip_prefix": "/api"}}}))
    for asked, wanted in (("/api/x?y=1", "/x?y=1"), ("/api", "/"), ("/api/", "/")):
        assert gateway.ask(get(asked)).status == 200
        assert backend.last().target == wanted
        backend.clear()


# --- many at once ------------------------------------------------------------------------------


def test_many_connections_at_once_each_get_their_own_answer(gateway, backend):
    def echo(connection):
        return answer(200, connection.request.target.encode())
    backend.default = echo
    wrong = []

    def work(me):
        with Client(gateway.port) as client:
            for turn in range(20):
                path = f"/c{me}/{turn}"
                response = client.ask(get(path))
                if response is None or response.body != path.encode():
                    wrong.append((path, response))
    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
