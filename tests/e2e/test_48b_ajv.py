# SPDX-License-Identifier: Apache-2.0
"""Two readers of one table: npm's "ajv" by the schema, and `jwtgate check`, about examples and what is made of them."""
import concurrent.futures
import copy
import json
import os
import pathlib
import re
import subprocess

from support import PLAIN_BINARY, ROOT, SECRET, config_for
from test_45_config import GOOD
from test_48_schema import RICH, without_comments

HERE = pathlib.Path(__file__).parent
EXAMPLES = sorted((ROOT / "conf").glob("*.jsonc"))
# More keys than RICH has.
WIDE = config_for("127.0.0.1:9001", server={
    "limits": {"header_bytes": "16KiB", "headers": 50, "body_bytes": "1MiB", "connections_per_ip": 5},
    "timeouts": {"keep_alive": "5s"}, "trusted_proxies": ["10.0.0.0/8"], "error_detail": "reason"},
    revocation={"redis": {"url": "redis://127.0.0.1:6379", "timeouts": {"command": "50ms"}}, "filter": {"expected_items": 1000},
                "max_staleness": "1s", "on_unavailable": "allow"},
    providers={"one": {"issuer": "https://one.test/", "audiences": ["a"], "algorithms": ["HS256"], "clock_skew": "10s", "max_token_bytes": "4KiB",
                       "accept_bound_tokens": True, "token_types": ["JWT"], "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET", "encoding": "text"}}]}},
    access_log={"path": "-", "hash_subject": True},
    routes={"a": {"match": {"path_prefix": "/a"}, "upstream": "backend", "forward_token": True, "claims_to_headers": {"sub": "X-User"},
                  "auth": {"provider": "one", "claims": {"/roles": {"contains": "x"}}, "revocation": "strict"}}})
BASES = [RICH, WIDE]


def places(value, path=()):
    yield path, value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, path + (key,))


def with_value(config, path, value):
    changed = copy.deepcopy(config)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def without(config, path):
    changed = copy.deepcopy(config)
    place = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def mutations(config):
    """(what was done, the result)"""
    for path, value in list(places(config))[1:]:
        name = ".".join(map(str, path))
        for other in (5, -1, 1.5, 10**13, "x", "", True, None, [], {}, {"x": 1}, ["x", "x"]):
            if type(other) is not type(value) or isinstance(value, (int, str)):
                yield f"{name} = {json.dumps(other)}", with_value(config, path, other)
        if isinstance(path[-1], str):
            yield f"{name} removed", without(config, path)
        if isinstance(value, dict):
            yield f"{name}.nonsense added", with_value(config, path + ("nonsense",), 1)
        if isinstance(value, str) and re.fullmatch(r"\d+(ms|s|m|h|d|B|KiB|MiB|GiB)", value):
            for other in ("5", "5 s", "1.5s", "-1s", "5KB", "5kib", "s", "99999999999d"):
                yield f"{name} = {other}", with_value(config, path, other)
    yield "nonsense added", dict(config, nonsense=1)


# What the schema cannot know, by what `check` says then.
BEYOND = {
    "a name that is defined elsewhere": r'^[\w.\[\]]+: no (provider|upstream) "',
    "what another key makes necessary": r'"upstream" is missing|nothing says where they are kept|needs a place: server|"url" is missing',
    "an address": r"is not an IP address and a port|is not a host and a port|is not a network|is not the address of a redis server|is no https address$",
    "the environment": r"the environment variable \w* is not set$",
    "a host": r'" is not a host$',
    "the range of a duration or size": r'" is too (large|small)$',
    "the characters of a header's name": r"the header's name has characters",
    "a path of the system": r"access_log.path: must not be empty$",
}


def check(folder, number, config):
    """None, or the first complaint."""
    file = folder / f"{number}.jsonc"
    file.write_text(json.dumps(config))
    done = subprocess.run([PLAIN_BINARY, "check", "--json", "-c", file], capture_output=True, text=True, timeout=30, check=False,
                          env=dict(os.environ, TEST_SECRET=SECRET, JWTGATE_HS256_SECRET=SECRET))
    assert done.returncode in (0, 1), done
    errors = [row for row in json.loads(done.stdout or "[]") if row["severity"] == "error"]
    assert (done.returncode == 1) == bool(errors)
    return f"{errors[0]['path']}: {errors[0]['message']}" if errors else None


def both(folder, documents):
    """Per document: what ajv and what check complain of."""
    schema = json.loads(subprocess.run([PLAIN_BINARY, "help", "schema"], capture_output=True, check=True).stdout)
    done = subprocess.run(["node", HERE / "ajv_tool.mjs"], input=json.dumps({"schema": schema, "documents": documents}), capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        checked = list(pool.map(lambda pair: check(folder, *pair), enumerate(documents)))
    return list(zip(json.loads(done.stdout), checked))


def test_examples_are_fine_for_both(scratch):
    documents = [json.loads(without_comments(file.read_text())) for file in EXAMPLES] + [GOOD, RICH, WIDE]
    assert both(scratch, documents) == [([], None)] * len(documents)


def test_both_agree_on_what_is_made_of_them(scratch):
    made = [pair for base in BASES for pair in mutations(base)]
    refused, kinds = 0, set()
    for (what, _), (by_schema, by_check) in zip(made, both(scratch, [config for _, config in made])):
        if by_schema:
            assert by_check, f"{what}: only the schema refuses: {by_schema[:3]}"
            refused += 1
        elif by_check:
            found = {kind for kind, pattern in BEYOND.items() if re.search(pattern, by_check)}
            assert len(found) == 1, f"{what}: only check refuses: {by_check}"
            kinds |= found
    assert refused > 1000 and kinds == set(BEYOND)


def objects(schema, path=""):
    if isinstance(schema, dict):
        if schema.get("type") == "object" or "properties" in schema:
            yield path, schema
        for key, item in schema.items():
            yield from objects(item, f"{path}/{key}")
    elif isinstance(schema, list):
        for i, item in enumerate(schema):
            yield from objects(item, f"{path}/{i}")


def test_every_key_is_described_and_no_object_is_open():
    schema = json.loads(subprocess.run([PLAIN_BINARY, "help", "schema"], capture_output=True, check=True).stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    seen = 0
    for path, item in objects(schema):
        assert "additionalProperties" in item and item["additionalProperties"] is not True, path
        for name, key in item.get("properties", {}).items():
            assert key.get("description", "").endswith("."), f"{path}: {name}"
            seen += 1
    assert seen > 100
