"""moto_server on a free port of loopback, as `python -m moto.server` runs it, but for three things: the port is told,
not chosen; TLS is with a certificate made for this run; and it ends when its stdin does, so that it never outlives
the test that started it.

argv:   for TLS, the folder where certificate.pem is put; nothing for plain HTTP
stdout: one JSON line, {"endpoint": …}
"""

import datetime
import ipaddress
import json
import logging
import pathlib
import sys
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

HOST = "127.0.0.1"


def make_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "moto")])
    now = datetime.datetime.now(datetime.timezone.utc)
    # It signs itself and is no authority: rustls trusts it for this one name.
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
    )
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    files = make_certificate(folder) if folder else None
    # One line a request is more than a failing test wants to show.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        HOST,
        0,
        app,
        threaded=True,
        request_handler=MotoRequestHandler,
        ssl_context=tuple(map(str, files)) if files else None,
    )
    if files:
        files[1].unlink()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    scheme = "https" if files else "http"
    print(json.dumps({"endpoint": f"{scheme}://{HOST}:{server.port}"}), flush=True)
    sys.stdin.read()


main()
