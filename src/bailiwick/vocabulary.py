"""The words that tools, manifests and rules share: groups of tools, standard facts, currencies.

| fact         | Cedar type  | meaning                                                          |
|--------------|-------------|------------------------------------------------------------------|
| value        | Long        | what is at stake, in minor units of `currency`                   |
| currency     | String      | ISO 4217 code                                                    |
| recipients   | Long        | how many receive it: a number, or a list that is counted         |
| destinations | Set<String> | the domains it goes to, in lower case, as A-labels               |
| endpoints    | Set<String> | exactly where to: `address:…`, `webhook:…`; see DestinationKind  |
| new_payee    | Bool        | money goes where none of ours went before                        |
| environment  | String      | what it reaches into, such as `production`                       |
| customer     | String      | whose budget it draws on                                         |

Beside them every action has facts of the runtime's own, which no tool declares: `over_budget` and
`over_budget_nodes`, and `data_classes`, the classes of the data that it handles and that its run
was shown before (Set<String>).
"""

import re
from collections.abc import Mapping
from typing import Literal, get_args

from bailiwick.nouns import Effect, Trait

FactType = Literal["Long", "String", "Bool", "Set<String>"]

# What a destination is. A domain, an address and a webhook go to a domain; a channel and a bucket
# are destinations themselves, as `channel:…` and `bucket:…`.
DestinationKind = Literal["domain", "address", "webhook", "channel", "bucket"]

# Every tool is in the group of its effect and in one for each of its traits.
GROUPS: tuple[str, ...] = (*get_args(Effect), *get_args(Trait))

STANDARD_FACTS: Mapping[str, FactType] = {
    "value": "Long",
    "currency": "String",
    "recipients": "Long",
    "destinations": "Set<String>",
    "endpoints": "Set<String>",
    "new_payee": "Bool",
    "environment": "String",
    "customer": "String",
}
# What the runtime computes for every action.
RUNTIME_FACTS: Mapping[str, FactType] = {
    "over_budget": "Bool",
    "over_budget_nodes": "Set<String>",
    "data_classes": "Set<String>",
}
# What every tool of a trait computes, so that a rule over the trait holds for all of them.
TRAIT_FACTS: Mapping[Trait, tuple[str, ...]] = {
    "money": ("value", "currency"),
    "outbound": ("recipients", "destinations"),
}

_CURRENCY = re.compile(r"[A-Z]{3}")
# ISO 4217: how many decimals a currency's minor unit has, where that is not two.
_DECIMALS = {
    currency: decimals
    for decimals, currencies in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    )
    for currency in currencies.split()
}


def is_currency(text: str) -> bool:
    """Whether a text has the form of an ISO 4217 code: three capital letters."""
    return _CURRENCY.fullmatch(text) is not None


def decimals_of(currency: str) -> int:
    """How many decimals the minor unit of a currency has."""
    return _DECIMALS.get(currency, 2)
