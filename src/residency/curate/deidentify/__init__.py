"""De-identification: find what identifies a patient, and replace it so that the clinical story stays
readable.

In: documents. Out: documents whose identifiers are replaced, with the replaced places marked.

    step.py           the step: settings and the verb
    detector.py       texts of one patient -> spans; Presidio's analyzer with the recognizers below
    reading.py tokens.py                                       the copy of a text that rules read, and its words
    keyed.py shapes.py checksums.py contacts.py ages.py        numbers, addresses, ages
    dates.py loose_dates.py calendar_words.py                  dates
    names.py name_cues.py name_forms.py nicknames.py tables.py eponyms.py      people
    places.py organizations.py                                 places
    propagate.py resolve.py lexicon.py                         the patient's other documents; overlaps; words
    policy.py surrogates.py invented.py                        what may stay; what is written instead
    feedback.py recall.py                                      what people said, and what it bounds
    audit/ anonymity.py                                        a second look; small cells of quasi-identifiers
    evaluation.py     recall and precision against documents with known identifiers

Covers: the classes of ``labels.Identifier`` in English clinical text, the common forms of German, French and
Spanish letters.

NOT covered, and a privacy officer must know it:

- Recall is below one. Measure it on your own reviewed documents before anything leaves the building;
  surrogates hide most misses from a reader, none from a determined attacker.
- Names that are ordinary words and stand alone where nothing announces them ("Norm is well"); misspellings by two
  letters, of short names, or that form another word; nicknames outside the table; names in scripts other than Latin
  that no field announces; two-letter initials without stops.
- What identifies without being an identifier: an unusual event, a family's occupation, free descriptions ("the
  mayor's daughter"). Age, sex, state, year and columns that you name are counted (k-anonymity); nothing else is.
- Towns that nothing announces, landmarks; addresses outside the United States and the United Kingdom beyond
  street, town and code.
- Bare feasts ("Christmas") without a word of time, a day alone ("the 14th") within a clause, and numbers in words
  other than ages and dates. Intervals and ages up to 89 stay.
- Heavy damage by optical character recognition ("1O/11/2O23"); tables whose columns are divided by blanks only.
- Text inside images and attachments that ingest does not read; groups and metadata; names of files that give no
  text. A report whose name or id holds an identifier of its patient goes by another name outside the vault.
- In a file that no project reads: every key but text and patient, and the id.
- Languages other than those above.
"""

from residency.curate.deidentify.detector import Detector, detect
from residency.curate.deidentify.evaluation import Evaluation, evaluate_deidentification
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.policy import Mode, Policy, load_policy, read_policy
from residency.curate.deidentify.step import Deidentify, OwnPattern, Treated, by_patient, count_replaced


def not_covered() -> tuple[str, ...]:
    """What this package does not catch, as its own documentation says it, one sentence or two each."""
    told = (__doc__ or "").partition("NOT covered")[2].split("\n- ")[1:]
    return tuple(" ".join(item.split()) for item in told)


__all__ = [
    "Deidentify",
    "Detector",
    "Evaluation",
    "Identifier",
    "Mode",
    "OwnPattern",
    "Policy",
    "Treated",
    "by_patient",
    "count_replaced",
    "detect",
    "evaluate_deidentification",
    "load_policy",
    "not_covered",
    "read_policy",
]
