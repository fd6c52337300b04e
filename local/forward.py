"""Forwards a local port to a Service of a cluster."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from local.commands import Kubectl
from local.ports import HOST, free_port
from local.processes import Process, ProcessError, accepts_tcp

_PATIENCE_S = 120


class PortForward(httpx.BaseTransport):
    """`kubectl port-forward`, and an HTTP transport over it that reconnects when its pod is replaced.

    Args:
        kubectl: The cluster and namespace.
        service: The Service's name.
        port: Its port.
        log: Where kubectl's output goes.
        local_port: The port on this machine, a free one by default.
    """

    def __init__(self, kubectl: Kubectl, service: str, port: int, log: Path, *, local_port: int | None = None) -> None:
        local_port = local_port or free_port()
        self.url = f"http://{HOST}:{local_port}"
        command = [*kubectl.command, "port-forward", f"service/{service}", f"{local_port}:{port}"]
        self._process = Process("port-forward", command, log=log)
        self._listens = accepts_tcp(HOST, local_port)
        self._http = httpx.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and repeat it for up to two minutes until there is an answer."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self.ensure()
                response = self._http.handle_request(request)
                response.read()
            except (httpx.TransportError, ProcessError):
                self._process.stop()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return response

    def ensure(self) -> None:
        """Start it unless it runs.

        Raises:
            ProcessError: there is no pod to forward to.
        """
        if not self._process.running:
            self._process.start()
            self._process.wait_until(self._listens)

    def close(self) -> None:
        """Stop it."""
        self._http.close()
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()
