"""A project's YAML files, each one mapping."""

from collections.abc import Mapping

from bailiwick.catalog.problems import problem
from bailiwick.errors import CatalogError, ConfigError
from bailiwick.values import JSON
from bailiwick.yaml_text import read_yaml


def load_yaml(text: str, path: str) -> Mapping[str, JSON]:
    """Read a YAML file that holds one mapping. Raises `CatalogError` with the file and the line."""
    try:
        value = read_yaml(text, path)
    except ConfigError as error:
        raise CatalogError(
            error.message, code=error.code, help=error.help, **error.details
        ) from None
    if not isinstance(value, dict):
        raise problem("yaml_not_mapping", path, "the file is not a mapping of names to values")
    return value
