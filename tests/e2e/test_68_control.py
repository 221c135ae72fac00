# SPDX-License-Identifier: Apache-2.0
"""`jwtgate status`, `reload`, `drain` and `stop`: a running gateway, asked through its admin listener."""
import copy
import json
import re
import socket
import subprocess
import threading
import time

import pytest
from support import BINARY, answer, config_for, free_port, get, wait_until
from test_65_reload import write
from tls_support import Authority

TOKEN = "an-admin-token-of-the-tests-0123456789"


def jwtgate(*arguments, **options):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


def with_token(backend, scratch, **parts):
    file = scratch / "admin-token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    config = config_for(backend, **parts)
    config["admin"]["token"] = {"file": str(file)}
    return config


# --- status ------------------------------------------------------------------------------------


def test_status_in_words(start, backend):
    gateway = start(config_for(backend, server={"workers": 2}))
    done = jwtgate("status", "-c", gateway.file)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"process {gateway.process.pid}  serving, ready  for \d+s  workers 2\n", done.stdout), done.stdout
    assert re.search(rf"configuration  {re.escape(str(gateway.file))}  [0-9a-f]{{16}}  loaded \d+s ago\n", done.stdout)
    assert "reloads  0 done, 0 failed\n" in done.stdout
    assert f"listener  public  127.0.0.1:{gateway.port}  public\n" in done.stdout
    assert f"listener  admin  127.0.0.1:{gateway.admin_port}  admin\n" in done.stdout
    gateway.ask(get("/"))
    assert "connections  {" in jwtgate("status", "--address", f"127.0.0.1:{gateway.admin_port}").stdout


def test_status_as_json(start, backend, scratch):
    config = with_token(backend, scratch, revocation={}, server={"state_dir": str(scratch)})
    config["listeners"]["gone"] = {"address": f"127.0.0.1:{free_port()}"}
    gateway = start(config)
    del config["listeners"]["gone"]
    write(gateway, config)
    assert jwtgate("reload", "-c", gateway.file).returncode == 0
    done = jwtgate("status", "-c", gateway.file, "--json")
    status = json.loads(done.stdout)
    assert status["pid"] == gateway.process.pid and status["state"] == "serving" and status["ready"] is True
    assert status["config"]["file"] == str(gateway.file) and len(status["config"]["hash"]) == 16
    assert status["reloads"] == {"success": 1, "failure": 0, "last_successful": True}
    assert {(one["name"], one["service"], one["tls"]) for one in status["listeners"]} == {
        ("public", "public", False), ("admin", "admin", False)}
    assert all(check["ok"] for check in status["checks"]), status
    assert json.loads(gateway.admin("/api/status")[1])["pid"] == status["pid"]
    assert TOKEN not in done.stdout


def test_status_says_whom_it_waits_for(start, backend):
    provider = {"issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["RS256"],
                "jwks": {"uri": f"http://127.0.0.1:{free_port()}/keys", "allow_http": True, "timeout": "200ms"}}
    gateway = start(config_for(backend, providers={"corporate": provider}, server={"startup_timeout": "300ms"}), wait=False)
    wait_until(lambda: jwtgate("status", "-c", gateway.file).returncode == 0, what="an answer")
    done = jwtgate("status", "-c", gateway.file)
    assert "serving, not ready" in done.stdout
    assert re.search(r"check  jwks/corporate  FAILED", done.stdout), done.stdout
    assert re.search(r'keys fetched  \{provider="corporate"\} never', done.stdout), done.stdout
    done = jwtgate("status", "-c", gateway.file, "--ready")
    assert (done.returncode, done.stdout) == (1, "not ready\n")


def test_nobody_answers(backend, scratch):
    file = scratch / "jwtgate.jsonc"
    file.write_text(json.dumps(with_token(backend, scratch)))
    for command in (["status"], ["status", "--ready"], ["reload"], ["drain"], ["stop"]):
        done = jwtgate(*command, "-c", file)
        assert done.returncode == 3 and "no answer from http://127.0.0.1:" in done.stderr, (command, done)


@pytest.mark.parametrize("arguments, code, word", [
    (["status", "-c", "/nowhere/jwtgate.jsonc"], 3, "no such file"),
    (["status", "--address", "a b"], 2, "write HOST:PORT"),
    (["status", "x"], 2, 'unexpected "x"'),
    (["drain", "--wait", "10"], 2, "write 10s"),
    (["stop", "--nonsense"], 2, "no option --nonsense"),
    (["reload", "--address", "127.0.0.1:1", "--token-file", "/nowhere/token"], 1, "/nowhere/token"),
])
def test_mistakes_on_the_command_line(arguments, code, word):
    done = jwtgate(*arguments)
    assert done.returncode == code and word.lower() in done.stderr.lower(), done


def test_a_configuration_without_an_admin_listener(backend, scratch):
    file = scratch / "jwtgate.jsonc"
    file.write_text(json.dumps(config_for(backend, admin=None)))
    done = jwtgate("status", "-c", file)
    assert done.returncode == 3 and "no admin listener" in done.stderr


# --- reload ------------------------------------------------------------------------------------


def test_reload_says_which_files_it_has_taken(start, backend, scratch):
    cert, key = Authority(scratch).issue("a", "a.test")
    secret = scratch / "hs256"
    secret.write_text("x" * 48)
    secret.chmod(0o600)
    config = config_for(backend, providers={"internal": {
        "issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["HS256"],
        "keys": [{"kid": "one", "secret": {"file": str(secret)}}]}}, access_log={"path": str(scratch / "access.log")})
    config["listeners"]["tls"] = {"address": f"127.0.0.1:{free_port()}",
                                  "tls": {"certificates": [{"cert_file": cert, "key_file": key}]}}
    gateway = start(config)
    assert gateway.ask(get("/")).status == 200  # the log, too, is a file that is written since
    wait_until(lambda: (scratch / "access.log").stat().st_size > 0, what="a line")
    secret.write_text("y" * 48)
    done = jwtgate("reload", "-c", gateway.file)
    assert (done.returncode, done.stdout) == (0, f"~file {secret}\n")
    done = jwtgate("reload", "-c", gateway.file)
    assert (done.returncode, done.stdout) == (0, "nothing has changed\n")
    Authority(scratch).issue("a", "a.test")
    changed = copy.deepcopy(config)
    changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
    write(gateway, changed)
    done = jwtgate("reload", "-c", gateway.file)
    assert done.returncode == 0
    assert set(done.stdout.strip().split(", ")) == {"+route c", f"~file {cert}", f"~file {key}"}

def test_reload_prints_the_verdict(start, backend):
    config = config_for(backend)
    gateway = start(config)
    changed = copy.deepcopy(config)
    changed["routes"]["c"] = {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none"}
    write(gateway, changed)
    done = jwtgate("reload", "-c", gateway.file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "+route c\n", "")
    done = jwtgate("reload", "-c", gateway.file)
    assert (done.returncode, done.stdout) == (0, "nothing has changed\n")
    write(gateway, '{"version": 1,\n "nonsense": 2}')
    done = jwtgate("reload", "--address", f"127.0.0.1:{gateway.admin_port}")
    assert done.returncode == 1 and done.stdout == "", done
    assert "jwtgate.jsonc:2:2: error:" in done.stderr and "nothing was changed" in done.stderr
    assert gateway.ask(get("/c")).status == 200
    done = jwtgate("status", "--address", f"127.0.0.1:{gateway.admin_port}")
    assert "reloads  2 done, 1 failed; THE LAST ONE FAILED\n" in done.stdout


def test_reload_waits_for_keys_that_do_not_come(start, backend):
    config = config_for(backend, server={"startup_timeout": "700ms"})
    gateway = start(config)
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        write(gateway, {**config, "providers": {"corporate": {
            "issuer": "https://issuer.test/", "audiences": ["orders"], "algorithms": ["RS256"],
            "jwks": {"uri": "http://127.0.0.1:%d/keys" % silent.getsockname()[1], "allow_http": True}}}})
        begin = time.monotonic()
        done = jwtgate("reload", "-c", gateway.file)
    assert done.returncode == 1 and "not ready in time: jwks/corporate" in done.stderr, done
    assert time.monotonic() - begin > 0.6


def test_what_changes_something_needs_the_token(start, backend, scratch):
    gateway = start(with_token(backend, scratch))
    address = ("--address", f"127.0.0.1:{gateway.admin_port}")
    wrong = scratch / "wrong"
    wrong.write_text("x" * 40)
    wrong.chmod(0o600)
    for command in ("reload", "drain", "stop"):
        for arguments in ([], ["--token-file", wrong]):
            done = jwtgate(command, *address, *arguments)
            assert done.returncode == 1 and "refused (401): The admin token is needed" in done.stderr, done
    assert gateway.is_ready()
    assert jwtgate("status", *address).returncode == 0, "reading does not"
    assert jwtgate("reload", *address, "--token-file", scratch / "admin-token").returncode == 0
    assert jwtgate("reload", "-c", gateway.file).returncode == 0


def test_without_a_token_nobody_stops_it(start, backend):
    gateway = start(config_for(backend))
    for command in ("drain", "stop"):
        done = jwtgate(command, "-c", gateway.file)
        assert done.returncode == 1 and "refused (403): The configuration has no admin.token" in done.stderr, done
    assert gateway.is_ready()


# --- drain and stop ----------------------------------------------------------------------------


@pytest.mark.threads
def test_drain_then_stop(start, backend, scratch):
    gateway = start(with_token(backend, scratch))
    with gateway.client() as client:
        assert client.ask(get("/")).get("Connection") is None
        begin = time.monotonic()
        done = jwtgate("drain", "-c", gateway.file, "--wait", "300ms")
        assert done.returncode == 0 and time.monotonic() - begin >= 0.3, done
        assert client.ask(get("/")).get("Connection") == "close"
    status, text, _ = gateway.admin("/readyz")
    assert status == 503 and "[-]not-draining" in text
    assert gateway.ask(get("/")).status == 200, "who has not heard of it is served"
    assert "draining, not ready" in jwtgate("status", "-c", gateway.file).stdout
    assert jwtgate("status", "-c", gateway.file, "--ready").returncode == 1
    done = jwtgate("stop", "-c", gateway.file)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done
    assert gateway.process.wait(30) == 0


@pytest.mark.threads
def test_stop_waits_for_what_is_in_flight(start, backend, scratch):
    release = threading.Event()
    backend.on("/slow", lambda c: release.wait(60) and answer(200, b"late"))
    gateway = start(with_token(backend, scratch))
    with gateway.client() as client:
        client.send(get("/slow"))
        backend.last()
        with subprocess.Popen([BINARY, "stop", "-c", gateway.file], stdout=subprocess.PIPE, text=True) as stop:
            gateway.logged("gateway draining")
            assert stop.poll() is None
            wait_until(gateway.is_refusing, what="the closed listener")
            again = jwtgate("status", "-c", gateway.file)
            assert "stopping, not ready" in again.stdout, again
            release.set()
            assert client.read().body == b"late"
            assert stop.wait(30) == 0 and stop.stdout.read() == "stopped\n"
    assert gateway.process.wait(30) == 0


def test_a_page_in_a_browser_stops_nothing(start, backend, scratch):
    gateway = start(with_token(backend, scratch))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/stop", "/drain", "/reload"):
        assert gateway.admin(path, method="POST", headers={**headers, "Origin": "http://evil.test"})[0] == 403
        assert gateway.admin(path, method="POST", headers={**headers, "Host": "evil.test"})[0] == 403
        assert gateway.admin(path, headers=headers)[0] == 404
    assert gateway.is_ready()
