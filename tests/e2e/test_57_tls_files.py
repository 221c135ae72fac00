# SPDX-License-Identifier: Apache-2.0
"""Certificates and OCSP responses that others keep fresh: taken with a reload, warned of in time."""
import datetime
import json
import pathlib
import subprocess
import time

import pytest
from cryptography.x509 import ocsp

from support import BINARY, config_for, free_port, get, wait_until
from test_65_reload import reload
from tls_support import DAY, Authority, TlsClient, client_context

pytestmark = pytest.mark.threads


@pytest.fixture(scope="module")
def authority(module_scratch):
    return Authority(module_scratch)


@pytest.fixture
def files(authority, scratch):
    """chain.crt (a.test with its issuer behind it), a.key and a.ocsp in this test's folder."""
    cert, key = authority.issue("a", "a.test", "127.0.0.1")
    chain = scratch / "chain.crt"
    chain.write_bytes(pathlib.Path(cert).read_bytes() + authority.file.read_bytes())
    (scratch / "a.ocsp").write_bytes(authority.ocsp(cert))
    return {"cert_file": str(chain), "key_file": key, "ocsp_file": str(scratch / "a.ocsp")}


def config_with(upstream, certificate, **listener):
    return config_for(upstream, server={"workers": 2}, listeners={"public": {
        "address": f"127.0.0.1:{free_port()}", "tls": {"certificates": [certificate]}, **listener}})


def status(port):
    """What openssl is told about the certificate."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "a.test", "-status"],
                          input=b"", capture_output=True, timeout=20, check=False)
    said = done.stdout.decode("latin-1")
    if "OCSP response: no response sent" in said:
        return None
    assert "OCSP Response Status: successful" in said, said[:2000]
    return "good" if "Cert Status: good" in said else "bad"


def check(folder, config, *arguments):
    file = folder / "checked.jsonc"
    file.write_text(json.dumps(config, indent=2))
    return subprocess.run([BINARY, "check", "-c", str(file), *arguments], capture_output=True, text=True, timeout=30,
                          check=False)


def test_a_response_is_stapled(start, backend, files, authority):
    gateway = start(config_with(backend, files))
    assert status(gateway.port) == "good"
    with TlsClient(gateway.port, client_context(authority.file)) as client:  # that does not ask
        assert client.ask(get("/")).status == 200
    until = gateway.metric("jwtgate_ocsp_next_update_timestamp_seconds", listener="public")
    assert abs(until - time.time() - 86400) < 600


def test_a_new_response_is_taken_when_only_it_has_changed(start, backend, files, authority):
    lapsed = authority.ocsp(files["cert_file"], begin=-2 * DAY, end=-DAY)
    good = pathlib.Path(files["ocsp_file"]).read_bytes()
    pathlib.Path(files["ocsp_file"]).write_bytes(lapsed)
    settings = config_with(backend, files)
    gateway = start(settings)
    assert status(gateway.port) is None
    gateway.logged("an OCSP response has lapsed and is not stapled any more listener=public")
    pathlib.Path(files["ocsp_file"]).write_bytes(good)
    reload(gateway)
    assert status(gateway.port) == "good"
    pathlib.Path(files["ocsp_file"]).write_bytes(authority.ocsp(files["cert_file"], ocsp.OCSPCertStatus.REVOKED))
    log = reload(gateway, ok=False)
    assert "it has been revoked" in log
    assert status(gateway.port) == "good", "the one before stays"
    del files["ocsp_file"]
    reload(gateway, settings)
    assert not [row for row in gateway.metrics() if row.startswith("jwtgate_ocsp_")], "nothing lapses any more"


def test_a_response_that_lapses_while_it_serves_is_not_stapled(start, backend, files, authority):
    pathlib.Path(files["ocsp_file"]).write_bytes(
        authority.ocsp(files["cert_file"], end=datetime.timedelta(seconds=12)))
    gateway = start(config_with(backend, files))
    assert status(gateway.port) == "good"
    wait_until(lambda: status(gateway.port) is None, what="its end")


def test_a_new_certificate_is_taken_when_only_the_file_has_changed(start, backend, files, authority, scratch):
    del files["ocsp_file"]
    gateway = start(config_with(backend, files))
    with TlsClient(gateway.port, client_context(authority.file)) as before:
        assert before.ask(get("/")).status == 200
        cert, key = authority.issue("a", "a.test", "127.0.0.1", life=1.5 * DAY)
        pathlib.Path(files["cert_file"]).write_bytes(pathlib.Path(cert).read_bytes())
        log = reload(gateway)
        assert "a certificate expires soon listener=public host=- days=1" in log
        with TlsClient(gateway.port, client_context(authority.file)) as after:
            assert after.socket.getpeercert()["serialNumber"] != before.socket.getpeercert()["serialNumber"]
            assert after.ask(get("/")).status == 200
        assert before.ask(get("/")).status == 200


@pytest.mark.parametrize("make, message", [
    (lambda authority, files: b"nothing", "is not an OCSP response"),
    (lambda authority, files: authority.ocsp(authority.issue("other", "a.test")[0]), "is about another certificate"),
    (lambda authority, files: authority.ocsp(files["cert_file"], ocsp.OCSPCertStatus.REVOKED), "it has been revoked"),
    (lambda authority, files: Authority(authority.folder, "ca-of-the-same-name").ocsp(files["cert_file"]),
     "is about another certificate"),
])
def test_a_response_that_cannot_be(scratch, files, authority, make, message):
    pathlib.Path(files["ocsp_file"]).write_bytes(make(authority, files))
    done = check(scratch, config_with("127.0.0.1:1", files))
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "listeners.public.tls.certificates[0].ocsp_file" in done.stderr


def test_a_lapsed_response_is_warned_of(scratch, files, authority):
    pathlib.Path(files["ocsp_file"]).write_bytes(authority.ocsp(files["cert_file"], begin=-2 * DAY, end=-DAY))
    config = config_with("127.0.0.1:1", files)
    done = check(scratch, config)
    assert done.returncode == 0 and "ocsp-lapsed" in done.stderr, done.stderr
    assert check(scratch, config, "--strict").returncode == 1


@pytest.mark.parametrize("protocols, message", [
    (["h2", "http/1.1"], "HTTP/2 is not spoken yet"), (["http/2"], "is not a protocol that is known"),
    ([], "names no protocol"), ("http/1.1", "must be an array"), ([1], "is not a protocol that is known"),
])
def test_protocols_that_cannot_be(scratch, files, protocols, message):
    done = check(scratch, config_with("127.0.0.1:1", files, protocols=protocols))
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "listeners.public.protocols" in done.stderr


def test_the_protocol_that_there_is(scratch, files):
    assert check(scratch, config_with("127.0.0.1:1", files, protocols=["http/1.1"])).returncode == 0
