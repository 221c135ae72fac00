# SPDX-License-Identifier: Apache-2.0
"""The same bytes to jwtgate and to nginx, in front of the same recording backend: what jwtgate
forwards is one request with one framing, and it is not laxer than nginx where that matters."""
import random
import shutil
import socket
import subprocess
import time

import pytest

from support import Backend, Client, config_for, free_port, get, wait_until
import test_25_strict as strict

HOST = b"Host: gateway.test\r\n"


@pytest.fixture(scope="module")
def other_backend():
    backend = Backend()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def nginx(module_scratch, other_backend):
    folder, port = module_scratch / "nginx", free_port()
    folder.mkdir()
    (folder / "nginx.conf").write_text(f"""daemon off; pid nginx.pid; error_log error.log; user root; events {{ }}
http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
upstream b {{ server {other_backend.address}; keepalive 4; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }} }} }}""")
    program = subprocess.Popen([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", str(folder), "-e", "stderr", "-c", "nginx.conf"],
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, what="nginx listens")
    yield port
    program.terminate()
    program.wait()


def through(port, backend, data, seconds=0.15):
    """The statuses of the answers and the requests that the backend saw; `seconds`: how long nothing may come."""
    backend.clear()
    statuses = []
    with Client(port, timeout=seconds) as client:
        client.try_send(data)
        try:
            while len(statuses) < 5:
                response = client.read()
                if response is None:
                    break
                statuses.append(response.status)
        except (socket.timeout, ValueError):
            pass
    backend.settle()
    return statuses, list(backend.requests)


def framings(seen):
    return len(seen.all("Content-Length")) + len(seen.all("Transfer-Encoding"))


CASES = {**strict.FRAMING, **strict.HEADS, **strict.GOOD,
         **{f"chunk: {n}": strict.framed(strict.CHUNKED, b) for n, b in strict.CHUNKS.items()}}


@pytest.mark.parametrize("name", CASES)
def test_what_is_forwarded_is_one_request(gateway, nginx, backend, other_backend, name):
    ours, seen = through(gateway.port, backend, CASES[name])
    for request in seen:
        assert framings(request) <= 1, request
        assert request.version == "HTTP/1.1" and len(request.all("Host")) == 1
        assert "\0" not in request.head.decode("latin-1")
        assert request.target.startswith(("/", "*"))
    complete = [r for r in seen if r.complete]
    assert len(complete) <= 1, (ours, seen)
    theirs, at_nginx = through(nginx, other_backend, CASES[name])
    if complete and len([r for r in at_nginx if r.complete]) == 1:
        assert complete[0].body == at_nginx[0].body, "two readings of one body"
    if name in strict.GOOD:
        ours = ours or through(gateway.port, backend, CASES[name], 5)[0]
        assert ours[:1] in ([200], [405], [501]), ours


def test_random_changes_never_make_two_readings(gateway, nginx, backend, other_backend):
    """Seeded, so that a failure comes again."""
    dice = random.Random(20261124)
    seeds = [get("/a", method="POST", body=b"hello"), strict.framed(strict.CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
             get("/a", "X: y", "Accept: */*"), strict.framed(b"Content-Length: 5\r\nX: y\r\n", b"hello")]
    odd = [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"\x0b", b"\xff", b"0", b"5", b"chunked", b"+", b"-",
           b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n"]
    for number in range(150):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.choice((1, 1, 2, 3))):
            at = dice.randrange(len(data))
            if dice.random() < 0.6:
                data[at:at] = dice.choice(odd)
            else:
                data[at:at + 1] = dice.choice(odd)
        ours, seen = through(gateway.port, backend, bytes(data))
        complete = [r for r in seen if r.complete]
        assert all(framings(r) <= 1 for r in seen), (number, bytes(data))
        theirs, at_nginx = through(nginx, other_backend, bytes(data))
        there = [r for r in at_nginx if r.complete]
        if len(complete) > max(1, len(there)):  # perhaps it was only late
            theirs, at_nginx = through(nginx, other_backend, bytes(data), 5)
            there = [r for r in at_nginx if r.complete]
        # Where both forwarded one whole request they agree on its body; where nginx saw a broken one
        # first, ours did not go on to a second.
        if len(complete) == 1 and len(there) == 1 and theirs[:1] == [200] and ours[:1] == [200]:
            assert complete[0].body == there[0].body, (number, bytes(data))
        assert len(complete) <= max(1, len(there)), (number, bytes(data), ours, theirs)
