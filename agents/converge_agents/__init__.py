"""Ready-made parts for Converge; today the complete, runnable jobs in `converge_agents.teams`."""

__all__: list[str] = []
