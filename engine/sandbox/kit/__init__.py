"""What all sandbox servers share: state in SQLite, a clock that can be moved, faults, counters, the launcher."""
