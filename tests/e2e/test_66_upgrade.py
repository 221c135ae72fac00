# SPDX-License-Identifier: Apache-2.0
"""Another program takes the place of the running one (SIGUSR2), and sockets from a service manager."""
import copy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from support import (AUDIENCE, BINARY, ISSUER, PATIENCE, SECRET, Adopted, Backend, Client, Response, RsaKey, answer, bearer,
                     become_reaper, claims, config_for, free_port, get, hs256, wait_until)

pytestmark = pytest.mark.threads


@pytest.fixture(autouse=True)
def reaper():
    become_reaper()


@pytest.fixture
def program(scratch):
    """A copy of the binary that a test may replace."""
    file = scratch / "jwtgate"
    shutil.copy(BINARY, file)
    return file


def replace(program, text=None):
    other = program.with_suffix(".new")
    if text is None:
        shutil.copy(BINARY, other)
    else:
        other.write_text(text)
        other.chmod(0o755)
    other.replace(program)


class Load(threading.Thread):
    """Asks all the time, on one connection or on many; every request must be answered with 200."""

    def __init__(self, port, keep_alive):
        super().__init__(daemon=True)
        self.port, self.keep_alive = port, keep_alive
        self.ended, self.count, self.wrong = False, 0, []

    def run(self):
        client = None
        while not self.ended:
            try:
                client = client or Client(self.port)
                path = f"/{self.count}"
                response = client.ask(get(path) if self.keep_alive else get(path, "Connection: close"))
            except OSError as error:
                response = error
            if not isinstance(response, Response) or response.status != 200 or response.body != path.encode():
                self.wrong.append(repr(response))
                return
            self.count += 1
            if response.get("Connection") == "close":
                client.close()
                client = None


def run_loads(port, work, count=3):
    loads = [Load(port, keep_alive) for keep_alive in [True, False] * count]
    for load in loads:
        load.start()
    try:
        work(lambda: [load.wrong for load in loads if load.wrong])
    finally:
        for load in loads:
            load.ended = True
        for load in loads:
            load.join(40)
    assert not any(load.wrong for load in loads), [load.wrong for load in loads]
    return sum(load.count for load in loads)


def echo_path(connection):
    connection.read_body()
    return answer(200, connection.request.target.encode())


def test_nobody_notices(start, backend, program):
    backend.default = echo_path
    gateway = start(config_for(backend, server={"workers": 2}), binary=str(program))
    first = gateway.process.pid

    def work(wrong):
        for _ in range(3):
            replace(program)
            old = gateway.upgrade()
            assert not wrong(), wrong()
            assert old.wait(30) == 0
            assert gateway.is_ready()
            time.sleep(0.1)
            assert not wrong(), wrong()

    assert run_loads(gateway.port, work) > 30
    assert gateway.process.pid != first
    assert gateway.ask(get("/x")).status == 200


@pytest.mark.parametrize("before, after", [(1, 3), (3, 1), (2, 3)])
def test_the_number_of_workers_may_change(start, backend, before, after):
    backend.default = echo_path
    config = config_for(backend, server={"workers": before})
    gateway = start(config)

    def work(wrong):
        for workers in (after, before, after):
            config["server"]["workers"] = workers
            gateway.file.write_text(json.dumps(config))
            assert gateway.upgrade().wait(30) == 0
            assert not wrong(), wrong()

    run_loads(gateway.port, work, 2)


def test_who_waits_in_a_queue_is_served(start, backend):
    """The old process is stopped when it has let in connections that it has not accepted."""
    gateway = start(config_for(backend, server={"workers": 2}))
    gateway.signal(signal.SIGUSR2)
    gateway.logged("upgrade starting")
    gateway.signal(signal.SIGSTOP)
    clients = [gateway.client() for _ in range(40)]
    for client in clients:
        client.send(get("/x"))
    gateway.signal(signal.SIGCONT)
    assert [client.read().status for client in clients] == [200] * 40
    done = wait_until(lambda: re.search(r" upgrade done: .* pid=(\d+)", gateway.log()), what="the upgrade")
    assert gateway.process.wait(30) == 0
    gateway.process = Adopted(int(done.group(1)))


def test_requests_in_flight_are_finished_by_the_old_process(start, backend):
    release = threading.Event()
    backend.on("/slow", lambda c: release.wait(60) and answer(200, b"late"))
    gateway = start(config_for(backend))
    with gateway.client() as client:
        client.send(get("/slow"))
        wait_until(lambda: [r for r in backend.requests if r.target == "/slow"], what="in flight")
        old = gateway.upgrade()
        assert gateway.ask(get("/x")).status == 200
        assert gateway.is_ready(), "the new process answers on the admin listener"
        assert old.poll() is None
        release.set()
        response = client.read()
        assert response.body == b"late" and response.get("Connection") == "close"
    assert old.wait(30) == 0


@pytest.mark.parametrize("what, why", [
    ("#!/bin/sh\nexit 7\n", "it ended with 7"),
    ("#!/bin/sh\nkill -9 $$\n", "it was killed by signal 9"),
    ("not a program", "Exec format error"),
])
def test_a_program_that_does_not_start_changes_nothing(start, backend, program, what, why):
    gateway = start(config_for(backend), binary=str(program))
    replace(program, what)
    gateway.signal(signal.SIGUSR2)
    gateway.logged("upgrade failed: this process goes on")
    gateway.logged(why)
    assert gateway.ask(get("/x")).status == 200 and gateway.is_ready()
    replace(program)
    assert gateway.upgrade().wait(30) == 0
    assert gateway.ask(get("/x")).status == 200


def test_a_program_that_never_says_that_it_is_ready_is_ended(start, backend, program):
    gateway = start(config_for(backend, server={"startup_timeout": "100ms"}), binary=str(program))
    replace(program, "#!/bin/sh\necho $$ > pid\nexec sleep 60\n")
    gateway.signal(signal.SIGUSR2)
    gateway.logged("upgrade failed: this process goes on")
    gateway.logged("not ready in time")
    with pytest.raises(ProcessLookupError):
        os.kill(int((gateway.folder / "pid").read_text()), 0)
    assert gateway.ask(get("/x")).status == 200


def test_a_bad_configuration_changes_nothing_and_says_where(start, backend):
    config = config_for(backend)
    gateway = start(config)
    gateway.file.write_text('{"version": 1, "nonsense": 2}')
    gateway.signal(signal.SIGUSR2)
    gateway.logged("upgrade failed: this process goes on")
    gateway.logged("it ended with 1")
    assert re.search(r"jwtgate\.jsonc:1:\d+: error", gateway.log())
    assert gateway.ask(get("/x")).status == 200
    gateway.file.write_text(json.dumps(config))
    assert gateway.upgrade().wait(30) == 0


def test_who_is_less_ready_does_not_take_over(start, backend):
    """Its keys cannot be fetched, those of the running process are there."""
    server = Backend()
    keys = json.dumps({"keys": [RsaKey("one").jwk()]}).encode()
    server.on("/keys", answer(200, keys, "Content-Type: application/json"))
    provider = {"issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["RS256"],
                "jwks": {"uri": f"http://{server.address}/keys", "allow_http": True, "timeout": "200ms"}}
    config = config_for(backend, server={"startup_timeout": "500ms"}, providers={"corporate": provider})
    config["routes"]["all"]["auth"] = {"provider": "corporate"}
    gateway = start(config)
    server.stop()
    gateway.signal(signal.SIGUSR2)
    gateway.logged("upgrade failed: this process goes on")
    gateway.logged("not ready in time missing=jwks/corporate")
    assert gateway.is_ready()


def test_the_configuration_may_change_with_the_program(start, backend):
    config = config_for(backend)
    gateway = start(config)
    changed = copy.deepcopy(config)
    changed["listeners"] = {"other": {"address": f"127.0.0.1:{free_port()}"},
                            "renamed": config["listeners"]["public"]}
    changed["routes"] = {"b": {"match": {"path_prefix": "/b"}, "upstream": "backend", "auth": "none"}}
    gateway.file.write_text(json.dumps(changed))
    assert gateway.upgrade().wait(30) == 0
    assert [gateway.ask(get(path)).status for path in ("/b", "/x")] == [200, 404]
    gateway.file.write_text(json.dumps({**changed, "listeners": {"other": changed["listeners"]["other"]}}))
    assert gateway.upgrade().wait(30) == 0
    gateway.logged("a socket that no listener has is closed")
    wait_until(gateway.is_refusing, what="the closed socket")


def test_revocations_in_the_local_store_outlive_it(start, backend, scratch):
    secret = scratch / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    provider = {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
                "keys": [{"kid": "one", "secret": {"file": str(secret)}}]}
    config = config_for(backend, server={"state_dir": str(scratch)}, providers={"corporate": provider}, revocation={})
    config["routes"]["all"]["auth"] = {"provider": "corporate"}
    gateway = start(config)
    first, second, third = (hs256(claims(jti=name), kid="one") for name in ("first", "second", "third"))

    def revoke(name):
        subprocess.run([BINARY, "revoke", "-c", str(gateway.file), "--jti", name], check=True, capture_output=True)

    def status(token):
        return gateway.ask(get("/x", bearer(token))).status

    assert [status(token) for token in (first, second, third)] == [200] * 3
    revoke("first")
    wait_until(lambda: status(first) == 401, what="the first is revoked")
    assert gateway.upgrade().wait(30) == 0
    assert [status(token) for token in (first, second, third)] == [401, 200, 200]
    revoke("second")
    wait_until(lambda: status(second) == 401, what="the second is revoked")
    assert status(third) == 200


def test_ports_that_the_kernel_chose_stay(start, backend):
    config = config_for(backend, server={"workers": 2})
    config["listeners"]["extra"] = {"address": "127.0.0.1:0"}
    gateway = start(config)

    def ports(count):
        def found():
            seen = re.findall(r"listening listener=extra address=127\.0\.0\.1:(\d+)", gateway.log())
            return seen if len(seen) == count else None

        return wait_until(found, what="the listener is in the log")

    ports(1)
    assert gateway.upgrade().wait(30) == 0
    assert len(set(ports(2))) == 1


def test_signals_in_the_middle(start, backend, program):
    """A reload is done by the one that serves in the end; a stop ends both; a second upgrade is one."""
    config = config_for(backend)
    gateway = start(config, binary=str(program))
    changed = copy.deepcopy(config)
    changed["routes"]["all"]["match"]["path_prefix"] = "/b"
    gateway.signal(signal.SIGUSR2)
    gateway.logged("upgrade starting")
    gateway.signal(signal.SIGUSR2)
    gateway.file.write_text(json.dumps(changed))
    gateway.signal(signal.SIGHUP)
    done = wait_until(lambda: re.search(r" upgrade done: .* pid=(\d+)", gateway.log()), what="the upgrade")
    assert gateway.process.wait(30) == 0
    gateway.process = Adopted(int(done.group(1)))
    wait_until(lambda: gateway.ask(get("/x")).status == 404, what="the new configuration")
    gateway.signal(signal.SIGHUP)
    gateway.signal(signal.SIGUSR2)
    assert wait_until(lambda: len(re.findall(r" upgrade done: .* pid=(\d+)", gateway.log())) == 2, what="the second")
    assert gateway.process.wait(30) == 0
    gateway.process = Adopted(int(re.findall(r" upgrade done: .* pid=(\d+)", gateway.log())[-1]))
    replace(program, "#!/bin/sh\necho $$ > pid\nexec sleep 60\n")
    gateway.signal(signal.SIGUSR2)
    pid = int(wait_until(lambda: (gateway.folder / "pid").exists() and (gateway.folder / "pid").read_text(), what="it"))
    gateway.stop()
    assert Adopted(pid).wait(30) == -signal.SIGTERM


def test_systemd_is_told_who_serves(start, scratch, backend):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(scratch / "notify"))
        notify.settimeout(PATIENCE)
        gateway = start(config_for(backend), environment={"NOTIFY_SOCKET": str(scratch / "notify")})
        assert b"READY=1" in notify.recv(1000)
        old = gateway.upgrade()
        words = [notify.recv(1000), notify.recv(1000)]
        assert b"MAINPID=%d" % gateway.process.pid in words and any(b"READY=1" in word for word in words), words
        assert old.wait(30) == 0
        gateway.signal(signal.SIGHUP)
        word = notify.recv(1000)
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", word), word
        assert b"READY=1\nSTATUS=Serving configuration " in notify.recv(1000)
        gateway.signal(signal.SIGTERM)
        assert notify.recv(1000) == b"STOPPING=1"


# --- sockets from a service manager ------------------------------------------------------------


LAUNCH = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ.pop("OFFSET", "0")))
os.execv(sys.argv[1], sys.argv[1:])
"""


def launch(gateway, sockets, **environment):
    """Start it as a service manager would; `sockets` become descriptors from 3 on."""
    config = gateway.config
    gateway.port = int(config["listeners"]["public"]["address"].rsplit(":", 1)[1])
    gateway.admin_port = int(config["admin"]["address"].rsplit(":", 1)[1])
    gateway.file.write_text(json.dumps(config))

    def place():
        copies = [os.dup2(one.fileno(), 100 + n) for n, one in enumerate(sockets)]
        for number, one in enumerate(copies):
            os.dup2(one, 3 + number)

    with open(gateway.log_file, "ab") as log, open(gateway.access_file, "ab") as access:
        gateway.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, gateway.binary, "run", "-c", str(gateway.file)], stdout=access, stderr=log,
            env={**gateway.environment, "LISTEN_FDS": str(len(sockets)), **environment}, cwd=gateway.folder,
            close_fds=False, preexec_fn=place)


def activated(start, backend, workers):
    listener = socket.create_server(("127.0.0.1", free_port()), backlog=128)
    config = config_for(backend, server={"workers": workers})
    config["listeners"]["public"]["address"] = "127.0.0.1:%d" % listener.getsockname()[1]
    gateway = start(config, begin=False)
    return listener, gateway


@pytest.mark.parametrize("workers", [1, 3])
def test_a_socket_of_a_service_manager(start, backend, workers):
    listener, gateway = activated(start, backend, workers)
    with listener:
        early = Client(listener.getsockname()[1]).send(get("/early"))
        launch(gateway, [listener])
        assert early.read().status == 200
        wait_until(gateway.is_ready, what="ready")
        assert all(gateway.ask(get("/x")).status == 200 for _ in range(20))
        early.close()
        gateway.stop()
        late = Client(listener.getsockname()[1]).send(get("/late"))
        launch(gateway, [listener])
        assert late.read().status == 200, "it waited while nobody served"
        wait_until(gateway.is_ready, what="ready")
        assert gateway.upgrade().wait(30) == 0
        assert gateway.ask(get("/x")).status == 200
        late.close()


def test_sockets_for_somebody_else_are_left_alone(start, backend):
    listener, gateway = activated(start, backend, 1)
    with listener:
        launch(gateway, [listener], OFFSET="1")
        assert gateway.process.wait(30) == 1
        assert "cannot listen listener=public" in gateway.log()
        gateway.process = None


@pytest.mark.parametrize("environment, word", [
    ({"LISTEN_FDS": "2"}, "no listening TCP or unix socket"),
    ({"LISTEN_FDS": "99999999"}, "LISTEN_FDS says"),
    ({"JWTGATE_UPGRADE": "3"}, "JWTGATE_UPGRADE names no pipe"),
])
def test_what_is_no_listening_socket_is_refused(start, backend, environment, word):
    listener, gateway = activated(start, backend, 1)
    with listener:
        launch(gateway, [listener], **environment)
        assert gateway.process.wait(30) == 1
        assert word in gateway.log()
        gateway.process = None
