"""Certificates of sensors and the list of revoked ones; Mosquitto's view of them is in the chart's tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from mqtt_trace_operator.children import SENSORS_PER_SECRET
from mqtt_trace_operator.identity.certificates import LONGEST_NAME, Authority

from local.certificates import make_certificates
from mqtt_trace import ConfigurationError

NOW = datetime.now(UTC)
NAMES = ["iot.demo-00000", "iot.demo-00001"]
MIB = 1 << 20

MakeAuthority = Callable[[str], Authority]


@pytest.fixture
def make_authority(tmp_path: Path) -> MakeAuthority:
    """Make authorities, each in a folder of this name."""

    def make(name: str) -> Authority:
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            made = make_certificates(folder, authority_days=3650)
            made.ca.rename(folder / "tls.crt")
            (folder / "ca.key").rename(folder / "tls.key")
        return Authority.read(folder)

    return make


def revoked_in(crl: bytes) -> set[int]:
    """The serial numbers in a list of revoked certificates."""
    return {entry.serial_number for entry in x509.load_pem_x509_crl(crl)}


def serial(pem: bytes) -> int:
    """The serial number of a certificate."""
    return x509.load_pem_x509_certificate(pem).serial_number


def test_a_certificate_names_its_sensor(make_authority: MakeAuthority) -> None:
    """The common name is the client id, and the authority has signed it for a client."""
    authority = make_authority("a")
    certificate = x509.load_pem_x509_certificate(authority.issue(NAMES[0], NOW))
    assert certificate.subject.rfc4514_string() == f"CN={NAMES[0]}"
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.not_valid_after_utc <= authority.certificate.not_valid_after_utc


def test_a_secret_has_room_for_its_sensors(make_authority: MakeAuthority) -> None:
    """A thousand certificates and keys with the longest names fit into a Secret."""
    assert len(make_authority("a").issue("x" * LONGEST_NAME, NOW)) * SENSORS_PER_SECRET < MIB * 0.95


def test_a_certificate_is_kept_while_it_is_usable(make_authority: MakeAuthority) -> None:
    """An operator that starts again keeps certificates; one that ends soon, is damaged or of others is replaced."""
    certificates = make_authority("a").keep_or_issue(NAMES, {}, NOW)
    again = make_authority("a")
    assert again.keep_or_issue(NAMES, certificates, NOW) == certificates
    assert again.keep_or_issue(NAMES[:1], certificates, NOW + timedelta(days=59)) == {NAMES[0]: certificates[NAMES[0]]}
    damaged = {**certificates, NAMES[1]: b"damaged"}
    for others in (
        again.keep_or_issue(NAMES, certificates, NOW + timedelta(days=61)),
        make_authority("b").keep_or_issue(NAMES, certificates, NOW),
    ):
        assert not set(others.values()) & set(certificates.values())
    repaired = again.keep_or_issue(NAMES, damaged, NOW)
    assert repaired[NAMES[0]] == certificates[NAMES[0]]
    assert serial(repaired[NAMES[1]]) != serial(certificates[NAMES[1]])


def test_certificates_that_end_with_the_authority_are_not_made_again_and_again(make_authority: MakeAuthority) -> None:
    """In the authority's last month, a certificate that is valid as long as it is kept."""
    authority = make_authority("a")
    late = authority.certificate.not_valid_after_utc - timedelta(days=10)
    certificates = authority.keep_or_issue(NAMES, {}, late)
    assert authority.keep_or_issue(NAMES, certificates, late) == certificates


def test_the_list_changes_only_with_its_certificates(make_authority: MakeAuthority) -> None:
    """A list keeps certificates of other fleets, loses those that are accepted again, and else stays as it is."""
    authority = make_authority("a")
    first, second, other = (authority.issue(name, NOW) for name in (*NAMES, "iot.other-00000"))
    empty = authority.revoke([], [first, second], b"", NOW)
    assert revoked_in(empty) == set()
    assert make_authority("a").revoke([], [first], empty, NOW) == empty
    both = authority.revoke([other], [], authority.revoke([first], [second], empty, NOW), NOW)
    assert revoked_in(both) == {serial(first), serial(other)}
    assert authority.revoke([first], [second], both, NOW) == both
    assert revoked_in(authority.revoke([second], [first], both, NOW)) == {serial(second), serial(other)}
    assert revoked_in(make_authority("b").revoke([], [], both, NOW)) == set()


def test_a_later_list_has_a_later_update(make_authority: MakeAuthority) -> None:
    """Two lists of one second differ in their updates, of which OpenSSL takes the latest."""
    authority = make_authority("a")
    empty = authority.revoke([], [], b"", NOW)
    later = authority.revoke([authority.issue(NAMES[0], NOW)], [], empty, NOW)
    updates = [x509.load_pem_x509_crl(pem).last_update_utc for pem in (empty, later)]
    assert updates[0] < updates[1] < NOW


@pytest.mark.parametrize(("file", "problem"), [("tls.key", "has no authority"), ("tls.crt", "has no authority")])
def test_a_folder_without_an_authority_is_named(
    make_authority: MakeAuthority, tmp_path: Path, file: str, problem: str
) -> None:
    """The line begins with the variable."""
    make_authority("a")
    (tmp_path / "a" / file).write_text("damaged")
    with pytest.raises(ConfigurationError, match=rf"^SENSORS_CA_DIR: {problem}"):
        make_authority("a")
