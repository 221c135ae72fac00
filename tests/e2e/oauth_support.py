# SPDX-License-Identifier: Apache-2.0
"""A gateway that issues tokens, and its clients."""
import base64
import hashlib
import json
import os
import re
import subprocess
import urllib.parse

from support import BINARY, config_for, free_port, wait_until

ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:exitcode=99", UBSAN_OPTIONS="halt_on_error=1:exitcode=99")


def jwtgate(*arguments, stdin=None, cwd=None):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=cwd,
                          check=False, input=stdin, env=ENVIRONMENT)


def add_client(file, client_id, *options, stdin=None):
    """The secret that was printed, if one was made."""
    done = jwtgate("client", "add", client_id, "-f", file, *options, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Issuer:
    """What gateways of one issuer share: its key, its clients."""

    def __init__(self, folder):
        self.folder, self.clients = folder, folder / "clients.jsonc"
        self.key, self.port = folder / "key.pem", free_port()
        done = jwtgate("keys", "generate", "-o", self.key)
        assert done.returncode == 0, done.stderr
        self.kid = done.stdout.split()[-1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.secrets = {}

    def add(self, client_id, *options, chosen=None):
        made = add_client(self.clients, client_id, *options, *(["--secret", "-"] if chosen else []), stdin=chosen)
        self.secrets[client_id] = chosen or made
        if chosen:
            self.lighten(chosen)

    def lighten(self, chosen):
        """The least cost that is taken in place of the usual one, which is six times as high: hashing has a tenth of
        a loop's weight, and other tests keep the machine busy."""
        salt = os.urandom(16)
        parts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode()
                 for part in (salt, hashlib.scrypt(chosen.encode(), salt=salt, n=16384, r=8, p=1, dklen=32))]
        text, count = re.subn(r"scrypt:32768:8:3:[^\"]+", ":".join(["scrypt:16384:8:1", *parts]), self.clients.read_text())
        assert count == 1
        self.clients.write_text(text)

    def configuration(self, backend, port=None, **more):
        """Of a gateway that issues, and whose route /orders takes what it issued."""
        issuer = dict({"issuer": self.url, "signing_keys": [{"key_file": str(self.key), "use": "sign"}],
                       "clients_file": str(self.clients), "access_token": {"ttl": "5m"}}, **more.pop("token_issuer", {}))
        return config_for(
            backend, listeners={"public": {"address": f"127.0.0.1:{port or self.port}"}}, token_issuer=issuer,
            providers={"own": {"issuer": self.url, "audiences": ["orders"], "algorithms": ["RS256"],
                               "keys": [{"kid": self.kid, "public_key_file": str(self.folder / "key.pub.pem")}]}},
            routes={"orders": {"match": {"path_prefix": "/orders"}, "upstream": "backend", "auth": {"provider": "own"}}},
            **more)

    def basic(self, client_id, secret=None):
        quoted = ":".join(urllib.parse.quote_plus(part) for part in (client_id, secret or self.secrets[client_id]))
        return "Authorization: Basic " + base64.b64encode(quoted.encode()).decode()


def post(path, fields, *headers, content_type="application/x-www-form-urlencoded"):
    """A request with a form (or a body) as bytes."""
    body = fields if isinstance(fields, bytes) else urllib.parse.urlencode(fields).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: gateway.test", f"Content-Length: {len(body)}", *headers]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def token_request(*headers, **fields):
    return post("/oauth2/token", dict({"grant_type": "client_credentials"}, **fields), *headers)


def payload(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def reload_and_wait(gateway):
    before = gateway.log().count("reload done")
    gateway.signal(1)
    wait_until(lambda: gateway.log().count("reload done") > before, what="the reload's end")
