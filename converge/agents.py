"""A face: ready-made agents and the models they ask, re-exported from `converge_agents`.

A team is imported by its own name: `from converge_agents.teams import strategy`.
"""

from converge_agents.answer import Answer
from converge_agents.llm import LLMAgent
from converge_agents.model import Model
from converge_agents.price import Price

__all__ = ["Answer", "LLMAgent", "Model", "Price"]
