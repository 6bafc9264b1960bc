"""The PostgreSQL server of the tests: that of `bailiwick.testing`, by its short name."""

from bailiwick.testing.postgres import PostgresServer as Server
from bailiwick.testing.postgres import serving

__all__ = ["Server", "serving"]
