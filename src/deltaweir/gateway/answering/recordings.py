"""Who may record and play what, and the file that a stream is recorded to."""

from __future__ import annotations

import logging

from deltaweir.adapters.recording_files import RecordingFile
from deltaweir.errors import InvalidRequest, PermissionDenied, ServiceUnavailable
from deltaweir.gateway.answering.asked import Asked
from deltaweir.gateway.answering.tape import Tape
from deltaweir.gateway.config.recordings import RecordingsConfig
from deltaweir.gateway.keys.access import Caller
from deltaweir.recording import REPLAY

_log = logging.getLogger("deltaweir.gateway")


def check_recordable(
    record: str | None, model: str | None, caller: Caller, config: RecordingsConfig
) -> None:
    """Accept that a stream is recorded, and that a recording is played.

    Recordings hold what others were answered, so that whoever plays them by name needs a key
    that may record.

    Args:
        record: The name to record under; None for not at all.
        model: The model that was asked for.
        caller: Who asks.
        config: Where recordings lie.

    Raises:
        InvalidRequest: This server records nothing.
        PermissionDenied: The caller's key may not.
    """
    if record is not None and config.dir is None:
        raise InvalidRequest(
            "this server records nothing; its configuration has no [recordings] dir",
            param="deltaweir.record",
            code="recordings_off",
        )
    plays = model is not None and model.startswith(REPLAY)
    if (record is not None or plays) and caller.key is not None and not caller.key.may_record:
        raise PermissionDenied(
            "this key may neither record nor play recordings; one that may is made by "
            "`deltaweir keys create --may-record`",
            param="model" if plays else "deltaweir.record",
        )


def tape_for(asked: Asked, config: RecordingsConfig, began: float) -> Tape:
    """Return what a stream is recorded by. It blocks.

    Args:
        asked: What was asked for, and may be.
        config: Where recordings lie.
        began: When the request came, in seconds on the monotonic clock.

    Raises:
        InvalidRequest: There is a recording of this name.
        ServiceUnavailable: The file cannot be written.
    """
    name = asked.terms.record or ""
    path = config.path(name)
    assert path is not None  # both were checked
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = RecordingFile(str(path), new=True)
    except (InvalidRequest, OSError) as error:
        if path.exists():
            raise InvalidRequest(
                f"there is a recording called {name!r}, and none is ever replaced; choose "
                "another name",
                param="deltaweir.record",
                code="recording_exists",
            ) from None
        _log.error("nothing can be recorded: %s", error)  # the path is for operators
        raise ServiceUnavailable("this server cannot record; its log says why") from error
    return Tape(file, asked, config.request, began)
