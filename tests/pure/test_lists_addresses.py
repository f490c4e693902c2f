"""Which text is an address, and how it goes to the relay."""

from __future__ import annotations

import re

import email_validator
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchmail.lists import addresses
from batchmail.lists.addresses import Unusable, usable_address

RFC_2142 = {
    *("info", "marketing", "sales", "support", "abuse", "noc", "security"),
    *("postmaster", "hostmaster", "usenet", "news", "webmaster", "www", "uucp", "ftp"),
}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("ann@example.org", "ann@example.org"),
        ("Ann.Smith@Example.ORG", "Ann.Smith@example.org"),
        ("  ann@example.org\t", "ann@example.org"),
        ("\u00a0ann@example.org\r\n", "ann@example.org"),
        ("INFO@example.org", "INFO@example.org"),
        ("o'neil+news/x=1@example.org", "o'neil+news/x=1@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("Jürgen@example.org", "Jürgen@example.org"),
        ("Ju\u0308rgen@example.org", "Jürgen@example.org"),
        ("用户@例え.jp", "用户@xn--r8jz45g.jp"),
        ("ann@mail.local", "ann@mail.local"),
        ("ann@mail.test", "ann@mail.test"),
        ("ann@localhost", "ann@localhost"),
        ("ann@LocalHost", "ann@localhost"),
        ("ann@host.invalid", "ann@host.invalid"),
        (f"{'a' * 64}@example.org", f"{'a' * 64}@example.org"),
        (f"ann@{'a' * 63}.org", f"ann@{'a' * 63}.org"),
    ],
)
def test_a_good_address_goes_to_the_relay_in_this_form(given: str, sent: str) -> None:
    assert usable_address(given) == sent


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "has no address"),
        ("   ", "has no address"),
        ("ann", "has no @"),
        ("ann＠example.org", "full-width"),
        ("ann@b@example.org", "more than one @"),
        ("a@x.org; b@x.org", "more than one @"),
        ("ann smith@example.org", "a space"),
        ("ann@exa\u2003mple.org", "a space"),
        ("Ann <ann@example.org>", "angle brackets"),
        ("<ann@example.org>", "angle brackets"),
        ("ann@example.org>\r\nDATA", "control character"),
        ("ann@example.org\r\nRCPT TO:<eve@example.org>", "control character"),
        ("ann\0@example.org", "control character"),
        ("ann\x7f@example.org", "control character"),
        ("ann\x85@example.org", "control character"),
        ("ann\u200b@example.org", "unsafe characters"),
        ("ann\u202e@example.org", "unsafe characters"),
        ("@example.org", "before the @"),
        ("ann@", "after the @"),
        (".ann@example.org", "period"),
        ("ann.@example.org", "period"),
        ("an..n@example.org", "two periods"),
        ("ann@example..org", "two periods"),
        ("ann@-example.org", "hyphen"),
        ("ann@gmail", "should have a period"),
        ("ann@example.123", "top-level domain"),
        ("ann@exam_ple.org", "invalid characters"),
        ("ann@ab--cd.org", "two dashes"),
        ("ann@xn--a.org", "after the @"),
        ('"ann smith"@example.org', "a space"),
        ('"ann"@example.org', "quot"),
        ("ann@[192.0.2.1]", "bracketed IP address"),
        (f"{'a' * 65}@example.org", "64 octets"),
        (f"{'ü' * 33}@example.org", "64 octets"),
        (f"ann@{'a' * 64}.org", "so many characters"),
        (f"ann@{'a.' * 125}org", "too long"),
        (f"{'a' * 64}@{'a.' * 94}org", "too long"),
        (f"{'ü' * 32}@{'ü.' * 24}org", "too long"),
        ("a" * 100_000 + "@example.org", "254 octets"),
    ],
)
def test_a_bad_address_is_refused_with_its_reason(given: str, reason: str) -> None:
    found = usable_address(given)
    assert isinstance(found, Unusable)
    assert reason in found.reason


def test_an_address_of_254_octets_is_used_and_one_of_255_is_not() -> None:
    domain = f"{'a' * 63}.{'b' * 63}.{'c' * 57}.org"
    assert usable_address(f"{'l' * 64}@{domain}") == f"{'l' * 64}@{domain}"
    assert isinstance(usable_address(f"{'l' * 64}@{domain.replace('c.', 'cc.')}"), Unusable)


LOCALS = st.text("abzAZ019.+-_'!", max_size=70) | st.sampled_from(["info", "INFO", "Postmaster"])
LABELS = st.text("abzAZ09-", max_size=65) | st.sampled_from(["xn", "xn--a", "xn--bcher-kva", "a--b", "ab--c"])
DOMAINS = st.lists(LABELS, min_size=1, max_size=5).map(".".join) | st.sampled_from(["localhost", "x.TEST"])
NEARLY_ADDRESSES = st.builds("{}@{}".format, LOCALS, DOMAINS)
ANY_TEXT = st.text(max_size=40) | st.builds("{}@{}".format, st.text(max_size=20), st.text(max_size=20))


@settings(deadline=None)
@given(NEARLY_ADDRESSES | ANY_TEXT | st.emails())
@example("a@a.b")
@example("a@ab--c.de")
@example("a@a.b-")
@example("a@a.b-c")
@example("a@a.1c")
@example(f"a@{'a' * 64}.org")
def test_the_fast_path_says_nothing_the_library_would_not_say(text: str) -> None:
    plain = addresses._PLAIN.fullmatch(text)
    if plain is None or len(plain[1]) > 64 or len(plain[2]) > 63:
        return
    fast = usable_address(text)
    found = email_validator.validate_email(text, check_deliverability=False, strict=True)
    local, _, domain = found.normalized.partition("@")
    assert fast == f"{plain[1] if local in RFC_2142 else local}@{domain}"
    assert fast == addresses._by_library(text)


@settings(deadline=None)
@given(ANY_TEXT | NEARLY_ADDRESSES | st.emails())
def test_no_address_can_end_an_smtp_command(text: str) -> None:
    found = usable_address(text)
    if isinstance(found, Unusable):
        return
    local, domain = found.split("@")
    assert not re.search(r"[\s<>\"\\,;:()\x00-\x1f\x7f-\x9f\u2028\u2029]", found)
    assert re.fullmatch(r"[a-z0-9.-]+", domain)
    assert 1 <= len(local.encode()) <= 64
    assert len(found.encode()) <= 254


@settings(deadline=None)
@given(ANY_TEXT | NEARLY_ADDRESSES)
def test_an_address_is_left_as_it_is_the_second_time(text: str) -> None:
    found = usable_address(text)
    if not isinstance(found, Unusable):
        assert usable_address(found) == found


@settings(deadline=None)
@given(st.text("QXZ§ßжاא‍-.", min_size=3, max_size=12), st.text("QXZ§ßжاא‍-.", min_size=3, max_size=12))
def test_a_reason_never_holds_what_it_is_about(local: str, domain: str) -> None:
    found = usable_address(f"{local}@{domain}")
    if isinstance(found, Unusable):
        assert local not in found.reason
        assert domain not in found.reason
        assert found.reason.isascii()
