"""Agents and models of pydantic-ai as what an LLM agent asks, with the providers, instructions and tools they have.

Each request of its model, retries and turns with its own tools included, is a call of the job's budget; the run's
answer is captured, so a run that has ended is not made again, and one that was cut off is made from its beginning.
"""

__all__ = ["PydanticAI"]

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from converge_agents.answer import Answer
from converge_agents.asking import Meter, OnText
from converge_agents.errors import RequestsForbidden
from converge_agents.forbidding import are_forbidden
from converge_agents.price import Price, Prices, price_of

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.models import Model


class PydanticAI:
    """An agent, a model, or the name of a model of pydantic-ai: `LLMAgent("assess", PydanticAI(agent), ...)`.

    The agent answers in the form that the LLM agent asks for, in place of its own `output_type`; its instructions,
    tools and settings are its own, and its tools are not captured one by one: they must only read. deps: for its tools.
    max_tokens: of one response, where neither agent nor model says. price: of its tokens, see Model. Raises
    ModelInvalid, and ExtraMissing.
    """

    def __init__(
        self,
        agent: "Agent[Any, Any] | Model | str",
        *,
        deps: Any = None,
        max_tokens: int = 1024,
        price: Prices | None = None,
    ) -> None:
        from converge_agents.pydantic_run import Asked, agent_of, is_played

        agent, model = agent_of(agent)
        self.name, self.provider, self.max_tokens = model.model_name, model.system, max_tokens
        self.price: Price | None = price_of(self.name, price)
        self._asked, self._is_real = Asked(agent, model, deps, max_tokens, self.price), not is_played(model)

    def __repr__(self) -> str:
        return f"PydanticAI({self.name!r})"

    async def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        on_text: OnText | None = None,
        deadline: float | None = None,
        meter: Meter | None = None,
    ) -> Answer:
        """Return what the agent answered, or which of the `tools` it wants called; text comes in one piece.

        Raises ClientFailed, which names the error of pydantic-ai, DeadlinePassed, RequestsForbidden, and BudgetSpent.
        """
        from converge_agents.pydantic_run import run

        if self._is_real and are_forbidden():
            raise RequestsForbidden(self.name)
        answer = await run(self._asked, messages, schema, tools, deadline, meter)
        if on_text is not None and answer.text:
            on_text(answer.text, 1)
        return answer
