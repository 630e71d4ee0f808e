"""R04: a bit or a page of the database or its log damaged: what verifies is kept, the rest counted, and it goes on."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from kos_edge.store import sql
from kos_edge.store.store import Store
from tests.faults.rows import Sweep, row
from tests.faults.shelf import Shelf, touches

FRAME = 24 + sql.PAGE_SIZE
LOG_HEADER = 32


@row("R04", "a bit or a page of the database damaged", minutes=6)
def sweep(run: Sweep) -> None:
    lots = random.Random(run.seed)
    shelf = Shelf(run.folder / "whole" / "kos.db")
    shelf.path.parent.mkdir()
    store = shelf.open()
    shelf.found(store)
    shelf.fill(store, 60)
    crashed = run.folder / "crashed"
    shutil.copytree(shelf.path.parent, crashed, ignore=shutil.ignore_patterns("*.reserve"))
    store.close()
    closed = run.folder / "closed"
    shutil.copytree(shelf.path.parent, closed, ignore=shutil.ignore_patterns("*.reserve"))
    for number in range(run.share(full=1_500, bounded=20)):
        image = closed if number % 2 else crashed
        _case(run, shelf, image, lots, f"seed {run.seed} case {number}")


def _case(run: Sweep, shelf: Shelf, image: Path, lots: random.Random, name: str) -> None:
    folder = run.folder / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(image, folder)
    file, at, length = _place(folder, lots)
    data = bytearray(file.read_bytes())
    page = bytes(data[at : at + length])
    how = lots.choice(("bit", "nul", "noise", "torn"))
    match how:
        case "bit":
            data[at + lots.randrange(length)] ^= 1 << lots.randrange(8)
        case "nul":
            data[at : at + length] = bytes(length)
        case "noise":
            data[at : at + length] = lots.randbytes(length)
        case _:
            data[at : at + length // 2] = bytes(length // 2)
    file.write_bytes(data)
    case = Shelf(folder / "kos.db", dict(shelf.accepted), set(shelf.epochs))
    run.case()
    told = f"{name}: {how} at {at} of {file.name} ({image.name})"
    try:
        store = case.open()
    except Exception as error:
        run.wrong(f"{told}: it does not open: {type(error).__name__}: {error}")
        return
    try:
        _check(run, case, store, page, told)
    except Exception as error:
        run.wrong(f"{told}: {type(error).__name__}: {error}")
    finally:
        store.close()


def _place(folder: Path, lots: random.Random) -> tuple[Path, int, int]:
    """A page of the file, or a frame of the log before its last commits (which cannot be told from a power cut)."""
    file, log = folder / "kos.db", folder / "kos.db-wal"
    pages = file.stat().st_size // sql.PAGE_SIZE
    frames = (log.stat().st_size - LOG_HEADER) // FRAME if log.exists() else 0
    raw = log.read_bytes() if frames else b""
    ends = [
        n for n in range(frames) if raw[LOG_HEADER + n * FRAME + 4 : LOG_HEADER + n * FRAME + 8] != bytes(4)
    ]
    before = ends[-4] + 1 if len(ends) > 3 else 0
    chosen = lots.randrange(pages + before)
    if chosen < pages:
        return file, chosen * sql.PAGE_SIZE, sql.PAGE_SIZE
    return log, LOG_HEADER + (chosen - pages) * FRAME, FRAME


def _check(run: Sweep, case: Shelf, store: Store, page: bytes, told: str) -> None:
    found = case.packs(store)
    places = [place for place, _ in found]
    run.twice(len(places) - len(set(places)), told)
    kept = dict(found)
    missing = [place for place in case.accepted if place not in kept]
    hurt = [place for place in missing if touches(case.accepted[place], page)]
    run.lost(len(missing) - len(hurt), f"{told}: {sorted(set(missing) - set(hurt), key=str)[:1]}")
    if any(case.accepted.get(place) not in (None, raw) for place, raw in found):
        run.wrong(f"{told}: a pack was altered")
    if missing and not store.troubles():
        run.wrong(f"{told}: {len(missing)} packs are gone, and nothing says so")
    if missing and not list(case.path.parent.glob("kos.db.damaged-*")):
        run.wrong(f"{told}: the damaged file is gone")
    if store.outbox.epoch <= max(case.epochs - {store.outbox.epoch}):
        run.wrong(f"{told}: epoch {store.outbox.epoch:x} is not above all before")
    before = store.packs.last_id
    case.fill(store, 2)
    if store.packs.last_id <= before or case.cursor(store) > before:
        run.wrong(f"{told}: it does not go on")
