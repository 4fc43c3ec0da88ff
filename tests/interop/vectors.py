"""Runs tests/vectors/tidegate-v1.json as docs/PROTOCOL.md, section 13, says: all lists but `resume_checks`."""

import json
import sys
import unittest
from pathlib import Path

from session import Channel, Fields, Reader, Session, decode, encode, varint

LISTS = json.loads((Path(__file__).parent.parent / "vectors" / "tidegate-v1.json").read_text())
HELLO = Session(client=True).messages()[0]
FLAGS = ("FIRST", "LAST", "TEXT", "ABORT", "ACK_NOW")


def run_varint(vector: Fields) -> bool:
    """Read it gives the value, and written the bytes: all of them, since a value has one form."""
    return Reader(raw := bytes.fromhex(vector["hex"])).varint() == vector["value"] and varint(vector["value"]) == raw


def run_valid(vector: Fields) -> bool:
    """Decoded it is what `records` shows, and that has these bytes when it is encoded."""
    reader, encoded = Reader(bytes.fromhex(vector["hex"])), b""
    for wanted, (name, seq16, body) in zip(vector["records"], reader.records(), strict=True):
        f = decode(name, body)
        encoded += encode(reader.type_, seq16 or 0, f)
        shown = {"type": f"0x{reader.type_:02x}", "name": name, "body_bytes": len(body), "seq16": seq16} | f
        shown |= {"bytes": len(body), "payload_bytes": len(f.get("payload", b""))}
        shown["total"] = f["total"] - 1 if f.get("total") else None
        shown["settings"] = [{"id": number, "value": value} for number, value in f.get("settings", ())]
        shown["flag_names"] = [flag for bit, flag in enumerate(FLAGS) if f.get("flags", 0) >> bit & 1]
        shown = json.loads(json.dumps(shown, default=bytes.hex))
        if not {*f} - {"body"} <= {*wanted} or {key: shown[key] for key in wanted} != wanted:
            return False
    return encoded.hex() == str(vector["hex"])


def run_peer(vector: Fields) -> bool:
    """One of `malformed`, `channel_errors`, `accepted`. Nothing takes items meanwhile."""
    settings = {setting["id"]: setting["value"] for setting in vector.get("receiver_settings", ())}
    session, faults = Session(vector["receiver"] == "client", settings), list[list[Fields]]()
    for _ in range(vector.get("receiver_sent_s", 0)):
        Channel(session, mine=True)
    for message in map(bytes.fromhex, [*vector["before"], vector["hex"]]):
        is_text = len(faults) == len(vector["before"]) and "message_kind" in vector
        session.receive(message.decode() if is_text else message)
        said = [decode(name, body) for message in session.messages() for name, _, body in Reader(message).records()]
        faults.append([f for f in said if "code" in f and f.get("dir") != 1])  # dir 1: the answer of section 7.5
    wanted = [fault for fault in (vector.get("error"), vector.get("reply")) if fault]
    same = [[f.get(key) for f in faults[-1]] == [f.get(key) for f in wanted] for key in ("code", "channel", "dir")]
    end = (vector.get("error", {}).get("close_code", 0), vector.get("rx_after", session.rx))
    return all(same) and not any(faults[:-1]) and (session.close_code, session.rx) == end


class Exchange(unittest.TestCase):
    def test_a_silent_peer_is_pinged_and_then_dead(self) -> None:
        for idle, times, wanted in (45_000, [0], [0, 20, 40, 45]), (8_000, [0], [0, 20, 22]):
            session = Session(client=False, settings={7: idle}, clock=lambda: times[-1])
            session.receive(HELLO)
            while not session.close_code:
                times.append(int(min(session.ping_at, session.dead_at)))
                session.messages()
            self.assertEqual(([time / 1e6 for time in times], session.close_code), (wanted, 4207))

    def test_what_came_before_a_reset_is_acknowledged_before_it(self) -> None:
        session = Session(client=False)
        session.receive(HELLO + encode(0x41, 1, {"prio": 1}) + encode(0x45, 2, {"flags": 7, "payload": b"\xff"}))
        said = [(name, decode(name, body).get("rx")) for name, _, body in Reader(session.messages()[0]).records()]
        self.assertEqual(said[1:], [("ACCEPT", None), ("ACK", 1), ("RESET", None), ("ACK", 2)])


if __name__ == "__main__":
    runs = dict(varints=run_varint, valid=run_valid, malformed=run_peer, channel_errors=run_peer, accepted=run_peer)
    vectors = [(kind, vector) for kind in runs for vector in LISTS[kind]]
    wrong = [f"{kind}: {vector.get('name', vector.get('value'))}" for kind, vector in vectors if not runs[kind](vector)]
    print(*(f"wrong: {name}" for name in wrong), f"{len(vectors) - len(wrong)} of {len(vectors)} right", sep="\n")
    sys.exit(bool(wrong))
