"""The version of this program, as `crdtstate version` and /status print it."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
