"""The API client and keys of the tests of `access`, shared."""

import billing_project.urls  # noqa: F401  (before any clock is frozen: msgspec reads the real datetime in annotations)
from tests.access.conftest import api, committed_api, make_key

__all__ = ["api", "committed_api", "make_key"]
