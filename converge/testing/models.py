"""Models for tests: one answers from a script, one from a file, and a switch keeps real ones from being asked.

They are kept with the agents that ask them; this is where a test finds them.
"""

from converge_agents.forbidding import forbid_model_requests
from converge_agents.recorded import RecordedModel
from converge_agents.reply import Reply
from converge_agents.scripted import ScriptedModel

__all__ = ["RecordedModel", "Reply", "ScriptedModel", "forbid_model_requests"]
