"""Written times as UTC."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import numpy as np

from .params import Stamps, make_zone

_TEMPLATE = "2024-02-01 08:00"


def read_stamp(text: str, how: Stamps) -> np.datetime64:
    """One written time as UTC, microseconds. Raises ``ValueError``: the reason `` -> `` the remedy."""
    try:
        stamp = datetime.strptime(text, how.format) if how.format else datetime.fromisoformat(text)
    except ValueError:
        expected = f"written as {how.format}" if how.format else f"ISO 8601 (such as {_TEMPLATE})"
        raise ValueError(f"'{text}' is no time {expected} -> state time.format as it is written") from None
    if stamp.tzinfo is None:
        if how.zone is None:
            raise ValueError(
                f"'{text}' has no time zone -> state time.zone, such as Europe/Rome, UTC,"
                " or +01:00 for a file that keeps standard time all year"
            )
        stamp = _localize(stamp, make_zone(how.zone), how)
    utc = stamp.astimezone(UTC).replace(tzinfo=None)
    moment = np.datetime64(utc, "us")
    return moment - np.timedelta64(how.end_of, "us") if how.end_of else moment


def _localize(stamp: datetime, zone: tzinfo, how: Stamps) -> datetime:
    earlier, later = (stamp.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() == later.utcoffset():
        return earlier
    if earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != stamp:
        raise ValueError(
            f"'{stamp:%Y-%m-%d %H:%M}' does not exist in {how.zone}: the clock was put forward -> correct it,"
            " or state time.zone: +01:00 (say) if the file keeps standard time all year"
        )
    if how.fold is None:
        raise ValueError(
            f"'{stamp:%Y-%m-%d %H:%M}' occurs twice in {how.zone}: the clock was put back -> state time.fold:"
            " earlier or later, or time.zone: +01:00 (say) if the file keeps standard time all year"
        )
    return earlier if how.fold == "earlier" else later
