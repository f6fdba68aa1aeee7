"""Where messages go: one file a kind of channel, and one line in the registry."""

from alerting.notifiers.contract import DeliveryError, EndpointGoneError, Envelope, Notifier, PermanentError, RetryableError
from alerting.notifiers.registry import Endpoint, build_endpoints

__all__ = [
    "DeliveryError",
    "Endpoint",
    "EndpointGoneError",
    "Envelope",
    "Notifier",
    "PermanentError",
    "RetryableError",
    "build_endpoints",
]
