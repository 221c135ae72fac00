# SPDX-License-Identifier: Apache-2.0
"""Every limit and every deadline, and the others are served meanwhile."""
import os
import socket
import threading
import time

import pytest

from support import CLOSE, PATIENCE, PLAIN_BINARY, Backend, Client, answer, config_for, get, wait_until


def CONFIG(backend, folder):
    return config_for(
        backend, server={
            "limits": {"header_bytes": "4KiB", "headers": 20, "uri_bytes": "1KiB", "body_bytes": "64KiB",
                       "connections": 200},
            "timeouts": {"request_header": "600ms", "request_body": "600ms", "keep_alive": "700ms"}})


def took(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


# --- sizes -------------------------------------------------------------------------------------


def test_a_long_target_is_414(gateway, backend):
    with gateway.client() as client:
        response = client.ask(get("/" + "a" * 2000))
        assert response.status == 414
        assert client.is_closed()
    assert not backend.requests
    assert gateway.ask(get("/" + "a" * 900)).status == 200


def test_a_large_head_is_431(gateway, backend):
    with gateway.client() as client:
        response = client.ask(get("/", "X: " + "a" * 5000))
        assert response.status == 431
        assert client.is_closed()
    assert not backend.requests
    assert gateway.ask(get("/", "X: " + "a" * 3000)).status == 200


def test_a_head_without_end_is_431_before_it_ends(gateway, backend):
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        for _ in range(100):
            client.try_send(b"a" * 1000)
        assert client.read().status == 431


def test_many_fields_are_431(gateway, backend):
    assert gateway.ask(get("/", *[f"X-{n}: 1" for n in range(30)])).status == 431
    assert not backend.requests
    assert gateway.ask(get("/", *[f"X-{n}: 1" for n in range(15)])).status == 200


def test_a_long_field_name_is_refused(gateway, backend):
    assert gateway.ask(get("/", "X" * 300 + ": 1")).status in (400, 431)


def test_a_body_that_says_it_is_large_is_413_at_once(gateway, backend):
    with gateway.client() as client:
        response = client.ask(get("/", "Content-Length: 70000", method="POST"))
        assert response.status == 413
        assert client.is_closed()
    assert not backend.requests


def test_a_chunked_body_that_grows_large_is_413(gateway, backend):
    with gateway.client() as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        for _ in range(20):
            client.try_send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        client.try_send(b"0\r\n\r\n")
        response = client.read("POST")
        assert response is None or response.status in (413, 502), response
        assert client.is_closed()
    assert not [r for r in backend.requests if r.complete]


def test_a_body_of_exactly_the_limit_passes(gateway, backend):
    assert gateway.ask(get("/", method="POST", body=b"x" * 65536)).status == 200


def test_chunks_of_one_byte_are_bounded(gateway, backend):
    """Framing may not cost more than a budget beside the data."""
    with gateway.client() as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        client.try_send((b"1;" + b"e" * 200 + b"\r\nx\r\n") * 300 + b"0\r\n\r\n")
        response = client.read("POST")
        assert response is None or response.status == 400
    assert not [r for r in backend.requests if r.complete]


def test_a_large_trailer_section_is_refused(gateway, backend):
    with gateway.client() as client:
        client.try_send(get("/", "Transfer-Encoding: chunked", method="POST") + b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n")
        response = client.read("POST")
        assert response is None or response.status in (400, 431)


# --- deadlines ---------------------------------------------------------------------------------


def test_a_slow_head_is_cut_even_when_bytes_keep_coming(gateway, backend):
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")

        def drip():
            for _ in range(400):
                client.try_send(b"X")
                client.socket.settimeout(0.05)
                try:
                    if not client._more():
                        return
                except socket.timeout:
                    pass
        assert took(drip) < 10
        client.socket.settimeout(PATIENCE)
        response = client.read()
        assert response is None or response.status == 408
        assert client.is_closed()


def test_a_connection_that_says_nothing_is_closed_without_an_answer(gateway, backend):
    with gateway.client() as client:
        assert client.is_closed(8)  # without the limit of this test: 10 s
        assert not client.buffer


def test_an_idle_connection_is_closed(gateway, backend):
    with gateway.client() as client:
        assert client.ask(get()).status == 200
        assert took(client.is_closed) > 0.4
        assert not client.buffer


def test_a_stalled_body_is_408(gateway, backend):
    with gateway.client() as client:
        client.send(get("/", "Content-Length: 100", method="POST") + b"abc")
        response = client.read("POST")
        assert response is not None and response.status == 408
        assert client.is_closed()


def test_a_slow_body_that_moves_is_not_cut(start, backend):
    gateway = start(config_for(backend, server={"timeouts": {"request_body": "2s"}}))
    with gateway.client() as client:
        client.send(get("/", "Content-Length: 2400", method="POST"))
        for _ in range(6):
            time.sleep(0.5)
            client.send(b"x" * 400)
        assert client.read("POST").status == 200


def test_a_body_below_the_least_rate_is_cut(gateway, backend):
    with gateway.client() as client:
        client.send(get("/", "Content-Length: 100", method="POST"))
        for _ in range(20):
            time.sleep(0.1)
            client.try_send(b"x")
        response = client.read("POST")
        assert response is not None and response.status == 408


def test_an_answer_that_came_before_the_body_is_not_cut(gateway, backend):
    def early(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
        time.sleep(1.5)
        connection.send(b"bc")
        return CLOSE
    backend.on("/early", early)
    with gateway.client() as client:
        client.send(get("/early", "Content-Length: 100", method="POST") + b"abc")
        response = client.read("POST")
        assert response.status == 200 and response.body == b"abc"
        assert client.is_closed()


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silent", "drip"])
def test_an_answer_that_waits_for_the_body_is_not_held_for_ever(start, backend, drip):
    """The backend says 200 at once and ends when it has the body, which never comes whole."""
    def early(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
        connection.read_body()
        return b"bc"
    backend.on("/early", early)
    config = config_for(backend, server={"timeouts": {"request_body": "600ms"}})
    config["routes"]["all"]["timeouts"] = {"response": "900ms"}
    gateway = start(config)
    with gateway.client() as client:
        client.send(get("/early", "Content-Length: 100", method="POST") + b"abc")
        wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 1, what="in flight")
        assert client.socket.recv(12) == b"HTTP/1.1 200"
        client.send(b"d")  # after the answer has begun
        end = time.monotonic() + 20
        while gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 1:
            assert time.monotonic() < end, "the request is held"
            time.sleep(0.2)
            client.try_send(drip)
    assert gateway.access_line(path="/early")["reason"] == "response_timeout"


def test_a_body_that_goes_on_after_the_answer_began_is_passed_whole(start, backend):
    def early(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
        connection.read_body()
        return b"bc"
    backend.on("/early", early)
    config = config_for(backend, server={"timeouts": {"request_body": "1500ms"}})
    config["routes"]["all"]["timeouts"] = {"response": "3s"}
    gateway = start(config)
    with gateway.client() as client:
        client.send(get("/early", "Content-Length: 4500", method="POST"))
        for _ in range(15):
            time.sleep(0.3)
            client.send(b"x" * 300)
        assert client.read("POST").body == b"abc"
    assert len(backend.last().body) == 4500


def test_requests_per_connection_are_limited(start, backend):
    gateway = start(config_for(backend, server={"limits": {"requests_per_connection": 3}}))
    with gateway.client() as client:
        answers = [client.ask(get(f"/{n}")) for n in range(3)]
        assert [a.status for a in answers] == [200] * 3
        assert answers[-1].get("Connection") == "close"
        assert client.is_closed()


def test_a_client_that_does_not_read_is_cut(start, backend):
    gateway = start(config_for(backend, server={"timeouts": {"write": "700ms"}}))
    backend.on("/big", lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + b"x" * 30000000) and None)
    with gateway.client(receive_buffer=4096) as client:
        client.send(get("/big"))
        wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 1, what="in flight")
        wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 0, what="the cut")
    assert gateway.ask(get()).status == 200


def test_a_client_that_sends_but_does_not_read_is_cut(start, backend):
    """Bytes that it sends, here of a next request, are no progress in taking the answer."""
    gateway = start(config_for(backend, server={"timeouts": {"write": "700ms"}}))
    backend.on("/big", lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + b"x" * 30000000) and None)
    with gateway.client(receive_buffer=4096) as client:
        client.send(get("/big"))
        wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 1, what="in flight")
        end = time.monotonic() + 20
        while gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 1:
            assert time.monotonic() < end, "the request is held"
            time.sleep(0.2)
            client.try_send(b"G")


# --- while others are served -------------------------------------------------------------------


def test_others_are_served_while_slow_clients_hang(gateway, backend):
    slow = []
    try:
        for number in range(40):
            slow.append(Client(gateway.port).send(b"GET / HTTP/1.1\r\nHost: a\r\nX"))
            slow.append(Client(gateway.port).send(get("/", "Content-Length: 100", method="POST") + b"x"))
        waits = sorted(took(lambda: gateway.ask(get("/quick")).status == 200) for _ in range(20))
        assert waits[10] < 0.5, waits
        for client in slow:
            assert client.is_closed() or client.read() is None or client.is_closed()
    finally:
        for client in slow:
            client.close()


def test_over_the_connection_limit_others_wait_and_then_are_served(start, backend):
    gateway = start(config_for(backend, server={"limits": {"connections": 10}}))
    clients = [gateway.client() for _ in range(10)]
    for client in clients:
        assert client.ask(get()).status == 200
    late = gateway.client()
    late.try_send(get("/late"))
    time.sleep(0.2)
    for client in clients:
        client.close()
    try:
        response = late.read()
    finally:
        late.close()
    # Either it waited in the queue of the listener, or it was closed at once.
    assert response is None or response.status in (200, 503)
    wait_until(lambda: gateway.ask(get()) is not None, what="served again")


def test_connections_per_address_are_limited(start, backend):
    gateway = start(config_for(backend, server={"limits": {"connections_per_ip": 3}}))
    clients = [gateway.client() for _ in range(3)]
    try:
        for client in clients:
            assert client.ask(get()).status == 200
        with gateway.client() as extra:
            response = extra.ask(get())
            assert response is None or response.status in (429, 503)
        for client in clients:
            assert client.ask(get()).status == 200
    finally:
        for client in clients:
            client.close()

    def again():
        response = gateway.ask(get())
        return response is not None and response.status == 200
    wait_until(again, what="the address may connect again")


def test_file_descriptors_at_their_end_do_not_spin_or_crash(start, backend):
    gateway = start(config_for(backend, server={"limits": {"connections": 10000}}), binary=PLAIN_BINARY)
    import resource
    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (60, 60))
    clients = []
    try:
        for _ in range(80):
            clients.append(gateway.client())
        cpu = lambda: sum(map(int, open(f"/proc/{gateway.process.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
        before = cpu()
        time.sleep(1)
        assert cpu() - before < 50, "it spins"
    finally:
        for client in clients:
            client.close()

    def served():
        try:
            response = gateway.ask(get())
        except OSError:
            return False
        return response is not None and response.status == 200
    wait_until(served, what="served again")


# --- memory ------------------------------------------------------------------------------------

BIG = int(os.environ.get("JWTGATE_TEST_BIG_MIB", "256")) << 20


@pytest.fixture(scope="module")
def plain(module_scratch):
    """The gateway without sanitizers, in front of a backend that keeps nothing."""
    from support import Gateway
    backend = Backend(keep_bytes=False)
    block = b"d" * (1 << 20)

    def down(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
        for _ in range(BIG >> 20):
            connection.send(block)
    backend.on("/down", down)
    folder = module_scratch / "plain"
    folder.mkdir()
    gateway = Gateway(folder, config_for(backend, server={"limits": {"body_bytes": "2GiB"}}), binary=PLAIN_BINARY)
    yield gateway.start()
    gateway.stop()
    backend.stop()


def watch_rss(gateway, stop, worst):
    while not stop.is_set():
        worst[0] = max(worst[0], gateway.rss_kib())
        stop.wait(0.02)


def with_rss(gateway, work):
    stop, worst = threading.Event(), [0]
    watcher = threading.Thread(target=watch_rss, args=(gateway, stop, worst))
    watcher.start()
    try:
        work()
    finally:
        stop.set()
        watcher.join()
    assert worst[0] < 32 * 1024, f"{worst[0]} KiB"


def test_a_large_download_streams_through_little_memory(plain):
    def work():
        with plain.client(timeout=60) as client:
            client.send(get("/down"))
            got = 0
            while got < BIG:
                data = client.socket.recv(1 << 20)
                assert data, got
                got += len(data)
    with_rss(plain, work)


def test_a_large_upload_streams_through_little_memory(plain):
    def work():
        with plain.client(timeout=60) as client:
            client.send(get("/up", f"Content-Length: {BIG}", method="POST"))
            block = b"u" * (1 << 20)
            for _ in range(BIG >> 20):
                client.send(block)
            assert client.read("POST").status == 200
    with_rss(plain, work)


def test_a_slow_reader_does_not_fill_the_memory(plain):
    def work():
        clients = [plain.client(receive_buffer=4096).send(get("/down")) for _ in range(20)]
        time.sleep(1)
        for client in clients:
            client.reset()
    with_rss(plain, work)


def test_refused_requests_leave_no_memory_behind(plain):
    for _ in range(50):
        plain.ask(get("/x", "Bad Name: 1"))
    before = plain.rss_kib()
    for _ in range(1000):
        plain.ask(get("/x", "Bad Name: 1"))
    assert plain.rss_kib() - before < 2048
