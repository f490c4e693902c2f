"""The local mailbox: what is acknowledged is stored, for its owner alone."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import stat
from pathlib import Path

import pytest

from batchmail.engine.mailbox import mailbox
from batchmail.errors import EngineError

MAIL = b"Subject: hello\r\n\r\n..dots\r\nGr\xc3\xbc\xc3\x9fe\r\n"


def deliver(port: int, folder: Path) -> list[int]:
    """Send one mail; how many files there were before and right after the acknowledgement."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo()
        assert {"8bitmime", "smtputf8", "size"} <= set(client.esmtp_features)
        client.mail("from@example.com", ["BODY=8BITMIME"])
        client.rcpt("to@example.com")
        before = len(list((folder / "new").iterdir()))
        code, _ = client.data(MAIL)
        assert code == 250
        return [before, len(list((folder / "new").iterdir()))]


async def test_a_mail_is_stored_before_it_is_acknowledged(tmp_path: Path) -> None:
    async with mailbox(tmp_path / "mailbox") as port:
        assert await asyncio.to_thread(deliver, port, tmp_path / "mailbox") == [0, 1]
    (stored,) = (tmp_path / "mailbox" / "new").iterdir()
    assert stored.read_bytes() == (
        b"Return-Path: <from@example.com>\nDelivered-To: to@example.com\n" + MAIL.replace(b"\r\n", b"\n")
    )


async def test_mails_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mailbox"
    async with mailbox(folder) as port:
        await asyncio.to_thread(deliver, port, folder)
    paths = [folder, *folder.rglob("*")]
    assert len(paths) == 5
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in paths)


async def test_a_mailbox_is_used_again_with_the_mails_it_has(tmp_path: Path) -> None:
    for expected in ([0, 1], [1, 2]):
        async with mailbox(tmp_path) as port:
            assert await asyncio.to_thread(deliver, port, tmp_path) == expected


async def test_a_mail_that_cannot_be_stored_is_refused_for_now(tmp_path: Path) -> None:
    async with mailbox(tmp_path) as port:
        (tmp_path / "tmp").rmdir()

        def refused() -> int:
            with smtplib.SMTP("127.0.0.1", port) as client:
                with pytest.raises(smtplib.SMTPDataError) as caught:
                    client.sendmail("from@example.com", "to@example.com", MAIL)
                return caught.value.smtp_code

        assert await asyncio.to_thread(refused) == 452


async def test_its_end_closes_open_connections_and_leaves_no_task(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with mailbox(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.readline()).startswith(b"220 ")
    assert await reader.read() == b""
    writer.close()
    if ending := asyncio.all_tasks() - before:
        await asyncio.wait(ending, timeout=5)
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"^The mailbox .*file cannot be used"):
        async with mailbox(tmp_path / "file"):
            pass
