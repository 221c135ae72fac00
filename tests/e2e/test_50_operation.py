# SPDX-License-Identifier: Apache-2.0
"""What an operator sees and does: health, metrics, the access log, a drain."""
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import PATIENCE, Client, Response, answer, bearer, claims, config_for, get, hs256, wait_until

pytestmark = pytest.mark.threads


def CONFIG(backend, folder):
    return config_for(backend, server={"workers": 2}, providers={
        "internal": {"issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["HS256"],
                     "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET"}}]}},
        routes={"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none"},
                "private": {"match": {"path_prefix": "/private"}, "upstream": "backend",
                            "auth": {"provider": "internal"}}})


# --- admin -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_is_200_and_plain(gateway, backend, path):
    status, _, headers = gateway.admin(path)
    assert status == 200 and headers["Content-Type"].startswith("text/plain")


def test_health_says_more_when_asked(gateway, backend):
    status, body, _ = gateway.admin("/readyz?verbose")
    assert status == 200 and "[+]" in body


def test_health_as_json(gateway, backend):
    status, body, headers = gateway.admin("/readyz", {"Accept": "application/json"})
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    json.loads(body)


def test_unknown_admin_paths_are_404_and_other_methods_405(gateway, backend):
    assert gateway.admin("/nothing")[0] == 404
    assert gateway.admin("/metrics", method="POST")[0] == 405


def test_the_admin_endpoints_are_not_on_the_public_listener(gateway, backend):
    for path in ("/metrics", "/livez", "/readyz"):
        assert gateway.ask(get(path)).body == b"ok"
    assert len(backend.requests) == 3


def test_routes_are_not_on_the_admin_listener(gateway, backend):
    assert gateway.admin("/private")[0] == 404
    assert not backend.requests


# --- metrics -----------------------------------------------------------------------------------


def test_metrics_are_accepted_by_promtool(gateway, backend):
    gateway.ask(get())
    gateway.ask(get("/private"))
    gateway.ask(get("/private", bearer(hs256())))
    gateway.ask(b"nonsense\r\n\r\n")
    status, text, headers = gateway.admin("/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    done = subprocess.run([shutil.which("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in done.stderr


NAMES = """jwtgate_build_info jwtgate_http_requests_total jwtgate_http_request_duration_seconds_bucket
jwtgate_gateway_overhead_seconds_bucket jwtgate_http_request_bytes_total jwtgate_http_response_bytes_total
jwtgate_http_requests_in_flight jwtgate_connections jwtgate_connections_accepted_total jwtgate_http_parse_errors_total
jwtgate_auth_decisions_total jwtgate_auth_duration_seconds_bucket jwtgate_token_cache_entries
jwtgate_token_cache_lookups_total jwtgate_upstream_requests_total jwtgate_upstream_request_duration_seconds_bucket
jwtgate_upstream_connections jwtgate_config_info process_resident_memory_bytes process_open_fds
process_cpu_seconds_total process_start_time_seconds process_max_fds""".split()


def test_the_promised_families_are_there(gateway, backend):
    gateway.ask(get("/private", bearer(hs256())))
    gateway.ask(b"nonsense\r\n\r\n")
    wait_until(lambda: not set(NAMES) - {r.partition("{")[0] for r in gateway.metrics()},
               what=f"missing: {set(NAMES) - {r.partition('{')[0] for r in gateway.metrics()}}")


def test_requests_are_counted_by_route_method_and_code(gateway, backend):
    def count(**labels):
        return gateway.metric("jwtgate_http_requests_total", listener="public", **labels)
    before = count(route="all", method="GET", code="200"), count(route="private", code="401"), count(method="_OTHER")
    for _ in range(10):
        gateway.ask(get())
    gateway.ask(get("/private"))
    gateway.ask(get("/", method="BREW"))
    wait_until(lambda: count(route="all", method="GET", code="200") == before[0] + 10, what="ten requests")
    wait_until(lambda: count(route="private", code="401") == before[1] + 1, what="the one that was refused")
    wait_until(lambda: count(method="_OTHER") == before[2] + 1, what="the one with an odd method")


def test_broken_requests_are_counted(gateway, backend):
    before = gateway.metric("jwtgate_http_requests_total", route="-", code="400")
    errors = gateway.metric("jwtgate_http_parse_errors_total")
    gateway.ask(get("/", "Bad Name: 1"))
    wait_until(lambda: gateway.metric("jwtgate_http_requests_total", route="-", code="400") == before + 1, what="400")
    gateway.wait_for_metric(errors + 1, "jwtgate_http_parse_errors_total")


def test_gauges_return_to_zero(gateway, backend):
    release = threading.Event()
    backend.on("/slow", lambda c: release.wait(60) and answer())
    with gateway.client() as client:
        client.send(get("/slow"))
        wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 1, what="in flight")
        assert gateway.metric("jwtgate_connections", listener="public") == 1
        release.set()
        assert client.read().status == 200
        wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") == 0, what="done")
    wait_until(lambda: gateway.metric("jwtgate_connections", listener="public") == 0, what="closed")


# --- the access log ----------------------------------------------------------------------------


def test_the_access_log_has_the_fields(gateway, backend):
    backend.on("/private/x", answer(201, b"12345"))
    response = gateway.ask(get("/private/x?secret=1", bearer(hs256(claims(sub="alice"), kid="1")), "User-Agent: tests",
                               "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                               method="POST", body=b"abc"))
    assert response.status == 201
    line = gateway.access_line(request_id=response.get("X-Request-Id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    wanted = {"listener": "public", "route": "private", "client_ip": "127.0.0.1", "peer_ip": "127.0.0.1", "method": "POST",
              "scheme": "http", "host": "gateway.test", "path": "/private/x", "protocol": "HTTP/1.1", "status": 201,
              "outcome": "upstream", "provider": "internal", "kid": "1", "sub": "alice", "request_bytes": 3,
              "response_bytes": 5, "upstream": "backend", "upstream_address": backend.address, "upstream_status": 201,
              "user_agent": "tests", "trace_id": "0af7651916cd43dd8448eb211c80319c"}
    assert {k: line.get(k) for k in wanted} == wanted
    for name in ("duration_s", "overhead_s", "upstream_duration_s"):
        assert 0 <= line[name] < 30
    assert line["overhead_s"] <= line["duration_s"]
    assert "secret" not in json.dumps(line)


def test_odd_bytes_stay_one_json_line(gateway, backend):
    response = gateway.ask(get("/a%22%5Db", "User-Agent: \"\\\xff</script>"))
    assert response.status in (200, 400)
    ours = response.get("X-Request-Id")
    assert gateway.access_line(request_id=ours)["status"] == response.status
    text = wait_until(lambda: (t := gateway.access_file.read_text(errors="replace")).endswith("\n") and t, what="whole lines")
    assert ours in [json.loads(line)["request_id"] for line in text.splitlines()]


def test_a_client_that_goes_is_logged_as_499(gateway, backend):
    release = threading.Event()
    backend.on("/slow", lambda c: release.wait(60) and answer())
    client = gateway.client().send(get("/slow"))
    backend.last()
    client.reset()
    assert gateway.access_line(outcome="client_gone")["status"] == 499
    release.set()


def test_the_log_is_reopened_on_usr1(start, backend, scratch):
    file = scratch / "access.log"
    gateway = start(config_for(backend, access_log={"path": str(file)}))
    gateway.ask(get("/before"))
    wait_until(lambda: file.exists() and "/before" in file.read_text(), what="a line")
    os.rename(file, scratch / "old.log")
    gateway.signal(signal.SIGUSR1)
    wait_until(file.exists, what="the new file")
    gateway.ask(get("/after"))
    wait_until(lambda: "/after" in file.read_text(), what="a line in the new file")
    assert "/after" not in (scratch / "old.log").read_text()


def test_the_log_can_be_off_or_combined(start, backend):
    gateway = start(config_for(backend, access_log="off"))
    assert gateway.ask(get()).status == 200
    gateway.stop()
    assert gateway.access_file.read_text() == ""
    gateway = start(config_for(backend, access_log={"path": "-", "format": "combined"}))
    assert gateway.ask(get("/x", "User-Agent: tests")).status == 200
    gateway.stop()
    assert re.search(r'(?m)^127\.0\.0\.1 - \S+ \[[^]]+\] "GET /x HTTP/1\.1" 200 2 "-" "tests"$', gateway.access_file.read_text())


# --- drain -------------------------------------------------------------------------------------


def test_sigterm_under_load_loses_nothing(start, backend):
    backend.default = lambda c: time.sleep(0.01) or answer(200, c.request.target.encode())
    gateway = start(config_for(backend, server={"workers": 2, "shutdown_grace": "5s"}))
    lost, done = [], [0]

    def work(me):
        turn = 0
        while True:
            turn += 1
            path = f"/{me}/{turn}"
            try:
                client = Client(gateway.port)
            except OSError:
                return  # the listener has gone
            connected = time.monotonic()
            with client:
                while True:
                    try:
                        client.send(get(path))
                        waited, connected = time.monotonic() - connected, math.inf
                        response = client.read()
                    except OSError as error:
                        response = error
                    if response is None and waited > 0.8:
                        return  # a draining gateway waits a second for the request, a busy machine longer
                    if not isinstance(response, Response) or response.status != 200 or response.body != path.encode():
                        lost.append((path, response))
                        return
                    done[0] += 1
                    if "close" in (response.get("Connection") or ""):
                        break
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: done[0] > 100, what="some load")
    process = gateway.process
    gateway.signal(signal.SIGTERM)
    assert process.wait(30) == 0
    for thread in threads:
        thread.join(40)
    assert not lost, lost[:3]


def test_a_request_in_flight_is_finished_and_the_connection_closed(start, backend):
    release = threading.Event()
    backend.on("/slow", lambda c: release.wait(60) and answer(200, b"late"))
    gateway = start(config_for(backend, server={"shutdown_grace": "30s"}))
    idle = gateway.client()
    assert idle.ask(get()).status == 200
    client = gateway.client().send(get("/slow"))
    wait_until(lambda: [r for r in backend.requests if r.target == "/slow"], what="in flight")
    gateway.signal(signal.SIGTERM)
    assert idle.is_closed()
    wait_until(lambda: gateway.admin("/readyz")[0] == 503, what="not ready while draining")
    assert gateway.admin("/livez")[0] == 200
    wait_until(gateway.is_refusing, what="the closed listener")
    release.set()
    response = client.read()
    assert response.body == b"late" and response.get("Connection") == "close"
    assert client.is_closed()
    assert gateway.process.wait(30) == 0


def test_the_grace_ends(start, backend):
    release = threading.Event()
    backend.on("/slow", lambda c: release.wait(60) and answer())
    gateway = start(config_for(backend, server={"shutdown_grace": "500ms"}))
    client = gateway.client().send(get("/slow"))
    backend.last()
    begin = time.monotonic()
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(30) == 0
    assert 0.3 < time.monotonic() - begin < 20
    release.set()
    client.close()


def test_systemd_is_told(scratch, start, backend):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(scratch / "notify"))
        notify.settimeout(PATIENCE)
        gateway = start(config_for(backend), environment={"NOTIFY_SOCKET": str(scratch / "notify")})
        assert b"READY=1" in notify.recv(1000)
        gateway.signal(signal.SIGTERM)
        assert b"STOPPING=1" in notify.recv(1000)
        assert gateway.process.wait(30) == 0


def test_the_watchdog_hears_of_loops_that_turn(scratch, start, backend):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(scratch / "notify"))
        notify.settimeout(PATIENCE)
        gateway = start(config_for(backend, server={"workers": 2}), environment={
            "NOTIFY_SOCKET": str(scratch / "notify"), "WATCHDOG_USEC": "400000"})
        words = [notify.recv(1000) for _ in range(4)]
        assert words[0].startswith(b"READY=1") and words[1:] == [b"WATCHDOG=1"] * 3, words
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(30) == 0


def test_the_watchdog_of_another_process_is_not_ours(scratch, start, backend):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(scratch / "notify"))
        notify.settimeout(PATIENCE)
        start(config_for(backend), environment={
            "NOTIFY_SOCKET": str(scratch / "notify"), "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
        assert notify.recv(1000).startswith(b"READY=1")
        notify.settimeout(0.5)
        with pytest.raises(socket.timeout):
            notify.recv(1000)


def test_livez_answers_while_the_workers_are_busy(gateway, backend):
    stop = threading.Event()

    def load():
        with Client(gateway.port) as client:
            while not stop.is_set():
                client.ask(get())
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            begin = time.monotonic()
            assert gateway.admin("/livez")[0] == 200
            assert time.monotonic() - begin < 5
    finally:
        stop.set()
        for thread in threads:
            thread.join()
