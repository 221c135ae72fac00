# SPDX-License-Identifier: Apache-2.0
"""`jwtgate client`, and clients that authenticate at the token endpoint."""
import base64
import hashlib
import hmac
import json
import os
import stat
import subprocess
import threading

import pytest

from oauth_support import Issuer, add_client as add, jwtgate, reload_and_wait, token_request
from support import BINARY, wait_until

CHOSEN = "correct horse battery staple"


def listed(file):
    done = jwtgate("client", "list", "--json", "-f", file)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hash_of(file, client_id):
    text = "".join(line for line in file.read_text().splitlines() if not line.lstrip().startswith("//"))
    return json.loads(text)["clients"][client_id]["secret_hash"]


# --- the command ---------------------------------------------------------------------------------


def test_a_client_is_added_listed_and_removed(scratch):
    file = scratch / "clients.jsonc"
    secret = add(file, "billing", "--scope", "orders:read", "--scope", "orders:write", "--audience", "orders",
                 "--claim", "tenant=acme")
    assert len(unbase64(secret)) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in file.read_text()
    assert listed(file) == [{"id": "billing", "hash": "sha256", "scopes": ["orders:read", "orders:write"],
                             "audiences": ["orders"], "claims": {"tenant": "acme"}}]
    add(file, "a-name-that-is-longer-than-others")
    assert jwtgate("client", "list", "-f", file).stdout.splitlines() == [
        "ID                                 HASH    SCOPES                    AUDIENCES  CLAIMS",
        "billing                            sha256  orders:read,orders:write  orders     tenant",
        "a-name-that-is-longer-than-others  sha256  -                         -          -"]
    assert jwtgate("client", "remove", "a-name-that-is-longer-than-others", "-f", file).returncode == 0
    second = jwtgate("client", "add", "billing", "-f", file)
    assert second.returncode == 1 and second.stdout == "" and "remove it first" in second.stderr
    assert jwtgate("client", "remove", "billing", "-f", file).returncode == 0
    assert listed(file) == []
    assert jwtgate("client", "remove", "billing", "-f", file).returncode == 1
    assert os.listdir(scratch) == ["clients.jsonc"]


def test_a_secret_that_could_not_be_printed_is_no_success(scratch):
    file = scratch / "clients.jsonc"
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BINARY, "client", "add", "billing", "-f", file], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60, check=False)
    assert done.returncode == 3 and "remove the client, and add it again" in done.stderr, done.stderr
    assert "This is the secret" not in done.stderr


def test_hashes_are_what_the_header_says(scratch):
    file = scratch / "clients.jsonc"
    secret = add(file, "made")
    assert add(file, "chosen", "--secret", "-", stdin=CHOSEN + "\n") == ""
    kind, salt, digest = hash_of(file, "made").split(":")
    assert (kind, unbase64(digest)) == (
        "sha256", hmac.new(unbase64(salt), secret.encode(), hashlib.sha256).digest())
    kind, n, r, p, salt, digest = hash_of(file, "chosen").split(":")
    assert (kind, n, r, p) == ("scrypt", "32768", "8", "3")
    assert unbase64(digest) == hashlib.scrypt(CHOSEN.encode(), salt=unbase64(salt), n=32768, r=8, p=3, dklen=32,
                                              maxmem=1 << 27)
    assert CHOSEN not in file.read_text()


def test_comments_and_owner_of_the_file_stay(scratch):
    file = scratch / "clients.jsonc"
    file.write_text('// ours\n{\n  "clients": {\n    // the first\n    "a": { "secret_hash": "%s" } // A\n  }\n}\n'
                    % ("sha256:" + "A" * 22 + ":" + "A" * 43))
    file.chmod(0o400)
    add(file, "b")
    text = file.read_text()
    assert "// ours" in text and "// the first" in text and "// A" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert jwtgate("client", "remove", "a", "-f", file).returncode == 0
    text = file.read_text()
    assert "// ours" in text and "// the first" in text and "// A" in text
    assert [client["id"] for client in listed(file)] == ["b"]


def test_mistakes_change_nothing(scratch):
    file = scratch / "clients.jsonc"
    add(file, "a")
    before = file.read_text()
    for arguments, code, message in [
            (["add", "b", "--scope", "x y"], 1, "not a scope"),
            (["add", "b c"], 1, "is not a name"),
            (["add", "b", "--claim", "iss=x"], 1, "the gateway's own"),
            (["add", "b", "--claim", "x"], 2, "K=V"),
            (["add", "b", "--claim", "tenant=\udcff"], 2, "the value of --claim is not UTF-8"),
            (["add", "b", "--audience", "\udcc3"], 2, "the value of --audience is not UTF-8"),
            (["add", "b", "--secret", "hunter2hunter2hunter2"], 2, "never an argument"),
            (["add", "b", "--secret", "-"], 1, "16 to 256 bytes"),
            (["add"], 2, "name the client"),
            (["list", "a"], 2, "takes no ID"),
            (["remove", "a", "--scope", "x"], 2, "only add"),
            (["frob"], 2, 'no "frob"'),
            ([], 2, "say what")]:
        done = jwtgate("client", *arguments, "-f", file, stdin="short\n")
        assert done.returncode == code and message in done.stderr, (arguments, done)
        assert done.stdout == "" and file.read_text() == before
    broken = scratch / "broken.jsonc"
    broken.write_text('{"clients": {"a": {}}}')
    done = jwtgate("client", "add", "b", "-f", broken)
    assert done.returncode == 1 and 'broken.jsonc:1:14: error: clients.a: "secret_hash" is missing' in done.stderr


def test_a_link_is_not_replaced(scratch):
    file, link = scratch / "clients.jsonc", scratch / "link.jsonc"
    add(file, "a")
    link.symlink_to(file)
    done = jwtgate("client", "add", "b", "-f", link)
    assert done.returncode == 3 and done.stdout == ""
    assert link.is_symlink() and [client["id"] for client in listed(file)] == ["a"]
    assert sorted(os.listdir(scratch)) == ["clients.jsonc", "link.jsonc"]


def test_two_at_once_lose_nothing(scratch):
    file = scratch / "clients.jsonc"
    threads = [threading.Thread(target=add, args=(file, f"c{i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(client["id"] for client in listed(file)) == [f"c{i}" for i in range(8)]


def test_the_file_is_found_by_the_configuration(scratch):
    (scratch / "jwtgate.jsonc").write_text('{"version": 1, "token_issuer": {"clients_file": "there/clients.jsonc"}}')
    (scratch / "there").mkdir()
    done = jwtgate("client", "add", "a", cwd=scratch)
    assert done.returncode == 0, done.stderr
    assert [client["id"] for client in listed(scratch / "there" / "clients.jsonc")] == ["a"]
    (scratch / "jwtgate.jsonc").write_text('{"version": 1}')
    done = jwtgate("client", "list", cwd=scratch)
    assert done.returncode == 1 and "no token_issuer.clients_file" in done.stderr
    assert jwtgate("client", "list", "-c", "missing.jsonc", cwd=scratch).returncode == 3


# --- at the token endpoint -------------------------------------------------------------------------


@pytest.fixture
def issuer(scratch):
    issuer = Issuer(scratch)
    issuer.add("made", "--audience", "orders")
    issuer.add("chosen", "--audience", "orders", chosen=CHOSEN)
    return issuer


def begin(start, backend, issuer, **limits):
    """A gateway that believes X-Forwarded-For, so that a test has many addresses."""
    return start(issuer.configuration(backend, token_issuer={"client_failures": limits} if limits else {},
                                      server={"trusted_proxies": ["127.0.0.1/32"]}))


def ask(gateway, issuer, client_id, secret=None, address="192.0.2.1"):
    known = issuer.secrets.get(client_id, "x")
    return gateway.ask(token_request(issuer.basic(client_id, secret or known), f"X-Forwarded-For: {address}"), timeout=30)


def test_both_kinds_of_secrets_and_both_ways_to_send_them(start, backend, issuer):
    gateway = begin(start, backend, issuer)
    for client_id in ("made", "chosen"):
        assert ask(gateway, issuer, client_id).status == 200
        assert gateway.ask(token_request(client_id=client_id, client_secret=issuer.secrets[client_id])).status == 200
        assert ask(gateway, issuer, client_id, issuer.secrets[client_id] + "x").status == 401
        assert ask(gateway, issuer, client_id, issuer.secrets[client_id][:-1]).status == 401


def shape(answer):
    """What an answer says, without what differs in every answer."""
    return answer.status, answer.body, [(k, v) for k, v in answer.fields if k not in ("date", "x-request-id")]


def test_an_unknown_client_cannot_be_told_from_a_known_one(start, backend, issuer):
    gateway = begin(start, backend, issuer)
    answers = [ask(gateway, issuer, client_id, "wrong wrong wrong") for client_id in
               ("made", "chosen", "nobody", "somebody", "made2")]
    assert all(shape(answer) == shape(answers[0]) for answer in answers)
    assert answers[0].status == 401 and answers[0].json()["error"] == "invalid_client"
    reasons = [gateway.access_line(path="/oauth2/token", request_id=answer.get("x-request-id"))["reason"]
               for answer in answers]
    assert reasons == ["client_secret_wrong"] * 2 + ["client_unknown"] * 3, "but the operator can"


def test_failures_of_one_address_are_limited(start, backend, issuer):
    gateway = begin(start, backend, issuer, per_address=4, per_client=100, per="24s")
    assert [ask(gateway, issuer, "made", f"guess{i}").status for i in range(5)] == [401] * 4 + [429]
    limited = ask(gateway, issuer, "chosen")
    assert (limited.status, limited.json()["error"]) == (429, "invalid_client")
    assert int(limited.get("retry-after")) >= 1
    assert ask(gateway, issuer, "made", "wrong").status == 429
    assert ask(gateway, issuer, "made").status == 200, "its secret cannot be a guess"
    assert ask(gateway, issuer, "chosen", address="192.0.2.2").status == 200
    wait_until(lambda: ask(gateway, issuer, "chosen").status == 200, what="a failure is forgiven")
    assert gateway.access_line(path="/oauth2/token", status=429)["reason"] == "client_failures_limited"
    counted = {reason: gateway.metric("jwtgate_client_auth_decisions_total", endpoint="token", reason=reason)
               for reason in ("client_secret_wrong", "client_unknown")}
    assert counted == {"client_secret_wrong": 4, "client_unknown": 0}
    assert gateway.metric("jwtgate_client_auth_decisions_total", reason="client_failures_limited") >= 3
    assert gateway.metric("jwtgate_client_auth_decisions_total", endpoint="introspect") == 0


def test_failures_of_one_ipv6_network_are_limited_together(start, backend, issuer):
    gateway = begin(start, backend, issuer, per_address=4, per_client=100)
    for i in range(4):
        assert ask(gateway, issuer, "nobody", address=f"2001:db8:1:2::{i}").status == 401
    assert ask(gateway, issuer, "nobody", address="2001:db8:1:2:ffff::1").status == 429
    assert ask(gateway, issuer, "nobody", address="2001:db8:1:3::1").status == 401


def test_failures_under_one_client_are_limited_wherever_they_come_from(start, backend, issuer):
    gateway = begin(start, backend, issuer, per_address=100, per_client=4)
    for client_id in ("chosen", "nobody"):
        for i in range(4):
            assert ask(gateway, issuer, client_id, "wrong", f"198.51.100.{i}").status == 401
        assert ask(gateway, issuer, client_id, CHOSEN, "198.51.100.9").status == 429, client_id
    for i in range(5):
        assert ask(gateway, issuer, "made", "wrong", f"203.0.113.{i}").status == (401 if i < 4 else 429)
    assert ask(gateway, issuer, "made").status == 200, "nobody can lock it out"


@pytest.mark.threads
def test_many_chosen_secrets_at_once_are_all_hashed(start, backend, issuer):
    gateway = begin(start, backend, issuer)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(ask(gateway, issuer, "chosen").status)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert ask(gateway, issuer, "made").status == 200
    for thread in threads:
        thread.join()
    assert statuses == [200] * 4


@pytest.mark.threads
def test_a_reload_while_secrets_are_hashed(start, backend, issuer):
    """Who began before it is judged by the file as it was, whatever becomes of it."""
    gateway = begin(start, backend, issuer)
    clients = [gateway.client(timeout=30) for _ in range(4)]
    for client in clients:
        client.send(token_request(issuer.basic("chosen")))

    def begun():
        return (gateway.metric("jwtgate_http_requests_in_flight", listener="public") +
                gateway.metric("jwtgate_http_requests_total", listener="public"))
    wait_until(lambda: begun() >= 4, what="hashing")
    issuer.clients.write_text(issuer.clients.read_text().replace('"chosen"', '"gone"'))
    reload_and_wait(gateway)
    assert ask(gateway, issuer, "chosen").status == 401
    for client in clients:
        assert client.read("POST").status == 200
        client.close()


@pytest.mark.threads
def test_a_stop_while_secrets_are_hashed(start, backend, issuer):
    gateway = begin(start, backend, issuer)
    with gateway.client(timeout=30) as client:
        client.send(token_request(issuer.basic("chosen")))
        wait_until(lambda: gateway.metric("jwtgate_http_requests_in_flight", listener="public") > 0, what="hashing")
        gateway.signal(15)
        assert client.read("POST").status == 200
    gateway.stop()


def test_mistakes_in_the_file_are_mistakes_of_the_configuration(start, backend, issuer, scratch):
    file = scratch / "jwtgate.jsonc"
    file.write_text(json.dumps(issuer.configuration(backend)))
    assert jwtgate("check", "-c", file).returncode == 0
    issuer.clients.write_text('{"clients": {\n  "a": {"secret_hash": "md5:x"}}}')
    done = jwtgate("check", "-c", file)
    assert done.returncode == 1
    assert "clients.jsonc:2:24: error: clients.a.secret_hash: not the hash of a secret" in done.stderr
    assert "md5:x" not in done.stderr
    issuer.clients.chmod(0o644)
    done = jwtgate("check", "-c", file)
    assert done.returncode == 1 and "can be read by others" in done.stderr
    issuer.clients.unlink()
    done = jwtgate("check", "-c", file)
    assert done.returncode == 1 and "make it with: jwtgate client add" in done.stderr
