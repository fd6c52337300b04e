"""A real Mosquitto on a free port, for tests, the demo and measurements."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from local.certificates import Certificates, make_certificates
from local.ports import HOST, free_port
from local.processes import Process, ProcessError

# Debian and Homebrew install it in folders that are not on an ordinary user's PATH.
_MORE_PATH = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"]

# MQTT 3.1.1 CONNECT, clean session, empty client id: a running listener answers with a CONNACK, even if it refuses.
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
_CONNACK = 0x20


class Mosquitto:
    """A broker with persistence that is ready when the `with` block (or `start`) begins.

    `stop` and `kill` followed by `start` restart it on the same port with what it had saved.

    Args:
        users: Passwords by user name; with them anonymous clients are refused.
        acl: Lines of the ACL file, such as `topic read sensors/#`.
        tls: Whether the listener speaks TLS; clients then trust `ca_file`.
        require_certificate: Whether clients need a certificate, such as that of `certificates`.
        config: Further lines of the configuration.
        port: Port to listen on, a free one by default.
        folder: Where configuration, data and log go; a temporary folder that is removed at the end by default.

    Raises:
        ProcessError: Mosquitto is not installed or did not become ready.
    """

    host = HOST

    @staticmethod
    def version() -> tuple[int, ...]:
        """The installed version, such as `(2, 0, 22)`."""
        usage = subprocess.run([_program("mosquitto"), "-h"], capture_output=True, text=True, check=False)
        first, *_ = usage.stdout.splitlines()
        return tuple(int(number) for number in first.split()[-1].split("."))

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        acl: Sequence[str] = (),
        tls: bool = False,
        require_certificate: bool = False,
        config: Sequence[str] = (),
        port: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="mosquitto-")
        self._folder = folder or Path(self._temporary.name if self._temporary else "")
        self._certificates = make_certificates(self._folder) if tls else None
        lines = _configuration(self.port, self._folder, self._certificates)
        if require_certificate:
            lines += [f"cafile {self.ca_file}", "require_certificate true"]
        lines += self._access(users or {}, acl)
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text("\n".join([*lines, *config, ""]))
        self._process = Process(
            "mosquitto", [_program("mosquitto"), "-c", str(configuration)], log=self._folder / "mosquitto.log"
        )

    @property
    def ca_file(self) -> Path | None:
        """Certificate of the authority that signed the listener's, None without TLS."""
        return self._certificates.ca if self._certificates else None

    @property
    def certificates(self) -> Certificates:
        """The certificates of the listener, its authority and a client.

        Raises:
            ValueError: The broker has no TLS.
        """
        if self._certificates is None:
            raise ValueError("the broker has no TLS")
        return self._certificates

    @property
    def log(self) -> str:
        """The broker's log, over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def log_file(self) -> Path:
        """The file behind `log`."""
        return self._process.log

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process.running

    @property
    def pid(self) -> int:
        """The process id, for measurements."""
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it answers a CONNECT."""
        self._process.start()
        self._process.wait_until(self._answers_connect())

    def set_users(self, users: Mapping[str, str]) -> None:
        """Replace all users, and have Mosquitto read them: it disconnects clients without a valid password."""
        self._write_passwords(users)
        os.kill(self.pid, signal.SIGHUP)

    def check(self) -> None:
        """Raise `ProcessError` if it was started and has ended by itself."""
        self._process.check()

    def stop(self) -> None:
        """Stop it with SIGTERM: sessions and queued messages are saved."""
        self._process.stop()

    def kill(self) -> None:
        """Stop it with SIGKILL: what changed since the last save (`autosave_interval`) is lost."""
        self._process.kill()

    def restart(self) -> None:
        """`stop` and `start`."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and remove its temporary folder."""
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _access(self, users: Mapping[str, str], acl: Sequence[str]) -> list[str]:
        lines = [f"allow_anonymous {'false' if users else 'true'}"]
        if users:
            lines.append(f"password_file {self._write_passwords(users)}")
        if acl:
            lines.append(f"acl_file {self._private_file('acl', chr(10).join([*acl, '']))}")
        return lines

    def _write_passwords(self, users: Mapping[str, str]) -> Path:
        passwords = self._private_file("passwords", "")
        for user, password in users.items():
            subprocess.run(
                [_program("mosquitto_passwd"), "-b", str(passwords), user, password], check=True, capture_output=True
            )
        return passwords

    def _private_file(self, name: str, content: str) -> Path:
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(content)
        return file

    def _answers_connect(self) -> Callable[[], bool]:
        context = None
        if self._certificates:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.load_cert_chain(self._certificates.client_certificate, self._certificates.client_key)

        def ready() -> bool:
            try:
                with socket.create_connection((self.host, self.port), timeout=2) as plain:
                    if context is None:
                        return _is_connack(plain)
                    with context.wrap_socket(plain, server_hostname=self.host) as encrypted:
                        return _is_connack(encrypted)
            except OSError:
                return False

        return ready


def _is_connack(connection: socket.socket) -> bool:
    connection.sendall(_CONNECT)
    return connection.recv(1)[:1] == bytes([_CONNACK])


def _configuration(port: int, folder: Path, certificates: Certificates | None) -> list[str]:
    lines = [
        f"listener {port} {HOST}",
        "persistence true",
        f"persistence_location {folder}/",
        # Beyond the default of 1,000, Mosquitto silently drops messages for a paused consumer.
        "max_queued_messages 10000000",
        "max_inflight_messages 1000",
        "log_dest stderr",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
    ]
    if certificates:
        lines += [f"certfile {certificates.certificate}", f"keyfile {certificates.key}"]
    if os.geteuid() == 0:
        lines.append("user root")  # Mosquitto would switch to user `mosquitto`, which cannot read our folder
    return lines


def _program(name: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), *_MORE_PATH])
    found = shutil.which(name, path=path)
    if found is None:
        raise ProcessError(f"{name} is not installed: run make setup")
    return found
