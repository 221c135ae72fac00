# SPDX-License-Identifier: Apache-2.0
"""Certificates, TLS clients and TLS backends for the tests."""
import ctypes
import datetime
import ipaddress
import os
import pathlib
import socket
import ssl
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from support import Backend, Client

DAY = datetime.timedelta(days=1)


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._sign(name, self.key.public_key(), [], 30 * DAY, is_ca=True)
        self.file = folder / f"{name}.crt"
        self.file.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, names, life, is_ca=False):
        now = datetime.datetime.utcnow()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        builder = (x509.CertificateBuilder().subject_name(name)
                   .issuer_name(name if is_ca else self.cert.subject)
                   .public_key(public_key).serial_number(x509.random_serial_number())
                   .not_valid_before(now - 10 * DAY).not_valid_after(now + life)
                   .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, file, *hosts, life=30 * DAY):
        """(FILE.crt, FILE.key) as text."""
        names = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(file, key.public_key(), names, life)
        cert_file, key_file = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.NoEncryption()))
        return str(cert_file), str(key_file)


    def ocsp(self, cert_file, status=ocsp.OCSPCertStatus.GOOD, begin=-DAY, end=DAY):
        """A response about a certificate of ours, in DER."""
        cert = x509.load_pem_x509_certificate(pathlib.Path(cert_file).read_bytes())
        now = datetime.datetime.utcnow()
        is_revoked = status == ocsp.OCSPCertStatus.REVOKED
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=cert, issuer=self.cert, algorithm=hashes.SHA256(), cert_status=status, this_update=now + begin,
            next_update=now + end, revocation_time=now - DAY if is_revoked else None, revocation_reason=None)
        response = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.cert).sign(self.key, hashes.SHA256())
        return response.public_bytes(serialization.Encoding.DER)


def client_context(ca_file, cert=None, versions=(None, None), alpn=None):
    context = ssl.create_default_context(cafile=str(ca_file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if versions[0]:
            context.minimum_version = versions[0]
        if versions[1]:
            context.maximum_version = versions[1]
    if cert:
        context.load_cert_chain(*cert)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class TlsClient(Client):
    """One encrypted connection."""

    def __init__(self, port, context, host="a.test", session=None, **options):
        super().__init__(port, **options)
        self.raw = self.socket
        try:
            self.socket = context.wrap_socket(self.raw, server_hostname=host, session=session)
        except BaseException:
            self.raw.close()
            raise

    def _more(self):
        try:
            return super()._more()
        except ssl.SSLError:
            self.ended = True
            return False


class RawTls:
    """A connection by libssl itself, for what Python's ssl does not offer.  Errors are results."""

    REQUESTED = 1

    def __init__(self, port):
        self.lib = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.lib.SSL_CTX_new(ctypes.c_void_p(self.lib.TLS_client_method())))
        self.ssl = ctypes.c_void_p(self.lib.SSL_new(self.context))
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(None)
        self.lib.SSL_set_fd(self.ssl, self.socket.fileno())
        assert self.lib.SSL_connect(self.ssl) == 1

    def write(self, data):
        return self.lib.SSL_write(self.ssl, data, len(data))

    def update_keys(self):
        """True: one more message has left."""
        return self.lib.SSL_key_update(self.ssl, self.REQUESTED) == 1 and self.lib.SSL_do_handshake(self.ssl) == 1

    def close(self):
        self.lib.SSL_free(self.ssl)
        self.lib.SSL_CTX_free(self.context)
        self.socket.close()


class TlsBackend(Backend):
    """A backend that speaks TLS; `self.handshakes`: (ok, resumed, peer's certificate, SNI)."""

    def __init__(self, cert, ca_file=None, **options):
        self.handshakes, self.names = [], []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*cert)
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        if ca_file:
            self.context.load_verify_locations(str(ca_file))
            self.context.verify_mode = ssl.CERT_REQUIRED
        super().__init__(**options)

    def _serve(self, connection):
        raw = connection.socket
        try:
            raw.settimeout(10)
            connection.socket = self.context.wrap_socket(raw, server_side=True)
            connection.socket.settimeout(None)
        except (OSError, ValueError):
            self.handshakes.append((False, False, None))
            raw.close()
            with self.lock:
                self.open_sockets.discard(raw)
            return
        secured = connection.socket
        self.handshakes.append((True, secured.session_reused, secured.getpeercert()))
        with self.lock:
            self.open_sockets.discard(raw)
            self.open_sockets.add(secured)
        super()._serve(connection)
