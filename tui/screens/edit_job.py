"""The editor of a job that ships: what is set over its definition, and when it would run with these values."""

from __future__ import annotations

from engine.service import EditJob, JobDraft, JobVerdict, job_pages
from tui import format as words
from tui import keys
from tui.forms.state import Form
from tui.paint import TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.form import FormScreen
from tui.screens.frame import Frame


class JobForm(FormScreen):
    """Over one draft."""

    TAB = keys.SCHEDULER

    def __init__(self, draft: JobDraft, frame: Frame) -> None:
        self.draft = draft
        self._desk = frame.engine.jobs
        self._verdict = JobVerdict(())
        super().__init__(self._form(draft))

    def _form(self, draft: JobDraft) -> Form:
        def check(_name: str, document: object) -> tuple[object, ...]:
            verdict = self._desk.check(draft.job, document)  # type: ignore[arg-type]
            if not verdict.problems:
                self._verdict = verdict
            return verdict.problems

        return Form(
            draft.job,
            draft.document,
            lambda document: job_pages(document, draft.groups),
            check,  # type: ignore[arg-type]
            kind="job",
            new=False,
        )

    def path(self) -> str:
        """Where we are."""
        return f"Job Scheduler / {self.draft.job} / edit"

    def also(self) -> list[TextLine]:
        """The next runs with these values, and whom a run serves."""
        if self.form.wrong:
            return [line((" Next runs: first mend what is not right.", "quiet"))]
        verdict = self._verdict
        width = max(20, self.query_one("#about").size.width - 2)
        now, zone = self.view.now_ms, self.view.zone
        when = [words.moment(each, now, zone) for each in verdict.next_ms]
        told = "  ".join(when) if when else "at each start of the engine"
        lines = [line((" Next runs", "head"), (f" ({verdict.schedule}, {verdict.zone})", "quiet"))]
        lines += [line(f" {part}") for part in wrapped(told, width)]
        lines += [line((f" {part}", "quiet")) for part in wrapped(f"Serves {verdict.serves}.", width)]
        lines += [line((f" {part}", "quiet")) for part in wrapped(f"As shipped: {self.draft.shipped}.", width)]
        return lines

    def saving(self) -> EditJob:
        """Store it as an override."""
        return EditJob(self.draft.job, dict(self.form.document))

    def saved(self) -> None:
        """Begin anew from what is stored."""

        def came(draft: JobDraft) -> None:
            if alive(self):
                page, cursor = self.form.number, self.form.cursor
                self.draft, self.form = draft, self._form(draft)
                self.form.number, self.form.cursor = page, cursor
                self.show()

        self.console.fetch(self._desk.draft(self.draft.job), came)

    def testing(self) -> None:
        """A job is not tested; it is run."""
        self.say("A job has no link to test; r in Job Scheduler runs it now.")


def edit(screen: Frame, job: str) -> None:
    """Open the editor of a job."""

    def came(draft: JobDraft) -> None:
        screen.app.push_screen(JobForm(draft, screen))

    screen.console.fetch(screen.engine.jobs.draft(job), came)
