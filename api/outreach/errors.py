"""Errors of outreach."""

from __future__ import annotations

from api.errors import ApiError


class OutreachError(ApiError):
    """A campaign is not what it should be; the message says what and how to mend it."""
