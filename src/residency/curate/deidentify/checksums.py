"""Checksums: whether a number can be what it looks like.

In: a number as written, separators and all. Out: yes or no.

Covers: the check digits of payment cards, device identities (IMEI) and Canadian insurance numbers (Luhn), of
United States providers (NPI, DEA), vehicles (VIN), the British health service, bank accounts (IBAN), Spanish,
French and German national numbers, and trade items (GTIN, in a device's UDI). Does not cover: whether the number
was ever given to anybody.

A right checksum makes an unlabelled number certain. A wrong one says nothing against a number whose label is
there: people mistype, and a mistyped number still leads to somebody.
"""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[\s./-]+")
_NPI_PREFIX = "80840"  # health applications, United States (ISO 7812); CMS, "Requirements for NPI check digit"
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_VALUES = {
    **{str(digit): digit for digit in range(10)},
    **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
    **dict(zip("JKLMN", range(1, 6), strict=True)),
    **{"P": 7, "R": 9},
    **dict(zip("STUVWXYZ", range(2, 10), strict=True)),
}


def compact(number: str) -> str:
    """Without separators, letters in capitals."""
    return _SEPARATORS.sub("", number).upper()


def luhn(number: str) -> bool:
    """Every second digit from the right doubled; the sum of all digits divides by ten (ISO/IEC 7812-1)."""
    digits = compact(number)
    if not _digits(digits) or len(set(digits)) == 1:
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def npi(number: str) -> bool:
    """A National Provider Identifier: ten digits, Luhn with the prefix of health applications."""
    digits = compact(number)
    return len(digits) == 10 and digits[0] in "12" and luhn(_NPI_PREFIX + digits)


def dea(number: str) -> bool:
    """A DEA registration: first, third and fifth digit plus twice the others end in the seventh."""
    text = compact(number)
    if not re.fullmatch(r"[A-HJ-MPRSTUX][A-Z9]\d{7}", text):
        return False
    digits = [int(digit) for digit in text[2:]]
    return (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 == digits[6]


def vin(number: str) -> bool:
    """A vehicle identification number with its ninth place as check (49 CFR 565.15)."""
    text = compact(number)
    if len(text) != 17 or not all(character in _VIN_VALUES for character in text):
        return False
    total = sum(_VIN_VALUES[character] * weight for character, weight in zip(text, _VIN_WEIGHTS, strict=True))
    return "0123456789X"[total % 11] == text[8]


def nhs(number: str) -> bool:
    """A number of the health service of England and Wales: weights ten to two, modulo eleven."""
    digits = compact(number)
    if len(digits) != 10 or not _digits(digits) or len(set(digits)) == 1:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False))
    return (11 - total % 11) % 11 == int(digits[9])  # a check of ten is never given out


def iban(number: str) -> bool:
    """A bank account with country: rearranged, letters as numbers, modulo 97 leaves one (ISO 13616)."""
    text = compact(number)
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def dni(number: str) -> bool:
    """A Spanish DNI or NIE: the letter is the number modulo 23."""
    text = compact(number)
    if not re.fullmatch(r"[XYZ\d]\d{7}[A-Z]", text):
        return False
    return _DNI_LETTERS[int(text[:-1].translate(str.maketrans("XYZ", "012"))) % 23] == text[-1]


def nir(number: str) -> bool:
    """A French social-security number: the key is 97 less the number modulo 97; Corsica's letters count as digits."""
    text = compact(number)
    if not re.fullmatch(r"[1-478]\d{4}(?:\d{2}|2[AB])\d{8}", text):
        return False
    corsica = {"2A": "19", "2B": "18"}.get(text[5:7])
    whole = int(text[:5] + (corsica or text[5:7]) + text[7:13])
    return 97 - whole % 97 == int(text[13:])


def kvnr(number: str) -> bool:
    """A German insured person's number: the letter as two digits, then Luhn counted from the left."""
    text = compact(number)
    if not re.fullmatch(r"[A-Z]\d{9}", text):
        return False
    digits = f"{ord(text[0]) - 64:02d}{text[1:9]}"
    products = (int(digit) * (1 + place % 2) for place, digit in enumerate(digits))
    return sum(p // 10 + p % 10 for p in products) % 10 == int(text[9])


def gtin(number: str) -> bool:
    """A trade item's number of fourteen digits: weights three and one (GS1 General Specifications)."""
    digits = compact(number)
    if len(digits) != 14 or not _digits(digits):
        return False
    return sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(digits)) % 10 == 0


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
