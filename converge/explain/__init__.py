"""Why a fact holds, why another does not, where two jobs part, what became of a fact and what it cost, as data.

`Explained` is where to ask; each answer has a file of its own, and can be read as text, JSON data, Mermaid or HTML.
"""

from converge.explain.absence import Absence
from converge.explain.call import Call
from converge.explain.cost import Cost, JobCost
from converge.explain.course import Course
from converge.explain.explained import Explained
from converge.explain.explanation import Explanation
from converge.explain.fact_cost import FactCost
from converge.explain.parting import Parting

__all__ = ["Absence", "Call", "Cost", "Course", "Explained", "Explanation", "FactCost", "JobCost", "Parting"]
