"""A face: ready-made agents, re-exported from `converge_agents`, which today holds complete teams only.

A team is imported by its own name: `from converge_agents.teams import strategy`.
"""

__all__: list[str] = []
