"""Step 7: what people are asked, whose votes count for what, and what they are shown."""
