"""What misbehaves on command, for the tests of programs that stream.

A `Script` is a source that plays chunks, silences and errors without any network; a `Peer` is an
HTTP server on loopback that answers byte for byte as it is told, and has every fault a real one
can have; `Recordings` is one that answers with streams recorded from a real server. The fixture
for pytest is in `deltaweir.testing.pytest_plugin`.
"""

from deltaweir.testing.faults import (
    BOM,
    Drop,
    HalfClose,
    NeverRead,
    Pause,
    Request,
    Reset,
    Trickle,
    Tunnel,
    chat_events,
    crlf,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.peer import Peer
from deltaweir.testing.ports import Unreachable, unused_port
from deltaweir.testing.recordings import Recordings
from deltaweir.testing.script import HEARTBEAT, SILENCE, AsyncScript, Script, Step

__all__ = [
    "BOM",
    "HEARTBEAT",
    "SILENCE",
    "AsyncScript",
    "Drop",
    "HalfClose",
    "NeverRead",
    "Pause",
    "Peer",
    "Recordings",
    "Request",
    "Reset",
    "Script",
    "Step",
    "Trickle",
    "Tunnel",
    "Unreachable",
    "chat_events",
    "crlf",
    "error_answer",
    "error_event",
    "json_answer",
    "stream_answer",
    "unused_port",
]
