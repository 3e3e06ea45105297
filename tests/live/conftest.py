"""What live tests share: servers that can be killed."""

from tests.live.valkeys import valkey_fixture

__all__ = ["valkey_fixture"]
