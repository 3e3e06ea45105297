"""Sources that do what a test tells them to, for the tests of programs that stream."""

from deltaweir.testing.script import HEARTBEAT, SILENCE, AsyncScript, Script, Step

__all__ = ["HEARTBEAT", "SILENCE", "AsyncScript", "Script", "Step"]
