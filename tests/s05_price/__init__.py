"""Step 5: what an action would hold, and what it does not fit."""
