"""Settings from the environment: one line per wrong variable, never a secret."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest
from mqtt_trace_service import BrokerSettings, ServiceSettings, load
from pydantic import Field, SecretStr

from local.certificates import make_certificates
from mqtt_trace import ConfigurationError


class Limited(ServiceSettings):
    """Settings of a service, with a required one and a secret that can be invalid."""

    topic: str = Field(description="Topic to read.")
    token: SecretStr = Field(default=SecretStr("default-secret"), min_length=8, description="Token to show.")


@pytest.fixture(autouse=True)
def _no_arguments_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program"])
    for name in {*BrokerSettings.model_fields, *Limited.model_fields}:
        monkeypatch.delenv(name.upper(), raising=False)


def _refusal(
    settings: type[ServiceSettings],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    **variables: str,
) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(settings, "program")
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err.splitlines()


def test_without_variables_the_documented_defaults_hold() -> None:
    """Without variables, the defaults are those of the guide."""
    settings = load(BrokerSettings, "program")
    assert (settings.mqtt_broker_host, settings.mqtt_broker_port) == ("mosquitto", 1883)
    assert (settings.health_host, settings.health_port) == ("::", 8080)
    assert settings.tls_context is None


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as charts may render, counts as unset."""
    monkeypatch.setenv("MQTT_BROKER_PORT", "")
    monkeypatch.setenv("MQTT_USERNAME", "")
    monkeypatch.setenv("MQTT_PASSWORD", "")
    settings = load(BrokerSettings, "program")
    assert (settings.mqtt_broker_port, settings.mqtt_username, settings.mqtt_password) == (1883, None, None)


def test_every_wrong_variable_gets_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All invalid variables are reported at once, each with the problem and the value."""
    lines = _refusal(
        BrokerSettings,
        capsys,
        monkeypatch,
        MQTT_BROKER_PORT="70000",
        LOG_LEVEL="loud",
        MQTT_TLS_CA_FILE=f"{tmp_path}/nowhere",
    )
    assert sorted(lines) == [
        "program: LOG_LEVEL: input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL' (got 'loud')",
        "program: MQTT_BROKER_PORT: input should be less than or equal to 65535 (got '70000')",
        f"program: MQTT_TLS_CA_FILE: path does not point to a file (got '{tmp_path}/nowhere')",
    ]


def test_a_long_or_ugly_value_stays_one_short_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value is shown with line breaks escaped and shortened."""
    (line,) = _refusal(BrokerSettings, capsys, monkeypatch, MQTT_BROKER_PORT="1\n" + "2" * 1000)
    assert "(got '1\\n222" in line
    assert len(line) < 220


def test_a_required_variable_that_is_not_set_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing variable is named, without the other settings."""
    assert _refusal(Limited, capsys, monkeypatch) == ["program: TOPIC: is not set"]


def test_a_secret_is_never_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is not printed in errors or in the help."""
    (line,) = _refusal(Limited, capsys, monkeypatch, TOPIC="t", TOKEN="hunter2")  # noqa: S106 - the secret that must not appear
    assert line.startswith("program: TOKEN: value should have at least 8 items")
    assert "hunter2" not in line
    monkeypatch.setattr(sys, "argv", ["program", "--help"])
    with pytest.raises(SystemExit):
        load(Limited, "program")
    assert "default-secret" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "problem"), [("p\udce4ss", "must be UTF-8"), ("p" * 65_536, "must have at most 65535 bytes")]
)
def test_credentials_that_fit_into_no_packet_are_refused(
    value: str, problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that are too long for a packet are refused, without showing the password."""
    password, name = _refusal(BrokerSettings, capsys, monkeypatch, MQTT_USERNAME=value, MQTT_PASSWORD=value)[::-1]
    assert name.startswith(f"program: MQTT_USERNAME: {problem} (got 'p")
    assert password == f"program: MQTT_PASSWORD: {problem}"


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"MQTT_PASSWORD": "hunter2"}, "MQTT_PASSWORD: is set, but MQTT_USERNAME is not"),
        (
            {"MQTT_TLS": "true", "MQTT_TLS_CERT_FILE": __file__},
            "MQTT_TLS_CERT_FILE: is set, but MQTT_TLS_KEY_FILE is not",
        ),
        (
            {"MQTT_TLS": "true", "MQTT_TLS_KEY_FILE": __file__},
            "MQTT_TLS_KEY_FILE: is set, but MQTT_TLS_CERT_FILE is not",
        ),
        ({"MQTT_TLS_CA_FILE": __file__}, "MQTT_TLS_CA_FILE: is set, but MQTT_TLS is not true"),
    ],
)
def test_settings_that_do_not_fit_together_are_one_line(
    variables: dict[str, str], line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inconsistent pair of settings gives one line with the variable to change and the missing one."""
    assert _refusal(BrokerSettings, capsys, monkeypatch, **variables) == [f"program: {line}"]


def test_help_lists_every_variable_with_default_and_meaning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--help` lists every variable with default and meaning, and exits with 0."""
    monkeypatch.setattr(sys, "argv", ["program", "--help"])
    with pytest.raises(SystemExit) as ended:
        load(BrokerSettings, "program")
    assert ended.value.code == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for name, field in BrokerSettings.model_fields.items():
        assert field.description
        assert rows[name.upper()].endswith(field.description)
    assert rows["MQTT_TLS"].split()[1] == "false"
    assert rows["MQTT_USERNAME"].split()[1] == "(unset)"


def test_any_other_argument_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other argument is refused, because settings are environment variables."""
    monkeypatch.setattr(sys, "argv", ["program", "--port=1"])
    (line,) = _refusal(BrokerSettings, capsys, monkeypatch)
    assert line.startswith("program: unexpected argument '--port=1'")


def test_tls_verifies_the_certificate_and_the_host_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TLS always verifies the certificate and the host name."""
    made = make_certificates(tmp_path)
    monkeypatch.setenv("MQTT_TLS", "true")
    monkeypatch.setenv("MQTT_TLS_CA_FILE", str(made.ca))
    monkeypatch.setenv("MQTT_TLS_CERT_FILE", str(made.certificate))
    monkeypatch.setenv("MQTT_TLS_KEY_FILE", str(made.key))
    context = load(BrokerSettings, "program").tls_context
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("variable", ["MQTT_TLS_CA_FILE", "MQTT_TLS_CERT_FILE"])
def test_a_file_without_a_certificate_is_named(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file without a certificate is named with the reason."""
    made = make_certificates(tmp_path)
    monkeypatch.setenv("MQTT_TLS", "true")
    monkeypatch.setenv("MQTT_TLS_CERT_FILE", str(made.certificate))
    monkeypatch.setenv("MQTT_TLS_KEY_FILE", str(made.key))
    monkeypatch.setenv(variable, __file__)
    settings = load(BrokerSettings, "program")
    with pytest.raises(ConfigurationError, match="cannot be used") as raised:
        settings.make_client("any")
    assert raised.value.variable == variable
