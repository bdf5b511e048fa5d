"""Errors of the service itself."""

from __future__ import annotations


class ApiError(Exception):
    """Something about running the service went wrong; the message says what and how to mend it."""


class DatabaseError(ApiError):
    """The database cannot be used as it is."""


class MigrationError(DatabaseError):
    """The schema in the database does not fit this version."""


class BusyError(ApiError):
    """Another worker holds this conversation; the job is tried again."""


class InputFileError(ApiError):
    """A file given to a command is not there, or not what it should be."""


class EncryptionError(ApiError):
    """Stored data cannot be read, or not be sealed, with the keys there are."""


class ErasureError(ApiError):
    """A person could not be forgotten now."""


class AccessError(ApiError):
    """A token, or somebody of the console, cannot be made or changed like this."""
