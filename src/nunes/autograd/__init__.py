"""Automatic differentiation: `graph` is the engine, `functional` the operations it differentiates."""
