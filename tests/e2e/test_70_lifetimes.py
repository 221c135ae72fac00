# SPDX-License-Identifier: Apache-2.0
"""Someone goes at each moment of an exchange: client, backend, the gateway itself.  What is wrong
with memory then shows under the sanitizers; what is left behind shows in the gauges."""
import signal
import threading
import time

import pytest

from support import CLOSE, PATIENCE, Client, answer, config_for, get, wait_until

pytestmark = pytest.mark.threads


def CONFIG(backend, folder):
    return config_for(backend, upstreams={"backend": {"targets": [backend.address], "timeouts": {"response": "3s"}}},
                      server={"timeouts": {"request_header": "3s", "request_body": "3s"}, "limits": {"body_bytes": "64MiB"}})


def is_quiet(gateway):
    return (gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 0
            and gateway.metric("jwtgate_connections", listener="public") == 0)


def check_alive(gateway):
    assert gateway.ask(get("/alive")).status == 200
    wait_until(lambda: is_quiet(gateway), what="nothing is left")


def hold(seconds=0.3):
    """A script that keeps the client waiting."""
    return lambda c: time.sleep(seconds) or answer()


def stream_down(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n")
    for _ in range(20):
        connection.send(b"d" * 1_000_000)


def stream_chunks(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10):
        connection.send(b"5\r\nhello\r\n")
        time.sleep(0.03)
    connection.send(b"0\r\n\r\n")


def read_slowly(connection):
    time.sleep(0.5)
    connection.read_body()
    return answer()


# What the client has sent (and read) when it goes.
CLIENT_MOMENTS = {
    "connected": (b"", None),
    "in the request line": (b"GE", None),
    "in the head": (b"GET / HTTP/1.1\r\nHost: a\r\nX", None),
    "head sent, waiting": (get("/hold"), "request"),
    "body partly sent": (get("/hold", "Content-Length: 1000", method="POST") + b"x" * 10, "request"),
    "chunk partly sent": (get("/hold", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhe", "request"),
    "waiting for 100": (get("/hold", "Expect: 100-continue", "Content-Length: 5", method="POST"), None),
    "body blocked": (get("/read-slowly", "Content-Length: 20000000", method="POST") + b"x" * 3_000_000, "request"),
    "answer begun": (get("/down"), "byte"),
    "chunks coming": (get("/chunks"), "byte"),
    "answer unread": (get("/down"), "request"),
    "answered": (get("/"), "answer"),
    "pipelined": (get("/hold") * 5, "request"),
    "refused": (b"bad\r\n\r\n", None),
    "refused, body coming": (get("/", "Content-Length: 900000000", method="POST") + b"x" * 100_000, None),
}


def scripts(backend):
    backend.on("/hold", hold()).on("/down", stream_down).on("/chunks", stream_chunks).on("/read-slowly", read_slowly)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("moment", CLIENT_MOMENTS)
def test_the_client_goes(gateway, backend, moment, how):
    scripts(backend)
    data, until = CLIENT_MOMENTS[moment]
    clients = []
    for _ in range(3):
        client = gateway.client()
        client.socket.settimeout(0.5)
        try:
            client.try_send(data)
        except OSError:
            pass
        client.socket.settimeout(PATIENCE)
        clients.append(client)
    if until == "request":
        wait_until(lambda: len(backend.requests) >= 1, what="the request at the backend")
    for client in clients:
        if until == "byte":
            client._more()
        elif until == "answer":
            assert client.read().status == 200
        if how == "half":
            import socket
            try:
                client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        elif how == "reset":
            client.reset()
        else:
            client.close()
    if how == "half":
        time.sleep(0.05)
        for client in clients:
            client.close()
    check_alive(gateway)


def die_at_once(connection):
    return CLOSE


def die_after_head(connection):
    connection.read_body()
    return CLOSE


def reset_after_head(connection):
    connection.read_body()
    connection.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0
    return CLOSE


def die_in_head(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nX: ")
    return CLOSE


def die_in_body(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
    return CLOSE


def die_in_chunk(connection):
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
    return CLOSE


def die_after_answer(connection):
    connection.send(answer())
    return CLOSE


def die_while_sent_to(connection):
    if connection.request.get("Content-Length") and not connection.buffer:
        connection.more()
    return CLOSE


def die_after_100(connection):
    connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    return CLOSE


BACKEND_MOMENTS = [die_at_once, die_after_head, reset_after_head, die_in_head, die_in_body, die_in_chunk, die_after_answer,
                   die_while_sent_to, die_after_100]
REQUESTS = {"GET": get("/die"), "POST": get("/die", method="POST", body=b"x" * 100),
            "large POST": get("/die", method="POST", body=b"x" * 5_000_000), "pipelined": get("/die") * 3}


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("moment", BACKEND_MOMENTS, ids=lambda f: f.__name__)
def test_the_backend_goes(gateway, backend, moment, request_name):
    backend.on("/die", moment)
    data = REQUESTS[request_name]
    with gateway.client() as client:
        client.try_send(data)
        response = client.read()
        # 504: it waited for bytes that never come, as we for its answer
        waits = moment is die_while_sent_to
        assert response is None or response.status in (200, 502, 504 if waits else 502), response
        if response is not None and response.status == 200 and moment is not die_after_answer:
            assert not response.complete
    check_alive(gateway)


DRAIN_MOMENTS = {
    "idle": (b"", None), "in the head": (b"GET / HT", None), "waiting": (get("/hold"), 200),
    "body partly sent": (get("/hold", "Content-Length: 10", method="POST") + b"x" * 5, None),
    "chunks coming": (get("/chunks"), 200), "pipelined": (get("/hold") * 2, 200),
}


@pytest.mark.parametrize("moment", DRAIN_MOMENTS)
def test_the_gateway_goes(start, backend, moment):
    scripts(backend)
    data, wanted = DRAIN_MOMENTS[moment]
    gateway = start(config_for(backend, server={"shutdown_grace": "20s" if wanted else "1s"}))
    with gateway.client() as client:
        client.send(data)
        if wanted:
            backend.last()
        else:
            time.sleep(0.05)
        gateway.signal(signal.SIGTERM)
        if wanted:
            response = client.read()
            assert response.status == wanted and response.complete
        assert gateway.process.wait(30) == 0


def test_everybody_comes_and_goes_at_random(gateway, backend):
    scripts(backend)
    backend.on("/die", die_in_body)
    stop = time.monotonic() + 3

    def work(seed):
        import random
        dice = random.Random(seed)
        while time.monotonic() < stop:
            try:
                client = Client(gateway.port, timeout=0.2)
            except OSError:
                continue
            try:
                for _ in range(dice.randrange(1, 4)):
                    client.try_send(dice.choice([get("/"), get("/hold"), get("/down"), get("/chunks"), get("/die"),
                                                 get("/", method="POST", body=b"x" * 10000), b"junk\r\n\r\n"]))
                    if dice.random() < 0.5:
                        try:
                            client.read()
                        except (OSError, ValueError):
                            pass
                    if dice.random() < 0.3:
                        break
            finally:
                if dice.random() < 0.5:
                    client.reset()
                else:
                    client.close()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_alive(gateway)
