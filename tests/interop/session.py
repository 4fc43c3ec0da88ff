"""A session of tidegate.v1 without I/O, from docs/PROTOCOL.md: its tables, its encoding, its channels."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from time import monotonic_ns
from typing import Any

Fields = dict[str, Any]  # of a record, named as in section 5
Item = str | bytes | int  # what a channel carries; a number is the end: 0 by CLOSE, else the code of RESET
PROTOCOL_VIOLATION, VERSION, TOO_BIG, FLOW_CONTROL, SEQ_MISMATCH, TIMEOUT, UNKNOWN_SESSION = 1, 2, 3, 4, 5, 7, 16
CANCELLED, REFUSED, UNSUPPORTED_KIND, ITEM_TOO_BIG, BAD_UTF8 = 32, 33, 34, 35, 36
FIRST, LAST, TEXT, ABORT, ACK_NOW = 1, 2, 4, 8, 16
CHUNK, MESSAGE, HELLO_TIMEOUT = 8_160, 8_192, 10_000_000  # every peer takes messages of 8,192 bytes; times are in µs
FLIGHT = 8  # records unacknowledged, chunks of 64 KiB: below every replay limit. CHAN_LIMIT bounds what is no DATA.
FLAGS = {0, FIRST, LAST, FIRST | LAST, FIRST | TEXT, FIRST | LAST | TEXT, LAST | ABORT}  # of DATA, besides ACK_NOW
# Section 5.1: of each type the name and the fields, with a key of `FORMS` where it is not v.
LAYOUTS = {
    0x01: "HELLO ver_min:1 ver_max:1 features settings:s", 0x03: "RESUME ver:1 token:b1 rx tx_oldest tx_next",
    0x02: "WELCOME ver:1 features resume_ttl_s token:b1 hint:b1 settings:s", 0x06: "ACK rx delay_us", 0x07: "PING t_us",
    0x04: "RESUMED epoch rx tx_oldest tx_next settings:s", 0x05: "REFUSED code retry_after_ms reason:b",
    0x08: "PONG t_us hold_us peer_t_us rx", 0x0A: "ERROR code record_type:1 reason:b", 0x10: "CREDIT channel limit",
    0x09: "GOAWAY channels code drain_ms reconnect_after_ms jitter_ms reason:b", 0x11: "CHAN_LIMIT count",
    0x41: "OPEN channel kind:1 prio:1 name:bv meta:bv", 0x42: "ACCEPT channel limit max_item_bytes",
    0x43: "RESET channel dir:1 code detail:b", 0x44: "CLOSE channel", 0x45: "DATA channel flags:1 total payload:b",
    0x80: "PAD body:b", 0x91: "BLOCKED channel limit", 0xC6: "PRIORITY channel prio:1", 0xFF: "unknown body:b",
}  # fmt: skip
NAMES = {number: layout.split()[0] for number, layout in LAYOUTS.items()}
TYPES = {name: number for number, name in NAMES.items()}
FIELDS = {NAMES[number]: [(*field.split(":"), "v")[:2] for field in row.split()[1:]] for number, row in LAYOUTS.items()}
# Section 5.4: constant, least, most. WELCOME lowers none but 5 to 7.
SETTINGS = {
    1: (65_535, 8_192, 1_048_576), 2: (16, 0, 65_535), 3: (65_536, 1_280, 16_777_216), 4: (57_344, 1_024, 14_913_024),
    5: (25, 0, 1_000), 6: (20_000, 1_000, 300_000), 7: (45_000, 2_000, 900_000), 8: (1_048_576, 131_072, 2**30),
    9: (128, 16, 1_024), 10: (4_096, 64, 4_096),
}  # fmt: skip
CONSTANTS = {number: constant for number, (constant, _, _) in SETTINGS.items()}
# Sections 6.2 and 6.3: the records that are allowed in a state.
ALLOWED = {"Hello": {"WELCOME", "REFUSED", "ERROR"}, "Greeting": {"HELLO", "RESUME"}, "Refused": {"HELLO"}}
ALLOWED["Open"] = {*FIELDS} - {"HELLO", "WELCOME", "RESUME", "RESUMED", "REFUSED"}
# Section 7.4: the states of a direction, and the next by record, DATA by its FIRST (1) and LAST (2); V is a violation.
IDLE, PARTIAL, DISCARDING, ENDED = STATES = "IPDE"
NEXT = {"DATA": ["VPDV", "PVDV", "VIDV", "IVDV"], "CLOSE": ["EVEV"], "ACCEPT": ["IPDV"]}


def require(holds: object, reason: str, code: int = PROTOCOL_VIOLATION) -> None:
    """Raises `ValueError` unless `holds`: a fault that ends the session with ERROR(code) (section 10.2)."""
    if not holds:
        raise ValueError(code, reason)


def varint(n: int) -> bytes:
    """The shortest form of `n`, which is 0 to 2^53 - 1 (section 4.2)."""
    power = (n >= 2**6) + (n >= 2**14) + (n >= 2**30)
    return (power << (8 << power) - 2 | n).to_bytes(1 << power, "big")


class Reader:
    """Takes one field after the other; what would lie beyond the end is a violation."""

    def __init__(self, data: bytes) -> None:
        self.rest, self.type_ = memoryview(data), 0  # `type_`: of the record that is read

    def take(self, size: int) -> bytes:
        require(size <= len(self.rest), "truncated")
        taken, self.rest = self.rest[:size], self.rest[size:]
        return bytes(taken)

    def varint(self) -> int:
        first = self.take(1)[0]
        n = int.from_bytes(bytes([first & 63]) + self.take((1 << (first >> 6)) - 1), "big")
        require(n < 2**53 and len(varint(n)) == 1 << (first >> 6), "varint not shortest, or above 2^53 - 1")
        return n

    def pairs(self, form: str) -> list[tuple[int, Any]]:
        return [(self.varint(), FORMS[form][0](self)) for _ in iter(lambda: len(self.rest), 0)]

    def records(self) -> Iterator[tuple[str, int | None, bytes]]:
        """Name, `seq16` if sequenced, and body of each record (section 4.3; step 4 of 4.5)."""
        while self.rest:
            self.type_ = self.take(1)[0]
            length = self.varint()
            seq16 = int.from_bytes(self.take(2), "big") if self.type_ & 0x40 else None
            yield NAMES.get(self.type_, "unknown" if self.type_ & 0x80 else "unknown type"), seq16, self.take(length)


# How a field is read and written.
FORMS: dict[str, tuple[Callable[[Reader], Any], Callable[[Any], bytes]]] = {
    "1": (lambda r: r.take(1)[0], lambda n: bytes([n])),  # a byte
    "v": (Reader.varint, varint),
    "b1": (lambda r: r.take(r.take(1)[0]), lambda raw: bytes([len(raw)]) + raw),  # bytes behind their number
    "bv": (lambda r: r.take(r.varint()), lambda raw: varint(len(raw)) + raw),
    "b": (lambda r: r.take(len(r.rest)), bytes),  # bytes to the end
    "s": (lambda r: r.pairs("v"), lambda pairs: b"".join(varint(n) + varint(value) for n, value in pairs)),
}


def encode(type_: int, number: int, f: Fields) -> bytes:
    """A whole record (section 4.3); `number` is that of a sequenced one in full (4.4), what `f` lacks is 0 or empty."""
    body = b""
    for key, form in FIELDS[NAMES.get(type_, "unknown")]:
        if key != "total" or f["flags"] & (FIRST | LAST) == FIRST:
            value = f.get(key, 0 if form in ("1", "v") else b"")
            body += FORMS[form][1](value.encode() if isinstance(value, str) else value)
    return bytes([type_]) + varint(len(body)) + (number & 0xFFFF).to_bytes(2, "big") * (type_ >> 6 & 1) + body


def decode(name: str, body: bytes) -> Fields:
    """The fields of a record: step 8 of section 4.5 without VERSION of HELLO, TOO_BIG and what settings mean."""
    r, f = Reader(body), Fields()
    for key, form in FIELDS[name]:
        if key != "total" or f["flags"] & (FIRST | LAST) == FIRST:
            value = FORMS[form][0](r)
            require(key != "ver" or value == 1, "another version", VERSION)
            f[key] = value.decode() if key in ("name", "hint", "reason") else value
    require(not r.rest, "trailing bytes")
    token, flags, meta = f.get("token"), f.get("flags", LAST), Reader(f.get("meta", b"")).pairs("bv")
    require(len(f.get("reason", "").encode()) <= 256 and len(f.get("detail", b"")) <= 1024, "reason or detail too long")
    require(f.get("prio", 1) in (1, 2, 3, 4) and f.get("dir", 1) in (1, 2, 3), "prio or dir")
    require(f.get("ver_min", 1) <= f.get("ver_max", 1) and 1 <= f.get("tx_oldest", 1) <= f.get("tx_next", 1), "order")
    require(token is None or len(token) == (32 if f.get("resume_ttl_s", 1) else 0), "length of token")
    require(re.fullmatch("[A-Za-z0-9._~-]*", f.get("hint", "")), "hint")
    require(flags & ~ACK_NOW in FLAGS, "flags")
    require(not f["payload"] if flags & ABORT else flags & LAST or len(f["payload"]) >= 512, "length of payload")
    deadline, content_type = dict(meta).get(1, b"-"), dict(meta).get(3, b"")  # section 5.5
    require(varint(Reader(deadline).varint()) == deadline and content_type.decode() is not None, "deadline")
    keys = [number for number, _ in (*f.get("settings", ()), *meta)]
    require(len(keys) == len(set(keys)) <= 64, "a setting or a key of meta twice, or too many")
    return f


class Channel:
    """One channel. To make one that is `mine` opens it and sends `items`; `ValueError` if the peer allows no more."""

    def __init__(self, session: "Session", mine: bool, name: str = "", items: Iterable[Item] = ()) -> None:
        require(not mine or (not session.draining and session.next_id[True] >> 1 < session.may_open), "may not open")
        self.session, self.number, self.mine, self.accepted = session, session.next_id[mine], mine, False
        self.incoming, self.sending = IDLE, True  # the state of the peer's direction, and whether one's own goes on
        self.granted, self.received = session.own[3], 0  # received <= granted
        self.partial, self.cost, self.text, self.total = b"", 0, 0, 0  # of the partial item
        self.inbox = deque[tuple[Item, int]]()  # what was not taken yet, with its cost
        self.limit, self.item_limit, self.spent = 0, 0, 0  # the limits if ACCEPT and CREDIT raised them
        self.outbox, self.sent = deque(items), 0  # what is to be sent, and how many bytes of the first were
        session.channels[self.number], session.next_id[mine] = self, self.number + 2
        if mine:
            session.say("OPEN", channel=self.number, prio=2, name=name)

    def send(self) -> bool:
        """Hands over the next chunk of `outbox`, or the end, if it may (`next_chunk` of section 7.6); says if so."""
        item, peer, in_flight = self.outbox[0], self.session.peer, self.session.tx_next - self.session.unacked
        if isinstance(item, int):
            self.end(1, item)
            return True
        data = item.encode() if isinstance(item, str) else item
        rest = data[self.sent :]
        size = min(len(rest), max(self.limit, peer[3]) - self.spent - 64, CHUNK)
        too_big = len(data) > max(self.item_limit, peer[4])
        if too_big and (self.accepted or not self.mine):
            self.end(1, CANCELLED)
        if too_big or size < min(len(rest), 512) or in_flight >= FLIGHT:
            return False
        flags = LAST * (size == len(rest)) | ACK_NOW * (in_flight >= FLIGHT // 4)
        flags |= 0 if self.sent else FIRST | TEXT * isinstance(item, str)
        self.session.say("DATA", channel=self.number, flags=flags, total=len(data) + 1, payload=rest[:size])
        self.spent, self.sent = self.spent + size + 64, 0 if flags & LAST else self.sent + size
        if flags & LAST:
            self.outbox.popleft()
        return True

    def end(self, bits: int, code: int) -> None:
        """RESET with dir `bits` (section 7.5), or CLOSE if `code` is 0."""
        if bits & 1:
            self.sending, self.outbox = False, deque()
        if bits & 2 and self.incoming != ENDED:
            self.incoming, self.partial, self.cost = DISCARDING, b"", 0
            self.inbox.append((code, 0))
            self.session.say("ACK", rx=self.session.rx, delay_us=self.session.now() - self.session.heard)
        self.session.say("RESET" if code else "CLOSE", channel=self.number, dir=bits, code=code)

    def on_data(self, state: str, flags: int, payload: bytes, total: int) -> None:
        """`on_data` of section 7.6 behind the check of order; `state` is that after it."""
        self.text, self.total = (flags & TEXT, total) if flags & FIRST else (self.text, self.total)
        item, cost = self.partial + payload, len(payload) + 64
        fits = len(item) == self.total - 1 if flags & (LAST | ABORT) == LAST else len(item) < self.total
        require(fits or not self.total or state == DISCARDING, "another size than total says")
        require(self.received + cost <= self.granted, "beyond credit", FLOW_CONTROL)
        self.received, cost, self.incoming = self.received + cost, self.cost + cost, state
        self.partial, self.cost = (item, cost) if state == PARTIAL else (b"", 0)
        if state != DISCARDING and max(len(item), self.total - 1) > self.session.own[4] and not flags & ABORT:
            self.end(2, ITEM_TOO_BIG)
        elif state == IDLE and not flags & ABORT:
            try:
                self.inbox.append((item.decode() if self.text else item, cost))
            except UnicodeDecodeError:
                self.end(2, BAD_UTF8)


class Session:
    """Either side, announcing `settings`. When `close_code` is set, the connection is to be closed with it."""

    def __init__(self, client: bool, settings: Mapping[int, int] = {}, clock: Callable[[], int] | None = None) -> None:
        self.client, self.now = client, clock or (lambda: monotonic_ns() // 1_000)
        self.announced, self.own, self.peer = list(settings.items()), {**CONSTANTS, **settings}, CONSTANTS
        self.state, self.close_code, self.draining = "Hello" if client else "Greeting", 0, False  # ALLOWED[state]
        self.channels: dict[int, Channel] = {}  # those of which a direction goes on, or something was not taken
        self.next_id = {True: 1 - client, False: int(client)}  # by whether it is one's own
        self.may_open, self.promised, self.handles = self.peer[2], self.own[2], inf  # 7.7; `handles`: told by GOAWAY
        self.tx_next, self.unacked = 1, 1  # numbers: the next, and the first that the peer has not acknowledged
        self.rx, self.told, self.out = 0, 0, list[bytes]()  # numbers: the highest accepted, and told; what to send
        self.ping, self.pongs = list[int](), 0  # `t_us` of the newest PING, until it is answered
        self.heard, self.ping_at, self.dead_at = self.now(), inf, self.now() + HELLO_TIMEOUT
        if client:
            self.say("HELLO", ver_min=1, ver_max=1, settings=self.announced)

    def say(self, name: str, /, **fields: Any) -> None:
        """Hands over a record; a sequenced one gets its number with that. An ACK that tells nothing is none."""
        if name != "ACK" or self.rx > self.told:
            self.told = fields.get("rx", self.told)
            self.out.append(encode(TYPES[name], self.tx_next, fields))
            self.tx_next += TYPES[name] >> 6 & 1

    def receive(self, message: str | bytes) -> None:
        """One message, with the checks in the order of section 4.5. After a fatal error nothing is read any more."""
        self.heard, reader = self.now(), Reader(message if isinstance(message, bytes) else b"")
        try:
            require(reader.rest, "text, or empty")
            require(len(message) <= self.own[1], "message over max_message_bytes", TOO_BIG)
            for name, seq16, body in reader.records():
                require(name in ALLOWED[self.state], f"{name} in state {self.state}")  # steps 5 and 6
                require(seq16 in (None, self.rx + 1 & 0xFFFF), "seq16", SEQ_MISMATCH)  # step 7
                self.on_record(name, decode(name, body))  # steps 8 and 9
                self.rx += seq16 is not None
                if self.close_code:
                    return
        except ValueError as fault:
            code, reason = (PROTOCOL_VIOLATION, str(fault)) if isinstance(fault, UnicodeError) else fault.args
            self.close_code = 4200 + code
            return self.say("ERROR", code=code, record_type=reader.type_, reason=reason)
        self.say("ACK", rx=self.rx, delay_us=self.now() - self.heard)
        if self.ping:
            self.say("PONG", t_us=self.ping.pop(), hold_us=self.now() - self.heard, peer_t_us=self.now(), rx=self.rx)
        if self.state == "Open":
            rule = self.peer if self.client else self.own
            self.interval, self.idle = rule[6] * (1_500 if self.client else 1_000), rule[7] * 1_000
            self.ping_at, self.dead_at = self.heard + self.interval, inf

    def on_record(self, name: str, f: Fields) -> None:
        """What is left of step 8, and step 9, of section 4.5 for one record."""
        number, code, channel = f.get("channel", 0), f.get("code", 0), self.channels.get(f.get("channel", -1))
        if "channel" in f and name != "OPEN":  # sections 5.3 and 7.4; a channel that is not in `channels` has ended
            require(number < self.next_id[(number & 1 == 0) == self.client], "channel never opened")
            now = channel.incoming if channel else ENDED
            state = NEXT.get(name, [STATES])[f.get("flags", 0) & (FIRST | LAST)][STATES.index(now)]
            require(state != "V", f"{name} in state {now}")
            require(name not in ("DATA", "CLOSE") or not channel or channel.accepted or not channel.mine, "no ACCEPT")
        match name:
            case "HELLO" | "WELCOME":
                require(f.get("ver_min", 1) <= 1 <= f.get("ver_max", 1), "no common version", VERSION)
                require(name == "HELLO" or f["features"] == 0, "feature never offered")
                self.peer, self.state = CONSTANTS | {n: value for n, value in f["settings"] if n in SETTINGS}, "Open"
                for n, (v1, least, most) in SETTINGS.items():
                    require((v1 if self.client and not 5 <= n <= 7 else least) <= self.peer[n] <= most, f"setting {n}")
                require(self.peer[3] >= self.peer[4] + self.peer[4] // 8 + 64, "window too small for max_item_bytes")
                self.may_open = self.peer[2]
                if name == "HELLO":
                    self.say("WELCOME", ver=1, settings=self.announced)
            case "RESUME":
                self.say("REFUSED", code=UNKNOWN_SESSION, reason="resumes nothing")
                self.state = "Refused"
            case "REFUSED" | "ERROR":
                codes, otherwise = ((10, *range(16, 32)), 16) if name == "REFUSED" else (range(1, 11), 8)
                self.close_code = 4200 + (code if code in codes else otherwise)
            case "PING":
                self.ping = [f["t_us"]]
            case "ACK" | "PONG":
                require(f["rx"] < self.tx_next, "acknowledges a number never sent")
                self.unacked = max(self.unacked, f["rx"] + 1)
                self.pongs += name == "PONG"
            case "GOAWAY":
                self.draining = True
            case "CHAN_LIMIT":
                self.may_open = max(self.may_open, f["count"])
            case "OPEN":
                require(len(f["name"].encode()) <= self.own[9] and len(f["meta"]) <= self.own[10], "too long", TOO_BIG)
                require(number == self.next_id[False], "parity, or not the next channel id")
                require(number >> 1 < self.promised, "beyond CHAN_LIMIT", FLOW_CONTROL)
                channel = Channel(self, mine=False)
                if f["kind"] or number >> 1 >= self.handles:
                    channel.end(3, UNSUPPORTED_KIND if f["kind"] else REFUSED)
                else:
                    self.say("ACCEPT", channel=number, limit=channel.granted, max_item_bytes=self.own[4])
            case "DATA" if channel:
                channel.on_data(state, f["flags"], f["payload"], f.get("total", 0))
            case "ACCEPT" | "CREDIT" if channel:
                require(name == "CREDIT" or not channel.accepted, "second ACCEPT")
                channel.accepted, channel.limit = channel.accepted or name == "ACCEPT", max(channel.limit, f["limit"])
                channel.item_limit = max(channel.item_limit, f.get("max_item_bytes", 0))
            case "CLOSE" | "RESET" if channel:
                bits, code = f.get("dir", 1), max(code, CANCELLED) if name == "RESET" else 0
                if bits & 1 and channel.incoming != ENDED:
                    channel.incoming, channel.partial, channel.cost = ENDED, b"", 0
                    channel.inbox.append((code, 0))
                if bits & 2 and channel.sending:
                    channel.end(1, code)

    def messages(self) -> list[bytes]:
        """What is to be sent now: what was handed over, what is due, and chunks of items, the channels in turn."""
        now = self.now()
        if now > min(self.ping_at, self.dead_at) + 2_000_000:  # the machine slept: first what waits (section 6.5)
            self.ping_at, self.dead_at = max(self.ping_at, now + 1_000_000), max(self.dead_at, now + 1_000_000)
        if now >= self.dead_at:
            self.close_code = self.close_code or 4200 + TIMEOUT
        if not self.close_code:
            if now >= self.ping_at:
                dead_at = max(self.heard + self.idle, now + self.idle / 4)  # that of the first PING counts
                self.ping_at, self.dead_at = now + self.interval, min(self.dead_at, dead_at)
                self.say("PING", t_us=now)
            for channel in self.channels.values():  # section 7.6
                target = self.own[3] + channel.received - channel.cost - sum(cost for _, cost in channel.inbox)
                if target - channel.granted >= {PARTIAL: 1, IDLE: self.own[3] / 4}.get(channel.incoming, inf):
                    channel.granted = target
                    self.say("CREDIT", channel=channel.number, limit=target)
            self.channels = {n: c for n, c in self.channels.items() if c.sending or c.incoming != ENDED or c.inbox}
            count = self.own[2] + (self.next_id[False] >> 1) - sum(not c.mine for c in self.channels.values())
            if count > self.promised and self.tx_next - self.unacked <= FLIGHT:  # section 7.7
                self.promised = count
                self.say("CHAN_LIMIT", count=count)
            while any([c.send() for c in self.channels.values() if c.outbox]):
                pass
        records, self.out = self.out, []
        return [b"".join(records)] if 0 < sum(map(len, records)) <= MESSAGE else records
