"""Step 10, verify: what reading the world back says about an effect.

    judge    the verdict on a write: verified, contradicted or unverifiable, with the reason

`expressions.compile_cel` compiles CEL for the catalogue. It is not imported here: the `cel`
package costs a third of a second to import, and a project whose expressions are all dotted paths
never needs it.
"""

from bailiwick.verification.judging import judge

__all__ = ["judge"]
