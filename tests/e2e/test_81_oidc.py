# SPDX-License-Identifier: Apache-2.0
"""A real OpenID provider: discovery, tokens by client_credentials, rotation under load."""
import base64
import http.client
import json
import pathlib
import shutil
import subprocess
import threading
import time

import pytest

from support import PATIENCE, bearer, config_for, free_port, get, wait_until

FOLDER = pathlib.Path(__file__).resolve().parent


class OpenIdProvider:
    def __init__(self):
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(["node", str(FOLDER / "oidc_provider.mjs"), str(self.port)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self._wait()

    def _wait(self):
        for line in self.process.stdout:
            if line.strip() == "done":
                return
        raise AssertionError("the OpenID provider has ended")

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self._wait()

    def token(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        credentials = base64.b64encode(b"shop:of-the-shop").decode()
        connection.request("POST", "/token", "grant_type=client_credentials&scope=orders:read", {
            "Authorization": f"Basic {credentials}", "Content-Type": "application/x-www-form-urlencoded"})
        body = json.loads(connection.getresponse().read())
        connection.close()
        return body["access_token"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def provider():
    if not shutil.which("node") or not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        pytest.skip("oidc-provider is not installed: ./dev deps")
    server = OpenIdProvider()
    yield server
    server.stop()


def test_tokens_of_an_openid_provider_pass_while_its_keys_rotate(start, backend, provider):
    gateway = start(config_for(
        backend, server={"workers": 2},
        providers={"openid": {"issuer": provider.issuer, "audiences": ["orders"], "algorithms": ["RS256"],
                              "jwks": {"discovery": True, "allow_http": True,
                                       "cache": {"ttl": "2s", "min_refresh": "200ms"}}}},
        routes={"api": {"match": {"path_prefix": "/"}, "upstream": "backend",
                        "auth": {"provider": "openid", "scopes": ["orders:read"]}}}))
    tokens, codes, stop = [provider.token()], [], threading.Event()

    def load():
        while not stop.is_set():
            with gateway.client() as client:
                for _ in range(50):
                    codes.append(client.ask(get("/", bearer(tokens[-1]))).status)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    old = tokens[0]
    for _ in range(3):
        time.sleep(0.5)
        provider.command("add")
        tokens.append(provider.token())
    time.sleep(0.5)
    provider.command("drop")
    wait_until(lambda: gateway.ask(get("/", bearer(old))).status == 401, what="the old keys are gone")
    assert gateway.ask(get("/", bearer(tokens[-1]))).status == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert len(codes) > 100 and set(codes) == {200}
