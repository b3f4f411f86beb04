"""The surroundings that give names away: titles, fields, relatives, roles, verbs, signatures, degrees.

Covers: the patterns, each with how far it is trusted. Does not cover: reading the name itself (names.py).

Kinds of cue: ``strong`` (a title: any capitalized word is a name), ``header`` (a field: "Surname, Given" is one name),
``narrative`` (a known name, or a word that is no ordinary one), ``before`` (the name ends where the cue begins).
"""

from __future__ import annotations

import re

_TITLE = (
    r"(?:dr|drs|dra|doctor|fr|prof|professor|mr|mrs|ms|miss|mx|sir|dame|rev|herr|frau|sr|"
    r"sra|mme|mlle|monsieur|madame|señora?|don|doña)\b\.?"
)
_RELATIVE = (
    r"(?:(?:great|step|half|foster|god|ex|late|adoptive|birth)[- ]?){0,4}(?:grand)?-?(?:mother|father|parents?|"
    r"mum|mummy|mom|mommy|dad|daddy|(?:brother|sister|sibling|twin|son|daughter|aunt|auntie|"
    r"uncle|cousin)s?|"
    r"nephew|niece|wife|husband|partner|spouse|fianc[ée]e?|boyfriend|girlfriend|guardian|"
    r"carer|caregiver|nan|nana|gran|granny|grandma|grandpa|grandad|gra[nd]{2}mother|"
    r"gra[nd]{2}father|"
    r"madre|padre|mère|père|mutter|vater|hermana|hermano)(?:-in-law)?"
)
_ROLE = (
    r"(?:social worker|health visitor|(?:community|school|specialist|epilepsy|research|"
    r"charge|bedside|practice|staff|clinic) nurse|key worker|case (?:mgr|manager|worker)|"
    r"care coordinator|coordinator|"
    r"teacher|head teacher|therapist|physiotherapist|physio|psychologist|counsell?or|"
    r"dieti[ct]ian|pharmacist|secretary|midwife|interpreter|translator|caller|neighbou?r|friend|"
    r"colleague|technologist|technician|advocate|chaplain|nurse(?: practitioner)?|matron|judge|officer|detective|"
    r"sergeant|sgt\.?|captain|capt\.?|lieutenant|lt\.?|coach|pastor|rabbi|imam|priest|principal|attorney|lawyer|"
    r"solicitor|landlord|landlady|(?:room|flat|house|class|team)-?mate|boss|manager|babysitter|nanny|tutor|paramedic|"
    r"registrar|resident|intern|fellow|surgeon|an[a]?esthetist|an[a]?esthesiologist|physician|clinician|"
    r"(?:neuro|cardio|onco|uro|radio|patho|nephro|rheumato|endocrino|hemato|haemato|gastroentero|ophthalmo|"
    r"dermato|gyna?eco|audio|immuno|hepato|pulmono)logist|psychiatrist|pa?ediatrician|geneticist|optometrist|"
    r"orthodontist|dentist|podiatrist|chiropractor)"
)
_FIELD = (
    r"(?:patient(?: name)?|paciente|pt|name|nombre|full name|re|regarding|caller|from|"
    r"to|nok|next of kin|emergency contact|contact|consultant|provider|attending(?: "
    r"physician)?|attendees|accompanied by|attended with|"
    r"present|seen with|referrer|referring (?:physician|provider|clinician)|referred "
    r"by|chair|chaired by|signed(?: by)?|electronically signed(?: by)?|author|dictated "
    r"by|case(?: \d+)?|cc|dear|hi|hello|hallo|fdo\.?|"
    r"witness|operator|technologist|radiologist|reporter|interpreted by|reported by|"
    r"read by|requested by|seen by|performed by|assessed by|examined by|brought in by|"
    r"key worker|gp|pcp|(?:reporting |interpreting |reading |ordering |requesting |supervising "
    r"|treating |responsible |triage |admitting |attending |primary )?(?:physician|clinician|"
    r"doctor|neurologist|radiologist|radiographer|consultant|registrar|resident|fellow|"
    r"intern|rn|nurse|tech|technologist|sonographer|reader|therapist|assessor|examiner|"
    r"supervisor|paramedic|practitioner|specialist|requester|scribe|dietitian|psychologist)|"
    r"client|child|pupil|student|assistant|referring|ordering|recipient|sender|co-?signed by|copy to|"
    r"insured|policy ?holder|responsible party|guarantor|spouse|wife|husband|partner|son|daughter|brother|sister|"
    r"power of attorney|poa|(?:health ?care )?proxy|interpreter|translator|teacher|school nurse|social worker|"
    r"(?:patient|pt|member|client|contact)[ _]name|patientname|patient'?s name|also known as|a\.?k\.?a\.?|alias|"
    r"submitted by|entered by|recorded by|documented by|reviewed by|collected by|verified by|prepared by|approved by|"
    r"parent(?:/guardian|s)?|mother|father|guardian|carer|"
    r"madre|padre|primary care provider|surgeon|anesthetist|nurse|named nurse|lead clinician)"
)
_MEETING = (
    r"(?:i saw|i have seen|i reviewed|we reviewed|we saw|i met|i examined|i assessed|"
    r"pleasure of (?:seeing|meeting)|(?:asking|asked) (?:us|me) to (?:see|review)|thank "
    r"you for (?:referring|asking us to see|seeing)|i have asked|"
    r"have asked|i asked|please ask|also ring|please (?:ring|call|contact)|spoke (?:to|"
    r"with)|my name is|this is|i am|i'm|discussed with|d/w|seen (?:with|by)|discussed "
    r"(?:by|with)|copied to|routed to|handed over to|accompanied by|attended with|came "
    r"with|"
    r"call taken (?:\S+ ){0,4}?by|called by|presented by|referred by|requested by|completed(?::)?(?: "
    r"\S+){0,4}? by|reviewed by|written by|reported by|performed by|verified by|prepared "
    r"by|signed by|authori[sz]ed by)"
)
_NAME_FIELD = (
    r"(?:(?:first|last|middle|given|family|maiden|legal|preferred|birth|full|nick|user'?s)[ _-]?names?|surname|"
    r"forenames?|vorname|nachname|apellidos?|nom(?: de famille)?|prénom|(?:given|family)(?==)|mother's maiden name)"
)
_GOES_BY = (
    r"(?:goes by(?: the name(?: of)?)?|(?:prefers|likes|wishes|wants|asked) to be called|answers to|n[ée]e|"
    r"preferred name is|poa is|proxy is)"
)
_NAMED = (
    rf"(?:{_RELATIVE}|{_ROLE}|man|woman|boy|girl|child|baby|infant|person|lady|gentleman|(?:dog-)?walker|passer-?by|"
    rf"dog|cat|pet)"
    r" (?:is |was )?(?:named|called|by the name of)"
)
# Words without which a cue is not there; asking for them first saves reading the text for it.
NEEDED = {
    "named": ("named", "called", "by the name"),
    "goes_by": ("goes by", "be called", "answers to", "nee ", "née ", "preferred name", "poa ", "proxy "),
    "said_of": ("can be", " last ", "who agrees", "attended"),
    "bracketed_role": (")",),
}
# The clause that opens a patient's story, and what only people do.
_OPENS = (
    r" (?:is|was) an? (?:[\w-]+,? ){0,3}?\d{1,3}[- ]?(?:years?|yrs?|months?|mos?|weeks?|days?|y/?o\b|y\.o)|"
    r",? (?:a |an )?\d{1,3}[- ](?:years?|yrs?|months?)[- ]old\b"
)
_ACTS = (
    r" (?:was (?:admitted|discharged|born|referred (?:to|by|for)|brought|accompanied|transferred)|presented (?:to|"
    r"with)|"
    r"presents with|denies|denied|complains of|lives (?:with|in|alone)|attended (?:with|the clinic|clinic|for)|"
    r"is (?:married|single|widowed|divorced|retired)|works as|underwent|has been (?:well|seen))\b"
)
OTHER_SCRIPTS = re.compile(
    r"(?:\b(?:patient|name|pt|patient name|full name|mother|father|contact|next of kin|dr|mr|mrs|ms)\.?|患者|姓名|氏名|"
    r"名前|이름|환자|имя|фамилия|фио|пациент|الاسم|المريض|שם|όνομα|ชื่อ|नाम)[\"']? ?[:=：][ \"'\u200e\u200f]*"
    r"(?P<v>[\u0370-\u1fff\u2e80-\ud7ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufeff]"
    r"(?:[ ·・.'-]?[\u0370-\u1fff\u2e80-\ud7ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufeff\u200c\u200d]){0,40})",
    re.IGNORECASE,
)
BY_INITIALS = re.compile(
    r"(?:\b(?:by user|typed by|dictated by|transcribed by|entered by|printed by|edited "
    r"by|initials|(?:amended|completed|checked|updated|corrected)(?:[: ]+[^\s:]{1,30}){0,4}? "
    r"by)(?: user)?[ :]+|"
    r"(?:^|[\n;.])[ ]*(?:signed|--|/s/)[ ]+|\bsi\w{0,2}gn\w{1,3}[ ]+(?=\w+ \d)|^sg +|"
    r"\n *sg +|no further change\.[ ]+)(?P<v>[A-Z]{2,4})(?![\w'])",
    re.IGNORECASE,
)
CUES = (
    *(
        (name, re.compile(rf"(?<!\w)(?<!\w-)(?:{pattern})", re.IGNORECASE), kind)
        for name, pattern, kind in (
            ("title", _TITLE + r"[ \n]{1,3}", "strong"),
            ("field", _FIELD + r"[\"']? ?[:=|][ \"']*", "header"),
            ("name_field", _NAME_FIELD + r"[\"']? ?[:=|][ \"']*", "strong"),
            ("goes_by", _GOES_BY + r"[ ]+", "strong"),
            ("named", _NAMED + r"[ ]+", "narrative"),
            ("field_bare", r"(?:patient|pt|nok|dear|re|cc|sbar|handover|case mgr|key worker)\b[ ]+", "narrative"),
            ("relative", rf"{_RELATIVE}(?:[ ]+|,[ ]+|[ ]*\([ ]*)", "narrative"),
            ("role", rf"{_ROLE}(?:[ ]+|[, ]+comma[ ]+|,[ ]+|[ ]*\([ ]*|: *)", "narrative"),
            ("meeting", _MEETING + r"[ ]+", "narrative"),
        )
    ),
    (
        "sign_off",
        re.compile(
            r"(?:^|[\n.!] ?)(?:many |with |kind |best |warm |kindest ){0,4}(?:thanks|thank you|regards|"
            r"wishes|best|cheers|sincerely|yours|love|warmly|yours (?:sincerely|faithfully|truly))(?: "
            r"again)?[ ]?[,.!]*\s*\n?[ ]*",
            re.IGNORECASE,
        ),
        "narrative",
    ),
    ("signature", re.compile(r"(?:^|\n|[;.])[ ]*(?:--|/s/|signed:?)[ ]+", re.IGNORECASE), "narrative"),
    (
        "bracketed_role",
        re.compile(
            r"\(\s*(?:mother|father|mum|mom|dad|partner|wife|husband|sister|brother|son|daughter|"
            r"carer|guardian|grandmother|grandfather|aunt|uncle|cns|ot|pt|slt|gp)\s*\)",
            re.IGNORECASE,
        ),
        "before",
    ),
    (
        "degree",
        re.compile(
            r"(?:, ?|[ ]+)(?:MD|M\.D\.|MBBS|MBBCh|MB ?ChB|BMBCh|BMBS|DO|D\.O\.|RN|R\.N\.|LPN|LVN|NP|FNP(?:-B?C)?|"
            r"CNP|CRNP|DNP|APRN|ARNP|CRNA|CNM|CNA|BSN|MSN|PA-C|PharmD|RPh|PhD|PHD|Ph\.D\.|PsyD|EdD|DDS|DMD|DPM|"
            r"FRCP\w*|FRCS\w*|FRCR|MRCP\w*|MRCS|FAAN|FACP|FACS|FACC|FAAP|FACMG|MPH|MSW|LCSW|LICSW|LMSW|LMFT|LPC|"
            r"CNS|PGY-?\d|OTR(?:/L)?|DPT|CCC-SLP|SLP|RDN|RPSGT|R\.? EEG T\.?|EMT(?:-P)?|RRT|BCBA|CGC|LGC|QC|Esq\.?|"
            r"md|rn|mbbs|pgy\d)(?=$|"
            r"[\s,;.)])(?! NOT)"
        ),
        "before",
    ),
    ("opens", re.compile(rf"(?:{_OPENS})", re.IGNORECASE), "before"),
    ("acts", re.compile(_ACTS), "before"),
    (
        "said_of",
        re.compile(
            r",? (?:can be reached|can be contacted|last (?:called|visited|saw)|who agrees|attended(?=[.\n]))",
            re.IGNORECASE,
        ),
        "before",
    ),
)
HL7 = re.compile(
    r"(?<![\w^'-])(?P<v>(?:(?:van|von|de|la|da|di|del|della|dos|el|al|le|der|den|ter|"
    r"mc|mac|st)[ '-]){0,3}[^\W\d_]+(?:['-][^\W\d_]+)*"
    r"\^[^\W\d_]+(?:['-][^\W\d_]+)*(?:\^[^\W\d_]*\.?)*(?: [A-Z]\.?(?!\w))?)(?!\w)",
    re.IGNORECASE,
)
SURNAME_FIRST = re.compile(
    r"(?<![\w'-])(?P<v>(?:(?:van|von|de|da|di|del|della|dos|el|al|le|la|ter|der|den)[ "
    r"-]){0,2}[^\W\d_]+(?:['-][^\W\d_]+)*, ?[^\W\d_]+(?:['-][^\W\d_]+)*(?: [A-Z]\.?(?!\w))?)"
    r"(?=[ ]*(?:[|/,]|\((?!CNS|OT|PT|SLT)|is |was |\n|$|[A-Z]{0,3}-?\d|NOK|DOB|MRN))",
    re.IGNORECASE,
)
STATES = frozenset(
    [
        "AL",
        "AK",
        "AZ",
        "AR",
        "CA",
        "CO",
        "CT",
        "DE",
        "FL",
        "GA",
        "HI",
        "ID",
        "IL",
        "IN",
        "IA",
        "KS",
        "KY",
        "LA",
        "ME",
        "MD",
        "MA",
        "MI",
        "MN",
        "MS",
        "MO",
        "MT",
        "NE",
        "NV",
        "NH",
        "NJ",
        "NM",
        "NY",
        "NC",
        "ND",
        "OH",
        "OK",
        "OR",
        "PA",
        "RI",
        "SC",
        "SD",
        "TN",
        "TX",
        "UT",
        "VT",
        "VA",
        "WA",
        "WV",
        "WI",
        "WY",
    ]
)
INITIALS_AS_NAME = re.compile(
    r"(?:(?:^|[\n|]|\b(?:pt|patient|re|for):? )[ ]*(?P<v>(?:[A-Z]\. ?){2,3})|^[ ]*(?P<w>(?!WT|"
    r"HT|HR|BP|RR|OF|ID|IV|PE|DX|TX|HX|RX|ED|OP)[A-Z]{2}))(?=[ ]*[|/(]?[ ]*[A-Z]{0,3}\d[\d-]{4})",
    re.MULTILINE,
)
MONTHS = frozenset(("april", "may", "june", "august", "march"))
