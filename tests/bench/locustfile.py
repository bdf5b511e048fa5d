"""A customer who writes again and again, each time after the answer; run by `endurance.py`."""

from __future__ import annotations

import os
import random
import uuid

from locust import FastHttpUser, constant_pacing, task

TEXTS = os.environ["KEFU_LOAD_TEXTS"].split("\n")
MESSAGES = 20
"""After so many it is another customer: conversations come to be, and end."""


class Customer(FastHttpUser):
    """One who writes every few seconds."""

    wait_time = constant_pacing(float(os.environ["KEFU_LOAD_PACE"]))

    def on_start(self) -> None:
        self.become_another()

    def become_another(self) -> None:
        self.name, self.left = f"wmLoad{uuid.uuid4().hex[:12]}", MESSAGES

    @task
    def write(self) -> None:
        self.client.post("/say", json={"customer": self.name, "text": random.choice(TEXTS)})
        self.left -= 1
        if not self.left:
            self.become_another()
