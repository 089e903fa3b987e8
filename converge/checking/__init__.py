"""Whether an answer can be relied on: a fixed point looked at once more, a job run again under other schedules."""
