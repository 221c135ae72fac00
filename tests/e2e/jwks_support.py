# SPDX-License-Identifier: Apache-2.0
"""Key servers and configurations for the tests of remote keys."""
import datetime
import http.server
import json
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support import AUDIENCE, ISSUER, answer, bearer, config_for, get


def key_set(*keys):
    return json.dumps({"keys": [k if isinstance(k, dict) else k.jwk() for k in keys]}).encode()


def publish(server, *keys, fields=()):
    server.on("/keys", answer(200, key_set(*keys), "Content-Type: application/json", *fields))


def config(backend, issuer, cache=None, server=None, name=ISSUER, **jwks):
    source = {"allow_http": True, "timeout": "2s",
              "cache": {"ttl": "1s", "min_refresh": "100ms", "stale_if_error": "1h", **(cache or {})}}
    if not jwks.get("discovery"):
        source["uri"] = f"http://127.0.0.1:{issuer.port}/keys"
    source.update(jwks)
    return config_for(
        backend, server={"startup_timeout": "5s", **(server or {})},
        providers={"corp": {"issuer": name, "audiences": [AUDIENCE], "algorithms": ["RS256"],
                            "jwks": source}},
        routes={"api": {"match": {"path_prefix": "/"}, "upstream": "backend",
                        "auth": {"provider": "corp"}},
                "open": {"match": {"path_prefix": "/open"}, "upstream": "backend", "auth": "none"}})


def status(gateway, token, path="/"):
    return gateway.ask(get(path, bearer(token))).status


def fetches(gateway, **labels):
    return gateway.metric("jwtgate_jwks_fetches_total", provider="corp", **labels)


def tls_server(folder, body, days=10):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                   .public_key(key.public_key()).serial_number(7)
                   .not_valid_before(now - datetime.timedelta(days=20))
                   .not_valid_after(now + datetime.timedelta(days=days))
                   .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
                   .sign(key, hashes.SHA256()))
    ca_file, key_file = folder / "ca.pem", folder / "key.pem"
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)
    server.context = context
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.stop = server.shutdown
    return server, ca_file
