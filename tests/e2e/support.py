# SPDX-License-Identifier: Apache-2.0
"""What the tests stand on: the gateway under test, a raw client, a scripted backend, tokens."""
import base64
import contextlib
import ctypes
import hashlib
import hmac
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("JWTGATE_BIN", str(ROOT / "build-asan" / "jwtgate"))
PLAIN_BINARY = os.environ.get("JWTGATE_PLAIN_BIN", str(ROOT / "build-plain" / "jwtgate"))
SECRET = "a-secret-of-the-tests-with-48-bytes-0123456789ab"
ISSUER, AUDIENCE = "https://issuer.test/", "orders"
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|internal error|"
                       r"SUMMARY: \w+Sanitizer")


def own_ports():
    """Below those that the kernel gives out by itself; a part for each process of the run."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
    return range(11000 + worker * 2500, 13500 + worker * 2500)


PORTS = own_ports()
next_port = itertools.count(random.randrange(len(PORTS)))


def free_port():
    """A port that nobody has.  It comes again only when all the others have been given out."""
    while True:
        port = PORTS[next(next_port) % len(PORTS)]
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


# How long a test waits for what must come.  It comes at once, but for a machine that is very busy.
PATIENCE = 30.0


def wait_until(condition, seconds=PATIENCE, what="condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds} s")


# --- the client --------------------------------------------------------------------------------


class Response:
    def __init__(self, version, status, phrase, fields):
        self.version, self.status, self.phrase, self.fields = version, status, phrase, fields
        self.body, self.interim, self.complete, self.trailers = b"", [], False, []

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}{'' if self.complete else ' CUT'}>"


class Client:
    """One raw connection."""

    def __init__(self, port, timeout=PATIENCE, host="127.0.0.1", receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.ended = b"", False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def try_send(self, data):
        with contextlib.suppress(OSError):
            self.send(data)
        return self

    def _more(self):
        try:
            data = self.socket.recv(262144)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.ended = True
        self.buffer += data
        return bool(data)

    def _line(self):
        while b"\r\n" not in self.buffer:
            if not self._more():
                return None
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def _take(self, size):
        while len(self.buffer) < size and self._more():
            pass
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _fields(self):
        fields = []
        while True:
            line = self._line()
            if not line:
                return fields
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))

    def _head(self):
        line = self._line()
        if line is None:
            return None
        version, status, *phrase = line.split(" ", 2)
        return Response(version, int(status), phrase[0] if phrase else "", self._fields())

    def read(self, method="GET"):
        """The next final response; None when the connection ended without one."""
        interim = []
        while True:
            response = self._head()
            if response is None:
                return None
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        self._body(response, method)
        return response

    def _body(self, response, method):
        if method == "HEAD" or response.status in (101, 204, 304):
            response.complete = True
        elif "chunked" in (response.get("Transfer-Encoding") or "").lower():
            while True:
                line = self._line()
                if line is None:
                    return
                size = int(line.split(";")[0], 16)
                if size == 0:
                    response.trailers = self._fields()
                    response.complete = not self.ended
                    return
                data = self._take(size)
                response.body += data
                if len(data) < size or self._line() != "":
                    return
        elif response.get("Content-Length") is not None:
            size = int(response.get("Content-Length"))
            response.body = self._take(size)
            response.complete = len(response.body) == size
        else:
            while self._more():
                pass
            response.body, self.buffer, response.complete = self.buffer, b"", True

    def ask(self, data, method=None):
        text = data if isinstance(data, bytes) else data.encode("latin-1")
        self.try_send(text)
        return self.read(method or text.split(b" ", 1)[0].decode("latin-1"))

    def is_closed(self, seconds=PATIENCE):
        """Does the other side end the connection (and send nothing more)?"""
        if self.ended:
            return True
        old = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
            self.buffer += data
            return not data
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False
        finally:
            self.socket.settimeout(old)


def get(path="/", *fields, host="gateway.test", method="GET", body=None):
    """The bytes of a plain request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def bearer(token):
    return f"Authorization: Bearer {token}"


# --- the backend -------------------------------------------------------------------------------


class Seen:
    """One request as a backend saw it."""

    def __init__(self, head, connection):
        self.head, self.connection = head, connection
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.method, self.target, self.version = (lines[0].split(" ") + ["", ""])[:3]
        self.fields = [(n, v.strip()) for n, _, v in (f.partition(":") for f in lines[1:] if f)]
        self.body, self.raw_body, self.trailers, self.complete = b"", b"", [], False

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def names(self):
        return [n.lower() for n, _ in self.fields]

    def __repr__(self):
        return f"<{self.line} {self.fields} {self.body[:100]!r}>"


class Gone(Exception):
    pass


class BackendConnection:
    """What a script of a backend works with."""

    def __init__(self, backend, sock, number):
        self.backend, self.socket, self.number = backend, sock, number
        self.bytes, self.buffer, self.request = b"", b"", None

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(262144)
        if not data:
            raise Gone
        if self.backend.keep_bytes:
            self.bytes += data
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        data, self.buffer = self.buffer.split(mark, 1)
        return data + mark

    def take(self, size):
        while len(self.buffer) < size:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_body(self):
        seen = self.request
        if seen.complete:
            return seen.body
        if seen.get("Transfer-Encoding"):
            while True:
                line = self.until(b"\r\n")
                size = int(line.split(b";")[0], 16)
                seen.raw_body += line
                if size == 0:
                    break
                data = self.take(size + 2)
                seen.raw_body += data
                seen.body += data[:-2]
            while True:
                line = self.until(b"\r\n")
                if line == b"\r\n":
                    break
                seen.trailers.append(line.decode("latin-1").strip())
        elif seen.get("Content-Length"):
            size = int(seen.get("Content-Length"))
            if self.backend.keep_bytes:
                seen.body = self.take(size)
            else:
                while size > 0:
                    if not self.buffer:
                        self.more()
                    size -= len(self.buffer)
                    self.buffer = b""
        seen.complete = True
        return seen.body


def answer(status=200, body=b"ok", *fields, phrase="OK"):
    lines = [f"HTTP/1.1 {status} {phrase}", *fields, f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


CLOSE = object()


class Backend:
    """Answers by script: `on(path, script)`, a script being bytes or a function of the connection.

    A function that returns CLOSE (or raises) ends the connection; bytes are sent first.  It may
    read the body with connection.read_body(); what it leaves unread is read before the next
    request."""

    def __init__(self, port=None, keep_bytes=True):
        self.keep_bytes, self.scripts, self.default = keep_bytes, {}, answer()
        self.requests, self.connections, self.open_sockets = [], [], set()
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port or free_port()))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def on(self, path, script):
        self.scripts[path] = script
        return self

    def clear(self):
        with self.lock:
            self.requests, self.connections = [], []
        self.scripts, self.default = {}, answer()

    def drop_connections(self):
        with self.lock:
            sockets = list(self.open_sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not self.open_sockets, what="connections of the backend end")

    def settle(self):
        """Let arrive what a gateway has sent although its client was refused."""
        time.sleep(0.03)

    def last(self):
        wait_until(lambda: self.requests, what="a request at the backend")
        return self.requests[-1]

    def stop(self):
        self.stopped = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with contextlib.suppress(AssertionError):
            self.drop_connections()

    def _accept(self):
        while not self.stopped:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                connection = BackendConnection(self, sock, next(self.numbers))
                self.connections.append(connection)
                self.open_sockets.add(sock)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            while self._one(connection) is not CLOSE:
                pass
        except (Gone, OSError, ValueError):
            pass
        finally:
            with contextlib.suppress(OSError):
                connection.socket.close()
            with self.lock:
                self.open_sockets.discard(connection.socket)

    def _one(self, connection):
        connection.request = seen = Seen(connection.until(b"\r\n\r\n"), connection)
        with self.lock:
            self.requests.append(seen)
        script = self.scripts.get(seen.target.split("?")[0], self.default)
        if callable(script):
            result = script(connection)
            if result is CLOSE:
                return CLOSE
        else:
            connection.read_body()
            result = script
        if result:
            connection.send(result)
        connection.read_body()
        return CLOSE if (seen.get("Connection") or "").lower() == "close" else None


# --- the gateway -------------------------------------------------------------------------------


class Adopted:
    """A process that one of ours has started and left to us (become_reaper()), like a Popen."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def _wait(self, options):
        with contextlib.suppress(ChildProcessError):  # until its parent has ended
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def poll(self):
        return self._wait(os.WNOHANG)

    def wait(self, seconds=None):
        end = time.monotonic() + (seconds or 3600)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), seconds)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def become_reaper():
    """Processes whose parent ends become our children."""
    PR_SET_CHILD_SUBREAPER = 36
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


class Gateway:
    """The program under test with a configuration of its own."""

    started = []  # those whose logs belong to the report of a failure

    def __init__(self, folder, config, binary=None, environment=None):
        self.folder, self.config, self.binary = pathlib.Path(folder), config, binary or BINARY
        self.port, self.admin_port = None, None
        self.file = self.folder / "jwtgate.jsonc"
        self.log_file, self.access_file = self.folder / "log", self.folder / "access"
        self.environment = dict(
            os.environ, TEST_SECRET=SECRET,
            ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1",
            UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:exitcode=99",
            TSAN_OPTIONS="halt_on_error=0:exitcode=98", **(environment or {}))
        self.process = None

    def start(self, wait=True):
        listeners = self.config["listeners"]
        self.port = int(listeners["public"]["address"].rsplit(":", 1)[1])
        address = self.config["admin"]["address"]
        self.admin_port = None if address.startswith("unix:") else int(address.rsplit(":", 1)[1])
        self.file.write_text(json.dumps(self.config, indent=2))
        if self not in self.started:
            self.started.append(self)
        with open(self.log_file, "wb") as log, open(self.access_file, "wb") as access:
            self.process = subprocess.Popen([self.binary, "run", "-c", str(self.file)], stdout=access,
                                            stderr=log, env=self.environment, cwd=self.folder)
        if wait:
            wait_until(self.is_ready, 60, "the gateway is ready")
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.log()}")
        try:
            return self.admin("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def admin(self, path, headers=None, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE)
        if self.admin_port is None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(self.config["admin"]["address"].removeprefix("unix:"))
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def metrics(self):
        """{name{labels}: value}"""
        text = self.admin("/metrics")[1]
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.splitlines() if line and not line.startswith("#")}

    def metric(self, name, **labels):
        """The sum over the rows of a family that carry these labels."""
        total = 0.0
        for row, value in self.metrics().items():
            family, _, rest = row.partition("{")
            if family == name and all(f'{k}="{v}"' in rest for k, v in labels.items()):
                total += value
        return total

    def log(self):
        return self.log_file.read_text(errors="replace")

    def wait_for_metric(self, value, name, **labels):
        """A count says `value`, now or soon: what a request adds may come after its answer."""
        wait_until(lambda: self.metric(name, **labels) == value, what=f"{name}{labels} = {value}")

    def listens(self):
        """The public listener is open (the gateway need not be ready)."""
        self.logged("listening listener=public")

    def is_refusing(self):
        """Nobody listens any more."""
        try:
            self.client().close()
        except ConnectionRefusedError:
            return True
        return False

    def logged(self, text, seconds=PATIENCE):
        """The log says `text`, now or soon: its lines are written by a thread of their own."""
        return wait_until(lambda: text in self.log(), seconds, f"{text!r} in the log")

    def access(self):
        """The lines of the access log so far."""
        lines = self.access_file.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def access_line(self, seconds=PATIENCE, **wanted):
        """The newest line that has these values."""
        def find():
            for line in reversed(self.access()):
                if all(line.get(k) == v for k, v in wanted.items()):
                    return line
            return None
        return wait_until(find, seconds, f"an access log line with {wanted}")

    def client(self, **options):
        return Client(self.port, **options)

    def ask(self, data, method=None, **options):
        """One request on a connection of its own."""
        with self.client(**options) as client:
            return client.ask(data, method)

    def ask_known(self, data):
        """The first answer that is not 503: leases are short here, and a busy machine lets one run out."""
        end = time.monotonic() + PATIENCE
        while True:
            response = self.ask(data)
            if response.status != 503 or time.monotonic() > end:
                return response
            time.sleep(0.02)

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status")
                             .read_text()).group(1))

    def signal(self, number):
        self.process.send_signal(number)

    def upgrade(self, seconds=60):
        """SIGUSR2; the new process, which is the gateway from now on, has become ready.  The old one."""
        size = len(self.log())
        self.signal(signal.SIGUSR2)
        done = wait_until(lambda: re.search(r" upgrade done: .* pid=(\d+)", self.log()[size:]) or
                          self.process.poll() is not None, seconds, "the end of an upgrade")
        assert done is not True, self.log()[-3000:]
        old, self.process = self.process, Adopted(int(done.group(1)))
        return old

    def stop(self, seconds=60):
        """End it and check that it ended well."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the gateway does not stop on SIGTERM:\n{self.log()[-3000:]}") from None
        finally:
            process, self.process = self.process, None
        log = self.log()
        assert not SANITIZER.search(log), log[-8000:]
        assert code == 0, f"exit {code}:\n{log[-3000:]}"
        assert process.returncode == 0


def config_for(upstream=None, **parts):
    """A configuration with one public route to `upstream`; `parts` replace its keys."""
    config = {
        "version": 1,
        "server": {"workers": 1, "shutdown_grace": "5s"},
        "listeners": {"public": {"address": f"127.0.0.1:{free_port()}"}},
        "admin": {"address": f"127.0.0.1:{free_port()}"},
        "upstreams": {"backend": {"targets": [upstream.address if hasattr(upstream, "address")
                                              else upstream or "127.0.0.1:1"]}},
        "routes": {"all": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none"}},
    }
    for key, value in parts.items():
        if key == "server":
            config["server"].update(value)
        elif value is None:
            config.pop(key, None)
        else:
            config[key] = value
    return config


# --- tokens ------------------------------------------------------------------------------------


def b64(data):
    if not isinstance(data, bytes):
        data = data.encode() if isinstance(data, str) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes):
    now = int(time.time())
    result = {"iss": ISSUER, "sub": "user-1", "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 600,
              "jti": f"{random.getrandbits(96):x}"}
    result.update(changes)
    return {k: v for k, v in result.items() if v is not None}


def hs256(payload=None, secret=SECRET, digest=hashlib.sha256, header=None, **head):
    """`payload`: claims, or raw text.  None values of the header leave a member out."""
    fields = {"alg": "HS256", "typ": "JWT", **head}
    fields = {k: v for k, v in fields.items() if v is not None}
    text = b64(header if header is not None else fields) + "." + b64(claims() if payload is None else payload)
    key = secret if isinstance(secret, bytes) else secret.encode()
    return text + "." + b64(hmac.new(key, text.encode(), digest).digest())


class RsaKey:
    def __init__(self, kid, bits=2048):
        self.kid, self.key = kid, rsa.generate_private_key(65537, bits)

    def public_pem(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def jwk(self):
        numbers = self.key.public_key().public_numbers()
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
                "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                "e": b64(numbers.e.to_bytes(3, "big"))}

    def token(self, payload=None, digest=None, pad=None, **head):
        fields = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **head}
        fields = {k: v for k, v in fields.items() if v is not None}
        text = b64(fields) + "." + b64(claims() if payload is None else payload)
        signature = self.key.sign(text.encode(), pad or padding.PKCS1v15(), digest or hashes.SHA256())
        return text + "." + b64(signature)
