"""One connection of a misbehaving relay: a command, an answer, and so on."""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import ssl
from typing import Protocol

from tests.relays.behaviour import Behaviour, Fault, FaultStage
from tests.relays.wire import Wire

_ADDRESS = re.compile(rb"(?:FROM|TO):\s*<([^>]*)>", re.IGNORECASE)
_SIZE = re.compile(rb"\bSIZE=(\d+)", re.IGNORECASE)


class Over(Exception):
    """The connection is to end; `cut` without a word."""

    def __init__(self, *, cut: bool = False) -> None:
        super().__init__()
        self.cut = cut


class Shared(Protocol):
    """What a connection needs of its relay."""

    behaviour: Behaviour
    released: asyncio.Event

    def fault(self, stage: FaultStage, address: str) -> Fault | None: ...
    def event(self, name: str, connection: int, address: str = "", line: str = "") -> None: ...
    def record(self, recipient: str, data: bytes, connection: int) -> None: ...
    def is_full(self) -> bool: ...
    def tls(self) -> ssl.SSLContext: ...


class Dialogue:
    """One connection: a command, an answer, and so on."""

    def __init__(
        self, relay: Shared, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.relay = relay
        self.number = number
        self._recipients: list[str] = []
        self._wire = Wire(reader, writer, relay)
        self._sender: str | None = None
        self._is_foreseen = False
        self._logged_in = False
        self._secret = relay.behaviour.tls == "implicit"
        self._messages = 0

    @property
    def recipient(self) -> str:
        """Whom the mail under way is for: several, separated by spaces, where a client names several."""
        return " ".join(self._recipients)

    async def run(self) -> None:
        behave = self.relay.behaviour
        if self.relay.is_full():
            if behave.over_limit == "421":
                self.say("421 4.7.0 Too many connections")
            raise Over(cut=behave.over_limit == "drop")
        await self._answer("greeting", "", "220 relay.example ESMTP")
        while True:
            line = await self._command()
            verb = line[:4].upper()
            await _COMMANDS.get(verb, Dialogue._unknown)(self, line)

    def say(self, text: str) -> None:
        """Leaves with the next flush."""
        self._wire.say(text)

    async def flush(self) -> None:
        await self._wire.flush()

    async def end(self, *, cut: bool) -> None:
        """Close, after the last word unless `cut`."""
        await self._wire.end(cut=cut)

    async def _command(self) -> bytes:
        idle = self.relay.behaviour.idle if self._sender is None else None
        try:
            async with asyncio.timeout(idle):
                return await self._wire.line()
        except TimeoutError:
            self.say("421 4.4.2 Idle for too long")
            raise Over from None

    async def _answer(self, stage: FaultStage, address: str, usual: str, line: bytes = b"") -> bool:
        """Answer as usual, or as a fault demands; whether the answer was a yes."""
        fault = self.relay.fault(stage, address)
        self.relay.event(stage, self.number, address, line.decode())
        said = usual
        if fault is not None:
            if fault.do == "reply":
                said = self._filled(fault, address)
            else:
                await self._suffer(fault)
        if said:
            self.say(said)
            self._note(said, address if stage in ("rcpt", "data") else "")
        if said.startswith("421") or (fault is not None and fault.do == "leave"):
            raise Over
        return said[:1] in ("2", "3")

    def _note(self, said: str, recipient: str) -> None:
        """Tell of a reply that is a no, to this recipient or (an empty one) to whoever it may be."""
        if said[:1] not in "23":
            self.relay.event("refused", self.number, recipient, said)

    def _filled(self, fault: Fault, address: str) -> str:
        return fault.reply.replace("{address}", address).replace("{sender}", self._sender or "")

    async def _suffer(self, fault: Fault) -> None:
        if fault.do == "drop":
            await self.flush()
            raise Over(cut=fault.stage != "replied")
        await self.flush()
        if fault.do == "silence":
            await self._wire.until_left()
            raise Over(cut=True)
        if fault.do == "babble":
            await self._wire.babble(self._filled(fault, self.recipient))
        if fault.do == "hold":
            await self.relay.released.wait()
        elif fault.do == "delay":
            await asyncio.sleep(fault.seconds)

    async def _hello(self, line: bytes) -> None:
        behave = self.relay.behaviour
        offers = ["relay.example"]
        offers += ["PIPELINING"] if behave.pipelining else []
        offers += ["8BITMIME"] if behave.eight_bit else []
        offers += ["SMTPUTF8"] if behave.utf8 else []
        offers += [f"SIZE {behave.size}"] if behave.size is not None else []
        offers += ["STARTTLS"] if behave.tls == "starttls" and not self._secret else []
        offers += [f"AUTH {' '.join(behave.mechanisms)}"] if behave.login else []
        offers += ["ENHANCEDSTATUSCODES"]
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        self._forget()
        await self._answer("ehlo", line[5:].decode(), "\r\n".join(lines))

    async def _start_tls(self, line: bytes) -> None:
        if self.relay.behaviour.tls != "starttls" or self._secret:
            self.say("502 5.5.1 STARTTLS is not offered")
            return
        if await self._answer("starttls", "", "220 2.0.0 Go ahead"):
            await self.flush()
            await self._wire.start_tls(self.relay.tls())
            self._secret = True

    async def _auth(self, line: bytes) -> None:
        _, mechanism, *initial = line.decode().split()
        if mechanism.upper() not in self.relay.behaviour.mechanisms:
            self.say("504 5.5.4 Unknown mechanism")
            return
        if mechanism.upper() == "PLAIN":
            given = tuple(base64.b64decode(initial[0]).decode().split("\0")[1:])
        elif mechanism.upper() == "CRAM-MD5":
            given = await self._cram_md5(self.relay.behaviour.login or ("", ""))
        else:
            user = initial[0] if initial else await self._challenge("Username:")
            given = tuple(base64.b64decode(x).decode() for x in (user, await self._challenge("Password:")))
        right = given == self.relay.behaviour.login
        self._logged_in = await self._answer(
            "auth", "", "235 2.7.0 Welcome" if right else "535 5.7.8 Wrong user or password"
        )

    async def _cram_md5(self, login: tuple[str, str]) -> tuple[str, str]:
        """The login, where the answer proves that its password is known (RFC 2195)."""
        challenge = f"<{self.number}@relay.example>"
        user, _, digest = base64.b64decode(await self._challenge(challenge)).decode().rpartition(" ")
        proof = hmac.new(login[1].encode(), challenge.encode(), "md5").hexdigest()
        return user, login[1] if digest == proof else ""

    async def _challenge(self, text: str) -> str:
        self.say(f"334 {base64.b64encode(text.encode()).decode()}")
        return (await self._wire.line()).decode()

    async def _mail(self, line: bytes) -> None:
        behave = self.relay.behaviour
        size = _SIZE.search(line)
        self._is_foreseen = False
        if behave.messages_per_connection is not None and self._messages >= behave.messages_per_connection:
            self.relay.event("limit", self.number)
            self.say("421 4.7.0 Too many messages in this connection")
            raise Over
        if behave.login and not self._logged_in:
            self.say("530 5.7.0 Authentication required")
        elif self._sender is not None:
            self.relay.event("out_of_order", self.number, "", line.decode())
            self.say("503 5.5.1 Nested MAIL command")
        elif behave.size and size and int(size[1]) > behave.size:
            self.say("552 5.3.4 Message too large")
        else:
            sender = _address(line)
            if await self._answer("mail", sender, "250 2.1.0 Ok", line):
                self._sender = sender
        self._is_foreseen = self._sender is None and behave.pipelining

    async def _rcpt(self, line: bytes) -> None:
        if self._sender is None and not self.relay.behaviour.lenient:
            self._misplaced(line)
            self.say("503 5.5.1 MAIL first")
            return
        recipient = _address(line)
        if await self._answer("rcpt", recipient, "250 2.1.5 Ok", line):
            self._recipients.append(recipient)
        else:
            self._is_foreseen = self.relay.behaviour.pipelining

    async def _data(self, line: bytes) -> None:
        recipient, recipients = self.recipient, self._recipients
        if not recipient and not self.relay.behaviour.lenient:
            self._misplaced(line)
            self.say("554 5.5.1 No valid recipients")
            return
        if not await self._answer("data", recipient, "354 End data with <CR><LF>.<CR><LF>"):
            return
        await self.flush()
        data = await self._message(recipient)
        self._forget()
        if not recipient:
            self.say("554 5.5.1 No valid recipients")
            return
        if self.relay.behaviour.size and len(data) > self.relay.behaviour.size:
            self.say("552 5.3.4 Message too large")
            return
        fault = self.relay.fault("dot", recipient)
        self.relay.event("dot", self.number, recipient)
        if fault is not None and fault.do == "reply" and fault.reply[:1] not in "23":
            said = self._filled(fault, recipient)
            self.say(said)
            self._note(said, recipient)
            if said.startswith("421"):
                raise Over
            return
        if fault is not None and fault.do != "reply":
            await self._suffer(fault)
        for one in recipients:
            self.relay.record(one, data, self.number)
        self._messages += 1
        usual = (
            self._filled(fault, recipient)
            if fault is not None and fault.do == "reply"
            else "250 2.0.0 Ok: queued"
        )
        await self._answer("recorded", recipient, usual)
        after = self.relay.fault("replied", recipient)
        if after is not None and after.do == "reply":
            self.say(self._filled(after, recipient))
            if after.reply.startswith("421"):
                raise Over
        elif after is not None:
            await self._suffer(after)

    async def _message(self, recipient: str) -> bytes:
        lines: list[bytes] = []
        while True:
            line = await self._wire.raw_line()
            if not lines and recipient:
                self.relay.event("body", self.number, recipient)
                fault = self.relay.fault("body", recipient)
                if fault is not None and fault.do == "reply":
                    self.say(self._filled(fault, recipient))
                    await self.flush()
                elif fault is not None:
                    await self._suffer(fault)
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)

    def _forget(self) -> None:
        """Sender and recipients: the transaction is over."""
        self._sender, self._recipients, self._is_foreseen = None, [], False

    def _misplaced(self, line: bytes) -> None:
        """Tell of a command at the wrong time, unless it was sent together with one that was then refused."""
        if not self._is_foreseen:
            self.relay.event("out_of_order", self.number, "", line.decode())

    async def _reset(self, line: bytes) -> None:
        self._forget()
        await self._answer("rset", "", "250 2.0.0 Ok")

    async def _noop(self, line: bytes) -> None:
        self.say("250 2.0.0 Ok")

    async def _quit(self, line: bytes) -> None:
        self.relay.event("quit", self.number)
        self.say("221 2.0.0 Bye")
        raise Over

    async def _unknown(self, line: bytes) -> None:
        self.say("500 5.5.2 Unknown command")


_COMMANDS = {
    b"EHLO": Dialogue._hello,
    b"HELO": Dialogue._hello,
    b"STAR": Dialogue._start_tls,
    b"AUTH": Dialogue._auth,
    b"MAIL": Dialogue._mail,
    b"RCPT": Dialogue._rcpt,
    b"DATA": Dialogue._data,
    b"RSET": Dialogue._reset,
    b"NOOP": Dialogue._noop,
    b"QUIT": Dialogue._quit,
}


def _address(line: bytes) -> str:
    found = _ADDRESS.search(line)
    return found[1].decode() if found else ""
