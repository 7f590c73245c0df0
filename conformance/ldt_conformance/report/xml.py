"""XML as text. What a component said may hold characters that XML 1.0 cannot carry."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text_of(root: Xml.Element) -> str:
    """The document, indented; characters outside XML's are replaced by U+FFFD."""
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, _NO_XML.sub("\ufffd", value))
        if element.text:
            element.text = _NO_XML.sub("\ufffd", element.text)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"
