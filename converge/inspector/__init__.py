"""The inspector: a store's jobs in a browser, served by itself (`converge inspect`) or mounted in a service."""

__all__ = ["inspector"]

from converge.inspector.app import inspector
