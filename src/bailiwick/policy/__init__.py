"""Step 6, decide: what the rules of a release say to an action. Cedar, with people as evidence.

    compile_policies(tools, manifests, files)   check everything and build the rule book
    RuleBook.decide(question)                   allow, deny or ask (`ports.Policies`)
    RuleBook.rule_text(rule)                    the text of a rule, for people
    who_can(book, action, on)                   who can: yes with its route, no proved, cannot tell
    diff_rules(old, new)                        what a new policy changes, in words
    is_loosening(old, new)                      whether it might allow more

The organ is pure: it reads no clock and does no I/O. Only here is Cedar known.
"""

from bailiwick.policy.compile import compile_policies
from bailiwick.policy.diff import is_loosening
from bailiwick.policy.findings import Finding
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.rules import Rule
from bailiwick.policy.who_can import Answer, who_can
from bailiwick.policy.words import diff_words

__all__ = [
    "Answer",
    "Finding",
    "Rule",
    "RuleBook",
    "compile_policies",
    "diff_words",
    "is_loosening",
    "who_can",
]
