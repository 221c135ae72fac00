# SPDX-License-Identifier: Apache-2.0
"""One normal form of a path decides and is forwarded."""
import pytest

from support import config_for, get


def CONFIG(backend, folder):
    return config_for(backend, providers={
        "internal": {"issuer": "i", "audiences": ["a"], "algorithms": ["HS256"],
                     "keys": [{"kid": "1", "secret": {"env": "TEST_SECRET"}}]}},
        routes={
            "public": {"match": {"path_prefix": "/public"}, "upstream": "backend", "auth": "none"},
            "admin": {"match": {"path_prefix": "/admin"}, "upstream": "backend", "auth": {"provider": "internal"}},
            "exact": {"match": {"exact": "/exact"}, "upstream": "backend", "auth": "none"},
            "deep": {"match": {"path_prefix": "/public/deep/secret"}, "upstream": "backend",
                     "auth": {"provider": "internal"}},
            "host": {"match": {"path_prefix": "/hosted", "hosts": ["one.test"]}, "upstream": "backend", "auth": "none"},
            "wild": {"match": {"path_prefix": "/hosted", "hosts": ["*.wild.test"]}, "upstream": "backend",
                     "auth": "none"},
            "methods": {"match": {"path_prefix": "/methods", "methods": ["GET", "HEAD"]}, "upstream": "backend",
                        "auth": "none"}})


FORWARDED = [
    ("/public", "/public"), ("/public/", "/public/"), ("/public//a", "/public/a"), ("//public/a", "/public/a"),
    ("/./public/a", "/public/a"), ("/public/./a", "/public/a"), ("/public/b/../a", "/public/a"),
    ("/public/%61", "/public/a"), ("/%70ublic/a", "/public/a"), ("/public/%2e/a", "/public/a"),
    ("/public/b/%2e%2e/a", "/public/a"), ("/x/../public/a", "/public/a"), ("/public/a%20b", "/public/a%20b"),
    ("/public/%e4", "/public/%E4"), ("/public/a?x=../..", "/public/a?x=../.."), ("/public/a;v=1", "/public/a;v=1"),
    ("/exact", "/exact")]


@pytest.mark.parametrize("path, wanted", FORWARDED)
def test_the_normal_form_is_forwarded(gateway, backend, path, wanted):
    assert gateway.ask(get(path)).status == 200
    assert backend.last().target == wanted


TRICKS = ["/admin", "/admin/", "/admin/x", "//admin", "///admin//x", "/./admin", "/public/../admin", "/public/./../admin/x",
          "/%61dmin", "/%61%64%6d%69%6e/x", "/public/%2e%2e/admin", "/public/.%2e/admin", "/public/%2E./admin",
          "/admin?x", "/admin/%2e", "/admin//", "/x/../admin", "/x//../admin", "/public/..//admin",
          "http://gateway.test/admin", "http://gateway.test//public/../admin", "/public/deep/./secret",
          "/public/deep//secret", "/public/deep/x/../secret/y", "/public/%64eep/secret"]


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_reaches_the_protected_area(gateway, backend, path):
    assert gateway.ask(get(path)).status == 401
    assert not backend.requests


REFUSED = ["/public%2fadmin", "/public/..%2fadmin", "/public/%2F", "/public/a%5cb", "/public\\..\\admin", "/public/%00",
           "/public/%", "/public/%zz", "/public/%2", "/public/..;/admin", "/public/.;/x", "/public/%0a", "/public/%0d%0a",
           "/..", "/../admin", "/public/../../admin", "/%2e%2e/admin", "/public/%7f"]


@pytest.mark.parametrize("path", REFUSED)
def test_paths_with_two_readings_are_refused(gateway, backend, path):
    response = gateway.ask(get(path))
    assert response.status in (400, 401, 404), response
    if path not in ("/..", "/../admin", "/public/../../admin", "/%2e%2e/admin"):
        assert response.status == 400
    assert not backend.requests


NOT_FOUND = ["/", "/publicx", "/exact/", "/exact/x", "/Public", "/EXACT", "/other"]


@pytest.mark.parametrize("path", NOT_FOUND)
def test_what_matches_no_route_is_404(gateway, backend, path):
    response = gateway.ask(get(path))
    assert response.status == 404
    assert response.get("Content-Type") == "application/problem+json"
    body = response.json()
    assert body["status"] == 404 and body["title"] == "Not Found" and body["type"] == "about:blank"
    assert body["request_id"] == response.get("X-Request-Id")


def test_a_percent_encoded_second_round_is_not_decoded(gateway, backend):
    assert gateway.ask(get("/public/%252e%252e/admin")).status == 200
    assert backend.last().target == "/public/%252e%252e/admin"


@pytest.mark.parametrize("host, status", [
    ("one.test", 200), ("ONE.test:8080", 200), ("a.wild.test", 200), ("a.b.wild.test", 200), ("wild.test", 404),
    ("two.test", 404), ("one.test.evil", 404)])
def test_hosts_choose_the_route(gateway, backend, host, status):
    assert gateway.ask(get("/hosted", host=host)).status == status


def test_the_wrong_method_is_405_with_allow(gateway, backend):
    response = gateway.ask(get("/methods", method="POST", body=b""))
    assert response.status == 405
    assert {m.strip() for m in response.get("Allow").split(",")} == {"GET", "HEAD"}
    assert gateway.ask(get("/methods", method="HEAD")).status == 200


def test_the_most_specific_route_wins_whatever_the_order(start, backend):
    routes = {"z": {"match": {"path_prefix": "/"}, "upstream": "backend", "auth": "none"},
              "a": {"match": {"path_prefix": "/a"}, "upstream": "backend", "auth": "none",
                    "rewrite": {"strip_prefix": "/a"}},
              "ab": {"match": {"exact": "/a/b"}, "upstream": "backend", "auth": "none"}}
    for order in (routes, dict(reversed(routes.items()))):
        gateway = start(config_for(backend, routes=order))
        for asked, wanted in (("/a/b", "/a/b"), ("/a/c", "/c"), ("/b", "/b")):
            backend.clear()
            assert gateway.ask(get(asked)).status == 200
            assert backend.last().target == wanted
        gateway.stop()
