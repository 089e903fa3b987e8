"""Why a fact holds, why another does not, where two jobs part, what became of a fact and what it cost, as data.

`explained` is where to ask; each answer has a file of its own, and can be read as text, JSON data, Mermaid or HTML.
"""
