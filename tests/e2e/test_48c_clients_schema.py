# SPDX-License-Identifier: Apache-2.0
"""The file of clients: npm's "ajv" by its schema, and the parser itself, about good files and what is made of them."""
import concurrent.futures
import json
import pathlib
import subprocess

from support import PLAIN_BINARY
from test_48b_ajv import mutations, objects, with_value

HERE = pathlib.Path(__file__).parent
SHA256 = "sha256:AAECAwQFBgcICQoLDA0ODw:EEqYVo55l7MGfPvwVPSRCq7RN6JXw-TBbKyW9De5Grw"
SCRYPT = "scrypt:16384:8:1:AAECAwQFBgcICQoLDA0ODw:11kKyiyYAc8G7rp3KmncMc44YlkdllIqxOa7pq0fMaU"
BASE = {"$schema": "./clients.schema.json",
        "clients": {"made": {"secret_hash": SHA256, "scopes": ["orders:read", "orders:write"], "audiences": ["orders", "https://b.test"],
                             "claims": {"tenant": "acme", "limits": {"per_day": [1, 2.5, None, True]}}},
                    "chosen.1": {"secret_hash": SCRYPT}}}
RESERVED = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "cnf", "act"]

# What the schema cannot know, by what the parser says then.
BEYOND = {
    "what a hash costs": "the scrypt parameters are wrong, too weak or too costly",
    "bytes, not characters": "not an audience of up to 512 bytes",
    "how much text there is in claims": "more than 32 claims or 2048 bytes",
}


def schema():
    return json.loads(subprocess.run([PLAIN_BINARY, "help", "schema-clients"], capture_output=True, check=True).stdout)


def edges():
    """(what was done, the result): values at the limits, on both sides."""
    def made(key, value):
        return f"{key} = {json.dumps(value)[:60]}", with_value(BASE, ("clients", "made", key), value)
    for scope in ("", " ", "a b", '"', "\\", "!", "~", "[]", "\x7f", "é", "a\n", "a" * 128, "a" * 129):
        yield made("scopes", [scope])
    for audience in ("", " ", "a\n", "a" * 512, "a" * 513, "é" * 256, "é" * 257):
        yield made("audiences", [audience])
    for key in ("scopes", "audiences"):
        yield made(key, ["x"] * 64)
        yield made(key, ["x"] * 65)
    for name in RESERVED + ["issuer", "Iss", "iss ", "", "c" * 300]:
        yield made("claims", {name: "x"})
    yield made("claims", {str(i): i for i in range(32)})
    yield made("claims", {str(i): i for i in range(33)})
    yield made("claims", {"x": "y" * 3000})
    for text in (SHA256[:-1], SHA256 + "A", SHA256[:-1] + "x", SHA256.replace("Dw:", "Dx:"), SHA256 + "\n", " " + SHA256, SHA256.upper(),
                 SCRYPT.replace("8:1:", "8:"), SCRYPT.replace(":8:", ":08:"), SCRYPT.replace(":8:", ":0:"), SCRYPT.replace("16384", "8192"),
                 SCRYPT.replace("16384", "16385"), SCRYPT.replace("16384", "4194304"), SCRYPT.replace(":1:", ":100:"), "sha256::", "plain"):
        yield made("secret_hash", text)
    for name in ("x" * 64, "x" * 65, "", "a b", "a:b", "A-z_0.9", "é"):
        yield f"clients.{name}", with_value(BASE, ("clients", name), {"secret_hash": SHA256})
    for count in (1000, 1001):
        yield f"{count} clients", {"clients": {f"c{i}": {"secret_hash": SHA256} for i in range(count)}}


def listed(folder, number, document):
    """None, or what the parser complains of."""
    file = folder / f"{number}.jsonc"
    file.write_text(json.dumps(document))
    file.chmod(0o600)
    done = subprocess.run([PLAIN_BINARY, "client", "list", "-f", file], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (0, 1), done
    return None if done.returncode == 0 else done.stderr


def test_the_schema_and_the_parser_agree(scratch):
    made = [("nothing", BASE), ("no client", {"clients": {}}), *mutations(BASE), *edges()]
    asked = subprocess.run(["node", HERE / "ajv_tool.mjs"], input=json.dumps({"schema": schema(), "documents": [document for _, document in made]}),
                           capture_output=True, text=True, timeout=120, check=False)
    assert asked.returncode == 0, asked.stderr
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parsed = list(pool.map(lambda pair: listed(scratch, *pair), enumerate(document for _, document in made)))
    by_schema = json.loads(asked.stdout)
    assert (by_schema[:2], parsed[:2]) == ([[], []], [None, None])
    refused, kinds = 0, set()
    for (what, _), schema_says, parser_says in zip(made, by_schema, parsed):
        if schema_says:
            assert parser_says, f"{what}: only the schema refuses: {schema_says[:3]}"
            refused += 1
        elif parser_says:
            found = {kind for kind, text in BEYOND.items() if text in parser_says}
            assert len(found) == 1, f"{what}: only the parser refuses: {parser_says}"
            kinds |= found
    assert refused > 150 and kinds == set(BEYOND)


def test_every_key_is_described_and_no_object_is_open():
    described = schema()
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    client = described["properties"]["clients"]["additionalProperties"]
    assert set(client["properties"]) == {"secret_hash", "scopes", "audiences", "claims"} and client["required"] == ["secret_hash"]
    assert all(row["description"] for row in [*described["properties"].values(), *client["properties"].values()])
    assert [path for path, row in objects(described) if row.get("additionalProperties") is None] == [
        "/properties/clients/additionalProperties/properties/claims"]
