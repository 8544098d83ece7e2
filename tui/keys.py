"""The one table of keys: it feeds the bindings, the footer, the help screen, the palette and ``docs/keys.md``.

A key has one meaning in the whole app; a pane says in one sentence what that meaning is there. ``python -m tui.keys``
prints the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from textual.binding import Binding, BindingType

POLICIES = "policies"
QUEUE = "queue"
MONITORS = "monitors"
SCHEDULER = "scheduler"
POLICY = "policy"
USER = "user"
HELD = "held"
HISTORY = "history"
WHY = "why"
EXPLAIN = "explain"
PREVIEW = "preview"
ROWS = "preview_rows"
CONFLICTS = "conflicts"
EDITOR = "editor"
MEMBERS = "members"
CONNECTIONS = "connections"
ITEMS = "items"
INCIDENTS = "incidents"
OPERATORS = "operators"
AUDIT = "audit"
RUNS = "runs"
RUN = "run"
FILED = "filed"
CHECKLIST = "checklist"

#: Panes and their titles, in the order of the help page.
PANES: dict[str, str] = {
    POLICIES: "Policies",
    QUEUE: "Queue",
    MONITORS: "Activity Monitors",
    SCHEDULER: "Job Scheduler",
    POLICY: "Policy",
    USER: "User",
    HELD: "Held items",
    HISTORY: "Cycles",
    WHY: "Why",
    EXPLAIN: "An item explained",
    PREVIEW: "Preview",
    ROWS: "Preview, item by item",
    CONFLICTS: "Conflicts",
    EDITOR: "Editor",
    MEMBERS: "Users of a policy",
    CONNECTIONS: "Connections",
    ITEMS: "Items of a cycle",
    INCIDENTS: "Incidents",
    OPERATORS: "Operators",
    AUDIT: "Audit",
    RUNS: "Runs of a job",
    RUN: "What a run did",
    FILED: "Filed mail",
    CHECKLIST: "First sync",
}

#: The four tabs, by their digit.
TABS: dict[str, str] = {"1": POLICIES, "2": QUEUE, "3": MONITORS, "4": SCHEDULER}


@dataclass(frozen=True, slots=True)
class Key:
    """One meaning.

    Attributes:
        show: how the key is written in footers.
        binds: Textual key name to action.
        meaning: one or two words; the footer's label.
        where: pane to one sentence.
        rank: place in the footer; 0 keeps it out.
        label: pane to a footer label other than ``meaning``.
        others: what further actions of the key are called, for the palette.
    """

    show: str
    binds: Mapping[str, str]
    meaning: str
    where: Mapping[str, str]
    rank: int = 0
    label: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)

    def actions(self, pane: str) -> list[tuple[str, str]]:
        """What the key does in a pane, for the palette: each action once, with its name."""
        named: dict[str, str] = {}
        for action in self.binds.values():
            named.setdefault(action, self.others.get(action, self.label.get(pane, self.meaning)))
        return list(named.items())


def _all(sentence: str) -> dict[str, str]:
    return dict.fromkeys(PANES, sentence)


def _move(**keys: str) -> dict[str, str]:
    return {key: f"move('{how}')" for key, how in keys.items()}


KEYS: tuple[Key, ...] = (
    Key(
        "1-4",
        {digit: f"tab('{pane}')" for digit, pane in TABS.items()},
        "tab",
        _all("Show Policies, Queue, Activity Monitors or Job Scheduler."),
        others={f"tab('{pane}')": PANES[pane] for pane in TABS.values()},
    ),
    Key(
        "↑↓ j k",
        _move(up="up", down="down", j="down", k="up"),
        "move",
        {
            **_all("Move the cursor by one row."),
            MONITORS: "Scroll the panel, or move in the list of users.",
            EXPLAIN: "Scroll by one line.",
            EDITOR: "Go to the next or the previous field.",
        },
        others={"move('up')": "move up", "move('down')": "move down"},
    ),
    Key(
        "PgUp PgDn",
        _move(pageup="page_up", pagedown="page_down"),
        "page",
        {**_all("Move by one page."), MONITORS: "Scroll the panel by one page; older lines come from disk."},
        others={"move('page_up')": "page up", "move('page_down')": "page down"},
    ),
    Key(
        "g G",
        _move(g="home", home="home", G="end", end="end"),
        "ends",
        {**_all("Go to the first or the last row."), MONITORS: "Go to the oldest or the newest line."},
        others={"move('home')": "first row", "move('end')": "last row"},
    ),
    Key(
        "tab",
        {"tab": "pane(1)", "shift+tab": "pane(-1)"},
        "panel",
        {
            MONITORS: "Go to the next panel; shift+tab goes back.",
            EDITOR: "Go to the next field; shift+tab goes back.",
        },
        1,
        {EDITOR: "next field"},
        others={"pane(-1)": "the one before"},
    ),
    Key(
        "↵",
        {"enter": "open"},
        "open",
        {
            CHECKLIST: "Go where the line is put right, or tick the box.",
            INCIDENTS: "Open whom the incident is about: the user or the policy.",
            OPERATORS: "Open the user: counts by module, steps and events.",
            POLICIES: "Open the policy: its settings and what Verify found.",
            QUEUE: "Open the user: counts by module, steps and events.",
            MONITORS: "Let the panel fill the screen; again brings the others back.",
            SCHEDULER: "Show the past runs of the job.",
            RUNS: "Show what the run did, mailbox by mailbox.",
            RUN: "Show the items that the run wrote in the mailbox, each with its error.",
            POLICY: "Open the mailbox in the row: counts by module, steps and events.",
            PREVIEW: "Show the items of the row, each with its fields before and after.",
            WHY: "Explain the item: both sides, the rule that decides, the last writes, the journal.",
            FILED: "Explain the mail: how it came, where it stands in the CRM, why it was refused.",
            EDITOR: "Edit the field: a switch turns over, a choice is offered, a text is typed.",
            MEMBERS: "Open the user: counts by module, steps and events.",
            CONNECTIONS: "Edit the connection.",
            HISTORY: "List what the cycle wrote, item by item, each with its fields before and after.",
            ITEMS: "Explain the item: both sides, the rule that decides, the last writes, the journal.",
        },
        1,
        {
            CHECKLIST: "put right",
            HISTORY: "items",
            ITEMS: "explain",
            EDITOR: "edit field",
            MEMBERS: "user",
            OPERATORS: "user",
            CONNECTIONS: "edit",
            WHY: "explain",
            QUEUE: "user",
            MONITORS: "zoom",
            SCHEDULER: "history",
            RUNS: "mailboxes",
            RUN: "items",
            POLICY: "user",
            PREVIEW: "items",
        },
    ),
    Key(
        "esc",
        {"escape": "back"},
        "back",
        _all("Close, clear the filter, or go back one screen."),
        0,
    ),
    Key(
        "o",
        {"o": "switch"},
        "on/off",
        {
            CHECKLIST: "Start the first sync, when every line is right and every box is ticked; you type how many mailboxes.",
            OPERATORS: "Switch Calendar Sync of the operator, or of all that are marked.",
            POLICIES: "Enable or disable the policy; you are told first what is about to happen.",
            POLICY: "Enable or disable this policy; you are told first what is about to happen.",
            SCHEDULER: "Enable or disable the job; a running one finishes.",
        },
        2,
        {CHECKLIST: "start"},
    ),
    Key(
        "r",
        {"r": "run"},
        "run",
        {
            INCIDENTS: "Try all failure mails that wait once more, now.",
            POLICIES: "Run a full sync of all mailboxes of the policy as soon as slots are free.",
            POLICY: "Run a full sync of all mailboxes of this policy as soon as slots are free.",
            QUEUE: "Run a full sync of this mailbox alone, or of all that are marked, as soon as a slot is free.",
            USER: "Run a full sync of this mailbox alone as soon as a slot is free.",
            SCHEDULER: "Run the job now.",
            HELD: "Try the held twin or the item in quarantine again in the next cycle.",
            FILED: "Try the refused mail, or all that are marked, again with the next drop-label check.",
        },
        3,
        {
            FILED: "try again",
            QUEUE: "sync now",
            USER: "sync now",
            POLICIES: "sync now",
            POLICY: "sync now",
            SCHEDULER: "run now",
            HELD: "again",
            INCIDENTS: "mails again",
        },
    ),
    Key(
        "p",
        {"p": "pause"},
        "pause",
        {
            POLICIES: "Pause all users of the policy, or let them run again.",
            QUEUE: "Pause the user, or let it run again: no cycle starts while it is paused.",
            USER: "Pause this user, or let it run again.",
        },
        4,
    ),
    Key(
        "x",
        {"x": "cancel"},
        "cancel",
        {
            INCIDENTS: "Give up the failure mails that an incident about mails says cannot be delivered; you are asked.",
            QUEUE: "Stop the running cycle at its next page; the rest follows next time.",
            USER: "Stop the running cycle at its next page; the rest follows next time.",
            SCHEDULER: "Stop the running job at its next page.",
        },
        5,
        {SCHEDULER: "stop", INCIDENTS: "drop mails"},
    ),
    Key(
        "V",
        {"V": "verify"},
        "verify",
        {
            POLICIES: "Read back from the provider what was built, and tick it.",
            POLICY: "Read back from the provider what was built, and tick it.",
            CHECKLIST: "After the first sync: read back from each mailbox what was built, and tick it.",
        },
        5,
    ),
    Key(
        "t",
        {"t": "test"},
        "test link",
        {
            CHECKLIST: "Test both connections of the policy.",
            POLICIES: "Test both connections of the policy.",
            POLICY: "Test both connections of the policy.",
            EDITOR: "Test the connection with what stands in the form; nothing is stored by it.",
            CONNECTIONS: "Test the connection: token, permissions, one read of each kind.",
        },
        6,
        {CHECKLIST: "test"},
    ),
    Key(
        "O X",
        {"O": "rollout('next')", "X": "rollout('stop')"},
        "next wave",
        {
            POLICIES: "Admit the next wave of the policy's roll-out; X lets it admit nobody else.",
            POLICY: "Admit the next wave of this policy's roll-out; X lets it admit nobody else.",
        },
        others={"rollout('stop')": "stop the roll-out"},
    ),
    Key(
        "m",
        {"m": "monitor"},
        "monitor",
        {
            QUEUE: "Open the activity monitor of the user, or of all that are marked.",
            USER: "Open the activity monitor of this user.",
            POLICY: "Open the activity monitor of the mailbox in the row.",
        },
        6,
    ),
    Key(
        "h",
        {"h": "held"},
        "held items",
        {
            QUEUE: "List what waits for you in the mailbox: held deletes, guest mails and twins, and quarantine.",
            USER: "List what waits for you in this mailbox: held deletes, guest mails and twins, and quarantine.",
            POLICY: "List what waits for you in the mailbox in the row.",
            POLICIES: "List what waits for you in all mailboxes of the policy.",
        },
        6,
        {QUEUE: "held"},
    ),
    Key(
        "W",
        {"W": "why"},
        "why",
        {
            POLICIES: "Tell why the full sync of the policy does not run now.",
            POLICY: "Tell why the mailbox in the row does not run now, and what of it does not cross over.",
            QUEUE: "Tell why the user does not run now, and what of it does not cross over.",
            USER: "Tell why this user does not run now, and what of it does not cross over.",
            MONITORS: "Tell why the user of the panel does not run now, and what of it does not cross over.",
            SCHEDULER: "Tell why the job does not run now.",
            HELD: "Explain the item: both sides, the rule that decides, the last writes, the journal.",
            WHY: "Explain the item: both sides, the rule that decides, the last writes, the journal.",
            CONFLICTS: "Explain the item: both sides, the rule that decides, the last writes, the journal.",
            FILED: "Explain the mail: how it came, where it stands in the CRM, why it was refused.",
            ROWS: "Explain the item: both sides, the rule that decides, the last writes, the journal.",
            ITEMS: "Explain the item: both sides, the rule that decides, the last writes, the journal.",
        },
        7,
    ),
    Key(
        "F",
        {"F": "find"},
        "find item",
        {
            QUEUE: "Explain any item of the user: by its number, its id at a provider, an e-mail address or words of its name.",
            USER: "Explain any item of this user: by its number, its id at a provider, an e-mail address or words of its name.",
            WHY: "Explain any other item: by its number, its id at a provider, an e-mail address or words of its name.",
            EXPLAIN: "Explain another item: by its number, its id at a provider, an e-mail address or words of its name.",
        },
        12,
    ),
    Key(
        "R",
        {"R": "reinitialize"},
        "re-initialize",
        {
            QUEUE: "Let modules of the user, or of all that are marked, begin afresh: None, Resync, Full or Clear.",
            USER: "Let modules of this user begin afresh: None, Resync, Full or Clear.",
            POLICY: "Let modules of the mailbox in the row begin afresh: None, Resync, Full or Clear.",
        },
        8,
    ),
    Key(
        "H",
        {"H": "history"},
        "cycles",
        {
            QUEUE: "List the cycles of the user that did something; one can be undone there.",
            USER: "List the cycles of this user that did something; one can be undone there.",
            POLICY: "List the cycles of the mailbox in the row that did something; one can be undone there.",
        },
        9,
    ),
    Key(
        "U",
        {"U": "undo"},
        "undo",
        {
            EDITOR: "Take back the change of the field.",
            HISTORY: "Undo the cycle: you see first what is put back and what is left alone, and type how many items. What is not done yet is given up.",
        },
        1,
    ),
    Key(
        "L",
        {"L": "leave_mailboxes"},
        "leave",
        {
            POLICIES: "Remove what Syncline made in the mailboxes of the policy, which must be off; you see it first.",
            POLICY: "Remove what Syncline made in the mailboxes of this policy, which must be off; you see it first.",
        },
        13,
    ),
    Key(
        "d",
        {"d": "delete"},
        "let through",
        {HELD: "Let the held delete through; you type how many. What was edited or restored since is kept."},
        1,
        {HELD: "delete"},
    ),
    Key(
        "K",
        {"K": "keep"},
        "keep",
        {
            HELD: "Keep it as it is until it changes: give up the delete or the change, leave twin or create, dismiss what is in quarantine."
        },
        2,
    ),
    Key(
        "P",
        {"P": "preview"},
        "preview",
        {
            CHECKLIST: "Show the preview of the policy; it is made there, and nothing is written.",
            POLICIES: "Show what the next cycle or the first sync of the policy would do, before anything is written.",
            POLICY: "Show what the next cycle or the first sync would do, before anything is written.",
            USER: "Show what the next cycle or the first sync of this mailbox would do, before anything is written.",
            PREVIEW: "Make the preview afresh: both sides are read, nothing is written.",
        },
        7,
    ),
    Key(
        "E",
        {"E": "apply"},
        "execute",
        {
            PREVIEW: "Carry out what is shown, or what is marked; you type how many items. What changed since is left.",
            ROWS: "Carry out what is shown, or what is marked; you type how many items. What changed since is left.",
        },
        2,
    ),
    Key(
        "D",
        {"D": "remove"},
        "delete",
        {
            PREVIEW: "Drop the preview; nothing else changes.",
            POLICIES: "Delete the policy, which must be off; you are told what it means, and type its name.",
            MEMBERS: "Take the user, or all that are marked, out of the policy; what was synced stays.",
            CONNECTIONS: "Delete the connection, if no policy uses it.",
            SCHEDULER: "Remove what was set over the job's shipped definition; its switch stays.",
        },
        13,
        {PREVIEW: "drop", MEMBERS: "take out", SCHEDULER: "override off"},
    ),
    Key(
        "*",
        {"asterisk": "trace"},
        "trace",
        {
            SCHEDULER: "Let the next runs of the job keep a trace, line by line, or not.",
            RUN: "Show the trace of the run, if it was traced.",
        },
        6,
    ),
    Key(
        "@ I",
        {"at": "invite(True)", "I": "invite(False)"},
        "mail guests",
        {
            HELD: "Let the held change of a meeting go out, and its guests be mailed; I lets it go out without a mail."
        },
        others={"invite(False)": "write without a mail"},
    ),
    Key(
        "B",
        {"B": "restore"},
        "bring back",
        {HELD: "Give up the held delete, and make the item again where it was deleted."},
        3,
        {HELD: "restore"},
    ),
    Key(
        "u",
        {"u": "use"},
        "use theirs",
        {HELD: "Use the item that the mailbox has already as the twin; both are merged."},
        2,
        {HELD: "theirs"},
    ),
    Key(
        "b", {"b": "both"}, "both", {HELD: "Create it beside the one that is there; it is never held again."}, 3
    ),
    Key(
        "C",
        {"C": "conflicts"},
        "conflicts",
        {
            POLICIES: "List the fields that both sides changed and that wait for you, of all mailboxes of the policy.",
            POLICY: "List the fields that both sides changed and that wait for you, of all mailboxes of this policy.",
            QUEUE: "List the fields of the mailbox that both sides changed and that wait for you.",
            USER: "List the fields of this mailbox that both sides changed and that wait for you.",
        },
    ),
    Key(
        "M",
        {"M": "app.incidents"},
        "incidents",
        dict.fromkeys(
            (POLICIES, QUEUE, MONITORS, SCHEDULER, POLICY, USER),
            "List what is wrong: since when, how often, what to do, and what became of its mails.",
        ),
    ),
    Key(
        "Y",
        {"Y": "app.operators"},
        "operators",
        dict.fromkeys(
            (POLICIES, QUEUE, MONITORS, SCHEDULER, POLICY, MEMBERS),
            "List the users of all policies: whose calendar is synchronised, and at which address of Exchange.",
        ),
    ),
    Key(
        ".",
        {"full_stop": "seen"},
        "acknowledge",
        {
            INCIDENTS: "Tell everybody that you have seen the incident, or all that are marked; it stays until it is over."
        },
        1,
    ),
    Key(
        "i",
        {"i": "filed"},
        "filed mail",
        {
            QUEUE: "List the user's mails that were filed to the CRM, that wait, or that were refused.",
            USER: "List this user's mails that were filed to the CRM, that wait, or that were refused.",
            MONITORS: "List the mails of the panel's user that were filed, that wait, or that were refused.",
        },
    ),
    Key(
        "<",
        {"less_than_sign": "keep_side('crm')"},
        "keep CRM",
        {
            CONFLICTS: "Both sides get what stands on the left, the CRM's value; the other one is in the journal."
        },
        1,
    ),
    Key(
        ">",
        {"greater_than_sign": "keep_side('mailbox')"},
        "keep mailbox",
        {
            CONFLICTS: "Both sides get what stands on the right, the mailbox's value; the other one is in the journal."
        },
        2,
    ),
    Key(
        "e",
        {"e": "edit"},
        "edit",
        {
            CHECKLIST: "Edit the settings of the policy: waves, guards, guests, schedule, who is mailed.",
            OPERATORS: "Type the address of the operator's mailbox at Exchange.",
            CONFLICTS: "Type the value that both sides get.",
            POLICIES: "Edit the settings of the policy, page by page.",
            POLICY: "Edit the settings of this policy, page by page.",
            CONNECTIONS: "Edit the connection.",
            SCHEDULER: "Edit when the job runs: in its policy, or set over the definition that ships, which stays.",
            MEMBERS: "Name the person in the CRM, where the address differs there, and the time zone.",
            USER: "Name the person in the CRM, where the address differs there, and the time zone.",
            EDITOR: "Edit the field, as ↵ does.",
        },
        3,
    ),
    Key(
        "+",
        {"plus": "new"},
        "new",
        {
            POLICIES: "Make a policy: it begins off, and has no users.",
            MEMBERS: "Add users to the policy, by their addresses.",
            CONNECTIONS: "Make a connection to a CRM or a mail system.",
        },
        2,
        {MEMBERS: "add"},
    ),
    Key(
        "c",
        {"c": "duplicate"},
        "duplicate",
        {POLICIES: "Make a policy like this one; the copy is off, and has no users."},
        12,
    ),
    Key(
        "J",
        {"J": "members"},
        "users",
        {
            CHECKLIST: "List the users of the policy; some can be added or taken out there.",
            POLICIES: "List the users of the policy; some can be added or taken out there.",
            POLICY: "List the users of this policy; some can be added or taken out there.",
            EDITOR: "List the users of this policy; some can be added or taken out there.",
        },
        7,
    ),
    Key(
        "&",
        {"ampersand": "connections"},
        "connections",
        {
            CHECKLIST: "List the connections to CRMs and mail systems; they are edited there.",
            POLICIES: "List the connections to CRMs and mail systems; they are made and edited there.",
            POLICY: "List the connections to CRMs and mail systems; they are made and edited there.",
        },
        10,
    ),
    Key(
        "%",
        {"percent_sign": "limits"},
        "limits",
        {QUEUE: "Show the limits now: quotas, waits of the providers, slots, the queue, lateness of the loop."},
        13,
    ),
    Key(
        "←→",
        {"left": "page(-1)", "right": "page(1)"},
        "page",
        {EDITOR: "Turn to the page before or after."},
        2,
        others={"page(-1)": "page before", "page(1)": "next page"},
    ),
    Key(
        "ctrl+s",
        {"ctrl+s": "save"},
        "save",
        {EDITOR: "Save all that is changed, or nothing when a field is not right."},
        1,
    ),
    Key(
        "space",
        {"space": "mark"},
        "mark",
        {
            CHECKLIST: "Tick the box: you say that it is so, and the audit log keeps it. On who goes first: choose a pilot.",
            INCIDENTS: "Mark the incident; . then acknowledges all that are marked.",
            OPERATORS: "Mark the operator; o then switches all that are marked.",
            AUDIT: "Mark the entry; an export then has what is marked alone.",
            EDITOR: "Turn a switch over, or take the next word of a choice.",
            MEMBERS: "Mark the user; D then takes out all that are marked.",
            POLICIES: "Mark the policy; o, r and p then act on all that are marked.",
            QUEUE: "Mark the user; r, p, x and m then act on all that are marked.",
            MONITORS: "Tick the user under the cursor, or close the panel.",
            SCHEDULER: "Mark the job; o, r and x then act on all that are marked.",
            CONFLICTS: "Mark the field; < and > then act on all that are marked.",
            FILED: "Mark the mail; r then acts on all that are marked.",
            HELD: "Mark the item; d, @, I, K, B, u, b and r then act on all that are marked.",
            PREVIEW: "Mark the row; E then carries out what is marked alone.",
            ROWS: "Mark the item; E then carries out what is marked alone.",
        },
        11,
        {MONITORS: "tick", CHECKLIST: "tick", EDITOR: "turn over"},
    ),
    Key(
        "a A",
        {"a": "mark_all(True)", "A": "mark_all(False)"},
        "mark all",
        {
            INCIDENTS: "Mark all shown, or none.",
            OPERATORS: "Mark all shown, or none.",
            AUDIT: "Mark all shown, or none.",
            POLICIES: "Mark all shown, or none.",
            QUEUE: "Mark all shown, or none.",
            SCHEDULER: "Mark all shown, or none.",
            CONFLICTS: "Mark all shown, or none.",
            FILED: "Mark all shown, or none.",
            HELD: "Mark all shown, or none.",
            PREVIEW: "Mark all shown, or none.",
            ROWS: "Mark all shown, or none.",
            MEMBERS: "Mark all shown, or none.",
            MONITORS: "Tick all that run now, or none.",
        },
        others={"mark_all(False)": "mark none"},
    ),
    Key(
        "v",
        {"v": "view_all"},
        "view all",
        {MONITORS: "Show one panel for every user that runs, or only those that are ticked. Best up to five."},
        2,
    ),
    Key(
        "f", {"f": "follow"}, "follow", {MONITORS: "Follow the newest line, or hold the panel where it is."}, 3
    ),
    Key(
        "l",
        {"l": "level"},
        "level",
        {MONITORS: "Show all lines, items and steps, steps only, or faults only."},
        4,
    ),
    Key("w", {"w": "wrap"}, "wrap", {MONITORS: "Wrap long lines, or cut them."}, 5),
    Key("Z", {"Z": "clear"}, "clear", {MONITORS: "Hide the lines so far; they stay on disk."}, 6),
    Key(
        "/",
        {"slash": "filter"},
        "filter",
        {
            CHECKLIST: "Filter the rows: is:open text.",
            INCIDENTS: "Filter the rows: is:open policy:sales class:connection text.",
            OPERATORS: "Filter the rows: is:off policy:sales text.",
            AUDIT: "Filter the rows: is:refused who:ann command:pause text.",
            POLICIES: "Filter: state:error crm:sales mail:google text. A second / searches instead.",
            QUEUE: "Filter: state:failed policy:emea text. A second / searches instead.",
            SCHEDULER: "Filter: state:disabled text. A second / searches instead.",
            MONITORS: "Find a text in the panel.",
            POLICY: "Filter the rows: is:difference text.",
            CONFLICTS: "Filter the rows: is:open module:contacts field:phone user:ann text.",
            FILED: "Filter the rows: is:refused record:acme via:followed text.",
            HELD: "Filter the rows: is:delete module:contacts in:crm text.",
            PREVIEW: "Filter the rows: user:ann module:contacts text.",
            ROWS: "Filter the rows: is:delete in:crm text.",
            HISTORY: "Filter the rows: is:failed kind:undo text.",
            WHY: "Filter the rows: is:absent module:contacts in:crm text.",
            MEMBERS: "Filter the rows: state:failed text.",
            CONNECTIONS: "Filter the rows: kind:google is:unused text.",
            RUNS: "Filter the rows: is:failed text.",
            RUN: "Filter the rows: is:failed policy:sales text.",
            ITEMS: "Filter the rows: is:update module:contacts in:crm text.",
        },
        7,
        {MONITORS: "find"},
    ),
    Key(
        "n N",
        {"n": "match(1)", "N": "match(-1)"},
        "match",
        {
            CHECKLIST: "Next or previous match.",
            INCIDENTS: "Next or previous match.",
            OPERATORS: "Next or previous match.",
            AUDIT: "Next or previous match.",
            POLICIES: "Next or previous match.",
            QUEUE: "Next or previous match.",
            SCHEDULER: "Next or previous match.",
            MONITORS: "Next older or newer match.",
            POLICY: "Next or previous match.",
            CONFLICTS: "Next or previous match.",
            FILED: "Next or previous match.",
            HELD: "Next or previous match.",
            PREVIEW: "Next or previous match.",
            ROWS: "Next or previous match.",
            HISTORY: "Next or previous match.",
            WHY: "Next or previous match.",
            MEMBERS: "Next or previous match.",
            CONNECTIONS: "Next or previous match.",
            RUNS: "Next or previous match.",
            RUN: "Next or previous match.",
            ITEMS: "Next or previous match.",
        },
        others={"match(1)": "next match", "match(-1)": "previous match"},
    ),
    Key(
        "s S",
        {"s": "sort", "S": "reverse"},
        "sort",
        {
            CHECKLIST: "Sort: s and the column's letter; S turns the order round.",
            INCIDENTS: "Sort: s and the column's letter; S turns the order round.",
            OPERATORS: "Sort: s and the column's letter; S turns the order round.",
            AUDIT: "Sort: s and the column's letter; S turns the order round.",
            POLICIES: "Sort: s and the column's letter; S turns the order round.",
            QUEUE: "Sort: s and the column's letter; S turns the order round.",
            SCHEDULER: "Sort: s and the column's letter; S turns the order round.",
            POLICY: "Sort: s and the column's letter; S turns the order round.",
            CONFLICTS: "Sort: s and the column's letter; S turns the order round.",
            FILED: "Sort: s and the column's letter; S turns the order round.",
            HELD: "Sort: s and the column's letter; S turns the order round.",
            PREVIEW: "Sort: s and the column's letter; S turns the order round.",
            ROWS: "Sort: s and the column's letter; S turns the order round.",
            HISTORY: "Sort: s and the column's letter; S turns the order round.",
            WHY: "Sort: s and the column's letter; S turns the order round.",
            MEMBERS: "Sort: s and the column's letter; S turns the order round.",
            CONNECTIONS: "Sort: s and the column's letter; S turns the order round.",
            RUNS: "Sort: s and the column's letter; S turns the order round.",
            RUN: "Sort: s and the column's letter; S turns the order round.",
            ITEMS: "Sort: s and the column's letter; S turns the order round.",
        },
        10,
        others={"reverse": "reverse the order"},
    ),
    Key(
        "!",
        {"exclamation_mark": "fault"},
        "next fault",
        {
            CHECKLIST: "Go to the next line that is not right.",
            INCIDENTS: "Go to the next live incident.",
            OPERATORS: "Go to the next user that failed.",
            AUDIT: "Go to the next entry that was refused.",
            POLICIES: "Go to the next policy with a fault.",
            QUEUE: "Go to the next user that failed.",
            SCHEDULER: "Go to the next job whose last run failed.",
            MONITORS: "Go to the newest fault in the panel.",
            POLICY: "Go to the next mailbox with a difference.",
            CONFLICTS: "Go to the next field that still waits.",
            HELD: "Go to the next item in quarantine.",
            FILED: "Go to the next mail that was refused.",
            PREVIEW: "Go to the next row of which something would wait for you.",
            ROWS: "Go to the next item that would wait for you, or no longer holds.",
            HISTORY: "Go to the next cycle that failed.",
            RUNS: "Go to the next run that failed.",
            RUN: "Go to the next mailbox that failed.",
            WHY: "Go to the next item that was dismissed.",
            EDITOR: "Go to the next field that is not right.",
            MEMBERS: "Go to the next user that failed.",
            ITEMS: "Go to the next item that was left alone.",
        },
        9,
        {QUEUE: "fault", CONFLICTS: "next open"},
    ),
    Key("z", {"z": "freeze"}, "freeze", _all("Freeze the view, or let it live again."), 12),
    Key(
        "y",
        {"y": "copy"},
        "copy",
        {
            **_all("Copy the row or the line to the clipboard of your terminal."),
            EXPLAIN: "Copy the whole explanation as text to the clipboard of your terminal.",
        },
        13,
    ),
    Key(
        "|",
        {"vertical_line": "export"},
        "export",
        dict.fromkeys(
            (
                POLICIES,
                QUEUE,
                SCHEDULER,
                POLICY,
                HELD,
                HISTORY,
                WHY,
                PREVIEW,
                ROWS,
                CONFLICTS,
                MEMBERS,
                CONNECTIONS,
                ITEMS,
                AUDIT,
                CHECKLIST,
            ),
            "Write the rows that are shown, or those that are marked, to a CSV or JSON file, or copy them.",
        ),
    ),
    Key("T", {"T": "app.times"}, "times", _all("Show times as 12 min ago or as 13:57."), 0),
    Key(
        ": ctrl+p",
        {"colon": "app.command_palette", "ctrl+p": "app.command_palette"},
        "palette",
        _all("All actions, policies, users, jobs and themes by name."),
        14,
    ),
    Key("?", {"question_mark": "app.keys"}, "help", _all("Show this page."), 8),
    Key(
        "q",
        {"q": "app.leave"},
        "detach",
        _all(
            "Leave this console; the sync goes on, and syncline attaches again. Edits that are not saved are asked about."
        ),
        8,
    ),
    Key(
        "Q",
        {"Q": "app.stop_engine"},
        "stop engine",
        _all("Stop the engine at its next page, for everybody; you type stop."),
    ),
    Key(
        '"',
        {"quotation_mark": "app.audit"},
        "audit",
        _all("List who asked for what: from where, how it stood before and after, and what came of it."),
    ),
    Key(
        "#",
        {"number_sign": "app.attached"},
        "attached",
        _all("List who is attached: from where, since when, in which role."),
    ),
)


def of(pane: str) -> list[Key]:
    """The keys of a pane, in the order of the table."""
    return [key for key in KEYS if pane in key.where]


def bindings(pane: str) -> list[BindingType]:
    """Bindings of a pane for Textual; help texts included."""
    return [
        Binding(name, action, key.meaning, show=False, tooltip=key.where[pane])
        for key in of(pane)
        for name, action in key.binds.items()
    ]


@cache
def known(pane: str) -> frozenset[str]:
    """Textual's names of the keys that do something in a pane."""
    return frozenset(name for key in of(pane) for name in key.binds)


def footer(pane: str) -> list[tuple[str, str]]:
    """Key and label of the footer, the most useful first; the caller cuts it to its width."""
    ranked = sorted((key for key in of(pane) if key.rank), key=lambda key: key.rank)
    return [(key.show.split(" ")[0], key.label.get(pane, key.meaning)) for key in ranked]


def markdown() -> str:
    """``docs/keys.md``."""
    out = [
        "# Keys",
        "",
        "This page is made from the key table: `python -m tui.keys > docs/keys.md`.",
        "A key means the same everywhere; in an input field letters are text.",
        "",
    ]
    for pane, title in PANES.items():
        out += [f"## {title}", "", "| key | what it does |", "| --- | --- |"]
        out += [f"| `{key.show}` | {key.where[pane].replace('|', '/')} |" for key in of(pane)]
        out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    print(markdown(), end="")
