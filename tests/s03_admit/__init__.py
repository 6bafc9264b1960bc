"""Step 3: kill switches, breakers and run time, as the agent meets them."""
