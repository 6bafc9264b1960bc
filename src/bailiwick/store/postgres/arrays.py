"""Lists as the server's array literals: a batch sends each column of a table as one of them.

The library looks at every element of a list to choose its type, which was a tenth of all work of a
process. Our statements name the type of every list themselves.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import DataError
from psycopg.adapt import Dumper


class ColumnDumper(Dumper):
    """Texts, bytes, integers and booleans, or None; the type is left to the statement.

    Source: PostgreSQL documentation, 8.15.6, array input and output syntax.
    """

    oid = 0

    def dump(self, obj: Sequence[Any]) -> bytes:
        """Raises `DataError` for a text with U+0000, which the server could not keep either."""
        if obj and all(type(each) is str for each in obj):
            joined = "\0".join(obj)
            if joined.count("\0") != len(obj) - 1:
                raise DataError("a text holds U+0000")
            escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
            return b'{"%s"}' % escaped.encode()
        return b"{%s}" % ",".join(map(_element, obj)).encode()


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "t" if value else "f"
        case int():
            return str(value)
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case str() if "\0" not in value:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
    raise DataError("no element of an array can be made of this")
