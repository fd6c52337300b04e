"""The command `mqtt-trace-check`: publishes one reading and checks each step of its trace."""

import asyncio
import os
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from mqtt_trace_service import cause_in_words, load, telemetry
from opentelemetry import trace

from mqtt_trace import ConfigurationError, Options, PublishOutcome, TracedPublisher
from mqtt_trace.aio import Connection
from mqtt_trace.reasons import NO_MATCHING_SUBSCRIBERS
from mqtt_trace_producer.check_delivery import SpanCounts, backend_name, read_span_counts, why_not_delivered
from mqtt_trace_producer.check_diagnosis import NextStep, find_missing_span, why_not_exported
from mqtt_trace_producer.check_settings import CheckSettings
from mqtt_trace_producer.device_spec import TOPIC_TEMPLATE
from mqtt_trace_producer.sensor import Sensor

PROGRAM = "mqtt-trace-check"

_POLL_S = 0.5
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_AUDIENCE = "b14collector"
_CHECK_SCOUT_SIM = "check that scout-sim runs and that SCOUT_SIM_URL is its address"


class StepFailedError(Exception):
    """A step of the check failed; the message is the reason.

    Attributes:
        step: Name of the step.
        next_step: The user's next step: a setting with the text, or the text.
    """

    def __init__(self, step: str, problem: str, next_step: NextStep | str) -> None:
        super().__init__(problem)
        self.step = step
        self.next_step = next_step


def main() -> None:
    """Run the check.

    Raises:
        SystemExit: 1 after a failed step, 2 for a wrong setting.
    """
    settings = load(CheckSettings, PROGRAM)
    try:
        asyncio.run(Check(settings).run())
    except StepFailedError as failure:
        _print(f"{failure.step}: FAILED: {failure}")
        next_step = failure.next_step
        _print(f"next: {getattr(settings, next_step.value) if isinstance(next_step, NextStep) else next_step}")
        sys.exit(1)
    except ConfigurationError as error:
        print(f"{PROGRAM}: {error.variable}: {error.problem}", file=sys.stderr)  # noqa: T201 - the check's output
        sys.exit(2)
    _print("passed")


class Check:
    """The steps of the check, for one reading."""

    def __init__(self, settings: CheckSettings) -> None:
        self._settings = settings
        self._options = Options.from_env()
        self._device_id = f"check-{secrets.token_hex(4)}"
        self._topic = TOPIC_TEMPLATE.format(device_id=self._device_id)
        self._trace_id = ""
        self._sampled = False

    async def run(self) -> None:
        """Run all steps.

        Raises:
            StepFailedError: A step failed.
            mqtt_trace.ConfigurationError: A setting cannot be used.
        """
        settings = self._settings
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            if settings.scout_secret_name:
                await self._check_credentials()
            if settings.scout_sim_url:  # so that a wrong address fails at once
                await self._query_scout_sim(http, settings.scout_sim_url, "/api/traces?limit=1", {"traces"})
            before = await self._read_span_counts(http) if settings.collector_metrics_url else {}
            providers = telemetry.setup(PROGRAM, log_level="WARNING")
            try:
                await self._publish(providers)
            finally:
                await asyncio.to_thread(providers.shutdown)
            self._check_export(providers)
            if settings.scout_sim_url:
                await self._check_trace(http, settings.scout_sim_url)
            if before:
                await self._check_delivery(http, before)

    async def _check_credentials(self) -> None:
        """Request a token as the Collector does (RFC 6749, section 4.4), whose own failures are only in its log."""
        settings, step = self._settings, "credentials"
        if missing := settings.missing_keys():
            keys = ", ".join(missing)
            raise StepFailedError(step, f"Secret {settings.scout_secret_name} has no {keys}", NextStep.SECRET)
        secret = settings.scout_client_secret
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.scout_client_id or "",
            "client_secret": secret.get_secret_value() if secret else "",
            "audience": _AUDIENCE,
        }
        trusted = ssl.create_default_context()
        if settings.scout_ca_file:
            trusted.load_verify_locations(settings.scout_ca_file)
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as http,  # through the Collector's proxy
                http.post(settings.scout_token_url or "", data=form, ssl=trusted) as answer,
            ):
                if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                    body = (await answer.text())[:200].strip()
                    problem = f"{settings.scout_token_url} answered {answer.status}: {body}"
                    raise StepFailedError(step, problem, NextStep.COLLECTOR)
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = f"{settings.scout_token_url} gives no token: {cause_in_words(error)}"
            raise StepFailedError(step, problem, NextStep.COLLECTOR) from error
        _print(f"{step}: ok, {settings.scout_token_url} issued a token")

    async def _publish(self, providers: telemetry.Telemetry) -> None:
        """Publish the reading and wait for its PUBACK."""
        broker = self._settings.broker_address
        async with self._publisher(providers, broker) as publisher:
            _print(f"connect: ok, {broker}")
            acknowledged: asyncio.Future[PublishOutcome] = asyncio.get_running_loop().create_future()

            def on_outcome(outcome: PublishOutcome) -> None:
                span = trace.get_current_span().get_span_context()
                self._trace_id = trace.format_trace_id(span.trace_id)
                self._sampled = span.trace_flags.sampled
                acknowledged.set_result(outcome)

            reading = Sensor(self._device_id, secrets.SystemRandom()).read()
            publisher.publish(
                self._topic,
                reading.payload(),
                1,
                message_id=reading.message_id,
                template=TOPIC_TEMPLATE,
                on_outcome=on_outcome,
            )
            try:
                outcome = await asyncio.wait_for(asyncio.shield(acknowledged), self._settings.check_timeout_s)
            except TimeoutError:
                raise StepFailedError("publish", "no PUBACK in time", NextStep.BROKER) from None
        if outcome.error_type is not None:
            problem = f"the broker refused {self._topic}: {outcome.error_type} {outcome.description}"
            raise StepFailedError("publish", problem, NextStep.BROKER)
        if outcome.reason_code == NO_MATCHING_SUBSCRIBERS:
            raise StepFailedError("publish", f"{self._topic} has no subscribers", NextStep.CONSUMER)
        _print(f"publish: ok, PUBACK for {self._topic}, trace {self._trace_id}")

    @asynccontextmanager
    async def _publisher(self, providers: telemetry.Telemetry, broker: str) -> AsyncIterator[TracedPublisher]:
        settings = self._settings
        client = settings.make_client(self._device_id)
        client.connect_async(settings.mqtt_broker_host, settings.mqtt_broker_port, settings.mqtt_keepalive_s)
        device = telemetry.Device(id=self._device_id, kind="sensor").attributes()
        publisher = TracedPublisher(
            client, tracer_provider=providers.device_tracer_provider(device), options=self._options
        )
        causes = ["no answer"]
        connection = Connection(client, on_down=causes.append)
        serving = asyncio.create_task(connection.run())
        try:
            try:
                await asyncio.wait_for(connection.wait_up(), settings.check_timeout_s)
            except TimeoutError:
                raise StepFailedError("connect", f"{broker}: {causes[-1]}", NextStep.BROKER) from None
            yield publisher
        finally:
            publisher.close()
            await connection.close()
            await serving

    def _check_export(self, providers: telemetry.Telemetry) -> None:
        if problem := why_not_exported(os.environ, sampled=self._sampled):
            raise StepFailedError("export", problem, "run this check again without that variable")
        if providers.dropped()["traces"]:
            raise StepFailedError("export", "the publish span did not reach the Collector", NextStep.COLLECTOR)
        _print("export: ok, the Collector has the publish span")

    async def _check_trace(self, http: aiohttp.ClientSession, scout_url: str) -> None:
        """Wait until scout-sim has the four spans."""
        query = f"/api/traces/{self._trace_id}"
        spans: list[dict[str, Any]] = []

        async def complete() -> bool:
            answer = await self._query_scout_sim(http, scout_url, query, {"spans", "error"})
            spans[:] = answer.get("spans", [])
            return find_missing_span(spans, self._topic) is None

        if not await self._wait_until(complete):
            missing = find_missing_span(spans, self._topic)
            seen = ", ".join(span["name"] for span in spans) or "no span"
            name, next_step = (
                (missing.name, missing.next_step) if missing and spans else ("all four spans", NextStep.COLLECTOR)
            )
            raise StepFailedError("trace", f"{self._trace_id} has {seen}, and lacks {name}", next_step)
        _print(f"trace: ok, {self._trace_id} has its four spans")

    async def _query_scout_sim(
        self, http: aiohttp.ClientSession, scout_url: str, query: str, expected: set[str]
    ) -> dict[str, Any]:
        """Send a query, and return the JSON object of the answer, which has at least one of the expected keys."""
        base = scout_url.rstrip("/")
        try:
            async with http.get(f"{base}{query}") as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientResponseError, ValueError):
            answer = None  # no HTTP, or no JSON
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = f"{base} cannot be reached: {cause_in_words(error)}"
            raise StepFailedError("trace", problem, _CHECK_SCOUT_SIM) from error
        if not isinstance(answer, dict) or expected.isdisjoint(answer):
            raise StepFailedError("trace", f"{base} is not scout-sim", _CHECK_SCOUT_SIM)
        return answer

    async def _check_delivery(self, http: aiohttp.ClientSession, before: Mapping[str, SpanCounts]) -> None:
        """Wait until each of the Collector's exporters has sent spans."""
        now = before

        async def delivered() -> bool:
            nonlocal now
            now = await self._read_span_counts(http)
            return why_not_delivered(before, now) is None

        await self._wait_until(delivered)
        if problem := why_not_delivered(before, now):
            raise StepFailedError("delivery", problem, NextStep.COLLECTOR)
        for exporter, counts in now.items():
            sent = counts.sent - before[exporter].sent
            name = backend_name(exporter)
            _print(f"delivery: ok, {sent:g} spans sent to {name} and none failed, trace {self._trace_id}")

    async def _read_span_counts(self, http: aiohttp.ClientSession) -> dict[str, SpanCounts]:
        url = self._settings.collector_metrics_url or ""
        try:
            return await read_span_counts(http, url, self._settings.exporters)
        except (OSError, ValueError, aiohttp.ClientError, TimeoutError) as error:
            problem = f"the Collector's metrics at {urlsplit(url).netloc} cannot be read: {cause_in_words(error)}"
            raise StepFailedError("delivery", problem, NextStep.COLLECTOR) from error

    async def _wait_until(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        """Wait for a condition up to the time-out, and return it; until then, errors of the backend are ignored."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.check_timeout_s
        while loop.time() < deadline:
            with suppress(StepFailedError):
                if await condition():
                    return True
            await asyncio.sleep(_POLL_S)
        return await condition()


def _print(line: str) -> None:
    print(f"{PROGRAM}: {line}", flush=True)  # noqa: T201 - the check's output
