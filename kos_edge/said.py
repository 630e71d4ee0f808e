"""Kinds of what is said in the log: each has an id of its own, by which whoever watches finds it whatever it says.

    log.warning("nothing is taken from %s: %s", peer.name, error, extra=Said.NOT_TAKEN.of(peer=peer.name))

In systemd's journal the id is its MESSAGE_ID and the fields are there by name (`KOS_PEER`): docs/logs.md. An id never
changes; a kind that is gone takes its id with it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Said(Enum):
    """A kind, by its id (128 bits, as `journalctl --new-id128` makes them)."""

    STARTED = "2cc1391568014534bbedae555874d49c"
    WARNING = "9401056abf6b46258b24114c176c5aa4"
    CONNECTED = "fda322ac35a546819c924c61db3ab932"
    DISCONNECTED = "95bbeed8747a468a9304eeacb7cca8ad"
    OFFLINE = "33c3a1d54d4f492bb51af6595129ffad"
    PEER_NOT_REACHED = "27f60aa35ff84a7ab83d238703f9c2ce"
    DISCOVERY_FAILED = "b7d4ebde03174b3ea0267f698e0a3310"
    JOINED = "dcc1ad3ab4b44a4b9ac93e31f77d730c"
    NOT_JOINED = "2ca2070c106a4dc7902b0d67e1510ed9"
    WANTS_TO_JOIN = "51f5d7775b93494488c1cf3479122ccc"
    ADMITTED = "760c758ed29f47a88acf5aecb41d4bc8"
    NEWCOMER_REFUSED = "7b4af90f5b8a416a93901356efab2b58"
    REVOKED = "f73a9e744d304f5aa3a70c151357cd66"
    FORK = "4b37d6e8113e42f681fa832cb2609d55"
    WITHHELD = "d70612cdbbc043afbff9a393e663e139"
    RENUMBERED = "5cdb885168d245549a1a6b8291714e35"
    PEER_WRONG = "a421e79403aa4231b21873a3568203fa"
    NOT_TAKEN = "032ab10ab36c4e78afd5c8c29901b5dc"
    EXPIRED = "3563af8d8afc4d55808cba94de186dcd"
    SET_ASIDE = "a731ee79a5a34582a49bbd4759967121"
    QUEUE_FILLS = "19b601f1415f448f98b6b0522ae51220"
    HANDLER_FAILED = "8c2c719e6a55408a86e3c81e0504729f"
    READER_FORGOTTEN = "8740545793754badb70aad6fccbf02d2"
    AGENT_FAILED = "779700ab0d1846d2b06d4c59fd472600"
    AGENT_STUCK = "e48190a02d764b0e8aaf4fa7330e0325"
    AGENT_WELL = "ef0512ce00894bacb15ce3953dc454ac"
    NOT_SAFE = "9e98e134098f452aacce4539edf52d79"
    LOOP_BLOCKED = "fff5b6e3cd7d4a7ab429b69c3f84edb5"
    CALL_FAILED = "ad28d660d3e94b8197e70ba68ae313d4"
    MEMBER_SILENT = "13f8d76f18a44b0b933084cdc3861f61"
    MEMBER_BACK = "8ea860344343457190030dda733a6847"
    DISK_FAILED = "3d2cf8cf67f84a3c9fc475241d4c8e1f"
    DISK_FULL = "09c7737836004887a859219d98e1260e"
    DISK_WELL = "be84a1fe19814f9cabf2d601fd690db2"
    STORE_DAMAGED = "da57a88bb8454bb78503a14bf0efc88e"
    STORE_SALVAGED = "c055dc106bb84580bb82e87811273aaf"
    FILE_DAMAGED = "56f832b2819545269266c57e35cb1598"
    NOT_KEPT = "6cf225ea6c3c4d11b072520cf0c35116"
    STATE_IN_USE = "34fdf12d1dfd4081add202702d162550"
    NO_PROGRESS = "e0700dbd229a488c9a8c4a7d1997301c"
    BOOTSTRAP_ORDERED = "c3a43faf4b0b466d834da609af6f1140"
    ORDER_REFUSED = "cb6ba5ffbe4849338c5c9897c5a60f99"
    BOOTSTRAP_FAILED = "9d12dd345df24c0a821591314e4863a7"
    NO_AGENTS = "5fa7831d3df546a2ae0dfdf283d9e6c0"
    REGISTERED = "5e7f4bdbbed9426da71dd36d44faae72"
    OPERATED = "fc99729d90e84ff0b642aee72164770b"
    RENEWED = "fd06314e794548dd8a4ec971bc765648"
    RENEWAL_FAILED = "935686f5eab541bb8289d1e78898e5f6"
    STORE_OLDER = "6a2778b1dc6b4b918aa5da0a9c42cc7b"
    BUG = "2518359d548d42a9ade4ed51884ec85b"

    @property
    def word(self) -> str:
        """As it stands in JSON lines and in the documents: ``member-silent``."""
        return self.name.lower().replace("_", "-")

    def of(self, **fields: Any) -> dict[str, Any]:
        """The `extra` of a log record; `fields` are shown as text, under names of letters and underscores."""
        return {"kos_event": self, "kos_fields": fields}
