"""De-identification: find what identifies a patient, and replace it so that the clinical story stays
readable.

In: documents. Out: documents whose identifiers are replaced, with the replaced places marked.

    step.py           the step: settings and the verb
    detector.py       texts of one patient -> spans; Presidio's analyzer with the recognizers below
    reading.py        the copy of a text that rules read
    codes.py dates.py names.py places.py organizations.py      one kind of identifier each
    propagate.py resolve.py lexicon.py                         the patient's other documents; overlaps; words
    policy.py surrogates.py                                    what may stay; what is written instead
    evaluation.py     recall and precision against documents with known identifiers

Covers: the classes of ``labels.Identifier`` in English clinical text, the common forms of German, French and
Spanish letters.

NOT covered, and a privacy officer must know it:

- Recall is below one. Measure it on your own reviewed documents before anything leaves the building;
  surrogates hide most misses from a reader, none from a determined attacker.
- Names that are ordinary words and stand alone where nothing announces them; nicknames and misspellings of
  names; names in scripts other than Latin.
- What identifies without being an identifier: a rare diagnosis with an age and a state, an unusual event, a
  family's occupation, free descriptions ("the mayor's daughter"). No k-anonymity is computed here.
- Towns that nothing announces, landmarks, addresses outside the United States and the United Kingdom beyond
  street, town and code.
- Dates in words ("the third of May two thousand and nine"), holidays, and intervals; ages up to 89 stay.
- Text inside images, attachments, file names, document ids, keys, groups and metadata.
- Languages other than those above.
"""

from residency.curate.deidentify.detector import Detector, detect
from residency.curate.deidentify.evaluation import Evaluation, evaluate_deidentification
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.policy import Mode, Policy
from residency.curate.deidentify.step import Deidentify, OwnPattern, count_replaced
from residency.curate.deidentify.surrogates import pseudonym

__all__ = [
    "Deidentify",
    "Detector",
    "Evaluation",
    "Identifier",
    "Mode",
    "OwnPattern",
    "Policy",
    "count_replaced",
    "detect",
    "evaluate_deidentification",
    "pseudonym",
]
