"""The words of ``syncline jobs VERB NAME``; what they do is in ``tui.jobs``, which needs the engine."""

from __future__ import annotations

#: The words after ``jobs`` that do something; anything else is a filter.
VERBS = ("enable", "disable", "run", "stop", "edit", "reset", "trace")


def usage(words: list[str]) -> str | None:
    """What is wrong with ``jobs VERB ...``; None when nothing is."""
    verb, *rest = words
    if not rest:
        return f"jobs {verb} needs the name of a job; syncline jobs lists them"
    if verb == "edit":
        bad = next((word for word in rest[1:] if "=" not in word), None)
        if bad is not None or len(rest) == 1:
            return "jobs edit NAME needs SETTING=VALUE, such as schedule=daily at=07:00; an empty value is as shipped"
    elif verb == "trace":
        if rest[1:] not in (["on"], ["off"]):
            return "jobs trace NAME needs on or off"
    elif len(rest) > 1:
        return f"jobs {verb} takes one job; a name with blanks is quoted"
    return None
