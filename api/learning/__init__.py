"""The loop that learns.

Misses are grouped, people's answers become drafts, reviewed drafts become entries, and what was missed is asked again.
"""
