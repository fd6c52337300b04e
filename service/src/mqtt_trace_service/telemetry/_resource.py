"""The resource of the process and those of its devices."""

from collections.abc import Mapping

from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.util.types import AttributeValue


class HashedResource(Resource):
    """A Resource that computes its hash once.

    The OTLP encoder groups spans by resource, so it computes a hash per span. The SDK serializes the resource to JSON
    each time, a sixth of the cost of encoding a span. The value is the SDK's, so the groups are the same.
    """

    def __init__(self, attributes: Mapping[str, AttributeValue], schema_url: str | None = None) -> None:
        super().__init__(attributes, schema_url)
        self._hash = super().__hash__()

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash


def process_resource(service_name: str, attributes: Mapping[str, AttributeValue]) -> HashedResource:
    """The resource of all three signals: the SDK's, the user's from `OTEL_*`, and ours.

    `service.name` is the user's if `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` has one, else `service_name`.
    The SDK adds `service.instance.id`.
    """
    name = OTELResourceDetector().detect().attributes.get(SERVICE_NAME) or service_name
    resource = Resource.create({**attributes, SERVICE_NAME: name})
    return HashedResource(resource.attributes, resource.schema_url)


def device_resource(process: Resource, attributes: Mapping[str, AttributeValue]) -> HashedResource:
    """The process's resource with a device's attributes; no detector runs again."""
    return HashedResource({**process.attributes, **attributes}, process.schema_url)
