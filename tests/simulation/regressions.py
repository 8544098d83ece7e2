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
    3486: "what a person took back from the bin of the mailbox was deleted again as gone in the CRM",
    5072: "an occurrence that a person had changed was gone without trace when the engine died while it deleted the series",
    5112: "a feed that lags showed an item that we had deleted, and it was made again on the other side",
    5394: "what a delete took was in no journal when its answer never came",
    7144: "an admin's 'use the twin' gave a second twin to an item that had one",
    3940: "a second copy whose first had been made again since was copied to the other side",
    4798: "two second copies, one on each side, were taken for twins of each other",
    12805: "an occurrence that a person changed while its series was being deleted went with it, read by nobody",
    11814: "a late feed of net differences never told that a person had deleted what we had made",
    12410: "what such a feed had told of already was asked for by id at every cycle, after its create was repeated",
    16766: "an item restored from the bin beside its copy took the copy's twin, by the key of its own first create",
    20054: "a delete of ours whose answer was lost counted as a person's, and took the twin that was back from the bin",
    25758: "a record that was given to somebody else before its create was repeated stayed linked, and nobody heard of it",
    26675: "a second copy whose first was found gone by a full listing was copied to the other side",
    37525: "a create that was repeated after what it replaced was back from the bin broke every cycle of its mailbox",
    53277: "what a person had just written in an occurrence was gone without trace when its series was deleted",
    62763: "a second copy of a series was deleted with the occurrence that a person had changed in it",
    86676: "an occurrence of which no feed had told yet was gone without trace when its series was deleted",
    83619: "two deletes were counted as one cycle's that a first engine and the one that took over had made, each in its own",
    97735: "what a person had changed in an occurrence was taken for a server's rewrite of our values, and overwritten",
}
