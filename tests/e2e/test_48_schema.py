# SPDX-License-Identifier: Apache-2.0
"""The schema, the reference and the manual pages are made of the tables that parse the configuration."""
import copy
import json
import os
import re
import subprocess

import jsonschema
import pytest

from support import BINARY, ISSUER, ROOT, SECRET, config_for
from test_45_config import BAD, GOOD, changed

EXAMPLES = sorted((ROOT / "conf").glob("*.jsonc"))
RICH = config_for("127.0.0.1:9001", providers={
    "internal": {"issuer": ISSUER, "audiences": ["orders"], "algorithms": ["HS256"], "max_lifetime": "1h",
                 "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET"}}], "token": {"header": "X-Token"}},
    "web": {"issuer": "https://web.test/", "audiences": "any", "algorithms": ["RS256", "ES256"],
            "jwks": {"uri": "https://web.test/keys", "cache": {"ttl": "5m"}}}},
    upstreams={"backend": {"targets": ["127.0.0.1:1", {"address": "127.0.0.1:2", "weight": 2}], "retries": {"attempts": 2}}},
    access_log={"path": "-", "format": "combined"}, tracing={"trust": "any"},
    routes={"a": {"match": {"path_prefix": "/a", "methods": ["GET"], "hosts": ["a.test"]}, "upstream": "backend",
                  "auth": {"any_of": [{"provider": "internal", "scopes": {"any": ["x"]}}, {"provider": "web", "claims": {"t": ["x", 1]}}]},
                  "claims_to_headers": {"sub": "X-User"}, "timeouts": {"response": "5s"}},
            "b": {"match": {"exact": "/b"}, "upstream": "backend", "auth": {"optional": {"provider": "internal", "scopes": ["x"]}}},
            "c": {"match": {"path_prefix": "/c"}, "upstream": "backend", "auth": "none", "rewrite": {"strip_prefix": "/c"}}})


def run(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False,
                          env=dict(os.environ, TEST_SECRET=SECRET, JWTGATE_HS256_SECRET=SECRET))


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(run("help", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def without_comments(text):
    return re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda m: m.group(1) or "", text, flags=re.S)


@pytest.mark.parametrize("file", EXAMPLES, ids=[p.name for p in EXAMPLES])
def test_every_example_fits(validator, file):
    assert [e.message for e in validator.iter_errors(json.loads(without_comments(file.read_text())))] == []


def test_the_configurations_of_these_tests_fit(validator, scratch):
    for config in (GOOD, RICH):
        assert [e.message for e in validator.iter_errors(config)] == []
        (scratch / "c.jsonc").write_text(json.dumps(config))
        assert run("check", "-c", scratch / "c.jsonc").returncode == 0


def test_what_is_in_effect_fits_too(validator, scratch):
    """Defaults are written as the schema wants them."""
    (scratch / "c.jsonc").write_text(json.dumps(RICH))
    printed = json.loads(run("check", "--print", "--quiet", "-c", scratch / "c.jsonc").stdout)
    printed["providers"]["internal"]["keys"] = RICH["providers"]["internal"]["keys"]
    printed["providers"]["internal"]["token"] = RICH["providers"]["internal"]["token"]
    assert [f"{list(e.path)}: {e.message}" for e in validator.iter_errors(printed)] == []


# What only looking at values, other keys or the system can tell.
BEYOND = {"auth missing", "no match", "no upstream", "unknown upstream", "unknown provider", "bad address", "mixed families",
          "secret of a missing variable", "kid twice", "two claims for one field", "a tie", "a tie by a slash"}


@pytest.mark.parametrize("name", [n for n in BAD if n not in BEYOND and not n.startswith("claim field")])
def test_a_mistake_of_form_does_not_fit(validator, name):
    path, value, _ = BAD[name]
    assert not validator.is_valid(changed(path, value)), name


def places(value, path=()):
    """The paths of everything in a configuration."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, path + (key,))


def mutated(path, value):
    config = copy.deepcopy(RICH)
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return config


def test_what_check_accepts_fits(validator, scratch):
    """Each value replaced by some that may be wrong."""
    file = scratch / "c.jsonc"
    refused = 0
    for path in list(places(RICH))[1:]:
        if path[0] in ("listeners", "admin"):
            continue
        for value in (5, "x", [], {"x": 1}):
            config = mutated(path, value)
            if validator.is_valid(config):
                continue
            refused += 1
            file.write_text(json.dumps(config))
            assert run("check", "--quiet", "-c", file).returncode == 1, (path, value)
    assert refused > 150


def test_each_key_is_explained():
    text = run("help", "config").stdout
    for key in ("server.limits.header_bytes", "upstreams.NAME.targets", "providers.NAME.jwks.cache.ttl", "routes.NAME.match.path_prefix",
                "routes.NAME.auth", "revocation.on_unavailable"):
        assert f"\n{key}\n" in text, key
    assert "\n    \n" not in text  # no key without a sentence


def test_each_reason_is_explained():
    text = run("help", "reasons").stdout
    assert re.search(r"^token_expired +401 +The access token expired$", text, re.M)


@pytest.mark.parametrize("arguments, wanted", [([], ["token-file", "--strict"]), (["config"], ["upstreams.NAME.targets"])])
def test_manual_pages_are_well_formed(arguments, wanted):
    page = run("help", *arguments, "--man").stdout
    assert page.startswith(".TH ")
    for text in wanted:
        assert text.replace("-", r"\-") in page
    # Each line that begins with a dot is a macro that is known.
    assert {line.split()[0] for line in page.splitlines() if line.startswith(".")} <= {
        ".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi", ".B", ".BR"}


