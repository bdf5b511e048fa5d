"""Vectors, and texts made safe to turn into them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


def unit(vector: Vector) -> Vector:
    """Scale to length 1; a zero vector stays."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector


def literal(vector: Vector) -> str:
    """Write a vector as pgvector reads it."""
    return "[" + ",".join(map(str, vector.tolist())) + "]"


def clean_text(text: str) -> str:
    """Drop what no encoder takes: lone surrogates and NUL."""
    return text.replace("\0", " ").encode("utf-8", "ignore").decode("utf-8").strip()
