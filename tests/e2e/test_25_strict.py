# SPDX-License-Identifier: Apache-2.0
"""Broken and ambiguous HTTP: one refusal, a closed connection, and nothing of it at the backend."""
import pytest

from support import CLOSE, answer, config_for, get, hs256, bearer, claims

HOST = b"Host: gateway.test\r\n"


def CONFIG(backend, folder):
    return config_for(backend, providers={
        "internal": {"issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["HS256"],
                     "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET"}}]}},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none"},
                "private": {"match": {"path_prefix": "/private"}, "upstream": "backend",
                            "auth": {"provider": "internal"}, "claims_to_headers": {"sub": "X-User-Id"}}})


def framed(fields, body=b""):
    return b"POST / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

FRAMING = {
    "length and chunked": framed(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"),
    "chunked and length": framed(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"),
    "two lengths": framed(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),
    "the same length twice": framed(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    "a list of lengths": framed(b"Content-Length: 5, 5\r\n", b"hello"),
    "length +5": framed(b"Content-Length: +5\r\n", b"hello"),
    "length -1": framed(b"Content-Length: -1\r\n", b"hello"),
    "length 0x5": framed(b"Content-Length: 0x5\r\n", b"hello"),
    "length 5 5": framed(b"Content-Length: 5 5\r\n", b"hello"),
    "length empty": framed(b"Content-Length:\r\n", b"hello"),
    "length 5,6": framed(b"Content-Length: 5,6\r\n", b"hello"),
    "length 2^64+5": framed(b"Content-Length: 18446744073709551621\r\n", b"hello"),
    "length of 19 digits": framed(b"Content-Length: 0000000000000000005\r\n", b"hello"),
    "length with letters": framed(b"Content-Length: 5a\r\n", b"hello"),
    "TE twice": framed(CHUNKED + CHUNKED, b"0\r\n\r\n"),
    "TE identity then chunked": framed(b"Transfer-Encoding: identity\r\n" + CHUNKED, b"0\r\n\r\n"),
    "TE on HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
}
for _value in ("gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "xchunked", "chunkedx",
               "chunked;q=1", "chunked;", ",chunked", "chunked,", "\"chunked\"", "'chunked'", "chunk ed", "chunked\0",
               "\x0bchunked", "chunked\x0b", "\xa0chunked", "", "chunked\r\n chunked", "x\r\n\tchunked",
               "{chunked}", "cow", "chunked, identity"):
    FRAMING[f"TE {_value!r}"] = framed(b"Transfer-Encoding: " + _value.encode("latin-1") + b"\r\n", b"0\r\n\r\n")
for _name in (b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"Transfer\0-Encoding",
              b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding", b"\x0bTransfer-Encoding",
              b"Content-Length ", b"Content Length"):
    FRAMING[f"name {_name!r}"] = framed(_name + b": chunked\r\n", b"0\r\n\r\n")

CHUNKS = {
    "size 0x5": b"0x5\r\nhello\r\n0\r\n\r\n", "size +5": b"+5\r\nhello\r\n0\r\n\r\n", "size -5": b"-5\r\nhello\r\n0\r\n\r\n",
    "size ' 5'": b" 5\r\nhello\r\n0\r\n\r\n", "size '5 '": b"5 \r\nhello\r\n0\r\n\r\n", "size empty": b"\r\nhello\r\n0\r\n\r\n",
    "size of 17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n", "size of 9 digits": b"000000005\r\nhello\r\n0\r\n\r\n",
    "size overflows": b"FFFFFFFFFFFFFFFF5\r\nhello\r\n0\r\n\r\n", "size g": b"g\r\nhello\r\n0\r\n\r\n",
    "no CRLF behind": b"5\r\nhello0\r\n\r\n", "LF behind": b"5\r\nhello\n0\r\n\r\n", "CR behind": b"5\r\nhello\r0\r\n\r\n",
    "bare LF in the size line": b"5\nhello\r\n0\r\n\r\n", "data longer": b"5\r\nhello!\r\n0\r\n\r\n",
    "CR in an extension": b"5;a=\rb\r\nhello\r\n0\r\n\r\n", "LF in an extension": b"5;a=\n\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "a trailer without colon": b"0\r\nnonsense\r\n\r\n", "a trailer with LF": b"0\r\nA: b\n\r\n\r\n",
}

HEADS = {
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF behind the line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "control in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x01b\r\n\r\n",
    "DEL in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x7fb\r\n\r\n",
    "folded value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "folded first field": b"GET / HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\n" + HOST + b"X\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\n" + HOST + b": a\r\n\r\n",
    "bad name ( )": b"GET / HTTP/1.1\r\n" + HOST + b"X(a): a\r\n\r\n",
    "name with a slash": b"GET / HTTP/1.1\r\n" + HOST + b"X/a: a\r\n\r\n",
    "name with 8 bits": b"GET / HTTP/1.1\r\n" + HOST + b"X\xe4: a\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\n" + HOST + b"X\0: a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "the same Host twice": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "Host a@b": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "Host a b": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "Host a/x": b"GET / HTTP/1.1\r\nHost: a/x\r\n\r\n",
    "Host a?x": b"GET / HTTP/1.1\r\nHost: a?x\r\n\r\n",
    "Host a,b": b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "Host a:b": b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "Host a:99999": b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
    "Host [::1": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "no version": b"GET /\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces behind": b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "space behind the version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "control in the target": b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the target": b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n",
    "8 bits in the target": b"GET /\xe4 HTTP/1.1\r\n" + HOST + b"\r\n",
    "target without slash": b"GET a HTTP/1.1\r\n" + HOST + b"\r\n",
    "empty target": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower case version": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\n" + HOST + b"\r\n",
    "HTTP/11": b"GET / HTTP/11\r\n" + HOST + b"\r\n",
    "HTTP/ 1.1": b"GET / HTTP/ 1.1\r\n" + HOST + b"\r\n",
    "HTTP/1": b"GET / HTTP/1\r\n" + HOST + b"\r\n",
    "HTTPS/1.1": b"GET / HTTPS/1.1\r\n" + HOST + b"\r\n",
    "method with a bracket": b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n",
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/1.2 or higher major": b"GET / HTTP/3.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form with another scheme": b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute form with a user": b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "star with GET": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
}
# What else than 400 is right.
STATUS = {"h2 preface": (400, 505), "HTTP/2.0": (400, 505), "HTTP/1.2 or higher major": (400, 505),
          "HTTP/1.10": (400, 505), "CONNECT": (400, 405, 501), "TRACE": (400, 405, 501),
          "TE 'gzip'": (400, 501), "TE 'identity'": (400, 501), "TE 'cow'": (400, 501),
          "TE 'gzip, chunked'": (400, 501)}


def check_refused(gateway, backend, name, data):
    with gateway.client() as client:
        client.try_send(data)
        client.try_send(SMUGGLED * 3)
        response = client.read()
        assert response is not None, "closed without an answer"
        assert response.status in STATUS.get(name, (400,)), response
        assert "close" in (response.get("Connection") or "").lower(), response
        assert client.is_closed(), client.buffer
        assert b"HTTP/1.1" not in client.buffer, "a second answer"
    assert not [r for r in backend.requests if "smuggled" in r.target]
    return response


@pytest.mark.parametrize("name", FRAMING)
def test_ambiguous_framing_is_refused_and_closed(gateway, backend, name):
    response = check_refused(gateway, backend, name, FRAMING[name])
    assert not backend.requests
    assert response.get("Content-Type") == "application/problem+json"


@pytest.mark.parametrize("name", HEADS)
def test_broken_heads_are_refused_and_closed(gateway, backend, name):
    if name in ("CONNECT", "TRACE"):  # well-formed, so the connection may stay
        with gateway.client() as client:
            assert client.ask(HEADS[name]).status in STATUS[name]
        assert not backend.requests
        return
    check_refused(gateway, backend, name, HEADS[name])
    assert not backend.requests


@pytest.mark.parametrize("name", CHUNKS)
def test_broken_chunks_never_become_a_complete_body(gateway, backend, name):
    with gateway.client() as client:
        client.try_send(framed(CHUNKED, CHUNKS[name]))
        client.try_send(SMUGGLED)
        response = client.read("POST")
        assert response is None or response.status == 400, response
        assert client.is_closed()
        assert b"HTTP/1.1" not in client.buffer
    backend.settle()
    assert not [r for r in backend.requests if r.complete or "smuggled" in r.target], backend.requests


GOOD = {
    "chunked in capitals": framed(b"Transfer-Encoding: Chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "optional white space": framed(b"Content-Length: \t 5 \t\r\n", b"hello"),
    "no space": framed(b"Content-Length:5\r\n", b"hello"),
    "leading zeros": framed(b"Content-Length: 005\r\n", b"hello"),
    "chunk size in capitals": framed(CHUNKED, b"A\r\n0123456789\r\n0\r\n\r\n"),
    "chunk size with zeros": framed(CHUNKED, b"0005\r\nhello\r\n000\r\n\r\n"),
    "chunk extension": framed(CHUNKED, b"5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n"),
    "trailers": framed(CHUNKED, b"5\r\nhello\r\n0\r\nContent-Length: 3\r\nHost: evil\r\nX-User-Id: root\r\n\r\n"),
    "absolute form": b"GET http://other.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n",
    "8 bits in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: \xe4\r\n\r\n",
    "empty value": b"GET / HTTP/1.1\r\n" + HOST + b"X:\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_unusual_but_right_requests_pass_once(gateway, backend, name):
    with gateway.client() as client:
        response = client.ask(GOOD[name])
        if name == "unknown method" and response.status in (405, 501):
            return
        assert response.status == 200, response
        assert client.ask(get("/next")).status == 200
    assert len(backend.requests) == 2
    seen = backend.requests[0]
    assert not seen.trailers
    assert len(seen.all("Content-Length")) + len(seen.all("Transfer-Encoding")) <= 1


def test_an_absolute_target_with_another_host_is_400_or_becomes_the_host(gateway, backend):
    response = gateway.ask(b"GET http://one.test/x HTTP/1.1\r\nHost: two.test\r\n\r\n")
    assert response.status in (200, 400)
    if response.status == 200:
        assert backend.last().all("Host") == ["one.test"]


def test_options_star_is_answered_or_refused_but_not_mangled(gateway, backend):
    response = gateway.ask(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
    assert response.status in (200, 204, 400, 404)
    for seen in backend.requests:
        assert seen.target == "*"


def test_the_body_of_a_refused_upload_is_not_a_request(gateway, backend):
    body = SMUGGLED
    with gateway.client() as client:
        client.send(get("/private/a", "Content-Length: %d" % (len(body) * 3), method="POST"))
        response = client.read("POST")
        assert response.status == 401
        client.try_send(body * 3)
        if not client.is_closed(1):
            # It read the body away and stays: then the next answer belongs to the next request.
            assert b"HTTP/1.1" not in client.buffer
            following = client.ask(get("/next"))
            assert following is None or following.status == 200
    assert not [r for r in backend.requests if "smuggled" in r.target]


def test_the_body_behind_a_refused_expectation_is_not_a_request(gateway, backend):
    with gateway.client() as client:
        client.send(get("/private/a", "Expect: 100-continue", f"Content-Length: {len(SMUGGLED)}", method="POST"))
        assert client.read("POST").status == 401
        client.try_send(SMUGGLED)
        client.is_closed(0.5)
    assert not [r for r in backend.requests if "smuggled" in r.target]


def test_a_request_upgrade_to_h2c_is_served_as_http_1(gateway, backend):
    response = gateway.ask(get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"))
    assert response.status == 200
    assert not {"upgrade", "http2-settings"} & set(backend.last().names())


# --- bad answers of a backend -------------------------------------------------------------------

BAD_ANSWERS = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "garbage": b"\x00\x01\x02 nonsense\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "LF only": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "status of 2 digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "endless 1xx": b"HTTP/1.1 100 Continue\r\n\r\n" * 500,
    "giant head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_of_the_backend_is_502(gateway, backend, name):
    backend.on("/bad", lambda c: (c.read_body(), c.send(BAD_ANSWERS[name]), CLOSE)[2])
    with gateway.client() as client:
        response = client.ask(get("/bad", method="POST", body=b"x"))
        assert response.status == 502, response
        assert response.get("Content-Type") == "application/problem+json"
        assert response.json()["status"] == 502
        assert client.ask(get("/next")).status == 200
    numbers = [r.connection.number for r in backend.requests]
    assert len(set(numbers)) == len(numbers), "a connection was used again"


@pytest.mark.parametrize("chunks", [b"5\r\nhelloX", b"zz\r\n", b"5\r\nhe", b"5\nhello\r\n0\r\n\r\n"])
def test_bad_chunks_of_the_backend_are_seen_as_a_cut_answer(gateway, backend, chunks):
    def script(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + chunks)
        return CLOSE
    backend.on("/bad", script)
    with gateway.client() as client:
        response = client.ask(get("/bad"))
        # Cut where the client can see it, or not begun at all.
        assert response is None or response.status == 502 or not response.complete
        assert client.is_closed() or response.status == 502


def test_bytes_behind_an_answer_do_not_answer_the_next_request(gateway, backend):
    backend.on("/more", answer(200, b"mine") + answer(200, b"forged"))
    with gateway.client() as client:
        assert client.ask(get("/more")).body == b"mine"
        assert client.ask(get("/next")).body == b"ok"


def test_a_token_in_a_smuggled_looking_request_changes_nothing(gateway, backend):
    token = hs256(claims(sub="alice"))
    with gateway.client() as client:
        client.send(get("/private/a", bearer(token), method="POST", body=SMUGGLED) + get("/private/b"))
        assert client.read("POST").status == 200
        assert client.read().status == 401
    assert [r.target for r in backend.requests] == ["/private/a"]
