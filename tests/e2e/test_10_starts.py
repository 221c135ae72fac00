# SPDX-License-Identifier: Apache-2.0
"""It starts, says so, serves and stops."""
import re
import signal
import socket
import subprocess

import pytest

from support import BINARY, config_for, free_port, get, wait_until

pytestmark = pytest.mark.threads


def test_it_becomes_ready_and_ends_with_0_on_sigterm(start, backend):
    gateway = start(config_for(backend))
    assert gateway.admin("/readyz")[0] == 200
    gateway.stop()


def test_it_ends_on_sigint(start, backend):
    gateway = start(config_for(backend))
    gateway.signal(signal.SIGINT)
    assert gateway.process.wait(30) == 0


def test_one_request_reaches_the_backend(start, backend):
    gateway = start(config_for(backend))
    response = gateway.ask(get("/hello"))
    assert (response.status, response.body) == (200, b"ok")
    assert backend.last().target == "/hello"


def test_two_workers_serve_many_connections(start, backend):
    gateway = start(config_for(backend, server={"workers": 2}))
    for number in range(20):
        assert gateway.ask(get(f"/{number}")).status == 200


def test_port_0_is_chosen_by_the_kernel_and_logged(start, backend):
    config = config_for(backend)
    config["listeners"]["public"]["address"] = "127.0.0.1:0"
    gateway = start(config)

    def chosen():  # the log has a thread of its own: its lines may come after the readiness
        return re.findall(r"listening listener=public address=127\.0\.0\.1:(\d+)\n", gateway.log())
    gateway.port = int(wait_until(chosen, what="the line of the public listener")[0])
    assert gateway.port not in (0, gateway.admin_port, backend.port)
    assert gateway.ask(get()).status == 200


def test_a_port_that_is_taken_is_a_failed_start_with_1(scratch, backend):
    config = config_for(backend)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(config["listeners"]["public"]["address"].split(":")[1])))
        taken.listen()
        import json
        (scratch / "c.jsonc").write_text(json.dumps(config))
        done = subprocess.run([BINARY, "run", "-c", scratch / "c.jsonc"], capture_output=True, timeout=20,
                              text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "in use" in done.stderr


def test_it_listens_on_ipv6(start, backend):
    config = config_for(backend)
    port = free_port()
    config["listeners"]["six"] = {"address": f"[::1]:{port}"}
    start(config)
    with socket.create_connection(("::1", port), 5) as sock:
        sock.sendall(get())
        assert sock.recv(100).startswith(b"HTTP/1.1 200")


def test_the_second_sigterm_ends_it_at_once(start, backend):
    import threading
    release = threading.Event()
    backend.on("/slow", lambda c: release.wait(60) and None)
    gateway = start(config_for(backend, server={"shutdown_grace": "60s"}))
    client = gateway.client().send(get("/slow"))
    backend.last()
    gateway.signal(signal.SIGTERM)
    gateway.logged("gateway draining")
    assert gateway.process.poll() is None
    gateway.signal(signal.SIGTERM)
    wait_until(lambda: gateway.process.poll() is not None, 40, "the end after the second SIGTERM")
    gateway.process = None  # how it ended is its own matter
    release.set()
    client.close()
