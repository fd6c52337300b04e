"""What stands between a client and a server in a company's network: an HTTPS proxy, and a server that ends TLS.

It needs the standard library only, so that it also runs in a pod:

    python relays.py proxy 3128
    python relays.py tls 8443 tls.crt tls.key scout-sim:4320
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Self

Address = tuple[str, int]

_HEAD_MAX = 65_536
_CONNECT_S = 10


class _Relay(ThreadingTCPServer):
    """A server in threads of its own while its `with` block runs, or until the process ends."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: Address, handler: type[BaseRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class ConnectProxy(_Relay):
    """An HTTPS proxy: it opens tunnels (CONNECT, RFC 9110, section 9.3.6) and nothing else.

    Args:
        address: Where it listens.
        routes: Where tunnels to a host and port lead instead, such as `{"example.com:443": ("127.0.0.1", 8443)}`.

    Attributes:
        tunnels: The requested `host:port` of each tunnel so far.
    """

    def __init__(self, address: Address, routes: Mapping[str, Address] | None = None) -> None:
        super().__init__(address, _Tunnel)
        self.routes = dict(routes or {})
        self.tunnels: list[str] = []


class TlsTerminator(_Relay):
    """A TLS server that passes what it decrypts on to a server without TLS."""

    def __init__(self, address: Address, certificate: Path, key: Path, target: Address) -> None:
        super().__init__(address, _Terminated)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.target = target


class _Tunnel(BaseRequestHandler):
    server: ConnectProxy

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.request.recv(4096)
            if not part or len(head) > _HEAD_MAX:
                return
            head += part
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if method != "CONNECT":
            self.request.sendall(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
            return
        self.server.tunnels.append(target)
        print(f"CONNECT {target}", flush=True)
        host, _, port = target.rpartition(":")
        try:
            upstream = socket.create_connection(self.server.routes.get(target, (host, int(port))), timeout=_CONNECT_S)
        except OSError:
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            return
        with upstream:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _join(self.request, upstream)


class _Terminated(BaseRequestHandler):
    server: TlsTerminator

    def handle(self) -> None:
        try:
            client = self.server.context.wrap_socket(self.request, server_side=True)
        except OSError:  # a client that does not trust the certificate
            return
        with client, socket.create_connection(self.server.target, timeout=_CONNECT_S) as upstream:
            _join(client, upstream)


def _join(client: socket.socket, upstream: socket.socket) -> None:
    """Pass bytes both ways until both sides have ended."""
    upstream.settimeout(None)
    back = threading.Thread(target=_pass_on, args=(upstream, client), daemon=True)
    back.start()
    _pass_on(client, upstream)
    back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while part := source.recv(65_536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # the other side is gone
        for end in (source, sink):
            end.close()


def _main(kind: str, port: str, *others: str) -> None:
    everywhere = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - a pod's every address
    address = (everywhere, int(port))
    if kind == "proxy":
        relay: _Relay = ConnectProxy(address)
    else:
        certificate, key, target = others
        host, _, target_port = target.rpartition(":")
        relay = TlsTerminator(address, Path(certificate), Path(key), (host, int(target_port)))
    relay.serve_forever()


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    _main(*arguments)
