"""Dates in the many forms that people write, and numbers that are none."""

from __future__ import annotations

import pytest

from residency.curate.deidentify.dates import find_dates

DATES = [
    ("seen 2019-03-04", "2019-03-04"),
    ("seen 03-04-19", "03-04-19"),
    ("seen 3.4.2019", "3.4.2019"),
    ("seen 2019/3/4 09:30", "2019/3/4 09:30"),
    ("at 20190304T1210", "20190304T1210"),
    ("at 20190304121033", "20190304121033"),
    ("at 20190304121033+0100", "20190304121033+0100"),
    ("at 2019-03-04T12:10:33Z", "2019-03-04T12:10:33Z"),
    ("at 2019-03-04 12:10:33.123+01:00", "2019-03-04 12:10:33.123+01:00"),
    ("on Monday 4 March", "Monday 4 March"),
    ("on Tuesday, March 5th", "Tuesday, March 5th"),
    ("on the 3rd of May", "the 3rd of May"),
    ("in May of 2009", "May of 2009"),
    ("since 03/2011", "03/2011"),
    ("since 03-2011", "03-2011"),
    ("seen on 5/12 again", "5/12"),
    ("admitted 19/7 to 20/7", "20/7"),
    ("inpatient stay 19/7-20/7", "19/7"),
    ("inpatient stay 19/7-20/7", "20/7"),
    ("Between 3/4 and 5/4 she was well", "5/4"),
    ("seizures 19/7, 20/7 and 21/7", "20/7"),
    ("stay 19/7/2019 to 2/8", "2/8"),
    ("Christmas 2018", "Christmas 2018"),
    ("since Easter 2015", "Easter 2015"),
    ("on Thanksgiving Day 2017", "Thanksgiving Day 2017"),
    ("on New Year's Eve", "New Year's Eve"),
    ("on Christmas Day", "Christmas Day"),
    ("in the spring of 2012", "spring of 2012"),
    ("since Summer 2014", "Summer 2014"),
    ("autumn '16", "autumn '16"),
    ("from 12-14 March 2020", "12-14 March 2020"),
    ("March 12-14, 2020", "March 12-14, 2020"),
    ("12/03 to 14/03/2020", "12/03 to 14/03/2020"),
    ("from 3 to 5 May 2011", "3 to 5 May 2011"),
    ("March to May 2011", "March to May 2011"),
    ("Q3 2019", "Q3 2019"),
    ("third quarter of 2019", "third quarter of 2019"),
    ("in week 12 of 2020", "week 12 of 2020"),
    ("2019-W12", "2019-W12"),
    ("KW 12/2019", "KW 12/2019"),
    ("on the third of May two thousand and nine", "the third of May two thousand and nine"),
    ("on May third", "May third"),
    ("on May the third", "May the third"),
    ("on the twenty-first of June", "the twenty-first of June"),
    ("June twenty-first, nineteen eighty-four", "June twenty-first, nineteen eighty-four"),
    ("on June 1st, two thousand ten", "June 1st, two thousand ten"),
    ("3 / 4 / 2019", "3 / 4 / 2019"),
    ("03 /04/ 2019", "03 /04/ 2019"),
    ("0 3/04/2019", "3/04/2019"),
    ("4-Mar-2019", "4-Mar-2019"),
    ("4/Mar/2019", "4/Mar/2019"),
    ("4Mar19", "4Mar19"),
    ("Mar-4-2019", "Mar-4-2019"),
    ("2019 March 4", "2019 March 4"),
    ("2019-Mar-04", "2019-Mar-04"),
    ("4th March '19", "4th March '19"),
    ("March 4, 2019 at 3:15 PM", "March 4, 2019 at 3:15 PM"),
    ("DOB 4/3/56", "4/3/56"),
    ("DOB: 04031956", "04031956"),
    ("d.o.b. 4 3 1956", "4 3 1956"),
    ("born 4.3.56", "4.3.56"),
    ("early March", "March"),
    ("in mid-September", "September"),
    ("le 4 mars 2019", "4 mars 2019"),
    ("am 4. März 2019", "4. März 2019"),
    ("el 4 de marzo de 2019", "4 de marzo de 2019"),
    ("4 marzo 2019", "4 marzo 2019"),
    ("il 4 gennaio 2019", "4 gennaio 2019"),
    ("op 4 maart 2019", "4 maart 2019"),
    ("in 4 de janeiro de 2019", "4 de janeiro de 2019"),
    ("Sept. 4th, 2019", "Sept. 4th, 2019"),
    ("1-3-2011 visit", "1-3-2011"),
    ("FY2019-20", "FY2019-20"),
    ("Valentine's Day 2016", "Valentine's Day 2016"),
    ("4th of July", "4th of July"),
    ("(03/04/2019)", "03/04/2019"),
    ("[2019-03-04]", "2019-03-04"),
    ("the night of 12/13 March 2020", "12/13 March 2020"),
    ("on the 14th inst", "14th"),
    ("seen on the 14th", "14th"),
]


@pytest.mark.parametrize(("text", "value"), DATES)
def test_a_date_is_found_whole(text: str, value: str) -> None:
    found = [text[s.start : s.end] for s in find_dates(text)]
    assert value in found or value.removeprefix("the ") in found


@pytest.mark.parametrize(
    "text",
    [
        "strength 4/5, reflexes 2/4, pain 9/10, murmur 2/6, BP 120/80, L4/5, GCS 15/15, 6/12 vision",
        "in 2012; since 1998; the class of 2004; 1999-2004; 2018/19 guideline",
        "power 4/5 and 3/5; GCS 12/15 to 14/15; vision 6/9 and 6/12; 12/15 to 14/15; 4/5 to 5/5 power; 7/10, 3/10",
        "3/12 of symptoms; for 2/52; in 6/12; over 4/7",
        "ratio 1:20; 10-20 system; 1-2 tablets; 2-3 times; 3-5 days; 1.2.3",
        "he may march; she may, in time; march on; spring ligament; a fall 2 weeks ago; fall in BP",
        "second degree; the third nerve; third ventricle; the fifth digit; first of all; one second",
        "April Jones went; June came; may 4 or 5 times; may one day",
        "IV fluids; q 4 h; Q6H; week 12 of gestation; 12 weeks; quarter of a tablet",
        "2.5.10 mg; 1/2 tablet; 24/7 care; 50/50; 20/20 vision; 3/4 of the time",
        "spring water; winter boots; summer school; falls 2-3 per month",
        "two thousand and nine cells; nineteen eighty-four tablets",
        "Thursday; next Monday morning; on the 3rd attempt; the 14th chromosome; 4th ventricle",
    ],
)
def test_what_is_no_date_is_left_alone(text: str) -> None:
    names = [text[s.start : s.end] for s in find_dates(text)]
    assert names == []
