"""Seeds that once failed, each with what was wrong. A bug first becomes a line here."""

from __future__ import annotations

REGRESSIONS: dict[int, str] = {
    7: "a create that arrived after its repeat left a second copy, which was copied to the other side",
    10: "an engine whose lease was taken over began the cycle of its next mailbox under the new owner's epoch",
    37: "two twins that were joined before a crash were joined once more, and their link was deleted with itself",
}
