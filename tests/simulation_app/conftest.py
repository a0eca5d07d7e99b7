from tests.access.conftest import committed_api

__all__ = ["committed_api"]
