"""A certificate authority, a server certificate for 127.0.0.1 and a client certificate, made by `openssl`."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

# Python 3.13 requires these extensions by default (strict RFC 5280).
_EXTENSIONS = """\
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""
_SERVER_EXTENSIONS = _EXTENSIONS + "subjectAltName={names}\nextendedKeyUsage=serverAuth\n"
_CLIENT_EXTENSIONS = _EXTENSIONS + "extendedKeyUsage=clientAuth\n"


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority that both sides trust, and certificates and keys of the server and of a client."""

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path


def make_certificates(folder: Path, *hosts: str, authority_days: int = 2) -> Certificates:
    """Write a new authority and certificates for a server and a client, valid for two days, into `folder`.

    The server's is for 127.0.0.1, localhost and `hosts`. The authority can be valid for longer.

    Raises:
        RuntimeError: `openssl` is missing or refuses.
    """
    names = ",".join(["IP:127.0.0.1", "DNS:localhost", *(f"DNS:{host}" for host in hosts)])
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    authority = ["-subj", "/CN=local test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    validity = ["-days", str(authority_days)]
    _openssl("req", "-x509", *validity, *_NEW_KEY, *authority, "-keyout", str(ca_key), "-out", str(ca))
    certificate, key = _sign(ca, ca_key, "server", "localhost", _SERVER_EXTENSIONS.format(names=names))
    client_certificate, client_key = _sign(ca, ca_key, "client", "client", _CLIENT_EXTENSIONS)
    return Certificates(ca, certificate, key, client_certificate, client_key)


def _sign(ca: Path, ca_key: Path, name: str, subject: str, extensions: str) -> tuple[Path, Path]:
    certificate, key, request, extension_file = (
        ca.with_name(f"{name}.{kind}") for kind in ("crt", "key", "csr", "ext")
    )
    extension_file.write_text(extensions)
    _openssl("req", *_NEW_KEY, "-subj", f"/CN={subject}", "-keyout", str(key), "-out", str(request))
    signing = ["-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial", "-extfile", str(extension_file)]
    _openssl("x509", "-req", "-days", "2", "-in", str(request), *signing, "-out", str(certificate))
    return certificate, key


def _openssl(*arguments: str) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError("openssl is not installed: it makes the broker's certificates") from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"openssl {arguments[0]} failed: {error.stderr.strip()}") from error
