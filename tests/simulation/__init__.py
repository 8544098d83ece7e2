"""Seeded simulation of the whole engine: people edit, calls fail, processes die, and fifteen invariants hold.

``python -m tests.simulation --seeds A:B [--trace] [--json]`` runs seeds A to B-1; each is reproducible by its number.
"""
