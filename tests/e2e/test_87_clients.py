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

from support import BINARY

CHOSEN = "correct horse battery staple"


def jwtgate(*arguments, stdin=None, cwd=None):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=cwd,
                          check=False, input=stdin,
                          env=dict(os.environ, ASAN_OPTIONS="detect_leaks=1:exitcode=99",
                                   UBSAN_OPTIONS="halt_on_error=1:exitcode=99"))


def add(file, client_id, *options, stdin=None):
    done = jwtgate("client", "add", client_id, "-f", file, *options, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


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
    second = jwtgate("client", "add", "billing", "-f", file)
    assert second.returncode == 1 and second.stdout == "" and "remove it first" in second.stderr
    assert jwtgate("client", "remove", "billing", "-f", file).returncode == 0
    assert listed(file) == []
    assert jwtgate("client", "remove", "billing", "-f", file).returncode == 1
    assert os.listdir(scratch) == ["clients.jsonc"]


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
