"""Short forms of the campaigns on material that others wrote."""
