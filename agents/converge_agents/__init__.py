"""Ready-made parts for Converge: agents that ask an LLM, the models they ask, and complete jobs in `teams`."""

from converge_agents.answer import Answer
from converge_agents.answering import CallableModel
from converge_agents.llm import LLMAgent
from converge_agents.mcp import mcp_tools
from converge_agents.model import Model
from converge_agents.price import Price
from converge_agents.pydantic_ai import PydanticAI

__all__ = ["Answer", "CallableModel", "LLMAgent", "Model", "Price", "PydanticAI", "mcp_tools"]
