"""The demo company: generated from a seed, then loaded into the sandbox's services by their own loaders.

It must not know the engine, its model or any connector; ``generate`` must not know any service either.
"""

from engine.sandbox.company.generate import KINDS, MOST_USERS, Counts, counts_for, generate
from engine.sandbox.company.model import Company

__all__ = ["KINDS", "MOST_USERS", "Company", "Counts", "counts_for", "generate"]
