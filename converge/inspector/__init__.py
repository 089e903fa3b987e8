"""The inspector: a store's jobs in a browser, served by itself (`converge inspect`) or mounted in a service."""

__all__ = ["event_stream", "inspector"]

from converge.inspector.app import inspector
from converge.inspector.stream import event_stream
