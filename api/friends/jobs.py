"""The queue's jobs about friends; the tables say what is to be done, so a job that is lost costs seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from api.database import Pool
from api.friends.events import JOB, fold_events, store_friend_callback
from api.friends.remarks import FriendWelcome, Names, Remark
from api.friends.tags import TagBook
from api.friends.tending import Tending
from api.friends.welcomes import Welcomes
from api.job_queue import FAST, JobQueue
from api.settings import WelcomeSettings
from tools.settings import WecomSettings
from tools.wecom.contacts import TIMEOUT, WecomContacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Friends:
    """Everything about friends in one process."""

    pool: Pool
    welcomes: Welcomes
    tending: Tending

    def register(self, queue: JobQueue) -> None:
        """Tell the queue which function does which job."""
        queue.app.task(name=JOB, queue=FAST)(self.welcome)
        # One after the other: a round of tags may last, and two would only wait for each other.
        queue.app.periodic(cron="* * * * * */2")(
            queue.app.task(name="tend_friends", queue=FAST, queueing_lock="tend_friends", lock="tend_friends")(
                self.tend
            )
        )
        queue.app.periodic(cron="* * * * * */2")(
            queue.app.task(name="welcome_friends", queue=FAST, queueing_lock="welcome_friends")(self.catch_up)
        )

    async def store(self, *, signature: str, payload: Mapping[str, Any]) -> None:
        """Store a verified callback with the job it causes."""
        await store_friend_callback(self.pool, signature=signature, payload=payload)

    async def welcome(self) -> None:
        """Take in what WeCom told and welcome who is new, while the codes live."""
        await fold_events(self.pool)
        await self.welcomes.send_due()

    async def catch_up(self, timestamp: int = 0) -> None:
        """Try again what did not succeed, and what a worker that died left behind."""
        del timestamp
        await self.welcome()
        await self.welcomes.give_up()

    async def tend(self, timestamp: int = 0) -> None:
        """Tag and name who is due."""
        del timestamp
        await self.tending.tend_due()


def make_contacts(wecom: WecomSettings, redis: Redis | None = None) -> WecomContacts:
    """Build the client of 客户联系; to be closed."""
    return WecomContacts(
        api_base=wecom.wecom_api_base,
        corp_id=wecom.wecom_corp_id,
        secret=wecom.contact_secret,
        redis=redis,
        timeout=TIMEOUT,
    )


def make_friends(pool: Pool, contacts: WecomContacts, settings: WelcomeSettings) -> Friends:
    """Put the parts together."""
    names = Names(source=contacts)
    template = settings.kefu_friend_remark
    return Friends(
        pool=pool,
        welcomes=Welcomes(pool, contacts, FriendWelcome(names=names, company=settings.kefu_company)),
        tending=Tending(
            pool=pool,
            keeper=contacts,
            book=TagBook(pool, contacts, group=settings.kefu_tag_group),
            tags=settings.friend_tags,
            remark=Remark(names=names, template=template) if template else None,
        ),
    )
