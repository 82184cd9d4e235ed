"""Telling people that something failed: a log line, a webhook, or mail."""

import json
import logging
import os
import smtplib
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from typing import TypeAlias
from urllib.parse import urlparse

from flywheel_assets.errors import HomeError

SETTING = "FLYWHEEL_NOTIFY"
WAIT_SECONDS = 10
_log = logging.getLogger("flywheel.notices")


@dataclass(frozen=True)
class Notice:
    """What failed, whose it is, and who builds on it.

    Parameters
    ----------
    owners : tuple of str
        Of the table.
    affected : mapping of str to tuple of str
        Tables downstream -> their owners.
    """

    table: str
    what: str
    run_id: str
    owners: tuple[str, ...]
    affected: dict[str, tuple[str, ...]]

    def __str__(self) -> str:
        """Say it in a few lines."""
        whose = sorted({name for names in self.affected.values() for name in names})
        lines = [f"{self.table} ({', '.join(self.owners)}): {self.what}", f"run {self.run_id}"]
        if self.affected:
            lines.append(f"downstream: {', '.join(self.affected)} ({', '.join(whose)})")
        return "\n".join(lines)


Notifier: TypeAlias = Callable[[Notice], None]


def notifier() -> Notifier:
    """Give the notifier that ``FLYWHEEL_NOTIFY`` names; the log, where it names none.

    ``https://...`` is posted a JSON object to; ``smtp://host:port/sender@example.com`` sends mail
    to those owners of the table who are addresses.

    Raises
    ------
    HomeError
        For a setting that is neither.
    """
    setting = os.environ.get(SETTING, "log")
    if setting == "log":
        return lambda notice: _log.error("%s", notice)
    address = urlparse(setting)
    if address.scheme in {"http", "https"}:
        return lambda notice: _post(setting, notice)
    if address.scheme == "smtp" and address.hostname and address.path:
        host, port, sender = address.hostname, address.port or 25, address.path.strip("/")
        return lambda notice: _mail(host, port, sender, notice)
    raise HomeError(
        expected=f"{SETTING} as log, https://... or smtp://host:port/sender@example.com",
        found=repr(setting),
        remedy="correct the environment variable",
    )


def _post(url: str, notice: Notice) -> None:
    body = json.dumps({"text": str(notice), **asdict(notice)}).encode()
    request = urllib.request.Request(  # noqa: S310  the scheme was checked
        url, data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS):  # noqa: S310  the same
        pass


def _mail(host: str, port: int, sender: str, notice: Notice) -> None:
    to = [name for name in notice.owners if "@" in name]
    if not to:
        _log.error("nobody to write to: %s", notice)
        return
    message = EmailMessage()
    message["Subject"] = f"{notice.table} failed"
    message["From"], message["To"] = sender, ", ".join(to)
    message.set_content(str(notice))
    with smtplib.SMTP(host, port, timeout=WAIT_SECONDS) as server:
        server.send_message(message)
