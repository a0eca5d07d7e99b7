"""Endpoints under /v1: each translates, calls one use case or query, and answers."""
