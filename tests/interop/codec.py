"""The encoding of tidegate.v1 (docs/PROTOCOL.md, sections 4, 5, 10.1): varints, records, settings. No state, no I/O."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Fields = dict[str, Any]  # of a record, named as in section 5
PROTOCOL_VIOLATION, VERSION, TOO_BIG, FLOW_CONTROL, SEQ_MISMATCH, TIMEOUT, UNKNOWN_SESSION = 1, 2, 3, 4, 5, 7, 16
CANCELLED, REFUSED, UNSUPPORTED_KIND, ITEM_TOO_BIG, BAD_UTF8 = 32, 33, 34, 35, 36
FIRST, LAST, TEXT, ABORT, ACK_NOW = 1, 2, 4, 8, 16
# Section 5.1: of each type the name and the fields, with a key of `FORMS`.
LAYOUTS = {
    0x01: "HELLO ver_min:1 ver_max:1 features:v settings:s", 0x03: "RESUME ver:1 token:b1 rx:v tx_oldest:v tx_next:v",
    0x02: "WELCOME ver:1 features:v resume_ttl_s:v token:b1 hint:b1 settings:s", 0x80: "PAD body:b",
    0x04: "RESUMED epoch:v rx:v tx_oldest:v tx_next:v settings:s", 0x05: "REFUSED code:v retry_after_ms:v reason:b",
    0x06: "ACK rx:v delay_us:v", 0x07: "PING t_us:v", 0x08: "PONG t_us:v hold_us:v peer_t_us:v rx:v",
    0x09: "GOAWAY channels:v code:v drain_ms:v reconnect_after_ms:v jitter_ms:v reason:b",
    0x0A: "ERROR code:v record_type:1 reason:b", 0x10: "CREDIT channel:v limit:v", 0x11: "CHAN_LIMIT count:v",
    0x41: "OPEN channel:v kind:1 prio:1 name:bv meta:bv", 0x42: "ACCEPT channel:v limit:v max_item_bytes:v",
    0x43: "RESET channel:v dir:1 code:v detail:b", 0x44: "CLOSE channel:v", 0x91: "BLOCKED channel:v limit:v",
    0x45: "DATA channel:v flags:1 total:v payload:b", 0xC6: "PRIORITY channel:v prio:1",
}  # fmt: skip
NAMES = {number: layout.split()[0] for number, layout in LAYOUTS.items()}
TYPES = {name: number for number, name in NAMES.items()}
FIELDS = {NAMES[number]: [field.split(":") for field in layout.split()[1:]] for number, layout in LAYOUTS.items()}
# Section 5.4: constant, least, most. WELCOME lowers none but 5 to 7.
SETTINGS = {
    1: (65_535, 8_192, 1_048_576), 2: (16, 0, 65_535), 3: (65_536, 1_280, 16_777_216), 4: (57_344, 1_024, 14_913_024),
    5: (25, 0, 1_000), 6: (20_000, 1_000, 300_000), 7: (45_000, 2_000, 900_000), 8: (1_048_576, 131_072, 2**30),
    9: (128, 16, 1_024), 10: (4_096, 64, 4_096),
}  # fmt: skip


class Fatal(Exception):
    """A fault that ends the session, with code and reason: ERROR(code) and close code 4200 + code (section 10.2)."""


def require(holds: object, reason: str, code: int = PROTOCOL_VIOLATION) -> None:
    """Raises `Fatal` unless `holds`."""
    if not holds:
        raise Fatal(code, reason)


def varint(n: int) -> bytes:
    """The shortest form of `n`, which is 0 to 2^53 - 1 (section 4.2)."""
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

    def varint(self) -> int:
        first = self.take(1)[0]
        n = int.from_bytes(bytes([first & 63]) + self.take((1 << (first >> 6)) - 1), "big")
        require(n < 2**53 and len(varint(n)) == 1 << (first >> 6), "varint not shortest, or above 2^53 - 1")
        return n

    def record(self) -> tuple[int, int | None, bytes]:
        """Type, `seq16` if sequenced, and body (section 4.3; step 4 of 4.5)."""
        type_, length = self.take(1)[0], self.varint()
        return type_, int.from_bytes(self.take(2), "big") if type_ & 0x40 else None, self.take(length)


# How a field is read and written: 1 a byte, v a varint, s settings; b1 behind a length of a byte, bv behind a varint, b
# to the end: bytes, or text in the fields `TEXTS`.
FORMS: dict[str, tuple[Callable[[Reader], Any], Callable[[Any], bytes]]] = {
    "1": (lambda r: r.take(1)[0], lambda n: bytes([n])),
    "v": (Reader.varint, varint),
    "b1": (lambda r: r.take(r.take(1)[0]), lambda raw: bytes([len(raw)]) + raw),
    "bv": (lambda r: r.take(r.varint()), lambda raw: varint(len(raw)) + raw),
    "b": (lambda r: r.take(r.left()), bytes),
    "s": (lambda r: [(r.varint(), r.varint()) for _ in iter(r.left, 0)], lambda s: b"".join(map(varint, sum(s, ())))),
}
TEXTS = ("name", "hint", "reason")


def layout(name: str, f: Fields) -> Iterator[list[str]]:
    """The fields of a record, with their forms; `f` has those before: `total` is there with FIRST and without LAST."""
    return (pair for pair in FIELDS[name] if pair[0] != "total" or f["flags"] & (FIRST | LAST) == FIRST)


def encode(name: str, number: int = 0, /, **f: Any) -> bytes:
    """A whole record (section 4.3); `number` is that of a sequenced one in full (4.4)."""
    body = b"".join(FORMS[form][1](f[key].encode() if key in TEXTS else f[key]) for key, form in layout(name, f))
    seq16 = (number & 0xFFFF).to_bytes(2, "big") if TYPES[name] & 0x40 else b""
    return bytes([TYPES[name]]) + varint(len(body)) + seq16 + body


def decode(name: str, body: bytes) -> Fields:
    """The fields of a known record: step 8 of section 4.5 without VERSION of HELLO, TOO_BIG and what settings mean.

    Raises `Fatal`, or `UnicodeDecodeError` for text that is not UTF-8."""
    r, f, keys = Reader(body), Fields(), list[int]()
    for key, form in layout(name, f):
        value = FORMS[form][0](r)
        require(key != "ver" or value == 1, "another version", VERSION)
        f[key] = value.decode() if key in TEXTS else value
    require(r.left() == 0, "trailing bytes")
    token, flags, meta = f.get("token", b"-" * 32), f.get("flags", LAST), Reader(f.get("meta", b""))
    require(len(f.get("reason", "").encode()) <= 256 and len(f.get("detail", b"")) <= 1024, "reason or detail too long")
    require(f.get("prio", 1) in (1, 2, 3, 4) and f.get("dir", 1) in (1, 2, 3), "prio or dir")
    require(1 <= f.get("tx_oldest", 1) <= f.get("tx_next", 2**53), "tx order")
    require(f.get("ver_min", 1) <= f.get("ver_max", 255), "version range")
    require(len(token) == 32 or not token and name == "WELCOME", "token length")
    require(bool(token) == (f.get("resume_ttl_s", 1) > 0), "token without ttl or ttl without token")
    require(re.fullmatch("[A-Za-z0-9._~-]*", f.get("hint", "")), "hint")
    require(not flags & 0xE0 and (flags & FIRST or not flags & TEXT), "reserved flag, or TEXT without FIRST")
    require(not flags & ABORT or flags & (FIRST | LAST) == LAST and not f["payload"], "ABORT with FIRST or payload")
    require(flags & LAST or len(f["payload"]) >= 512, "non-final chunk under 512 bytes")
    while meta.left():  # section 5.5
        keys, value = [*keys, meta.varint()], Reader(meta.take(meta.varint()))
        require(keys[-1] != 1 or (value.varint(), value.left())[1] == 0, "deadline is not one varint")
        keys[-1] == 3 and value.data.decode()
    keys += [number for number, _ in f.get("settings", ())]
    require(len(keys) == len(set(keys)) <= 64, "a setting or a key of meta twice, or too many")
    return f


def settings(pairs: Iterable[tuple[int, int]], welcome: bool = False) -> dict[int, int]:
    """All settings of a peer that sent `pairs`, with the constants for what is absent; the checks of section 5.4."""
    known = {number: row[0] for number, row in SETTINGS.items()} | {n: v for n, v in pairs if n in SETTINGS}
    require(all(SETTINGS[n][1] <= v <= SETTINGS[n][2] for n, v in known.items()), "setting out of range")
    require(known[3] >= known[4] + known[4] // 8 + 64, "window too small for max_item_bytes")
    require(not welcome or all(known[n] >= SETTINGS[n][0] for n in {*SETTINGS} - {5, 6, 7}), "WELCOME lowers a limit")
    return known
