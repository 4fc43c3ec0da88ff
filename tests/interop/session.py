"""One session of tidegate.v1 without I/O: messages and times in, messages out (docs/PROTOCOL.md, sections 4 to 7, 11).

Times are seconds of a monotonic clock. This is the least peer of section 12: no resume, no classes, no files; `BUDGET`
bytes unacknowledged at most, windows of a fixed size, channels of kind 0 only."""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import inf
from typing import Any, Final

import codec
from codec import ABORT, ACK_NOW, FIRST, LAST, TEXT, Fatal, Fields, encode, require

Item = str | bytes
CHUNK: Final = 16_352
BUDGET: Final = 65_536
HELLO_TIMEOUT: Final = 10.0
DRAIN: Final = 10.0
Incoming = Enum("Incoming", "IDLE PARTIAL DISCARDING ENDED")  # state of the peer's direction, section 7.4
GREETINGS: Final = {"client": ("WELCOME", "REFUSED", "ERROR"), "server": ("HELLO", "RESUME"), "refused": ("HELLO",)}


class Channel:
    """One channel: `incoming` is the state of the peer's direction, `sending` says whether one's own goes on."""

    def __init__(self, session: Session, number: int, name: str, mine: bool) -> None:
        self.number, self.name, self.mine, self.handled = number, name, mine, mine
        self.incoming, self.reset_code = Incoming.IDLE, 0
        self.window = self.granted = session.own[3]
        self.received = self.consumed = 0  # consumed <= received <= granted <= consumed + window
        self.partial, self.cost, self.text, self.total = bytearray(), 0, False, 0  # of the partial item
        self.inbox: deque[tuple[Item, int]] = deque()  # what was not taken yet, with its cost
        self.sending, self.closing, self.accepted = True, False, False
        self.limit, self.item_limit = session.peer[3], session.peer[4]
        self.spent = self.offset = 0  # spent <= limit; the offset is inside the first item of the queue
        self.queue: deque[tuple[bytes, bool]] = deque()

    def require_open(self) -> None:
        """What DATA and CLOSE want: the direction goes on, and ACCEPT has come if it is due (section 7.1)."""
        require(self.incoming is not Incoming.ENDED, "after the end")
        require(self.accepted or not self.mine, "before ACCEPT")

    def on_data(self, flags: int, payload: bytes, total: int, max_item_bytes: int) -> int:
        """`on_data` of section 7.6 from step 9 on: the code of the RESET(dir 2) that is due, or 0."""
        self.require_open()
        discarding, first = self.incoming is Incoming.DISCARDING, flags & FIRST
        text, total = (flags & TEXT > 0, total) if first else (self.text, self.total)
        size, cost = len(self.partial) + len(payload), len(payload) + 64
        if not discarding:
            require((self.incoming is Incoming.PARTIAL) != bool(first), "FIRST inside an item, or no item begun")
            require(total == 0 or size < total, "longer than total")
            require(total in (0, size + 1) or flags & (LAST | ABORT) != LAST, "shorter than total")
        require(self.received + cost <= self.granted, "beyond credit", codec.FLOW_CONTROL)
        self.received += cost
        self.cost += cost
        if discarding or flags & ABORT:
            return self.drop(Incoming.DISCARDING if discarding else Incoming.IDLE)
        if max(size, total - 1) > max_item_bytes:
            return self.drop(Incoming.DISCARDING, codec.ITEM_TOO_BIG)
        self.partial += payload
        self.incoming, self.text, self.total = Incoming.PARTIAL, text, total
        if flags & LAST:
            try:
                item = self.partial.decode() if text else bytes(self.partial)
            except UnicodeDecodeError:
                return self.drop(Incoming.DISCARDING, codec.BAD_UTF8)
            self.inbox.append((item, self.cost))
            self.partial, self.cost, self.incoming = bytearray(), 0, Incoming.IDLE
        return 0

    def drop(self, state: Incoming, code: int = 0) -> int:
        """Drops the partial item, whose cost is consumed with that, goes to `state`, and gives `code` back."""
        self.consumed += self.cost
        self.partial, self.cost, self.incoming = bytearray(), 0, state
        return code

    def take(self) -> Item:
        """The next item; its cost becomes credit again (section 7.6)."""
        item, cost = self.inbox.popleft()
        self.consumed += cost
        return item

    def send(self, item: Item) -> None:
        """Queues an item; raises `ValueError` if the direction has ended, or the item is above the peer's limit."""
        data = item.encode() if isinstance(item, str) else item
        if not self.sending or self.closing or len(data) > self.item_limit:
            raise ValueError(f"cannot send {len(data)} bytes on {self.name!r}")
        self.queue.append((data, isinstance(item, str)))


class Session:
    """Either side, announcing `settings`. When `close_code` is set, and nothing to `poll`, close the connection."""

    def __init__(self, client: bool, now: float, settings: dict[int, int] | None = None) -> None:
        self.client, self.close_code, self.last_words = client, 0, b""
        self.greeting: str | None = "client" if client else "server"  # key of GREETINGS; None when it is over
        self.now = self.heard = self.arrived = self.tokens_at = now
        self.announced = list((settings or {}).items())
        self.own, self.peer = codec.settings(self.announced), codec.settings([])
        self.channels: dict[int, Channel] = {}  # those of which a direction goes on; who has sent stands last
        self.opened: deque[Channel] = deque()  # by the peer, for the application
        self.next_id = {True: 1 - client, False: int(client)}  # by whether it is one's own
        self.may_open, self.promised, self.ended = self.peer[2], self.own[2], 0  # section 7.7
        self.tx_next, self.rx, self.unacked, self.ack_due, self.ack_now = 1, 0, 0, inf, False  # section 6.4
        self.log: deque[int] = deque()  # sizes of the records that are not acknowledged, the last of them tx_next - 1
        self.in_flight = 0  # the sum of that
        self.plain: deque[bytes] = deque()  # unsequenced records to be sent
        self.control: deque[tuple[str, Fields]] = deque()  # and sequenced ones, which have no number yet
        self.carry = b""  # the record that did not fit into the last message
        self.ping: tuple[int, float] | None = None  # the newest PING and when it came
        self.pongs, self.ping_at, self.dead_at, self.late = 0, inf, now + HELLO_TIMEOUT, False  # section 6.5
        self.draining, self.handles, self.drain_end = False, codec.MAX_INT, inf  # section 6.6
        self.tokens, self.earned = 200.0, 1  # section 11
        if client:
            self.say("HELLO", ver_min=1, ver_max=1, features=0, settings=self.announced)

    def say(self, name: str, /, **fields: Any) -> None:
        """Queues an unsequenced record."""
        self.plain.append(encode(name, **fields))

    def queue(self, name: str, channel: Channel, /, **fields: Any) -> None:
        """Queues a sequenced record of a channel; it gets its number when it is handed over."""
        self.control.append((name, {"channel": channel.number, **fields}))

    def open(self, name: str) -> Channel:
        """Opens a channel of kind 0; raises `ValueError` if the peer allows no more, or not this name."""
        if self.draining or self.next_id[True] >> 1 >= self.may_open or len(name.encode()) > self.peer[9]:
            raise ValueError(f"cannot open {name!r}")
        channel = self.new_channel(name, True)
        self.queue("OPEN", channel, kind=0, prio=2, name=name, meta=b"")
        return channel

    def new_channel(self, name: str, mine: bool) -> Channel:
        number = self.next_id[mine]
        self.next_id[mine] += 2
        return self.channels.setdefault(number, Channel(self, number, name, mine))

    def reset(self, channel: Channel, bits: int, code: int) -> None:
        """RESET with dir `bits` (section 7.5)."""
        if bits & 1:
            channel.sending = False
            channel.queue.clear()
        if bits & 2 and channel.incoming is not Incoming.ENDED:
            channel.drop(Incoming.DISCARDING)
        self.queue("RESET", channel, dir=bits, code=code, detail=b"")
        self.reap(channel)

    def reap(self, channel: Channel) -> None:
        """Forgets a channel when both directions have ended; counts a peer's if nothing works on it (section 7.7)."""
        if channel.incoming is Incoming.ENDED and not channel.sending and channel.number in self.channels:
            del self.channels[channel.number]
            self.ended += channel.handled and not channel.mine

    def handler_stopped(self, channel: Channel) -> None:
        """Nothing works on the peer's channel any more: only then may it open another in its place (section 7.7)."""
        channel.handled = True
        self.ended += channel.number not in self.channels

    def server_setting(self, number: int) -> float:
        """Settings 6 and 7 in seconds: the server's rule (section 5.4)."""
        return (self.peer if self.client else self.own)[number] / 1000

    def ping_interval(self) -> float:
        return self.server_setting(6) * (1.5 if self.client else 1)

    def send_ping(self) -> None:
        """PING (section 6.5); `pongs` counts the answers."""
        self.say("PING", t_us=int(self.now * 1e6))
        self.earned += 1
        self.ping_at = self.now + self.ping_interval()
        self.dead_at = min(self.dead_at, self.heard + self.server_setting(7))

    def goaway(self) -> None:
        """GOAWAY (section 6.6): what is open may end within `DRAIN`, then the connection is closed with 4200."""
        self.draining, self.handles, self.drain_end = True, self.next_id[False] >> 1, self.now + DRAIN
        times = {"drain_ms": int(DRAIN * 1000), "reconnect_after_ms": 0, "jitter_ms": 0}
        self.say("GOAWAY", channels=self.handles, code=0, reason="", **times)

    def deadline(self) -> float:
        """When `tick` is due."""
        return min(self.ack_due, self.ping_at, self.dead_at, self.drain_end)

    def tick(self, now: float) -> None:
        """What time alone brings (sections 6.1, 6.5, 6.6). An ACK that is due goes with the next `poll`."""
        self.now = now
        if now >= self.drain_end:
            self.close_code = 4200
        elif now > self.dead_at + 2 and not self.late and not self.greeting:
            self.late, self.dead_at = True, now + 1  # this timer slept: first look at what waits, once
        elif now >= self.dead_at:
            self.close_code = 4200 + codec.TIMEOUT
        elif now >= self.ping_at:
            self.send_ping()

    def receive(self, message: str | bytes, now: float) -> None:
        """One message, with the checks in the order of section 4.5."""
        if self.close_code:
            return  # after a fatal error nothing is read any more
        self.now, type_ = now, 0
        try:
            if isinstance(message, str):
                raise Fatal(codec.PROTOCOL_VIOLATION, "text message")
            require(message, "empty message")
            require(len(message) <= self.own[1], "message over max_message_bytes", codec.TOO_BIG)
            reader = codec.Reader(message)
            while reader.left() and not self.close_code:
                start, type_ = reader.at, message[reader.at]
                self.on_record(*reader.record())
                if type_ & 0x40:
                    self.rx, self.arrived, self.unacked = self.rx + 1, now, self.unacked + reader.at - start
                    at_once = self.ack_now or self.unacked * 4 >= self.peer[8]
                    self.ack_due = min(self.ack_due, now + (0 if at_once else self.own[5] / 1000))
        except Fatal as fault:
            code, reason = fault.args
            self.close_code, self.last_words = 4200 + code, encode("ERROR", code=code, record_type=type_, reason=reason)
        if not self.greeting:
            self.heard, self.dead_at, self.late, self.ping_at = now, inf, False, now + self.ping_interval()

    def on_record(self, type_: int, seq16: int | None, body: bytes) -> None:
        """Steps 5 to 8 of section 4.5, and step 9 of the records of the session."""
        name = codec.NAMES.get(type_, "")
        require(name or type_ & 0x80, "unknown mandatory type")
        require(name in GREETINGS[self.greeting] if self.greeting else not 1 <= type_ <= 5, "not allowed now")
        require(seq16 in (None, self.rx + 1 & 0xFFFF), "seq16", codec.SEQ_MISMATCH)
        self.ack_now = False
        if seq16 is None or name in ("", "PRIORITY"):
            self.spend_token()
        f = codec.decode(name, body) if name else Fields()
        match name:
            case "HELLO":
                require(f["ver_min"] <= 1 <= f["ver_max"], "no common version", codec.VERSION)
                self.greeted(f)
                self.say("WELCOME", ver=1, features=0, resume_ttl_s=0, token=b"", hint="", settings=self.announced)
            case "WELCOME":
                require(f["ver"] == 1, "a version that was not offered", codec.VERSION)
                require(f["features"] == 0, "feature never offered")
                self.greeted(f)
            case "RESUME":
                require(f["ver"] == 1, "version", codec.VERSION)
                self.say("REFUSED", code=codec.UNKNOWN_SESSION, retry_after_ms=0, reason="resumes nothing")
                self.greeting = "refused"
            case "REFUSED":
                self.close_code = 4200 + (f["code"] if f["code"] in (10, *range(16, 32)) else 16)
            case "ERROR":
                self.close_code = 4200 + (f["code"] if 1 <= f["code"] <= 10 else 8)
            case "PING":
                self.ping = (f["t_us"], self.now)
            case "ACK" | "PONG":
                require(f["rx"] < self.tx_next, "acknowledges a number never sent")
                self.pongs += name == "PONG"
                while self.log and f["rx"] >= self.tx_next - len(self.log):
                    self.in_flight -= self.log.popleft()
            case "GOAWAY":
                self.draining = True
            case "CHAN_LIMIT":
                self.may_open = max(self.may_open, f["count"])
            case "OPEN":
                self.on_open(f["channel"], f["kind"], f["name"], f["meta"])
            case _:
                if name not in ("PAD", ""):
                    self.on_channel(name, f)

    def greeted(self, f: Fields) -> None:
        """Takes over the peer's settings, also for channels that are open already (section 5.4)."""
        self.peer, self.greeting = codec.settings(f["settings"], welcome=self.client), None
        self.may_open = self.peer[2]
        for channel in self.channels.values():
            channel.limit, channel.item_limit = self.peer[3], self.peer[4]

    def spend_token(self) -> None:
        """Takes a token of the flood bucket (section 11)."""
        self.tokens, self.tokens_at = min(200, self.tokens + 100 * (self.now - self.tokens_at)), self.now
        if self.tokens < 1:
            require(self.earned, "flood", codec.CALM_DOWN)
            self.earned, self.tokens = self.earned - 1, self.tokens + 1
        self.tokens -= 1

    def on_open(self, number: int, kind: int, name: str, meta: bytes) -> None:
        """OPEN (sections 5.3 and 7.1): takes a channel of kind 0 by ACCEPT, refuses any other by RESET."""
        require(len(name.encode()) <= self.own[9] and len(meta) <= self.own[10], "name or meta too long", codec.TOO_BIG)
        require(number == self.next_id[False], "parity, or not the next channel id")
        require(number >> 1 < self.promised, "beyond CHAN_LIMIT", codec.FLOW_CONTROL)
        channel = self.new_channel(name, False)
        if kind != 0 or number >> 1 >= self.handles:
            channel.handled = True
            self.reset(channel, 3, codec.UNSUPPORTED_KIND if kind != 0 else codec.REFUSED)
        else:
            self.queue("ACCEPT", channel, limit=channel.granted, max_item_bytes=self.own[4])
            self.opened.append(channel)

    def on_channel(self, name: str, f: Fields) -> None:
        """Step 9 of the records that begin with the id of a channel (sections 5.3 and 7.4), but OPEN."""
        number = f["channel"]
        require(number < self.next_id[(number & 1 == 0) == self.client], "channel never opened")
        channel = self.channels.get(number)
        if channel is None:
            require(name in ("RESET", "CREDIT", "PRIORITY", "BLOCKED"), "after the end")
            return self.spend_token() if name == "RESET" else None
        ended = channel.incoming is Incoming.ENDED
        if name == "DATA":
            self.ack_now = f["flags"] & ACK_NOW > 0
            if code := channel.on_data(f["flags"], f["payload"], f.get("total", 0), self.own[4]):
                self.reset(channel, 2, code)
        elif name == "CLOSE":
            channel.require_open()
            require(channel.incoming is not Incoming.PARTIAL, "CLOSE inside an item")
            channel.incoming = Incoming.ENDED
        elif name == "ACCEPT":
            require(not ended and not channel.accepted, "second ACCEPT, or after the end")
            channel.accepted = True
            channel.item_limit = max(channel.item_limit, f["max_item_bytes"])
        elif name == "RESET":
            code, ends, stops = max(f["code"], codec.CANCELLED), f["dir"] & 1 and not ended, f["dir"] & 2
            if ends:
                channel.reset_code = channel.drop(Incoming.ENDED, code)
            if stops and channel.sending:
                self.reset(channel, 1, code)
            elif not ends:
                self.spend_token()
        if name in ("ACCEPT", "CREDIT"):
            channel.limit = max(channel.limit, f["limit"])
        self.reap(channel)

    def poll(self, now: float) -> bytes | None:
        """The next message to send, if any. To be called until there is none, after whatever happened."""
        self.now = now
        message, self.carry = self.carry, b""
        if self.close_code:
            message, self.last_words = self.last_words, b""
        while not self.close_code and (record := self.next_record()):
            if message and len(message) + len(record) > min(self.peer[1], CHUNK + 32):
                self.carry = record
                break
            message += record
        if not message and self.drain_end < inf and not (self.channels or self.log or self.control):
            self.close_code = self.close_code or 4200
        return message or None

    def told(self) -> tuple[int, int]:
        """Notes that the peer is told `rx`; gives it with the time since that record came, in µs."""
        self.unacked, self.ack_due = 0, inf
        return self.rx, int((self.now - self.arrived) * 1e6)

    def next_record(self) -> bytes | None:
        """The next record, which is handed over with that: control first, then channels in turn, a chunk each."""
        if self.plain:
            return self.plain.popleft()
        if self.ping:
            (t_us, came), self.ping = self.ping, None
            hold_us, peer_t_us = int((self.now - came) * 1e6), int(self.now * 1e6)
            return encode("PONG", t_us=t_us, hold_us=hold_us, peer_t_us=peer_t_us, rx=self.told()[0])
        if self.ack_due <= self.now:
            rx, delay_us = self.told()
            return encode("ACK", rx=rx, delay_us=delay_us)
        for channel in self.channels.values():
            ungranted, waits = channel.consumed + channel.window - channel.granted, channel.incoming is Incoming.PARTIAL
            if waits and ungranted > 0 or channel.incoming is Incoming.IDLE and ungranted * 4 >= channel.window:
                channel.granted += ungranted
                return encode("CREDIT", channel=channel.number, limit=channel.granted)
        ungranted = self.ended + self.own[2] - self.promised
        if ungranted > 0 and (ungranted * 4 >= self.own[2] or self.next_id[False] >> 1 >= self.promised):
            self.promised += ungranted
            return encode("CHAN_LIMIT", count=self.promised)
        if self.control:
            record = self.hand_over(self.control[0][0], **self.control[0][1])
            if record:
                self.control.popleft()
            return record
        return next(filter(None, map(self.next_of, [*self.channels.values()])), None)

    def next_of(self, channel: Channel) -> bytes | None:
        """The next DATA within credit (`next_chunk` of section 7.6) and `BUDGET`, or the CLOSE behind the last."""
        if not channel.queue:
            record = self.hand_over("CLOSE", channel=channel.number) if channel.closing and channel.sending else None
            channel.sending = channel.sending and record is None
            self.reap(channel)
            return record
        data, text = channel.queue[0]
        rest = len(data) - channel.offset
        size = min(rest, channel.limit - channel.spent - 64, CHUNK, self.peer[1] - 24)
        if size < min(rest, 512) or self.in_flight and self.in_flight + size + 24 > BUDGET:
            return None
        flags = (0 if channel.offset else FIRST | TEXT * text) | LAST * (size == rest)
        flags |= ACK_NOW * (self.in_flight + size >= BUDGET // 4)
        payload = data[channel.offset : channel.offset + size]
        record = self.hand_over("DATA", channel=channel.number, flags=flags, total=len(data) + 1, payload=payload)
        if record:
            channel.spent += size + 64
            channel.offset = 0 if size == rest else channel.offset + size
            if size == rest:
                channel.queue.popleft()
            self.channels[channel.number] = self.channels.pop(channel.number)  # behind the others
        return record

    def hand_over(self, name: str, /, **fields: Any) -> bytes | None:
        """Gives a sequenced record its number, if the log has room for it (section 6.4)."""
        record = encode(name, self.tx_next, **fields)
        if self.in_flight + len(record) > self.own[8] or len(self.log) >= 32_767:
            return None
        self.log.append(len(record))
        self.in_flight += len(record)
        self.tx_next += 1
        self.earned += 2
        return record
