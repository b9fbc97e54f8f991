"""The design that this service replaces, for the comparison: the same contract, all in memory.

It is as quick as such a program comes: one process, no access log, nothing checked that FastAPI
does not check by itself, nothing stored anywhere.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

BATCH_SIZE = 3
INTERVAL_SECONDS = 5.0
LATENCY_SECONDS = 1.0


class Priority(StrEnum):
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class IngestRequest(BaseModel):
    ids: list[int] = Field(min_length=1)
    priority: Priority


RANKS = {priority: rank for rank, priority in enumerate(Priority)}
ingestions: dict[str, list[dict[str, Any]]] = {}
waiting: list[tuple[int, float, int, dict[str, Any]]] = []
numbers = itertools.count()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(dispatch_for_ever())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/ingest")
async def ingest(request: IngestRequest) -> dict[str, str]:
    ingestion_id = str(uuid.uuid4())
    batches = [
        {
            "batch_id": str(uuid.uuid4()),
            "ids": request.ids[first : first + BATCH_SIZE],
            "status": "yet_to_start",
        }
        for first in range(0, len(request.ids), BATCH_SIZE)
    ]
    ingestions[ingestion_id] = batches
    rank, created_at = RANKS[request.priority], time.time()
    for batch in batches:
        heapq.heappush(waiting, (rank, created_at, next(numbers), batch))
    return {"ingestion_id": ingestion_id}


async def status(ingestion_id: str) -> dict[str, Any]:
    batches = ingestions.get(ingestion_id)
    if batches is None:
        raise HTTPException(status_code=404, detail="Ingestion not found")
    states = {batch["status"] for batch in batches}
    found = states.pop() if len(states) == 1 else "triggered"
    return {"ingestion_id": ingestion_id, "status": found, "batches": batches}


# As it is mostly written, and with the answer's type declared, which lets pydantic serialise it.
app.get("/status/{ingestion_id}", response_model=None)(status)
app.get("/declared/status/{ingestion_id}")(status)


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    """Tell whoever started this that it has started."""
    return {"status": "ok"}


async def dispatch_for_ever() -> None:
    while True:
        if waiting:
            call = asyncio.create_task(carry_out(heapq.heappop(waiting)[-1]))
            await asyncio.sleep(INTERVAL_SECONDS)
            await call
        else:
            await asyncio.sleep(0.05)


async def carry_out(batch: dict[str, Any]) -> None:
    batch["status"] = "triggered"
    await asyncio.sleep(LATENCY_SECONDS)
    batch["status"] = "completed"
