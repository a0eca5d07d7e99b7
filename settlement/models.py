"""Settlement owns no table yet: what it books stands in the outcomes and their journal."""
