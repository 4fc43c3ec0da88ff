"""The encoding of tidegate.v1 (docs/PROTOCOL.md, sections 4, 5, 10.1): varints, records, settings. No state, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

Fields = dict[str, Any]  # of a record, named as in section 5
PROTOCOL_VIOLATION, VERSION, TOO_BIG, FLOW_CONTROL, SEQ_MISMATCH, CALM_DOWN, TIMEOUT = 1, 2, 3, 4, 5, 6, 7
CANCELLED, REFUSED, UNSUPPORTED_KIND, ITEM_TOO_BIG, BAD_UTF8 = 32, 33, 34, 35, 36
UNKNOWN_SESSION: Final = 16
FIRST, LAST, TEXT, ABORT, ACK_NOW = 1, 2, 4, 8, 16
MAX_INT: Final = 2**53 - 1
# Section 5.1. The forms of fields: 1 a byte, v a varint; b1 bytes and t1 text behind a length of one byte, bv and tv
# behind a varint, b* and t* to the end; s settings; T `total`, which is there only with FIRST and without LAST.
LAYOUTS: Final = {
    0x01: "HELLO ver_min:1 ver_max:1 features:v settings:s",
    0x02: "WELCOME ver:1 features:v resume_ttl_s:v token:b1 hint:t1 settings:s",
    0x03: "RESUME ver:1 token:b1 rx:v tx_oldest:v tx_next:v",
    0x04: "RESUMED epoch:v rx:v tx_oldest:v tx_next:v settings:s",
    0x05: "REFUSED code:v retry_after_ms:v reason:t*",
    0x06: "ACK rx:v delay_us:v",
    0x07: "PING t_us:v",
    0x08: "PONG t_us:v hold_us:v peer_t_us:v rx:v",
    0x09: "GOAWAY channels:v code:v drain_ms:v reconnect_after_ms:v jitter_ms:v reason:t*",
    0x0A: "ERROR code:v record_type:1 reason:t*",
    0x10: "CREDIT channel:v limit:v",
    0x11: "CHAN_LIMIT count:v",
    0x41: "OPEN channel:v kind:1 prio:1 name:tv meta:bv",
    0x42: "ACCEPT channel:v limit:v max_item_bytes:v",
    0x43: "RESET channel:v dir:1 code:v detail:b*",
    0x44: "CLOSE channel:v",
    0x45: "DATA channel:v flags:1 total:T payload:b*",
    0x80: "PAD body:b*",
    0x91: "BLOCKED channel:v limit:v",
    0xC6: "PRIORITY channel:v prio:1",
}
NAMES: Final = {number: layout.split()[0] for number, layout in LAYOUTS.items()}
TYPES: Final = {name: number for number, name in NAMES.items()}
FIELDS: Final = {NAMES[n]: [(*f.split(":"),) for f in layout.split()[1:]] for n, layout in LAYOUTS.items()}
# Section 5.4: constant, least, most; and those marked ≥.
SETTINGS: Final = {
    1: (65_535, 8_192, 1_048_576), 2: (16, 0, 65_535), 3: (65_536, 1_280, 16_777_216), 4: (57_344, 1_024, 14_913_024),
    5: (25, 0, 1_000), 6: (20_000, 1_000, 300_000), 7: (45_000, 2_000, 900_000), 8: (1_048_576, 131_072, 2**30),
    9: (128, 16, 1_024), 10: (4_096, 64, 4_096),
}  # fmt: skip
FLOORS: Final = (1, 2, 3, 4, 8, 9, 10)


class Fatal(Exception):
    """A fault that ends the session, with code and reason: ERROR(code) and close code 4200 + code (section 10.2)."""


def require(holds: object, reason: str, code: int = PROTOCOL_VIOLATION) -> None:
    """Raises `Fatal` unless `holds`."""
    if not holds:
        raise Fatal(code, reason)


def varint(n: int) -> bytes:
    """The shortest form of `n` (section 4.2); raises `ValueError` outside of 0 to 2^53 - 1."""
    if not 0 <= n <= MAX_INT:
        raise ValueError(f"no varint: {n}")
    power = 0 if n < 2**6 else 1 if n < 2**14 else 2 if n < 2**30 else 3
    return (power << (8 << power) - 2 | n).to_bytes(1 << power, "big")


class Reader:
    """Takes one field after the other; what would lie beyond the end of `data` is a violation."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        require(size <= self.left(), "truncated")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """`read_varint` of section 4.2."""
        first = self.byte()
        size = 1 << (first >> 6)
        n = int.from_bytes(bytes([first & 63]) + self.take(size - 1), "big")
        require(n <= MAX_INT and len(varint(n)) == size, "varint not shortest, or above 2^53 - 1")
        return n

    def record(self) -> tuple[int, int | None, bytes]:
        """Type, `seq16` if sequenced, and body (section 4.3; step 4 of 4.5)."""
        type_, length = self.byte(), self.varint()
        return type_, int.from_bytes(self.take(2), "big") if type_ & 0x40 else None, self.take(length)


def text(raw: bytes) -> str:
    """`raw` as UTF-8, or a violation."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Fatal(PROTOCOL_VIOLATION, "not UTF-8") from None


def decode(name: str, body: bytes) -> Fields:
    """The fields of a known record, and step 8 of section 4.5 without VERSION, TOO_BIG and what settings mean."""
    r, f = Reader(body), Fields()
    for field, form in FIELDS[name]:
        if form == "s":
            f[field] = [(r.varint(), r.varint()) for _ in iter(r.left, 0)]
            require(len(f[field]) == len(dict(f[field])) <= 64, "setting twice, or too many")
        elif form[0] in "bt":
            size = r.byte() if form[1] == "1" else r.varint() if form[1] == "v" else r.left()
            f[field] = text(r.take(size)) if form[0] == "t" else r.take(size)
        elif form != "T" or f["flags"] & (FIRST | LAST) == FIRST:
            f[field] = r.byte() if form == "1" else r.varint()
    require(r.left() == 0, "trailing bytes")
    require(len(f.get("reason", "").encode()) <= 256 and len(f.get("detail", b"")) <= 1024, "reason or detail too long")
    require(f.get("prio", 1) in (1, 2, 3, 4) and f.get("dir", 1) in (1, 2, 3), "prio or dir")
    require(1 <= f.get("tx_oldest", 1) <= f.get("tx_next", MAX_INT), "tx order")
    if name == "HELLO":
        require(f["ver_min"] <= f["ver_max"], "version range")
    elif name in ("WELCOME", "RESUME"):
        require(len(f["token"]) in (32, 0 if name == "WELCOME" else 32), "token length")
        require(bool(f["token"]) == (f.get("resume_ttl_s", 1) > 0), "token without ttl or ttl without token")
        require(re.fullmatch("[A-Za-z0-9._~-]*", f.get("hint", "")), "hint")
    elif name == "OPEN":
        check_meta(f["meta"])
    elif name == "DATA":
        flags, size = f["flags"], len(f["payload"])
        require(not flags & 0xE0, "reserved flag")
        require(flags & FIRST or not flags & TEXT, "TEXT without FIRST")
        require(not flags & ABORT or flags & (FIRST | LAST) == LAST and size == 0, "ABORT: LAST, no FIRST, no payload")
        require(flags & LAST or size >= 512, "non-final chunk under 512 bytes")
    return f


def check_meta(meta: bytes) -> None:
    """Section 5.5: a list of key, length, value, at most 64, each key once; the values of 1 and 3 have a form."""
    r, keys = Reader(meta), list[int]()
    while r.left():
        key, value = r.varint(), Reader(r.take(r.varint()))
        keys.append(key)
        require(key != 1 or (value.varint(), value.left())[1] == 0, "deadline is not one varint")
        text(value.data if key == 3 else b"")
    require(len(keys) == len(set(keys)) <= 64, "key twice, or too many")


def settings(pairs: Iterable[tuple[int, int]], welcome: bool = False) -> dict[int, int]:
    """All settings of a peer that sent `pairs`, with the constants for what is absent; the checks of section 5.4."""
    known = {number: row[0] for number, row in SETTINGS.items()} | {n: v for n, v in pairs if n in SETTINGS}
    require(all(SETTINGS[n][1] <= v <= SETTINGS[n][2] for n, v in known.items()), "setting out of range")
    require(known[3] >= known[4] + known[4] // 8 + 64, "window too small for max_item_bytes")
    require(not welcome or all(known[n] >= SETTINGS[n][0] for n in FLOORS), "WELCOME lowers a limit")
    return known


def encode(name: str, number: int = 0, /, **f: Any) -> bytes:
    """A whole record (section 4.3); `number` is that of a sequenced one in full (4.4)."""
    body = b""
    for field, form in FIELDS[name]:
        if form == "s":
            body += b"".join(varint(n) + varint(v) for n, v in f[field])
        elif form[0] in "bt":
            raw = f[field].encode() if form[0] == "t" else f[field]
            body += {"1": bytes([len(raw) & 255]), "v": varint(len(raw)), "*": b""}[form[1]] + raw
        elif form != "T" or f["flags"] & (FIRST | LAST) == FIRST:
            body += bytes([f[field]]) if form == "1" else varint(f[field])
    seq16 = (number & 0xFFFF).to_bytes(2, "big") if TYPES[name] & 0x40 else b""
    return bytes([TYPES[name]]) + varint(len(body)) + seq16 + body
