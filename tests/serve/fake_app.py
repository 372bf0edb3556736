"""An app that needs no terminal: it speaks the packets of Textual's web driver, and misbehaves.

    python fake_app.py [MANNER]

It shows its size, then whatever reaches it. MANNER: `deaf` does not quit when asked, `stubborn` not
when told (SIGTERM) either, `talkative` has much to show before it quits, `parent` leaves a process
in its group, `broken` ends before it is ready, `crash` ends once it is typed at, `flood` shows more
than anybody reads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

SIZE = 1 << 16


def packet(kind: bytes, payload: bytes) -> None:
    data = kind + len(payload).to_bytes(4, "big") + payload
    while data:
        data = data[os.write(1, data) :]


def show(text: str) -> None:
    packet(b"D", f"{text}\n".encode())


def exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def main(manner: str) -> None:
    if manner == "broken":
        sys.exit("no terminal \x1b[31mhere")
    if manner == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "300"]) if manner == "parent" else None
    os.write(1, b"__GANGLION__\n")
    show(f"{os.getpid()} {child.pid if child else 0}")
    show(f"{os.environ['COLUMNS']}x{os.environ['ROWS']}")
    while True:
        while manner == "flood":
            show("x" * SIZE)
        kind = exactly(1)
        data = exactly(int.from_bytes(exactly(4), "big"))
        if kind == b"M":
            facts = json.loads(data)
            if manner == "talkative":
                show("x" * SIZE * 20)
            if facts == {"type": "quit"} and manner not in ("deaf", "stubborn"):
                sys.exit(0)
            show(json.dumps(facts))
        elif manner == "crash":
            sys.exit("the app fell over")
        elif data == b"leave":
            packet(b"M", b'{"type": "exit"}')
        elif data.startswith(b"open "):
            packet(b"M", json.dumps({"type": "open_url", "url": data[5:].decode()}).encode())
        else:
            show(data.decode())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
