# SPDX-License-Identifier: Apache-2.0
"""The admin listener on a unix socket."""
import contextlib
import copy
import os
import signal
import socket
import stat

import pytest
from support import Client, become_reaper, config_for, get, wait_until
from test_65_reload import reload, write
from test_68_control import jwtgate, with_token


@pytest.fixture
def path(scratch):
    return scratch / "admin.sock"


def on_socket(config, path):
    config = copy.deepcopy(config)
    config["admin"]["address"] = f"unix:{path}"
    return config


def listens(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def test_commands_ask_it(start, backend, scratch, path):
    config = on_socket(with_token(backend, scratch), path)
    gateway = start(config)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    gateway.logged(f"listening listener=admin address=unix:{path}")
    for arguments in (["-c", gateway.file], ["--address", f"unix:{path}"]):
        done = jwtgate("status", *arguments)
        assert done.returncode == 0 and "public" in done.stdout, done
    done = jwtgate("check", "--strict", "-c", gateway.file)
    assert done.returncode == 0, done.stderr  # only this machine comes there
    done = jwtgate("reload", "-c", gateway.file)
    assert (done.returncode, done.stdout) == (0, "nothing has changed\n")
    done = jwtgate("stop", "-c", gateway.file)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done
    assert gateway.process.wait(30) == 0
    assert not path.exists()
    done = jwtgate("status", "-c", gateway.file)
    assert done.returncode == 3 and f"no answer from {path}" in done.stderr, done


def test_who_comes_by_it_is_of_this_machine(start, backend, path):
    gateway = start(on_socket(config_for(backend), path))
    assert jwtgate("reload", "--address", f"unix:{path}").returncode == 0  # there is no token
    assert gateway.admin("/livez", {"Host": "evil.test"})[0] == 403
    assert gateway.admin("/metrics")[0] == 200


def test_what_a_killed_one_left_is_replaced(start, backend, path):
    config = on_socket(config_for(backend), path)
    gateway = start(config)
    gateway.process.kill()
    gateway.process.wait()
    gateway.process = None
    assert path.exists() and not listens(path)
    start(config)
    assert listens(path)


@pytest.mark.parametrize("what", ["listens", "file"])
def test_what_is_not_ours_stays(start, backend, path, what):
    with socket.socket(socket.AF_UNIX) as other:
        if what == "listens":
            other.bind(str(path))
            other.listen()
        else:
            path.write_text("precious")
        gateway = start(on_socket(config_for(backend), path), wait=False)
        assert gateway.process.wait(30) == 1
        assert "cannot listen listener=admin" in gateway.log() and "Address already in use" in gateway.log()
        gateway.process = None
        assert path.read_text() == "precious" if what == "file" else listens(path)


def test_it_outlives_an_upgrade(start, backend, path):
    become_reaper()
    gateway = start(on_socket(config_for(backend, server={"workers": 2}), path))
    inode = path.stat().st_ino
    for _ in range(2):
        assert gateway.upgrade().wait(30) == 0
        assert path.stat().st_ino == inode
        assert gateway.admin("/readyz")[0] == 200
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(30) == 0
    assert not path.exists()


def test_an_upgrade_at_the_limit_of_connections(start, backend, path):
    """The new process takes who waits: the old one does not stay for its grace to accept them."""
    become_reaper()
    gateway = start(on_socket(config_for(backend, server={"workers": 1, "limits": {"connections": 4},
                                                          "shutdown_grace": "60s"}), path))
    with contextlib.ExitStack() as clients:
        for _ in range(6):
            clients.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        gateway.logged("at the limit of connections")
        assert gateway.upgrade().wait(30) == 0
    assert gateway.admin("/readyz")[0] == 200


def test_it_comes_and_goes_with_a_reload(start, backend, path):
    config = config_for(backend)
    gateway = start(config)
    moved = on_socket(config, path)
    write(gateway, moved)
    done = jwtgate("reload", "--address", f"127.0.0.1:{gateway.admin_port}")
    assert (done.returncode, done.stdout) == (0, "~admin\n"), done
    assert jwtgate("status", "--address", f"unix:{path}").returncode == 0
    with pytest.raises(ConnectionRefusedError):
        Client(gateway.admin_port)
    write(gateway, config)
    assert jwtgate("reload", "--address", f"unix:{path}").returncode == 0
    wait_until(lambda: not path.exists(), what="no socket")
    reload(gateway)
    assert gateway.ask(get("/")).status == 200


def test_a_reload_that_fails_leaves_no_socket(start, backend, path):
    config = config_for(backend)
    gateway = start(config)
    with socket.create_server(("127.0.0.1", 0)) as other:  # opened after the admin listener's
        broken = on_socket(config, path)
        broken["listeners"]["more"] = {"address": f"127.0.0.1:{other.getsockname()[1]}"}
        log = reload(gateway, broken, ok=False)
    assert "cannot listen on 127.0.0.1" in log and not path.exists()
