"""Amounts as integers: micro-USD for costs, minor units of a currency for values at stake.

No amount passes through binary floating point arithmetic: a number is read by its shortest decimal
text, which is what its author wrote.
"""

import re
from decimal import Decimal

from bailiwick.errors import BadInput
from bailiwick.values import MAX_INTEGER, shown
from bailiwick.vocabulary import decimals_of, is_currency

_DECIMAL = re.compile(r"[0-9]{1,16}(\.[0-9]{1,6})?")


def currency_code(text: object) -> str:
    """Give back an ISO 4217 code (three capital letters), else raise `BadInput`."""
    if isinstance(text, str) and is_currency(text):
        return text
    raise BadInput(
        f"`{shown(str(text), 40)}` is not a currency code",
        code="currency_invalid",
        help="write three capital letters of ISO 4217, such as USD",
    )


def minor_units(text: object, currency: str) -> int:
    """Turn decimal text such as `42.00` into minor units of the currency, exactly.

    Raises `BadInput` (`amount_invalid`) for anything but digits with at most the currency's
    decimals; a number is refused, because `42` could be either unit.
    """
    decimals = decimals_of(currency_code(currency))
    return _scaled(text, decimals, f"an amount of {currency}")


def micro_usd(amount: str | int | float) -> int:
    """Turn US dollars into micro-USD, exactly; at most six decimals. Raises `BadInput`."""
    if isinstance(amount, str):
        return _scaled(amount, 6, "an amount of US dollars")
    if isinstance(amount, bool):
        raise _unclear(amount, "an amount of US dollars", 6)
    # repr gives the shortest text that reads back as this number: 0.1 is "0.1".
    return _scaled(format(Decimal(repr(amount)), "f"), 6, "an amount of US dollars")


def _scaled(text: object, decimals: int, what: str) -> int:
    if not (isinstance(text, str) and _DECIMAL.fullmatch(text)):
        raise _unclear(text, what, decimals)
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > decimals:
        raise _unclear(text, what, decimals)
    amount = int(whole + fraction.ljust(decimals, "0"))
    if amount > MAX_INTEGER:
        raise _unclear(text, what, decimals)
    return amount


def _unclear(amount: object, what: str, decimals: int) -> BadInput:
    return BadInput(
        f"`{shown(str(amount), 40)}` is not {what}",
        code="amount_invalid",
        help=f"write digits with at most {decimals} decimals, as text",
    )
