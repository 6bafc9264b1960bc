"""Campaigns: long runs that try to break a claim, each a package of its own."""
