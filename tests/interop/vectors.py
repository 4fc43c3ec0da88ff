"""Runs tests/vectors/tidegate-v1.json against codec.py and session.py, as docs/PROTOCOL.md, section 13, says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import codec
from session import Session

Vector = dict[str, Any]
PATH = Path(__file__).parent.parent / "vectors" / "tidegate-v1.json"
REPLY = ("channel", "dir", "code")
FLAGS = {codec.FIRST: "FIRST", codec.LAST: "LAST", codec.TEXT: "TEXT", codec.ABORT: "ABORT", codec.ACK_NOW: "ACK_NOW"}
FROM_JSON: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("token", "detail", "meta", "payload"), bytes.fromhex),
    "settings": lambda pairs: [(pair["id"], pair["value"]) for pair in pairs],
    "total": lambda size: 0 if size is None else size + 1,
}


def run_varint(vector: Vector) -> bool:
    """One of `varints`: read it gives the value and uses all bytes, written it has the same bytes."""
    reader = codec.Reader(bytes.fromhex(vector["hex"]))
    return (reader.varint(), reader.left(), codec.varint(vector["value"]).hex()) == (vector["value"], 0, vector["hex"])


def run_valid(vector: Vector) -> bool:
    """One of `valid`: decoded it is what `records` shows, and what `records` shows has these bytes when encoded."""
    message = codec.Reader(bytes.fromhex(vector["hex"]))
    return all(run_record(message, record) for record in vector["records"]) and message.left() == 0


def run_record(message: codec.Reader, record: Vector) -> bool:
    """The next record of a message, which is to be `record`. The bodies of PAD and of unknown ones are not shown."""
    start = message.at
    type_, seq16, body = message.record()
    name = codec.NAMES.get(type_, "")
    head = (f"0x{type_:02x}", seq16, len(body), len(body) if name == "PAD" else None)
    if head != tuple(record.get(key) for key in ("type", "seq16", "body_bytes", "bytes")):
        return False
    if name in ("", "PAD"):
        return bool(record["name"] == (name or "unknown"))
    shown = [key for key, _ in codec.FIELDS[name] if key in record]
    fields = {key: FROM_JSON.get(key, lambda value: value)(record[key]) for key in shown}
    flags = [FLAGS[bit] for bit in FLAGS if fields.get("flags", 0) & bit]
    return (
        (name == "OPEN" or name == record["name"])
        and (name != "DATA" or (flags, len(fields["payload"])) == (record["flag_names"], record["payload_bytes"]))
        and codec.decode(name, body) == fields
        and codec.encode(name, seq16 or 0, **fields) == message.data[start : message.at]
    )


def said(session: Session) -> Iterator[tuple[str, codec.Fields]]:
    """Name and fields of all records that the session sends now."""
    for message in map(codec.Reader, iter(lambda: session.poll(0.0) or b"", b"")):
        while message.left():
            type_, _, body = message.record()
            yield codec.NAMES[type_], codec.decode(codec.NAMES[type_], body)


def run_session(vector: Vector) -> bool:
    """One of `malformed`, `channel_errors`, `accepted`. Nothing takes items meanwhile, and no handler stops.

    A RESET with dir 1 is not held against a vector: it is the answer that section 7.5 asks for, not an error."""
    own = dict(FROM_JSON["settings"](vector.get("receiver_settings", [])))
    session = Session(vector["receiver"] == "client", 0.0, own)
    for message in vector["before"]:
        session.receive(bytes.fromhex(message), 0.0)
    for _ in range(vector.get("receiver_sent_s", 0)):
        session.open("")
    if any(name in ("ERROR", "RESET") for name, _ in said(session)):
        return False
    last = bytes.fromhex(vector["hex"])
    session.receive(last.decode() if vector.get("message_kind") == "text" else last, 0.0)
    answers = list(said(session))
    errors = [f["code"] for name, f in answers if name == "ERROR"]
    if "error" in vector:
        return (errors, session.close_code) == ([vector["error"]["code"]], vector["error"]["close_code"])
    resets = [[f[key] for key in REPLY] for name, f in answers if name == "RESET" and f["dir"] != 1]
    wanted = [[vector["reply"][key] for key in REPLY]] if "reply" in vector else []
    return (errors, session.close_code, resets, session.rx) == ([], 0, wanted, vector["rx_after"])


def main() -> int:
    """Prints each vector that is wrong, then `N of M right`; gives 0 if all are right, else 1."""
    vectors = json.loads(PATH.read_text())
    runs = {"varints": run_varint, "valid": run_valid}
    lists = ("varints", "valid", "malformed", "channel_errors", "accepted")
    results = [(runs.get(name, run_session)(vector), name, vector) for name in lists for vector in vectors[name]]
    for _, name, vector in filter(lambda result: not result[0], results):
        print(f"wrong: {name}: {vector.get('name', vector.get('value'))}")
    right = sum(result[0] for result in results)
    print(f"{right} of {len(results)} right")
    return 0 if right == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
