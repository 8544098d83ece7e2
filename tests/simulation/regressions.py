"""Seeds that once failed, each with what was wrong. A bug first becomes a line here."""

from __future__ import annotations

REGRESSIONS: dict[int, str] = {
    7: "a create that arrived after its repeat left a second copy, which was copied to the other side",
    10: "an engine whose lease was taken over began the cycle of its next mailbox under the new owner's epoch",
    37: "two twins that were joined before a crash were joined once more, and their link was deleted with itself",
    254: "a create that arrived late, after a person had deleted its item, was copied back to the other side",
    2057: "an item restored from the bin after we had made it again broke the page: two live items of one link",
    2747: "what a person had written in one occurrence was gone without trace when its series was deleted",
    75: "an undo whose delete was answered to a dead engine was forgotten, and the source was deleted after it",
}
