"""The floor of durability: a bare FastAPI route that decrypts a callback and commits one INSERT."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request, Response
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from tools.wecom.callback import CallbackCrypto

POOL_SIZE = 30
crypto = CallbackCrypto(
    SecretStr(os.environ["WECOM_TOKEN"]), SecretStr(os.environ["WECOM_ENCODING_AES_KEY"]), os.environ["WECOM_CORP_ID"]
)
pool = AsyncConnectionPool(
    os.environ["KB_DB_URL"], min_size=2, max_size=POOL_SIZE, open=False, kwargs={"autocommit": True}
)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with pool, pool.connection() as conn:
        await conn.execute(
            "create table if not exists bare_callbacks"
            " (id bigint generated always as identity primary key, payload jsonb not null)"
        )
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/wecom/callback")
async def receive(request: Request, msg_signature: str, timestamp: str, nonce: str) -> Response:
    event = crypto.open(await request.body(), msg_signature=msg_signature, timestamp=timestamp, nonce=nonce)
    async with pool.connection() as conn:
        await conn.execute("insert into bare_callbacks (payload) values (%s)", (Jsonb(event.fields),))
    return Response("success", media_type="text/plain")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)
