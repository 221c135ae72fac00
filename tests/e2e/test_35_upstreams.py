# SPDX-License-Identifier: Apache-2.0
"""Which target gets a request, and what a client sees when none can."""
import collections
import socket
import threading
import time

import pytest

from support import CLOSE, Backend, answer, config_for, free_port, get, wait_until


@pytest.fixture(scope="module")
def three():
    backends = [Backend() for _ in range(3)]
    yield backends
    for backend in backends:
        backend.stop()


@pytest.fixture
def targets(three):
    for backend in three:
        backend.clear()
    return three


def config(upstream, **parts):
    return config_for("127.0.0.1:1", upstreams={"backend": upstream}, **parts)


def counts(targets):
    return [len(t.requests) for t in targets]


def test_round_robin_takes_turns(start, targets):
    gateway = start(config({"targets": [t.address for t in targets]}))
    for _ in range(30):
        assert gateway.ask(get()).status == 200
    assert counts(targets) == [10, 10, 10]


def test_weights_are_followed(start, targets):
    gateway = start(config({"targets": [{"address": targets[0].address, "weight": 3}, targets[1].address]}))
    for _ in range(40):
        assert gateway.ask(get()).status == 200
    assert counts(targets)[:2] == [30, 10]


def test_least_request_avoids_the_busy_target(start, targets):
    release = threading.Event()
    gateway = start(config({"targets": [t.address for t in targets[:2]], "load_balancing": "least_request"}))
    for target in targets[:2]:
        target.on("/slow", lambda c: release.wait(60) and answer() or answer())
    hanging = [gateway.client().send(get("/slow"))]
    wait_until(lambda: sum(counts(targets)) == 1, what="the slow one has arrived")
    busy = 0 if targets[0].requests else 1
    for _ in range(10):
        assert gateway.ask(get("/fast")).status == 200
    fast = [len([r for r in t.requests if r.target == "/fast"]) for t in targets[:2]]
    release.set()
    assert hanging[0].read().status == 200
    assert fast[1 - busy] >= 9, fast


def test_a_target_that_refuses_is_passed_over(start, targets):
    gateway = start(config({"targets": [f"127.0.0.1:{free_port()}", targets[0].address]}))
    for method in ("GET", "POST"):
        for _ in range(10):
            response = gateway.ask(get("/", method=method, body=b"x" if method == "POST" else None))
            assert response.status == 200
    assert counts(targets)[0] == 20
    assert gateway.metric("jwtgate_upstream_retries_total") > 0


def test_no_target_is_502_with_a_problem(start):
    gateway = start(config({"targets": [f"127.0.0.1:{free_port()}"]}))
    with gateway.client() as client:
        response = client.ask(get())
        problem = response.json()
        assert response.status == 502
        assert response.get("Content-Type") == "application/problem+json"
        assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Bad Gateway", 502)
        assert problem["request_id"] == response.get("X-Request-Id")
        assert "127.0.0.1" not in response.body.decode()
        assert client.ask(get()).status == 502  # the connection stays
    assert gateway.access_line(request_id=problem["request_id"])["outcome"] == "upstream_connect_failed"


def test_a_backend_that_comes_back_is_used_again(start, targets):
    port = free_port()
    gateway = start(config({"targets": [f"127.0.0.1:{port}"]}))
    assert gateway.ask(get()).status == 502
    late = Backend(port)
    try:
        wait_until(lambda: gateway.ask(get()).status == 200, what="the backend is used")
    finally:
        late.stop()
    assert gateway.ask(get()).status == 502


def test_a_backend_that_never_answers_is_504(start, targets):
    targets[0].on("/hang", lambda c: time.sleep(12))
    gateway = start(config({"targets": [targets[0].address], "timeouts": {"response": "400ms"}}))
    begin = time.monotonic()
    with gateway.client() as client:
        response = client.ask(get("/hang"))
        assert response.status == 504
        assert 0.3 < time.monotonic() - begin < 10
        assert client.ask(get("/next")).status == 200
    line = gateway.access_line(status=504)
    assert line["outcome"] == "upstream_timeout" and line["retries"] == 0 or "retries" not in line
    assert len([r for r in targets[0].requests if r.target == "/hang"]) == 1


def test_the_routes_response_timeout_wins(start, targets):
    targets[0].on("/slow", lambda c: time.sleep(0.5) or answer())
    upstream = {"targets": [targets[0].address], "timeouts": {"response": "200ms"}}
    gateway = start(config(upstream, routes={
        "all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none", "timeouts": {"response": "20s"}}}))
    assert gateway.ask(get("/slow")).status == 200


def test_a_connect_that_hangs_is_502_or_504_in_time(start):
    # A listener whose queue is full answers no SYN.
    with socket.socket() as full:
        full.bind(("127.0.0.1", free_port()))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        time.sleep(0.1)
        gateway = start(config({"targets": [f"127.0.0.1:{port}"], "timeouts": {"connect": "300ms"}}))
        response = gateway.ask(get(), timeout=20)  # the kernel would try for two minutes
        assert response.status in (502, 504)
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("when", ["before", "in the head"])
def test_a_backend_that_dies_is_502(start, targets, when):
    def die(connection):
        connection.read_body()
        if when == "in the head":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        return CLOSE
    targets[0].on("/die", die)
    gateway = start(config({"targets": [targets[0].address]}))
    response = gateway.ask(get("/die", method="POST", body=b"x"))
    assert response.status == 502
    assert gateway.access_line(status=502)["outcome"] in ("upstream_reset", "upstream_protocol_error")
    assert len(targets[0].requests) == 1


def test_max_connections_hold_the_others_back_or_503(start, targets):
    targets[0].on("/slow", lambda c: time.sleep(0.3) or answer())
    gateway = start(config({"targets": [targets[0].address], "max_connections": 2}))
    clients = [gateway.client().send(get("/slow")) for _ in range(4)]
    statuses = collections.Counter(c.read().status for c in clients)
    assert statuses[200] >= 2 and set(statuses) <= {200, 503}
    for client in clients:
        client.close()
    assert gateway.ask(get()).status == 200


def test_idle_connections_to_one_target_leave_room_for_another(start, targets):
    gateway = start(config({"targets": [t.address for t in targets[:2]], "max_connections": 1}))
    for _ in range(6):
        assert gateway.ask(get()).status == 200
    assert counts(targets)[:2] == [3, 3]


def test_a_name_is_resolved(start, targets):
    gateway = start(config({"targets": [f"localhost:{targets[0].port}"]}))
    assert gateway.ask(get()).status == 200


def test_a_name_that_does_not_exist_is_502(start):
    gateway = start(config({"targets": ["no-such-host.invalid:80"], "timeouts": {"connect": "1s"}}))
    response = gateway.ask(get())
    assert response.status in (502, 503, 504)


def test_connections_to_the_backend_are_shared_and_expire(start, targets):
    gateway = start(config({"targets": [targets[0].address], "timeouts": {"idle": "2s"}}))
    for _ in range(5):
        assert gateway.ask(get()).status == 200
    assert len(targets[0].connections) == 1
    gateway.wait_for_metric(1, "jwtgate_upstream_connections", state="idle")
    wait_until(lambda: not targets[0].open_sockets, what="the idle connection expires")
    assert gateway.ask(get()).status == 200
    assert len(targets[0].connections) == 2


def test_nginx_as_a_backend(start, scratch):
    import shutil
    import subprocess
    port = free_port()
    (scratch / "www").mkdir()
    (scratch / "www" / "file").write_bytes(b"n" * 300_000)
    (scratch / "nginx.conf").write_text(f"""daemon off; pid nginx.pid; error_log error.log; events {{ }}
http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
server {{ listen 127.0.0.1:{port}; root {scratch}/www; location = /echo {{ return 200 "$http_x_forwarded_for $http_via"; }} }} }}""")
    scratch.chmod(0o755)
    nginx = subprocess.Popen([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", str(scratch), "-e", "stderr", "-c", "nginx.conf"],
                             stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, what="nginx listens")
        gateway = start(config({"targets": [f"127.0.0.1:{port}"]}))
        with gateway.client() as client:
            for _ in range(3):
                response = client.ask(get("/file"))
                assert response.status == 200 and response.body == b"n" * 300_000
            assert client.ask(get("/file", "Range: bytes=0-9")).status == 206
            assert client.ask(get("/file", method="HEAD")).get("Content-Length") == "300000"
            assert client.ask(get("/none")).status == 404
            assert client.ask(get("/echo")).body.startswith(b"127.0.0.1 1.1 jwtgate")
    finally:
        nginx.terminate()
        nginx.wait()
