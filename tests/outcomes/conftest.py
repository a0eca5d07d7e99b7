"""The API client and keys of the tests of `access`, shared."""

from tests.access.conftest import api, committed_api, make_key

__all__ = ["api", "committed_api", "make_key"]
