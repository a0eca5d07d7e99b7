from tests.invoicing.conftest import World, committed_world, make_world, world

__all__ = ["World", "committed_world", "make_world", "world"]
