"""Phones, faxes, e-mail, web and network addresses. All values are invented."""

from __future__ import annotations

import pytest

CONTACTS = [
    ("Phone: +1 (555) 013-4477 ext. 12", "+1 (555) 013-4477 ext. 12", "PHONE"),
    ("Ph 555.013.4477 x 221", "555.013.4477 x 221", "PHONE"),
    ("call 555-0134", "555-0134", "PHONE"),
    ("T: 0161 496 0712", "0161 496 0712", "PHONE"),
    ("M: 07700 900461", "07700 900461", "PHONE"),
    ("mob 07700900461", "07700900461", "PHONE"),
    ("cell# (555)013-4477", "(555)013-4477", "PHONE"),
    ("reach her at 555 013 4477", "555 013 4477", "PHONE"),
    ("hotline 1-800-FLOWERS", "1-800-FLOWERS", "PHONE"),
    ("dial 1-888-NEURO-01", "1-888-NEURO-01", "PHONE"),
    ("bleep 4471", "4471", "PHONE"),
    ("Pager: 888-4471", "888-4471", "PHONE"),
    ("beeper 44712", "44712", "PHONE"),
    ("pgr #22918", "#22918", "PHONE"),
    ("extension 5521", "extension 5521", "PHONE"),
    ("ext: 5521", "ext: 5521", "PHONE"),
    ("DECT phone 6612", "6612", "PHONE"),
    ("+44 20 7946 0018", "+44 20 7946 0018", "PHONE"),
    ("+49 (0)30 901820", "+49 (0)30 901820", "PHONE"),
    ("+33 1 70 18 99 12", "+33 1 70 18 99 12", "PHONE"),
    ("+91 98765 43210", "+91 98765 43210", "PHONE"),
    ("+61 2 5550 1234", "+61 2 5550 1234", "PHONE"),
    ("WhatsApp +34 612 34 56 78", "+34 612 34 56 78", "PHONE"),
    ("Tel/Fax: 555-013-4478", "555-013-4478", "FAX"),
    ("F: 555-013-4478", "555-013-4478", "FAX"),
    ("Fax +1 555 013 4478", "+1 555 013 4478", "FAX"),
    ("facsimile 555-013-4478", "555-013-4478", "FAX"),
    ("email: a.person@clinic.example", "a.person@clinic.example", "EMAIL"),
    ("Write a_person (at) mail (dot) example", "a_person (at) mail (dot) example", "EMAIL"),
    ("jane.roe [at] mail [dot] com please", "jane.roe [at] mail [dot] com", "EMAIL"),
    ("janeroe at gmail dot com", "janeroe at gmail dot com", "EMAIL"),
    ("jane @ mail . com", "jane @ mail . com", "EMAIL"),
    ("J.ROE+neuro@MAIL.CO.UK", "J.ROE+neuro@MAIL.CO.UK", "EMAIL"),
    ("see https://portal.example.org/p?id=22&x=1.", "https://portal.example.org/p?id=22&x=1", "URL"),
    ("portal.example.org/patients/22", "portal.example.org/patients/22", "URL"),
    ("visit mychart.com today", "mychart.com", "URL"),
    ("facebook.com/jane.roe.33", "facebook.com/jane.roe.33", "URL"),
    ("hxxp://bad.example.net/x", "hxxp://bad.example.net/x", "URL"),
    ("sftp://files.example.org/a", "sftp://files.example.org/a", "URL"),
    ("Twitter: @jane_roe33", "@jane_roe33", "URL"),
    ("on Instagram as @janeroe", "@janeroe", "URL"),
    ("TikTok handle janeroe_99", "janeroe_99", "URL"),
    ("Skype: live:janeroe", "live:janeroe", "URL"),
    ("logged from 10.14.2.201", "10.14.2.201", "IP"),
    ("IP 2001:0db8:85a3::8a2e:0370:7334", "2001:0db8:85a3::8a2e:0370:7334", "IP"),
    ("host fe80::1ff:fe23:4567:890a up", "fe80::1ff:fe23:4567:890a", "IP"),
    ("IP address 192.168.4.17:8080", "192.168.4.17", "IP"),
]


@pytest.mark.parametrize(("text", "value", "label"), CONTACTS)
def test_a_contact_is_found_whole_and_with_its_class(found, text: str, value: str, label: str) -> None:
    assert (value, label) in found(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "Version 1.2.3 of the protocol, ratio 1:2:3, section 4.1.2",
        "Blood pressure 120/80, pulse 72, 10:30 and 14:45",
        "dose 1-2-1, 3-0-3; 5 mg/kg/day; 1000-1500-2000 mg",
        "M: F ratio 2:1. F: 12 M: 14. T: 36.8 P: 88 R: 16",
        "Call if seizures last 5 minutes. Text was read. Contact precautions for 14 days.",
        "home 3 days later; work 20 hours a week; ring finger 5/5; cell count 12000",
        "ext 4/5 flex 4/5; int rot 45; Ext rotation 30",
        "e.g. this, i.e.that, etc.and so on, p.Arg412Ter, vs.the other",
        "She was well at home. Look at the dot com boom.",
    ],
)
def test_what_only_looks_like_a_contact_is_left_alone(found, text: str) -> None:
    assert found(text) == [[]]
