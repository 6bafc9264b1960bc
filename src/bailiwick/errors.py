"""Every exception Bailiwick raises, in one tree.

A no is data (`nouns.Refusal`), a fault is an exception, a wait is neither. What is raised here is
a fault, or input so wrong that no action can be named.

    BailiwickError
    ├── BadInput            the caller's input cannot become a proposal
    ├── ConfigError         a file of the project is wrong; nothing was loaded
    │   ├── CatalogError    a tool, its schema or the write-tool law
    │   └── PolicyError     a rule, a test or an assertion
    ├── IdentityError       a token, key, account or session that does not hold
    ├── ApprovalError       a vote that cannot count
    ├── ControlError        an operator's command that cannot be carried out
    ├── ExecutionError      a credential or an egress door that cannot be used
    ├── LedgerError         bytes that are not what they claim to be
    └── StoreError          the store cannot promise what it was asked
        ├── StoreUnavailable    nothing was written; try again
        └── StoreFenced         another process owns the file, or a backup was restored

`NotDone` stands apart: a tool raises it to say that its effect certainly did not happen.
"""


class BailiwickError(Exception):
    """something went wrong"""

    code = "error"

    def __init__(
        self, message: str = "", *, code: str = "", help: str = "", **details: object
    ) -> None:
        """Say what and where (`message`), what to do next (`help`), and keep `details` as data.

        `code` is stable and documented; it defaults to the class's own.
        """
        self.message = message or (type(self).__doc__ or "").strip()
        self.code = code or type(self).code
        self.help = help
        self.details = details
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]" + (f"; {self.help}" if self.help else "")


class BadInput(BailiwickError):
    """the input cannot become a proposal"""

    code = "bad_input"


class ConfigError(BailiwickError):
    """a file of the project is wrong"""

    code = "config_invalid"


class CatalogError(ConfigError):
    """a tool cannot be loaded"""

    code = "tool_invalid"


class PolicyError(ConfigError):
    """the policy cannot be released"""

    code = "policy_invalid"


class IdentityError(BailiwickError):
    """the identity does not hold"""

    code = "identity_invalid"


class ApprovalError(BailiwickError):
    """the vote cannot count"""

    code = "vote_invalid"


class ControlError(BailiwickError):
    """the command cannot be carried out"""

    code = "command_invalid"


class ExecutionError(BailiwickError):
    """the effect cannot be attempted"""

    code = "execution_unavailable"


class LedgerError(BailiwickError):
    """the ledger does not hold"""

    code = "ledger_invalid"


class StoreError(BailiwickError):
    """the store cannot promise what it was asked"""

    code = "store_error"


class StoreUnavailable(StoreError):
    """the store is not available; nothing was written"""

    code = "store_unavailable"


class StoreFenced(StoreError):
    """the store may not be written by this process"""

    code = "store_fenced"


class NotDone(Exception):
    """A tool says that its effect certainly did not happen, and why."""
