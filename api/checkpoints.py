"""The checkpointer: LangGraph's own, with everything personal sealed when there are keys."""

from __future__ import annotations

import contextlib
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from api.database import Pool
from api.encryption import KeyRing


class SealedSaver(AsyncPostgresSaver):
    """Seals the channels' values, also those that the checkpointer keeps as JSON beside the others.

    Its connections open what they read, see `api.encryption`.
    """

    def __init__(self, pool: Pool, ring: KeyRing, serde: SerializerProtocol) -> None:
        super().__init__(pool, serde=EncryptedSerializer(ring, serde))
        self._ring = ring

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; texts that it keeps as JSON are sealed one by one."""
        values = {name: self._sealed(value) for name, value in checkpoint["channel_values"].items()}
        sealed: Checkpoint = {**checkpoint, "channel_values": values}
        return await super().aput(config, sealed, metadata, new_versions)

    def _sealed(self, value: Any) -> Any:
        # Any other value goes through the serializer.
        return self._ring.seal(value) if isinstance(value, str) else value


def make_saver(pool: Pool, ring: KeyRing | None = None) -> AsyncPostgresSaver:
    """Build the checkpointer over our pool; its tables are made by the migration."""
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)
    saver = SealedSaver(pool, ring, serde) if ring else AsyncPostgresSaver(pool, serde=serde)
    # Its one lock per instance would run all conversations through one connection at a time; the pool needs none.
    saver.lock = contextlib.nullcontext()  # type: ignore[assignment]
    return saver
