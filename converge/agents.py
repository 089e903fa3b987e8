"""A face: ready-made agents and the models they ask, re-exported from `converge_agents`.

A team is imported by its own name: `from converge_agents.teams import strategy`.
"""

from converge_agents import Answer, CallableModel, LLMAgent, Model, Price, PydanticAI, mcp_tools

__all__ = ["Answer", "CallableModel", "LLMAgent", "Model", "Price", "PydanticAI", "mcp_tools"]
