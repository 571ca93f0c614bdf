"""Compress the activations of trained CNNs."""

from actpress._version import __version__

__all__ = ["__version__"]
