"""Runs tests/vectors/tidegate-v1.json against codec.py and session.py, as docs/PROTOCOL.md, section 13, says."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import codec
from session import Session

Vector = dict[str, Any]
PATH = Path(__file__).parent.parent / "vectors" / "tidegate-v1.json"
FLAGS = ("FIRST", "LAST", "TEXT", "ABORT", "ACK_NOW")


def run_varint(vector: Vector) -> bool:
    """One of `varints`: read it gives the value and uses all bytes, written it has the same bytes."""
    reader = codec.Reader(bytes.fromhex(vector["hex"]))
    return (reader.varint(), reader.left(), codec.varint(vector["value"]).hex()) == (vector["value"], 0, vector["hex"])


def shown(key: str, value: Any) -> Any:
    """A field as the vectors show it."""
    if key == "settings":
        return [{"id": number, "value": value} for number, value in value]
    if key == "total":
        return value - 1 if value else None
    return value.hex() if isinstance(value, bytes) else value


def run_valid(vector: Vector) -> bool:
    """One of `valid`: decoded it is what `records` shows, and that has these bytes when it is encoded."""
    message, records = codec.Reader(bytes.fromhex(vector["hex"])), []
    while message.left():
        start, (type_, seq16, body) = message.at, message.record()
        name = codec.NAMES.get(type_, "unknown")
        record = {"type": f"0x{type_:02x}", "name": name, "body_bytes": len(body)}
        record |= {"seq16": seq16} if type_ & 0x40 else {}
        f = codec.decode(name, body) if name != "unknown" else {}
        if f and codec.encode(name, seq16 or 0, **f) != message.data[start : message.at]:
            return False
        record |= {"bytes": len(body)} if name == "PAD" else {key: shown(key, f[key]) for key in f}
        if name == "DATA":
            names = [FLAGS[bit] for bit in range(5) if f["flags"] >> bit & 1]
            record |= {"flag_names": names, "payload_bytes": len(f["payload"])}
        records.append(record)
    return bool(records == vector["records"])


def said(session: Session) -> Iterator[tuple[str, codec.Fields]]:
    """Name and fields of all records that the session sends now."""
    for message in map(codec.Reader, session.messages()):
        while message.left():
            type_, _, body = message.record()
            yield codec.NAMES[type_], codec.decode(codec.NAMES[type_], body)


def run_session(vector: Vector) -> bool:
    """One of `malformed`, `channel_errors`, `accepted`. Nothing takes items meanwhile, and no handler stops.

    A RESET with dir 1 is not held against a vector: it is the answer that section 7.5 asks for, not an error."""
    own = {pair["id"]: pair["value"] for pair in vector.get("receiver_settings", ())}
    session = Session(vector["receiver"] == "client", own)
    for message in vector["before"]:
        session.receive(bytes.fromhex(message))
    for _ in range(vector.get("receiver_sent_s", 0)):
        session.open("")
    if any(name in ("ERROR", "RESET") for name, _ in said(session)):
        return False
    last = bytes.fromhex(vector["hex"])
    session.receive(last.decode() if vector.get("message_kind") == "text" else last)
    answers = [(name, f.get("channel"), f.get("dir"), f["code"]) for name, f in said(session) if "code" in f]
    answers = [answer for answer in answers if answer[2] != 1]
    if error := vector.get("error"):
        return (answers, session.close_code) == ([("ERROR", None, None, error["code"])], error["close_code"])
    wanted = [("RESET", reply["channel"], reply["dir"], reply["code"]) for reply in [vector.get("reply")] if reply]
    return (answers, session.close_code, session.rx) == (wanted, 0, vector["rx_after"])


def main() -> int:
    """Prints each vector that is wrong, then `N of M right`; gives 0 if all are right, else 1."""
    runs = {"varints": run_varint, "valid": run_valid}
    runs |= dict.fromkeys(("malformed", "channel_errors", "accepted"), run_session)
    vectors = [
        (kind, vector) for kind, entries in json.loads(PATH.read_text()).items() if kind in runs for vector in entries
    ]
    wrong = [f"{kind}: {vector.get('name', vector.get('value'))}" for kind, vector in vectors if not runs[kind](vector)]
    print(*(f"wrong: {name}" for name in wrong), f"{len(vectors) - len(wrong)} of {len(vectors)} right", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
