# SPDX-License-Identifier: Apache-2.0
"""Reloads, upgrades and restarts while wrk and clients that know the right answers ask all the time.

Short in ./dev test; `./dev soak` runs the long one (100 reloads in 60 s) with the release binary and
prints what it saw."""
import copy
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from support import Client, Response, become_reaper, config_for, free_port, get, wait_until
from test_65_reload import write
from test_66_upgrade import launch

IS_LONG = os.environ.get("JWTGATE_SOAK") == "long"
RELOADS, SECONDS = (100, 60) if IS_LONG else (24, 6)
UPGRADES, RESTARTS = (10, 10) if IS_LONG else (3, 2)
NGINX = """daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {servers}
}}
"""


@pytest.fixture(autouse=True)
def reaper():
    become_reaper()


@pytest.fixture(scope="module")
def backends(module_scratch):
    """Two of them; each answers with its number."""
    folder = module_scratch / "nginx"
    folder.mkdir()
    ports = [free_port(), free_port()]
    servers = "\n  ".join(f'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{number}"; }} }}'
                          for number, port in enumerate(ports))
    (folder / "conf").write_text(NGINX.format(folder=folder, servers=servers))
    with subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "conf")]) as process:
        for port in ports:
            wait_until(lambda: is_open(port), what="nginx")
        yield [f"127.0.0.1:{port}" for port in ports]
        process.terminate()


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Asker(threading.Thread):
    """One client that knows which answers are right now; with `keep_alive` on one connection."""

    def __init__(self, port, expected, keep_alive):
        super().__init__(daemon=True)
        self.port, self.expected, self.keep_alive = port, expected, keep_alive
        self.ended, self.count, self.wrong = False, 0, []

    def run(self):
        client = None
        request = get("/x") if self.keep_alive else get("/x", "Connection: close")
        while not self.ended:
            allowed = set(self.expected)
            try:
                client = client or Client(self.port, timeout=30)
                response = client.ask(request)
            except OSError as error:
                response = error
            allowed |= set(self.expected)
            if not isinstance(response, Response) or response.status != 200 or response.body.decode() not in allowed:
                self.wrong.append((self.count, repr(response), allowed))
                return
            self.count += 1
            if response.get("Connection") == "close":
                client.close()
                client = None


class Wrk:
    def __init__(self, port, keep_alive, seconds):
        self.name = "wrk, keep-alive" if keep_alive else "wrk, a connection for each request"
        self.process = subprocess.Popen(
            ["wrk", "-t1", "-c16", f"-d{seconds}s", "--timeout", "10s", *([] if keep_alive else ["-H", "Connection: close"]),
             f"http://127.0.0.1:{port}/x"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        """(requests, what went wrong)"""
        text = self.process.communicate(timeout=120)[0]
        count = int(re.search(r"(\d+) requests in", text).group(1))
        wrong = [line.strip() for line in text.splitlines() if "Socket errors" in line or "Non-2xx" in line]
        return count, wrong


def under_load(port, expected, work):
    """Do `work` while clients ask; all of them got what they should.  wrk is ended when the work is."""
    askers = [Asker(port, expected, keep_alive) for keep_alive in (True, False, True, False)]
    loads = [Wrk(port, keep_alive, 600) for keep_alive in (True, False)]
    for asker in askers:
        asker.start()
    try:
        work()
    finally:
        for asker in askers:
            asker.ended = True
        for asker in askers:
            asker.join(20)
        for load in loads:
            load.process.send_signal(signal.SIGINT)  # it then prints its result
    results = [(load.name, *load.result()) for load in loads]
    for name, count, wrong in results:
        print(f"  {name}: {count} requests, errors: {wrong or 'none'}")
    print(f"  clients that check answers: {sum(a.count for a in askers)} requests, wrong or lost: "
          f"{sum(len(a.wrong) for a in askers)}")
    assert not any(asker.wrong for asker in askers), [asker.wrong for asker in askers]
    assert all(not wrong and count > 100 for _, count, wrong in results), results
    assert all(asker.count > 10 for asker in askers)


def configurations(backends):
    """Two, of which each has a route to its own backend, and listeners that come and go."""
    base = config_for(backends[0], server={"workers": 2}, access_log="off")
    made = []
    for number, address in enumerate(backends):
        config = copy.deepcopy(base)
        config["upstreams"] = {f"backend{number}": {"targets": [address]}}
        config["routes"] = {f"route{number}": {"match": {"path_prefix": "/x"}, "upstream": f"backend{number}", "auth": "none"}}
        made.append(config)
    made[1]["listeners"]["extra"] = {"address": f"127.0.0.1:{free_port()}"}
    return made


def counts(gateway):
    return [int(gateway.metric("jwtgate_config_reloads_total", result=result)) for result in ("success", "failure")]


def change(gateway, config, expected, word):
    """Reload it; answers of either configuration are right meanwhile."""
    before = counts(gateway)
    write(gateway, config)
    expected.append(word)
    gateway.signal(signal.SIGHUP)
    after = wait_until(lambda: counts(gateway) != before and counts(gateway), what="the end of a reload")
    assert after[0] - before[0] == (0 if word == expected[0] else 1), gateway.log()[-2000:]
    expected[:] = [word]


def test_reloads(start, backends):
    first, second = configurations(backends)
    broken = '{"version": 1, "listeners": 5}'
    gateway = start(first)
    expected, memory = ["0"], []

    def work():
        begin = time.monotonic()
        for number in range(RELOADS):
            if number % 3 == 2:
                change(gateway, broken, expected, expected[0])
            else:
                change(gateway, second if expected[0] == "0" else first, expected, "1" if expected[0] == "0" else "0")
            memory.append(gateway.rss_kib())
            time.sleep(max(0, begin + (number + 1) * SECONDS / RELOADS - time.monotonic()))
        print(f"\n{RELOADS} reloads in {time.monotonic() - begin:.1f} s, of which {counts(gateway)[1]} were broken")

    under_load(gateway.port, expected, work)
    done = RELOADS - RELOADS // 3
    assert counts(gateway) == [done, RELOADS // 3]
    print(f"  memory (KiB) after 10: {memory[9]}, half: {memory[RELOADS // 2]}, all: {memory[-1]}")
    # Freed memory is kept aside by sanitizers: only the release shows what is held.
    assert not IS_LONG or memory[-1] < memory[9] * 1.1 + 1024, memory


def test_upgrades(start, backends):
    config = configurations(backends)[0]
    gateway = start(config)
    memory = []

    def work():
        for _ in range(UPGRADES):
            assert gateway.upgrade().wait(30) == 0
            time.sleep(SECONDS / 12)
            memory.append(gateway.rss_kib())

    print(f"\n{UPGRADES} upgrades of the binary")
    under_load(gateway.port, ["0"], work)
    print(f"  memory (KiB) of each process: {memory}")


def test_restarts_behind_a_socket_of_a_service_manager(start, backends):
    """SIGTERM, its drain, and a new start: who comes meanwhile waits in the queue that is left open."""
    with socket.create_server(("127.0.0.1", free_port()), backlog=4096) as listener:
        config = configurations(backends)[0]
        config["listeners"]["public"]["address"] = "127.0.0.1:%d" % listener.getsockname()[1]
        gateway = start(config, begin=False)
        launch(gateway, [listener])
        wait_until(gateway.is_ready, what="ready")

        def work():
            for _ in range(RESTARTS):
                gateway.signal(signal.SIGTERM)
                assert gateway.process.wait(30) == 0
                launch(gateway, [listener])
                wait_until(gateway.is_ready, what="ready")
                time.sleep(SECONDS / 12)

        print(f"\n{RESTARTS} drains after SIGTERM, and restarts")
        under_load(gateway.port, ["0"], work)
