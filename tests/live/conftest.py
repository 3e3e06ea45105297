"""What live tests share: servers that can be killed, and tabs of a browser."""

from tests.live.browsing import browser_fixture, open_page_fixture, page_fixture
from tests.live.valkeys import valkey_fixture

__all__ = ["browser_fixture", "open_page_fixture", "page_fixture", "valkey_fixture"]
