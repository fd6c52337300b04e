"""A certificate authority and a server certificate for 127.0.0.1, made by `openssl`."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

# Python 3.13 requires these extensions by default (strict RFC 5280).
_SERVER_EXTENSIONS = """\
subjectAltName=IP:127.0.0.1,DNS:localhost
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority that clients trust, and the server's certificate and key."""

    ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write a new authority and a certificate for 127.0.0.1 and localhost, valid for two days, into `folder`.

    Raises:
        RuntimeError: `openssl` is missing or refuses.
    """
    made = Certificates(ca=folder / "ca.crt", certificate=folder / "server.crt", key=folder / "server.key")
    ca_key, request, extensions = folder / "ca.key", folder / "server.csr", folder / "server.ext"
    extensions.write_text(_SERVER_EXTENSIONS)
    authority = ["-subj", "/CN=local test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _openssl("req", "-x509", "-days", "2", *_NEW_KEY, *authority, "-keyout", str(ca_key), "-out", str(made.ca))
    _openssl("req", *_NEW_KEY, "-subj", "/CN=localhost", "-keyout", str(made.key), "-out", str(request))
    signing = ["-CA", str(made.ca), "-CAkey", str(ca_key), "-CAcreateserial", "-extfile", str(extensions)]
    _openssl("x509", "-req", "-days", "2", "-in", str(request), *signing, "-out", str(made.certificate))
    return made


def _openssl(*arguments: str) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError("openssl is not installed: it makes the broker's certificates") from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"openssl {arguments[0]} failed: {error.stderr.strip()}") from error
