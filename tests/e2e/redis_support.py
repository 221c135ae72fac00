# SPDX-License-Identifier: Apache-2.0
"""Real redis servers and sentinels for the tests."""
import contextlib
import pathlib
import signal
import socket
import ssl
import subprocess

from support import free_port, wait_until

PASSWORD = "a-password-of-redis"
SENTINEL_PASSWORD = "a-password-of-sentinels"


class Redis:
    """A redis-server of one test, spoken to as other services would: a plain client, redis-cli."""

    def __init__(self, folder, *options, tls=None, master=None):
        """`tls`: (certificate file, key file, authorities' file): then nothing else is spoken.  `master`: the Redis
        that this one begins as a replica of."""
        self.port, self.folder, self.options, self.tls = free_port(), pathlib.Path(folder), options, tls
        self.process = None
        self.start(master)

    def start(self, master=None):
        ports = ["--port", str(self.port)]
        if self.tls:
            cert, key, ca = self.tls
            ports = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", cert, "--tls-key-file", key,
                     "--tls-ca-cert-file", ca]
        self.process = subprocess.Popen(
            ["redis-server", *ports, "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD, *self.options,
             *(["--replicaof", "127.0.0.1", str(master.port)] if master else [])],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.is_up, what="redis-server answers")

    def is_up(self):
        with contextlib.suppress(OSError, ValueError):
            return self.command("PING") == "PONG"
        return False

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        if self.tls:
            cert, key, ca = self.tls
            context = ssl.create_default_context(cafile=ca)
            context.check_hostname = False
            context.load_cert_chain(cert, key)
            sock = context.wrap_socket(sock)
        return sock

    def command(self, *words):
        return talk(self.connect(), ("AUTH", PASSWORD), words)

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD, *words],
                              capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    def revoke(self, jti):
        return self.command("SET", f"blocklist:jti:{jti}", "1", "EX", "600")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number):
        self.process.send_signal(number)


def talk(sock, *commands):
    """The last command's answer: one line, or the items of a flat array."""
    with sock, sock.makefile("rb") as lines:
        for command in commands:
            sock.sendall(b"*%d\r\n" % len(command) + b"".join(
                b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in map(str, command)))
            answer = read_reply(lines)
    return answer


def read_reply(lines):
    line = lines.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("closed")
    kind, rest = line[:1], line[1:].decode().strip()
    if kind == b"-":
        raise ValueError(rest)
    if kind == b"*":
        return [read_reply(lines) for _ in range(max(int(rest), 0))]
    if kind == b"$":
        return lines.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
    return rest


class Sentinel:
    """One real sentinel that watches one master."""

    NAME = "jwtgate-test"

    def __init__(self, folder, master, quorum=1, down_after_ms=3000, *, password=None, user=None):
        """`password`: of its default user, who has all rights.  `user`: a line of its access control list."""
        self.port, self.file, self.password = free_port(), pathlib.Path(folder) / "sentinel.conf", password
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.file.parent}\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {master.port} {quorum}\n"
            f"sentinel auth-pass {self.NAME} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {self.NAME} {down_after_ms}\nsentinel failover-timeout {self.NAME} 3000\n"
            + (f"requirepass {password}\n" if password else "") + (f"user {user}\n" if user else ""))
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", str(self.file), "--sentinel"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.master_port() is not None, what="the sentinel answers")

    def command(self, *words):
        login = [("AUTH", self.password)] if self.password else []
        return talk(socket.create_connection(("127.0.0.1", self.port), timeout=10), *login, words)

    def master_port(self):
        with contextlib.suppress(OSError, ValueError):
            return int(self.command("SENTINEL", "get-master-addr-by-name", self.NAME)[1])
        return None

    def knows_a_replica(self):
        with contextlib.suppress(OSError, ValueError):
            replicas = self.command("SENTINEL", "replicas", self.NAME)
            return len(replicas) > 0 and replicas[0][replicas[0].index("flags") + 1] == "slave"
        return False

    def fail_over(self):
        def is_begun():
            try:
                return self.command("SENTINEL", "FAILOVER", self.NAME)
            except ValueError:  # the replica is not fit yet
                return False
        wait_until(is_begun, what="a fail-over")

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None
