"""Counting: tokens, prompts, prices, one stream's account, and limits. Pure."""
