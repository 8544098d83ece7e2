"""A terminal that goes away must not stop the engine."""

from __future__ import annotations

import os
import pty

from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from tui.terminal import _Lasting


def test_writes_to_a_lost_terminal_are_dropped_and_block_nobody() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as file:
        lasting = _Lasting(file)
        assert lasting.write("seen") == 4
        lasting.flush()
        assert os.read(master, 100) == b"seen"
        os.close(master)
        writer = WriterThread(lasting)  # type: ignore[arg-type]
        writer.start()
        for _ in range(3 * MAX_QUEUED_WRITES):
            writer.write("unseen" * 1000)  # would block for good if the thread had ended
        writer.stop()
        assert not writer.is_alive()
        os.dup2(os.open(os.devnull, os.O_WRONLY), slave)  # closing the file writes what is left
