# SPDX-License-Identifier: Apache-2.0
"""TLS with clients, as they see it."""
import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support import (BINARY, PATIENCE, Adopted, Client, answer, become_reaper, config_for, free_port, get,
                     wait_until)
from tls_support import DAY, Authority, RawTls, TlsClient, client_context

V = ssl.TLSVersion


@pytest.fixture(scope="module")
def authority(module_scratch):
    return Authority(module_scratch)


@pytest.fixture(scope="module")
def files(authority):
    """Certificates by name."""
    return {
        "a": authority.issue("a", "a.test", "*.wild.test", "127.0.0.1"),
        "b": authority.issue("b", "b.test"),
        "old": authority.issue("old", "a.test", life=-DAY),
        "client": authority.issue("client", "client.test"),
        "stranger": Authority(authority.folder, "other-ca").issue("stranger", "client.test"),
    }


def entry(pair, *hosts):
    return {"cert_file": pair[0], "key_file": pair[1], **({"hosts": list(hosts)} if hosts else {})}


def tls_config(upstream, *certificates, server=None, **tls):
    return config_for(upstream, server=server or {},
                      listeners={"public": {"address": f"127.0.0.1:{free_port()}",
                                            "tls": {"certificates": list(certificates), **tls}}})


@pytest.fixture(scope="module")
def gateway(module_scratch, shared_backend, files):
    from support import Gateway
    folder = module_scratch / "gateway"
    folder.mkdir()
    gateway = Gateway(folder, tls_config(shared_backend, entry(files["a"]), entry(files["b"], "b.test"),
                                         server={"workers": 2},
                                         hsts={"max_age": "30d", "include_subdomains": True})).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def connect(gateway, authority):
    def connect_to(host="a.test", session=None, **options):
        return TlsClient(gateway.port, client_context(authority.file, **options), host, session)
    return connect_to


# --- the handshake -----------------------------------------------------------------------------


@pytest.mark.threads
def test_a_request_over_tls(gateway, backend, connect):
    with connect() as client:
        assert client.ask(get("/hello")).status == 200
        assert client.socket.version() == "TLSv1.3"
    seen = backend.last()
    assert seen.get("X-Forwarded-Proto") == "https"
    line = gateway.access_line(path="/hello")
    assert line["scheme"] == "https" and line["tls_version"] == "TLSv1.3"


@pytest.mark.threads
@pytest.mark.parametrize("version, name", [(V.TLSv1_2, "TLSv1.2"), (V.TLSv1_3, "TLSv1.3")])
def test_versions_that_are_spoken(gateway, backend, connect, version, name):
    before = gateway.metric("jwtgate_tls_handshakes_total", result="ok", version=name)
    with connect(versions=(version, version)) as client:
        assert client.socket.version() == name
        assert client.ask(get("/")).status == 200
        assert client.ask(get("/")).status == 200
    assert gateway.metric("jwtgate_tls_handshakes_total", result="ok", version=name) == before + 1


def openssl(port, *arguments, text=b""):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments], input=text,
                          capture_output=True, timeout=20, check=False)
    return (done.stdout + done.stderr).decode("latin-1")


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(gateway, option):
    said = openssl(gateway.port, option, "-cipher", "ALL@SECLEVEL=0")
    assert "Cipher is (NONE)" in said, said


@pytest.mark.parametrize("cipher, is_ok", [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
    ("ECDHE-ECDSA-AES128-SHA256", False), ("ECDHE-ECDSA-AES128-SHA", False), ("AES128-GCM-SHA256", False),
])
def test_ciphers_of_the_intermediate_profile(gateway, cipher, is_ok):
    said = openssl(gateway.port, "-tls1_2", "-cipher", f"{cipher}@SECLEVEL=0")
    assert ("Cipher is (NONE)" not in said) == is_ok, said


@pytest.mark.parametrize("suite, is_ok", [
    ("TLS_AES_128_GCM_SHA256", True), ("TLS_AES_256_GCM_SHA384", True), ("TLS_CHACHA20_POLY1305_SHA256", True),
    ("TLS_AES_128_CCM_SHA256", False), ("TLS_AES_128_CCM_8_SHA256", False),
])
def test_suites_of_tls_1_3(gateway, suite, is_ok):
    said = openssl(gateway.port, "-tls1_3", "-ciphersuites", suite)
    assert (f"Cipher is {suite}" in said) == is_ok and ("Cipher is (NONE)" in said) != is_ok, said


@pytest.mark.parametrize("group, is_ok", [("X25519", True), ("P-256", True), ("P-384", True), ("P-521", False),
                                          ("X448", False), ("ffdhe2048", False)])
def test_groups(gateway, group, is_ok):
    said = openssl(gateway.port, "-tls1_3", "-groups", group)
    assert ("Cipher is (NONE)" not in said) == is_ok, said


@pytest.mark.parametrize("arguments, words", [
    (["-tls1_2"], ["Compression: NONE", "Secure Renegotiation IS supported", "Extended master secret: yes"]),
    (["-tls1_3"], ["Compression: NONE", "Early data was not sent"]),
    (["-tls1_2", "-fallback_scsv"], ["inappropriate fallback"]),  # RFC 7507: someone in between wants less
    (["-tls1_2", "-sigalgs", "ECDSA+SHA1"], ["Cipher is (NONE)"]),
    (["-tls1_2", "-no_ticket"], ["Cipher is ECDHE"]),
])
def test_what_scanners_look_for(gateway, arguments, words):
    said = openssl(gateway.port, *arguments)
    assert all(word in said for word in words), said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_on_any_worker(gateway, scratch, version):
    file = str(scratch / "session.pem")
    request = get("/", "Connection: close")
    assert "New, " in openssl(gateway.port, version, "-ign_eof", "-sess_out", file, text=request)
    for _ in range(6):
        assert "Reused, " in openssl(gateway.port, version, "-ign_eof", "-sess_in", file, "-sess_out", file, text=request)


def test_a_load_of_requests_by_wrk(gateway, backend):
    done = subprocess.run(["wrk", "-t2", "-c20", "-d2s", "--timeout", "20s", f"https://127.0.0.1:{gateway.port}/"], capture_output=True, text=True,
                          timeout=60, check=True)
    assert int(re.search(r"(\d+) requests in", done.stdout).group(1)) > 50, done.stdout
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout


def test_renegotiation_is_off(gateway):
    said = openssl(gateway.port, "-tls1_2", text=b"R\n")
    assert "no renegotiation" in said.lower() or "ssl handshake failure" in said.lower(), said[-500:]
    assert "Secure Renegotiation IS supported" in said


@pytest.mark.parametrize("host, subject", [
    ("a.test", "a"), ("x.wild.test", "a"), ("b.test", "b"), ("unknown.test", "a"), (None, "a"),
])
def test_the_certificate_by_name(gateway, host, subject):
    said = openssl(gateway.port, *(["-servername", host] if host else ["-noservername"]))
    assert re.search(rf"subject=CN = {subject}\n", said), said[:500]


def test_alpn(connect):
    with connect(alpn=["h2", "http/1.1"]) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
    with connect() as client:
        assert client.socket.selected_alpn_protocol() is None
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(alpn=["h2"])


@pytest.mark.threads
@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
def test_sessions_are_resumed_by_any_worker(gateway, authority, backend, version):
    context = client_context(authority.file, versions=(version, version))
    session = None
    for turn in range(8):
        with TlsClient(gateway.port, context, session=session) as client:
            assert client.ask(get("/")).status == 200
            assert client.socket.session_reused == (turn > 0)
            session = client.socket.session
    assert gateway.metric("jwtgate_tls_handshakes_total", resumed="true") >= 7


def test_plain_http_on_the_port_is_told_so(gateway):
    with Client(gateway.port) as client:
        response = client.ask(get("/"))
        assert response.status == 400 and b"https" in response.body
        assert client.is_closed()
    wait_until(lambda: gateway.metric("jwtgate_tls_handshakes_total", result="tls_http_request") >= 1, what="the count")


def test_noise_ends_the_connection(start, backend, files):
    gateway = start(tls_config(backend, entry(files["a"]), server={"timeouts": {"tls_handshake": "1s"}}))
    for noise in (b"\x16\x03\x01\x00\x05hello", b"\0" * 500, b"\x80\x2e\x01\x03\x01" + b"x" * 41):
        with Client(gateway.port) as client:
            client.try_send(noise)
            while client._more():  # an alert
                pass
            assert client.ended


def test_a_slow_handshake_ends_at_the_deadline_while_others_are_served(start, backend, files, authority):
    gateway = start(tls_config(backend, entry(files["a"]), server={"workers": 2, "timeouts": {"tls_handshake": "4s"}}))
    begin = time.monotonic()
    silent = [Client(gateway.port) for _ in range(20)]
    for number, client in enumerate(silent):
        if number % 2:
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    with TlsClient(gateway.port, client_context(authority.file)) as client:
        assert client.ask(get("/")).status == 200
    assert time.monotonic() - begin < 4, "it has not waited for the others' end"
    for client in silent:
        assert client.is_closed(9)  # without the limit of this test: 10 s
        client.close()
    assert time.monotonic() - begin >= 3.9
    gateway.wait_for_metric(20, "jwtgate_tls_handshakes_total", result="timeout")


def test_a_hello_byte_by_byte(gateway, backend, authority):
    context = client_context(authority.file)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with Client(gateway.port) as client:
        client.socket.settimeout(0.05)
        begin = time.monotonic()
        while time.monotonic() - begin < PATIENCE:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    client.send(bytes([byte]))
                try:
                    incoming.write(client.socket.recv(65536))
                except socket.timeout:
                    pass
        tls.write(get("/"))
        for byte in outgoing.read():
            client.send(bytes([byte]))
        client.socket.settimeout(PATIENCE)
        text = b""
        while b"ok" not in text:
            incoming.write(client.socket.recv(65536))
            try:
                text += tls.read(65536)
            except ssl.SSLWantReadError:
                pass
    assert text.startswith(b"HTTP/1.1 200")


# --- what one connection may cost ----------------------------------------------------------------


def check_is_served_beside(gateway, authority, flood, seconds=2):
    """Requests of a good connection go on while `flood` runs over and over."""
    over = threading.Event()

    def work():
        while not over.is_set():
            flood()

    with TlsClient(gateway.port, client_context(authority.file)) as client:
        alone = usual_wait(client, 0.3)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            beside = usual_wait(client, seconds)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert beside < 0.3 + 10 * alone, (alone, beside)


def usual_wait(client, seconds):
    """The median of requests, one behind the other."""
    waits, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        assert client.ask(get("/")).status == 200
        waits.append(time.monotonic() - begin)
        time.sleep(0.005)  # a connection has a limit of requests
    return sorted(waits)[len(waits) // 2]


@pytest.mark.threads
def test_a_flood_of_new_keys_is_cut_off_and_others_are_served(gateway, backend, authority):
    before = gateway.metric("jwtgate_connections_closed_total", listener="public", reason="limit")

    def flood():
        client = RawTls(gateway.port)
        sent = 0
        while sent < 100_000 and client.update_keys():
            sent += 1
        client.close()
        assert sent < 100_000

    check_is_served_beside(gateway, authority, flood)
    wait_until(lambda: gateway.metric("jwtgate_connections_closed_total", listener="public", reason="limit") > before,
               what="the count")


@pytest.mark.threads
def test_handshakes_under_way_are_limited_and_silent_clients_make_room(start, backend, files, authority):
    config = tls_config(backend, entry(files["a"]), server={
        "workers": 1, "limits": {"tls_handshakes": 8}, "timeouts": {"tls_handshake": "1m"}})
    config["listeners"]["plain"] = {"address": f"127.0.0.1:{free_port()}"}
    gateway = start(config)

    def is_served_beside_silent_ones(before):
        """Sooner than the second after which silent ones make room (on a busy machine: in one try of some)."""
        with contextlib.ExitStack() as silent:
            count = gateway.metric("jwtgate_tls_handshake_limit_total")
            begin = time.monotonic()
            for _ in range(12):
                silent.enter_context(gateway.client())
            wait_until(lambda: gateway.metric("jwtgate_tls_handshake_limit_total") > count, what="the limit")
            assert gateway.metric("jwtgate_tls_handshakes_in_flight") <= 8
            assert before.ask(get("/")).status == 200  # who is in is served
            with Client(int(config["listeners"]["plain"]["address"].rsplit(":", 1)[1])) as plain:
                assert plain.ask(get("/")).status == 200  # and who needs no handshake
            is_soon = time.monotonic() - begin < 0.9
            with TlsClient(gateway.port, client_context(authority.file)) as late:  # when the silent ones' second is over
                assert late.ask(get("/")).status == 200
            assert time.monotonic() - begin < 20
        gateway.wait_for_metric(0, "jwtgate_tls_handshakes_in_flight")
        return is_soon

    with TlsClient(gateway.port, client_context(authority.file)) as before:
        assert any(is_served_beside_silent_ones(before) for _ in range(10))
    assert gateway.logged("at the limit of TLS handshakes")


def test_a_flood_of_tiny_records_does_not_keep_others_waiting(gateway, backend, authority):
    def flood():
        client = RawTls(gateway.port)
        client.write(get("/", "Content-Length: 9000000", method="POST"))
        for _ in range(20_000):
            if client.write(b"x") != 1:
                break
        client.close()

    check_is_served_beside(gateway, authority, flood)


def test_new_keys_now_and_then_are_fine(gateway, backend):
    backend.on("/body", lambda connection: answer(200, b"%d" % len(connection.read_body())))
    client = RawTls(gateway.port)
    client.write(get("/body", "Content-Length: 300000", method="POST"))
    for _ in range(15):
        assert client.update_keys()
        assert client.write(b"x" * 20000) == 20000
    wait_until(lambda: gateway.access_line(path="/body")["request_bytes"] == 300000, what="the whole body")
    client.close()


# --- bytes -------------------------------------------------------------------------------------


@pytest.mark.threads
def test_large_bodies_both_ways(gateway, backend, connect):
    body = bytes(range(256)) * 4096 * 8  # 8 MiB
    backend.on("/echo", lambda connection: answer(200, connection.read_body()))
    with connect() as client:
        response = client.ask(get("/echo", method="POST", body=body))
        assert response.complete and response.body == body
        assert client.ask(get("/")).status == 200


def test_a_client_that_reads_slowly_gets_all(gateway, backend, authority):
    body = b"0123456789abcdef" * 65536 * 4  # 4 MiB
    backend.on("/big", answer(200, body))
    with TlsClient(gateway.port, client_context(authority.file), receive_buffer=8192) as client:
        client.send(get("/big"))
        time.sleep(0.5)
        response = client.read()
    assert response.complete and response.body == body


@pytest.mark.threads
def test_pipelined_requests(gateway, backend, connect):
    with connect() as client:
        client.send(get("/1") + get("/2") + get("/3"))
        assert [client.read().status for _ in range(3)] == [200, 200, 200]


def test_the_end_is_announced(gateway, backend, connect):
    with connect() as client:
        assert client.ask(get("/", "Connection: close")).status == 200
        assert client.socket.recv(1) == b""  # close_notify: an end that is cut would raise


def test_an_abandoned_connection_leaves_nothing(gateway, backend, connect):
    for _ in range(10):
        client = connect()
        client.send(get("/")[:-2])
        client.raw.close()
        client.close()
    wait_until(lambda: gateway.metric("jwtgate_connections", listener="public") <= 1, what="no connections")


def test_hsts_is_on_all_answers(gateway, backend, connect):
    backend.on("/own", answer(200, b"x", "Strict-Transport-Security: max-age=1"))
    with connect() as client:
        for path in ("/", "/own"):
            assert client.ask(get(path)).all("Strict-Transport-Security") == \
                ["max-age=2592000; includeSubDomains"]
        refused = client.ask(b"GET / HTTP/1.1\r\n\r\n")
        assert refused.status == 400 and refused.get("Strict-Transport-Security")


def test_curl(gateway, backend, authority):
    done = subprocess.run(["curl", "-sS", "--cacert", str(authority.file), "--resolve",
                           f"a.test:{gateway.port}:127.0.0.1", f"https://a.test:{gateway.port}/", "-w",
                           " %{http_code} %{http_version}"], capture_output=True, timeout=20, check=False)
    assert done.stdout == b"ok 200 1.1", done


def test_the_expiry_of_certificates_is_shown(gateway):
    rows = {row: value for row, value in gateway.metrics().items()
            if row.startswith("jwtgate_certificate_not_after_timestamp_seconds")}
    assert len(rows) == 2 and all(abs(value - time.time() - 30 * 86400) < 3600 for value in rows.values()), rows


def test_draining_ends_handshakes(start, backend, files):
    gateway = start(tls_config(backend, entry(files["a"])))
    with gateway.client() as client:
        client.send(b"\x16\x03\x01")
        wait_until(lambda: gateway.metric("jwtgate_connections", listener="public") == 1, what="a connection")
        gateway.stop()
        assert client.is_closed()


def waiting_clients(gateway, port, context, count):
    """Clients that wait in the kernel's queue, for silent ones are all that may have a handshake.  A stopped
    process accepts nobody, so all of them are there when it goes on."""
    silent = [Client(port) for _ in range(8)]
    wait_until(lambda: gateway.metric("jwtgate_tls_handshakes_in_flight") == 8, what="the limit")
    gateway.signal(signal.SIGSTOP)
    answers = []

    def ask_one():
        try:
            with TlsClient(port, context, timeout=60) as client:
                response = client.ask(get("/"))
                answers.append((response.status, response.get("Connection")))
        except (OSError, EOFError) as error:
            answers.append(error)

    threads = [threading.Thread(target=ask_one) for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: queued(port) == count, what="clients in the queue")
    return silent, threads, answers


def queued(port):
    """How many wait to be accepted, on all its listening sockets (proc(5): state 0A, rx_queue)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows
               if row[3] == "0A" and int(row[1].split(":")[1], 16) == port)


@pytest.mark.threads
@pytest.mark.parametrize("how", ["stop", "removal", "upgrade"])
def test_who_waits_for_a_handshake_is_not_lost(start, backend, files, authority, how):
    config = tls_config(backend, entry(files["a"]),
                        server={"workers": 1, "limits": {"tls_handshakes": 8}, "timeouts": {"tls_handshake": "6s"},
                                "shutdown_grace": "40s"})
    port = int(config["listeners"]["public"]["address"].rsplit(":", 1)[1])
    gateway = start(config)
    silent, threads, answers = waiting_clients(gateway, port, client_context(authority.file), 20)
    old = gateway.process
    if how == "stop":
        gateway.signal(signal.SIGTERM)
    elif how == "upgrade":
        become_reaper()
        gateway.signal(signal.SIGUSR2)
    else:
        del config["listeners"]["public"]
        config["listeners"]["other"] = {"address": f"127.0.0.1:{free_port()}"}
        gateway.file.write_text(json.dumps(config))
        gateway.signal(signal.SIGHUP)
    gateway.signal(signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert [answer for answer in answers if answer[0] != 200] == [] and len(answers) == 20, answers
    if how == "upgrade":
        done = wait_until(lambda: re.search(r" upgrade done: .* pid=(\d+)", gateway.log()), what="the upgrade")
        gateway.process = Adopted(int(done.group(1)))
    else:
        assert {answer[1] for answer in answers} == {"close"}
        wait_until(gateway.is_refusing, what="the closed socket")
    if how != "removal":
        assert old.wait(30) == 0  # long before its grace ends: who waited is another's, or answered
    for client in silent:
        client.close()


def test_modern(start, backend, files, authority):
    gateway = start(tls_config(backend, entry(files["a"]), profile="modern"))
    with TlsClient(gateway.port, client_context(authority.file)) as client:
        assert client.ask(get("/")).status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(gateway.port, client_context(authority.file, versions=(None, V.TLSv1_2)))


# --- the configuration ------------------------------------------------------------------------


def check(folder, config, *arguments):
    file = folder / "checked.jsonc"
    file.write_text(json.dumps(config, indent=2))
    return subprocess.run([BINARY, "check", "-c", str(file), *arguments], capture_output=True, text=True,
                          timeout=30, check=False)


@pytest.mark.parametrize("changes, message", [
    ({"cert_file": "none.crt"}, "cert_file: cannot open"),
    ({"key_file": "none.key"}, "key_file: cannot open"),
    ({"key_file": "b.key"}, "b.key does not belong to the certificate"),
    ({"key_file": "open.key"}, "can be read by others (mode 0644); chmod 600 it"),
    ({"cert_file": "a.key"}, "holds no PEM certificate"),
    ({"key_file": "locked.key"}, "without a passphrase"),
    ({"hosts": ["a b"]}, '"a b" is not a host name'),
])
def test_files_that_cannot_be_used(module_scratch, files, changes, message):
    (module_scratch / "open.key").write_bytes((module_scratch / "a.key").read_bytes())
    (module_scratch / "open.key").chmod(0o644)
    locked = module_scratch / "locked.key"
    if not locked.exists():
        subprocess.run(["openssl", "pkey", "-in", files["a"][1], "-aes128", "-passout", "pass:secret", "-out",
                        str(locked)], check=True, timeout=20)
        locked.chmod(0o600)
    done = check(module_scratch, tls_config("127.0.0.1:1", {**entry(files["a"]), **changes}))
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert re.search(r"checked.jsonc:\d+:\d+: error: listeners.public.tls.certificates\[0\]", done.stderr)


@pytest.mark.parametrize("tls, message", [
    ({"client_auth": "require"}, "client_ca_file"),
    ({"client_ca_file": "ca.crt"}, "client_auth"),
    ({"client_auth": "require", "client_ca_file": "a.key"}, "holds no PEM certificate"),
    ({"min_version": "1.1"}, "min_version"),
    ({"profile": "old"}, "profile"),
    ({"hsts": {"preload": True}}, "include_subdomains"),
    ({"certificate": []}, 'did you mean "certificates"'),
])
def test_options_that_cannot_be(module_scratch, files, tls, message):
    done = check(module_scratch, tls_config("127.0.0.1:1", entry(files["a"]), **tls))
    assert done.returncode == 1 and message in done.stderr, done.stderr


def test_two_certificates_for_one_name(module_scratch, files):
    done = check(module_scratch, tls_config("127.0.0.1:1", entry(files["a"], "a.test"), entry(files["b"], "a.test")))
    assert done.returncode == 1 and 'two certificates are for "a.test"' in done.stderr, done.stderr


@pytest.mark.parametrize("name, hosts, rule", [("old", [], "certificate-expired"), ("b", ["a.test"], "certificate-name")])
def test_doubtful_certificates_are_warned_of(module_scratch, files, name, hosts, rule):
    config = tls_config("127.0.0.1:1", entry(files[name], *hosts))
    done = check(module_scratch, config)
    assert done.returncode == 0 and rule in done.stderr, done.stderr
    assert check(module_scratch, config, "--strict").returncode == 1


# --- on to https -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redirecting(module_scratch, shared_backend, files):
    from support import Gateway
    folder = module_scratch / "redirecting"
    folder.mkdir()
    config = tls_config(shared_backend, entry(files["a"]))
    config["listeners"]["secure"] = config["listeners"]["public"]
    config["listeners"]["public"] = {"address": f"127.0.0.1:{free_port()}", "redirect": "https"}
    config["admin"]["public_path"] = "/-"
    gateway = Gateway(folder, config).start()
    gateway.secure_port = int(config["listeners"]["secure"]["address"].rsplit(":", 1)[1])
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("target, host, location", [
    ("/", "a.test", "https://a.test/"),
    ("/x/y?a=b&c=%20d", "a.test", "https://a.test/x/y?a=b&c=%20d"),
    ("/?", "a.test", "https://a.test/?"),
    ("//evil.test/%2e%2e/x", "a.test", None),
    ("/", "a.test:80", "https://a.test/"),
    ("/", "[::1]", "https://[::1]/"),
    ("/", "a.test:OWN", "https://a.test:SECURE/"),
    ("http://a.test/absolute", "a.test", "https://a.test/absolute"),
])
def test_a_plain_listener_sends_to_https(redirecting, target, host, location):
    host = host.replace("OWN", str(redirecting.port))
    response = redirecting.ask(get(target, host=host))
    if location is None:
        assert response.status == 400 or response.get("Location").startswith("https://a.test/"), response
        return
    assert response.status == 308
    assert response.get("Location") == location.replace("SECURE", str(redirecting.secure_port))
    assert not response.get("Strict-Transport-Security")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_every_method_is_sent_on(redirecting, backend, method):
    body = b"x" * 1000 if method in ("POST", "PUT") else None
    with redirecting.client() as client:
        response = client.ask(get("/item", method=method, body=body), method)
        assert response.status == 308 and response.get("Location") == "https://gateway.test/item"
    assert not backend.requests
    assert redirecting.access_line(method=method)["outcome"] == "redirect"


def test_without_a_host_there_is_nowhere_to_go(redirecting):
    assert redirecting.ask(b"GET / HTTP/1.0\r\n\r\n").status == 400


def test_health_is_served_there_too(redirecting):
    assert redirecting.ask(get("/-")).status != 308


def test_the_other_listener_serves(redirecting, backend, authority):
    with TlsClient(redirecting.secure_port, client_context(authority.file)) as client:
        assert client.ask(get("/")).status == 200


def test_tls_and_redirect_exclude_each_other(module_scratch, files):
    config = tls_config("127.0.0.1:1", entry(files["a"]))
    config["listeners"]["public"]["redirect"] = "https"
    done = check(module_scratch, config)
    assert done.returncode == 1 and "does not send to https" in done.stderr, done.stderr


# --- client certificates -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def demanding(module_scratch, shared_backend, files, authority):
    from support import Gateway
    gateways = {}
    for auth in ("require", "request"):
        folder = module_scratch / auth
        folder.mkdir()
        gateways[auth] = Gateway(folder, tls_config(shared_backend, entry(files["a"]), entry(files["b"], "b.test"),
                                                    client_auth=auth, client_ca_file=str(authority.file))).start()
    yield gateways
    for gateway in gateways.values():
        gateway.stop()


@pytest.mark.parametrize("version", [V.TLSv1_2, V.TLSv1_3])
@pytest.mark.parametrize("auth, cert, is_ok", [
    ("require", "client", True), ("require", None, False), ("require", "stranger", False), ("require", "old", False),
    ("request", "client", True), ("request", None, True), ("request", "stranger", False),
])
@pytest.mark.parametrize("host", ["a.test", "b.test"])
def test_client_certificates(demanding, backend, authority, files, version, auth, cert, is_ok, host):
    context = client_context(authority.file, cert=files[cert] if cert else None, versions=(version, version))
    try:
        with TlsClient(demanding[auth].port, context, host) as client:
            response = client.ask(get("/"))
            assert is_ok == (response is not None and response.status == 200)
    except (ssl.SSLError, ConnectionError):
        assert not is_ok
    assert bool(backend.requests) == is_ok


def test_a_resumed_session_remembers_the_client_certificate(demanding, backend, authority, files):
    context = client_context(authority.file, cert=files["client"])
    session = None
    for turn in range(3):
        with TlsClient(demanding["require"].port, context, session=session) as client:
            assert client.ask(get("/")).status == 200
            assert client.socket.session_reused == (turn > 0)
            session = client.socket.session


def test_why_a_client_was_refused_is_counted(demanding, authority):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(demanding["require"].port,
                  client_context(authority.file, versions=(V.TLSv1_2, V.TLSv1_2))).close()
    wait_until(lambda: demanding["require"].metric("jwtgate_tls_handshakes_total", result="tls_certificate_missing") >= 1,
               what="the count")
