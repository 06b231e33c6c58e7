"""Values as the pages show them: times, limits, identities, names and numbers, as filters of the templates."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from aizen_hub.accounts.sessions.server_label import server_label
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.messages import describe_limit, describe_no_end

MAX_SHOWN_NAME = 40
"""Characters of a name in a list; the page of the object shows it whole."""
LONG_ROLE = 20
_HUES = 6


def format_time(value: datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_day(value: datetime, now: datetime | None = None) -> str:
    """Return a day in UTC, with its year where that is not the current one."""
    year = "" if now is not None and value.year == now.year else f" {value.year}"
    return f"{value.day} {value:%b}{year}"


def last_moment(value: datetime) -> datetime:
    """Return the last moment before an end: what ends at midnight is valid until the day before."""
    return value - timedelta(seconds=1)


def format_ago(value: datetime, now: datetime) -> str:
    """Return how long ago a time is, or in how much time it comes."""
    seconds = (now - value).total_seconds()
    amount = _format_duration(abs(seconds))
    if amount == "":
        return "now"
    return f"{amount} ago" if seconds >= 0 else f"in {amount}"


def _format_duration(seconds: float) -> str:
    if seconds < 60:
        return ""
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h"
    return f"{seconds // 86400:.0f} days"


def format_identity(identity: object) -> str:
    """Return an identity for readers: a user by name alone."""
    return str(identity).removeprefix("user:").replace(":", " ", 1)


def name_of(identity: object) -> str:
    """Return an identity as it is typed into a field of names: a user by name alone, a group as ``group:name``."""
    return str(identity).removeprefix("user:")


def format_seconds(value: float) -> str:
    """Return a short time as ``21 ms`` or ``2.8 s``."""
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.1f} s"


def format_count(value: int) -> str:
    """Return a number with thousands separated."""
    return f"{value:,}"


def shorten(text: str, length: int = MAX_SHOWN_NAME) -> str:
    """Return a name for a list, cut at 40 characters; the ellipsis says that it was cut."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def initials(text: str) -> str:
    """Return up to two letters that stand for a name."""
    words = [word for word in text.replace("-", " ").replace("_", " ").replace(".", " ").split() if word[0].isalnum()]
    letters = [word[0] for word in (words if len(words) < 2 else (words[0], words[-1]))]
    return "".join(letters).upper() or "?"


def hue(name: str) -> int:
    """Return the number of the colour of a name's circle, 1 to 6: always the same for the same name."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % _HUES + 1


def break_role(name: str) -> Markup:
    """Return the name of a role, which may be broken only after an underscore where it is long."""
    text = escape(name)
    return Markup(text.replace("_", Markup("_<wbr>"))) if len(name) > LONG_ROLE else text  # noqa: S704 - escaped above


def sentence(text: str) -> str:
    """Return a message as a sentence: with a capital letter and a final period, and names without backticks."""
    text = upper_first(text.replace("`", "").strip())
    return f"{text}{'' if text.endswith(('.', '!', '?', '…')) else '.'}"


def upper_first(text: str) -> str:
    """Return a text with a capital first letter; the others stay, such as those of an abbreviation."""
    return f"{text[:1].upper()}{text[1:]}"


def identity_path(identity: object) -> str:
    """Return the address of an identity's page below the prefix."""
    kind, _, name = str(identity).partition(":")
    return f"{_FOLDERS[kind]}/{quote(name, safe='')}"


_FOLDERS = {
    str(IdentityKind.USER): "people",
    str(IdentityKind.GROUP): "groups",
    str(IdentityKind.SERVICE_ACCOUNT): "service-accounts",
}


def make_url(prefix: str) -> Callable[..., str]:
    """Return the function ``url`` of the templates.

    ``url("projects", name, "matrix", q="a b")`` is the address of a page below the prefix: each part is one segment,
    whatever it holds; parameters that are None or empty are left out.
    """

    def url(*parts: str, **query: Any) -> str:
        return prefix + page_path(*parts, **query)

    return url


def page_path(*parts: str, **query: Any) -> str:
    """Return the address of a page without the prefix, as `see_other` takes it; as ``url`` of the templates."""
    path = "/".join(quote(part, safe="") for part in parts)
    given = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def with_query(address: str, filters: Mapping[str, Any], **more: Any) -> str:
    """Return an address with the filters of a list, and with other parameters that replace some of them."""
    given = {name: value for name, value in {**filters, **more}.items() if value not in (None, "")}
    return f"{address}?{urlencode(given)}" if given else address


FILTERS: Mapping[str, Callable[..., Any]] = {
    "utc": format_time,
    "day": format_day,
    "ago": format_ago,
    "last_moment": last_moment,
    "limit": describe_limit,
    "no_end": describe_no_end,
    "identity": format_identity,
    "identity_name": name_of,
    "identity_path": identity_path,
    "count": format_count,
    "seconds": format_seconds,
    "shorten": shorten,
    "initials": initials,
    "hue": hue,
    "break_role": break_role,
    "sentence": sentence,
    "upper_first": upper_first,
    "with_query": with_query,
    "server_label": server_label,
}
