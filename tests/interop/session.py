"""A session of tidegate.v1 without I/O (docs/PROTOCOL.md, sections 4 to 7), whose channels are used by `await`.

The least peer of section 12: `BUDGET` bytes unacknowledged, windows of a fixed size, channels of kind 0. The budget is
below every replay limit and, in records of 5 bytes, below 32,767 numbers; what is no DATA is bounded by CHAN_LIMIT."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from time import monotonic
from typing import Any

import codec
from codec import ABORT, ACK_NOW, FIRST, LAST, TEXT, Fatal, Fields, require

Item = str | bytes
CHUNK, BUDGET, HELLO_TIMEOUT = 16_352, 65_536, 10
Incoming = Enum("Incoming", "IDLE PARTIAL DISCARDING ENDED")  # state of the peer's direction, section 7.4
GREETINGS = {"client": ("WELCOME", "REFUSED", "ERROR"), "server": ("HELLO", "RESUME"), "refused": ("HELLO",)}


class Ended(Exception):
    """What was waited for cannot come any more, or is not what was expected; the text says why."""


class Channel:
    """One channel: `incoming` is the state of the peer's direction, `sending` says whether one's own goes on."""

    def __init__(self, session: "Session", mine: bool, name: str) -> None:
        self.session, self.number, self.name, self.mine, self.handled = session, session.next_id[mine], name, mine, mine
        session.next_id[mine] += 2
        session.channels[self.number] = self
        self.incoming, self.reset_code, self.sending, self.accepted = Incoming.IDLE, 0, True, False
        self.granted, self.received, self.consumed = session.own[3], 0, 0  # consumed <= received <= granted
        self.partial, self.cost, self.text, self.total = b"", 0, 0, 0  # of the partial item
        self.inbox: deque[tuple[Item, int]] = deque()  # what was not taken yet, with its cost
        self.limit, self.item_limit, self.spent = session.peer[3], session.peer[4], 0  # spent <= limit

    def over(self) -> bool:
        return self.incoming is Incoming.ENDED and not self.sending

    async def receive(self) -> Item | None:
        """The next item, whose cost becomes credit with that; None behind the last; raises `Ended` after a RESET."""
        await self.session.until(lambda: self.inbox or self.incoming in (Incoming.ENDED, Incoming.DISCARDING))
        if not self.inbox and self.incoming is Incoming.ENDED and not self.reset_code:
            return None
        if not self.inbox:
            raise Ended(f"channel {self.name!r} was reset with {self.reset_code}")
        item, cost = self.inbox.popleft()
        self.consumed += cost
        self.session.notify()
        return item

    async def send(self, item: Item) -> None:
        """Hands over an item, chunk by chunk (`next_chunk` of section 7.6); raises `Ended` if the peer takes it not."""
        data, flags = item.encode() if isinstance(item, str) else item, FIRST | TEXT * isinstance(item, str)
        rest, session = len(data), self.session

        def room() -> int:  # for the payload of the next chunk
            return min(rest, self.limit - self.spent - 64, session.peer[1] - 24, CHUNK, BUDGET - 24 - sum(session.log))

        await session.until(lambda: rest <= self.item_limit or self.accepted or not self.mine)
        while not flags & LAST:
            await session.until(lambda: room() >= min(rest, 512) or not self.sending)
            if not self.sending or len(data) > self.item_limit:
                raise Ended(f"cannot send {len(data)} bytes on {self.name!r}")
            payload, total = data[len(data) - rest :][: room()], len(data) + 1
            rest, self.spent = rest - len(payload), self.spent + len(payload) + 64
            flags |= LAST * (not rest) | ACK_NOW * (sum(session.log) + len(payload) >= BUDGET // 4)
            session.say("DATA", channel=self.number, flags=flags, total=total, payload=payload)
            flags &= LAST
            await asyncio.sleep(0)  # the next channel's turn

    def close(self) -> None:
        """CLOSE, behind the last item; nothing if the direction has ended."""
        if self.sending:
            self.sending = False
            self.session.say("CLOSE", channel=self.number)

    def reset(self, bits: int, code: int) -> None:
        """RESET with dir `bits` (section 7.5)."""
        self.sending = self.sending and not bits & 1
        if bits & 2 and self.incoming is not Incoming.ENDED:
            self.drop(Incoming.DISCARDING)
        self.session.say("RESET", channel=self.number, dir=bits, code=code, detail=b"")

    def drop(self, state: Incoming) -> None:
        """Drops the partial item, whose cost is consumed with that, and goes to `state`."""
        self.consumed, self.partial, self.cost, self.incoming = self.consumed + self.cost, b"", 0, state

    def on_data(self, flags: int, payload: bytes, total: int = 0) -> None:
        """`on_data` of section 7.6 behind the check of the channel."""
        discarding, cost, size = (
            self.incoming is Incoming.DISCARDING,
            len(payload) + 64,
            len(self.partial) + len(payload),
        )
        if flags & FIRST:
            self.text, self.total = flags & TEXT, total
        if not discarding:
            require((self.incoming is Incoming.PARTIAL) != bool(flags & FIRST), "FIRST inside an item, or none begun")
            require(self.total == 0 or size < self.total, "longer than total")
            require(self.total in (0, size + 1) or flags & (LAST | ABORT) != LAST, "shorter than total")
        require(self.received + cost <= self.granted, "beyond credit", codec.FLOW_CONTROL)
        self.received, self.cost, self.partial = self.received + cost, self.cost + cost, self.partial + payload
        if discarding or flags & ABORT:
            self.drop(Incoming.DISCARDING if discarding else Incoming.IDLE)
        elif max(size, self.total - 1) > self.session.own[4]:
            self.reset(2, codec.ITEM_TOO_BIG)
        elif not flags & LAST:
            self.incoming = Incoming.PARTIAL
        else:
            try:
                self.inbox.append((self.partial.decode() if self.text else self.partial, self.cost))
                self.partial, self.cost, self.incoming = b"", 0, Incoming.IDLE
            except UnicodeDecodeError:
                self.reset(2, codec.BAD_UTF8)

    def on_record(self, name: str, f: Fields) -> None:
        """Step 9 of a record of this channel, behind OPEN (sections 5.3 and 7.4)."""
        ended = self.incoming is Incoming.ENDED
        require(not ended or name not in ("DATA", "CLOSE", "ACCEPT"), "after the end")
        require(self.accepted or not self.mine or name not in ("DATA", "CLOSE"), "before ACCEPT")
        require(not self.accepted or name != "ACCEPT", "second ACCEPT")
        match name:
            case "DATA":
                self.on_data(**f)
            case "CLOSE":
                require(self.incoming is not Incoming.PARTIAL, "CLOSE inside an item")
                self.incoming = Incoming.ENDED
            case "ACCEPT" | "CREDIT":
                self.accepted, self.limit = self.accepted or name == "ACCEPT", max(self.limit, f["limit"])
                self.item_limit = max(self.item_limit, f.get("max_item_bytes", 0))
            case "RESET":
                if f["dir"] & 1 and not ended:
                    self.reset_code = max(f["code"], codec.CANCELLED)
                    self.drop(Incoming.ENDED)
                if f["dir"] & 2 and self.sending:
                    self.reset(1, max(f["code"], codec.CANCELLED))


class Session:
    """Either side, announcing `settings`; `handler` gets each channel of the peer. When `close_code` is set, close."""

    def __init__(self, client: bool, settings: Mapping[int, int] = {}, clock: Callable[[], float] = monotonic) -> None:
        self.client, self.clock, self.announced = client, clock, list(settings.items())
        self.own, self.peer = codec.settings(self.announced), codec.settings([])
        self.greeting = "client" if client else "server"  # key of GREETINGS; empty when it is over
        self.close_code, self.ended, self.draining, self.changed = 0, False, False, asyncio.Event()
        self.handler: Callable[[Channel], object] = lambda channel: None
        self.channels: dict[int, Channel] = {}  # those of which a direction or the handler goes on
        self.next_id = {True: 1 - client, False: int(client)}  # by whether it is one's own
        self.may_open, self.promised = self.peer[2], self.own[2]  # section 7.7
        self.tx_next, self.rx, self.unacked, self.ack_due = 1, 0, 0, inf  # section 6.4
        self.out, self.log = list[bytes](), deque[int]()  # the log: sizes of the records up to tx_next - 1 in flight
        self.ping: tuple[int, float] | None = None  # the newest PING and when it came
        self.started = self.heard = self.arrived = clock()
        self.pinged, self.pongs = -inf, 0
        if client:
            self.say("HELLO", ver_min=1, ver_max=1, features=0, settings=self.announced)

    def notify(self) -> None:
        """Wakes all that wait for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, holds: Callable[[], object]) -> None:
        """Waits until `holds`; raises `Ended` if the connection is lost first."""
        while not holds():
            if self.ended:
                raise Ended(f"connection closed, {self.close_code or 'by the peer'}")
            await self.changed.wait()

    def say(self, name: str, /, **fields: Any) -> None:
        """Hands over a record; a sequenced one gets its number with that."""
        self.out.append(codec.encode(name, self.tx_next, **fields))
        if codec.TYPES[name] & 0x40:
            self.log.append(len(self.out[-1]))
            self.tx_next += 1
        self.notify()

    def open(self, name: str) -> Channel:
        """Opens a channel of kind 0; raises `Ended` if the peer allows no more, or not this name."""
        if self.draining or self.next_id[True] >> 1 >= self.may_open or len(name.encode()) > self.peer[9]:
            raise Ended(f"cannot open {name!r}")
        channel = Channel(self, True, name)
        self.say("OPEN", channel=channel.number, kind=0, prio=2, name=name, meta=b"")
        return channel

    def send_ping(self) -> None:
        """PING (section 6.5); `pongs` counts the answers."""
        self.pinged = self.clock()
        self.say("PING", t_us=int(self.pinged * 1e6))

    def timers(self) -> tuple[float, float]:
        """When PING is due, and when greeting (section 6.1) or connection (6.5) time out, if nothing comes."""
        interval, idle = ((self.peer if self.client else self.own)[number] / 1000 for number in (6, 7))
        if self.greeting:
            return inf, self.started + HELLO_TIMEOUT
        ping_at = max(self.heard, self.pinged) + interval * (1.5 if self.client else 1)
        return ping_at, self.heard + idle if self.pinged > self.heard else inf

    def due(self) -> float:
        """When `messages` has something to say, if nothing happens before."""
        return min(self.ack_due, *self.timers())

    def receive(self, message: str | bytes) -> None:
        """One message, with the checks in the order of section 4.5. After a fatal error nothing is read any more."""
        now, type_ = self.clock(), 0
        try:
            reader = codec.Reader(message if isinstance(message, bytes) else b"")
            require(reader.data, "text, or empty")
            require(len(message) <= self.own[1], "message over max_message_bytes", codec.TOO_BIG)
            while reader.left() and not self.close_code:
                start, type_ = reader.at, reader.data[reader.at]
                at_once = self.on_record(*reader.record())
                if type_ & 0x40:
                    self.rx, self.arrived, self.unacked = self.rx + 1, now, self.unacked + reader.at - start
                    at_once = at_once or self.unacked * 4 >= self.peer[8]
                    self.ack_due = min(self.ack_due, now + (0 if at_once else self.own[5] / 1000))
        except (Fatal, UnicodeDecodeError) as fault:
            code, reason = fault.args if isinstance(fault, Fatal) else (codec.PROTOCOL_VIOLATION, "not UTF-8")
            self.close_code, self.out = 4200 + code, []
            self.say("ERROR", code=code, record_type=type_, reason=reason)
        self.heard = now
        self.notify()

    def on_record(self, type_: int, seq16: int | None, body: bytes) -> object:
        """Steps 5 to 9 of section 4.5 for one record; gives whether it is to be acknowledged at once."""
        name = codec.NAMES.get(type_, "")
        require(name or type_ & 0x80, "unknown mandatory type")
        require(name in GREETINGS[self.greeting] if self.greeting else not 1 <= type_ <= 5, "not allowed now")
        require(seq16 in (None, self.rx + 1 & 0xFFFF), "seq16", codec.SEQ_MISMATCH)
        f = codec.decode(name, body) if name else Fields()
        require(f.get("ver_min", 1) <= 1 <= f.get("ver_max", 1), "no common version", codec.VERSION)
        match name:
            case "HELLO" | "WELCOME":
                require(name == "HELLO" or f["features"] == 0, "feature never offered")
                self.peer, self.greeting = codec.settings(f["settings"], welcome=self.client), ""
                self.may_open = self.peer[2]
                for channel in self.channels.values():
                    channel.limit, channel.item_limit = self.peer[3], self.peer[4]
                if name == "HELLO":
                    self.say("WELCOME", ver=1, features=0, resume_ttl_s=0, token=b"", hint="", settings=self.announced)
            case "RESUME":
                self.say("REFUSED", code=codec.UNKNOWN_SESSION, retry_after_ms=0, reason="resumes nothing")
                self.greeting = "refused"
            case "REFUSED":
                self.close_code = 4200 + (f["code"] if f["code"] in (10, *range(16, 32)) else 16)
            case "ERROR":
                self.close_code = 4200 + (f["code"] if 1 <= f["code"] <= 10 else 8)
            case "PING":
                self.ping = (f["t_us"], self.clock())
            case "ACK" | "PONG":
                require(f["rx"] < self.tx_next, "acknowledges a number never sent")
                self.pongs += name == "PONG"
                while self.log and f["rx"] >= self.tx_next - len(self.log):
                    self.log.popleft()
            case "GOAWAY":
                self.draining = True
            case "CHAN_LIMIT":
                self.may_open = max(self.may_open, f["count"])
            case "OPEN":
                too_long = len(f["name"].encode()) > self.own[9] or len(f["meta"]) > self.own[10]
                require(not too_long, "name or meta too long", codec.TOO_BIG)
                require(f["channel"] == self.next_id[False], "parity, or not the next channel id")
                require(f["channel"] >> 1 < self.promised, "beyond CHAN_LIMIT", codec.FLOW_CONTROL)
                self.opened(Channel(self, False, f["name"]), f["kind"])
            case _ if name not in ("PAD", ""):
                number = f.pop("channel")
                known = self.channels.get(number)
                require(number < self.next_id[(number & 1 == 0) == self.client], "channel never opened")
                require(known or name not in ("DATA", "CLOSE", "ACCEPT"), "after the end")
                if known:
                    known.on_record(name, f)
        return name == "DATA" and f["flags"] & ACK_NOW > 0

    def opened(self, channel: Channel, kind: int) -> None:
        """Takes a channel of kind 0 by ACCEPT, refuses any other by RESET (section 7.1)."""
        channel.handled = kind != 0 or self.draining
        if channel.handled:
            channel.reset(3, codec.UNSUPPORTED_KIND if kind else codec.REFUSED)
        else:
            self.say("ACCEPT", channel=channel.number, limit=channel.granted, max_item_bytes=self.own[4])
            self.handler(channel)

    def messages(self) -> list[bytes]:
        """All that is to be sent now: what was handed over, then what is due, each once."""
        if not self.close_code:
            self.say_what_is_due(self.clock())
        messages, size = [b""], min(self.peer[1], CHUNK + 32)
        for record in self.out:
            messages += [b""] * (len(messages[-1]) + len(record) > size)
            messages[-1] += record
        self.out = []
        return [message for message in messages if message]

    def say_what_is_due(self, now: float) -> None:
        """PING, PONG, ACK (sections 6.4, 6.5), CREDIT (7.6), CHAN_LIMIT (7.7); forgets channels that are over."""
        ping_at, dead_at = self.timers()
        if now >= dead_at:
            self.close_code = 4200 + codec.TIMEOUT
        if self.close_code or self.greeting:
            return
        if now >= ping_at:
            self.send_ping()
        if self.ping:
            t_us, hold_us = self.ping[0], int((now - self.ping[1]) * 1e6)
            self.say("PONG", t_us=t_us, hold_us=hold_us, peer_t_us=int(now * 1e6), rx=self.rx)
        elif now >= self.ack_due:
            self.say("ACK", rx=self.rx, delay_us=int((now - self.arrived) * 1e6))
        if self.ping or now >= self.ack_due:
            self.unacked, self.ack_due, self.ping = 0, inf, None
        for channel in self.channels.values():
            ungranted = channel.consumed + self.own[3] - channel.granted
            if ungranted >= {Incoming.PARTIAL: 1, Incoming.IDLE: self.own[3] / 4}.get(channel.incoming, inf):
                channel.granted += ungranted
                self.say("CREDIT", channel=channel.number, limit=channel.granted)
        self.channels = {number: c for number, c in self.channels.items() if not (c.over() and c.handled)}
        count = self.own[2] + (self.next_id[False] >> 1) - sum(not c.mine for c in self.channels.values())
        if count > self.promised and sum(self.log) <= BUDGET:
            self.promised = count
            self.say("CHAN_LIMIT", count=count)
