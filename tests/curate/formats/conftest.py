"""Small invented files, made here: no library that only the tests would need."""

import pytest

from residency.curate.formats import Part, SourceFile, SourceSettings, read


@pytest.fixture
def read_bytes(tmp_path):
    """A function that writes a file and gives what reading it gives."""

    def write_and_read(name, content, **settings):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read(SourceFile(tmp_path / name, name, SourceSettings(path=name, **settings))))

    return write_and_read


@pytest.fixture
def outcomes():
    """A function that shows what was read: the text of a part, or "! reason"."""
    return lambda parts: [part.text if isinstance(part, Part) else f"! {part.reason}" for part in parts]


@pytest.fixture(scope="session")
def make_pdf():
    return pdf_of


def pdf_of(*pages):
    """A PDF with a page for each list of lines: a line is a text 14 points below the one before; None is a picture."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    picture = b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>"
    objects.append(picture + b"stream\n0\nendstream")
    kids = []
    for lines in pages:
        drawn = b"/Im1 Do" if lines is None else b"".join(_show(line) for line in lines)
        content = b"q 1 0 0 1 72 720 cm BT /F1 11 Tf 14 TL " + drawn + b" ET Q"
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(content), content))
        drawings = b"/XObject<</Im1 4 0 R>>" if lines is None else b""
        resources = b"<</Font<</F1 3 0 R>>" + drawings + b">>"
        page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources%s>>"
        objects.append(page % (len(objects), resources))
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(kids))
    return _written(objects)


def _show(line):
    escaped = line.encode("latin-1").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"(%s) Tj T* " % escaped if line else b"T* "


def _written(objects):
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table) + trailer
