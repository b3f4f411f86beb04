"""The classes of identifiers, and what HIPAA calls them.

Covers: the classes of 45 CFR 164.514(b)(2)(i) that text can hold, and organizations, which that list
does not name but which place a patient. Does not cover: how any of them is found or replaced.
"""

from __future__ import annotations

from enum import StrEnum


class Identifier(StrEnum):
    """A class of identifier; its value is the label of a span. Letters in brackets: the paragraph of (b)(2)(i)."""

    NAME = "NAME"  # (A) patients, relatives, clinicians; initials of people
    LOCATION = "LOCATION"  # (B) street, city, postal code; not states
    DATE = "DATE"  # (C) every element but a bare year
    AGE_OVER_89 = "AGE_OVER_89"  # (C)
    PHONE = "PHONE"  # (D) also pagers and extensions
    FAX = "FAX"  # (E)
    EMAIL = "EMAIL"  # (F)
    SSN = "SSN"  # (G) also partly masked
    MRN = "MRN"  # (H)
    HEALTH_PLAN_ID = "HEALTH_PLAN_ID"  # (I)
    ACCOUNT = "ACCOUNT"  # (J)
    LICENSE = "LICENSE"  # (K)
    VEHICLE_ID = "VEHICLE_ID"  # (L)
    DEVICE_ID = "DEVICE_ID"  # (M)
    URL = "URL"  # (N)
    IP = "IP"  # (O)
    BIOMETRIC = "BIOMETRIC"  # (P)
    PHOTO_ID = "PHOTO_ID"  # (Q)
    OTHER_ID = "OTHER_ID"  # (R) laboratory, letter and accession numbers
    ORGANIZATION = "ORGANIZATION"  # not in the list; hospitals, schools, employers
