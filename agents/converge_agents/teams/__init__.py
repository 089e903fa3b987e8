"""Complete, runnable jobs, written as a user would write them on the public surface of `converge`."""
