"""From a template to one HTML file with its styles, scripts, data and pictures inside."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from PIL import Image, features

from tdam.strict_json import dumps
from wsol.out_files import writing_file
from wsol.palette import css_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_HOME = "wsol.pages"  # templates, styles and scripts lie beside this file


def render(
    template: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    **context: Any,
) -> str:
    """Fill in a template that extends `base.html.j2`.

    Whatever is filled in is escaped. The page's policy lets the browser run these scripts and use
    these styles alone, by their hashes, show pictures that the page holds, and ask for nothing.
    Attributes such as `style` and `onclick` are therefore without effect.

    Args:
        template: name of a file in `wsol/pages`
        styles: names of further style sheets there, after `style.css`
        scripts: names of scripts there
        data: plain values by the id of the `<script type="application/json">` that holds them
        context: for the template, `title` among it

    Returns:
        the page

    Raises:
        ValueError: data with NaN or infinities
    """
    return _template(template).render(_fill(styles, scripts, data, context))


def write_page(
    path: Path,
    template: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    **context: Any,
) -> None:
    """Write a page piece by piece, so that what an iterator gives the template is never all held.

    Args:
        path: of the file; it appears when it is whole
        template: as for `render`
        styles: as for `render`
        scripts: as for `render`
        data: as for `render`
        context: as for `render`
    """
    stream = _template(template).stream(_fill(styles, scripts, data, context))
    with writing_file(path, encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.writelines(stream)


def to_json(value: Any) -> Markup:
    r"""Write plain values as JSON that can stand inside a script element.

    Raises:
        ValueError: NaN or an infinity

    >>> print(to_json("</script>"))
    "\u003c/script\u003e"
    """
    text = dumps(value, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def embed_image(image: Image.Image, longest_side: int, quality: int | None = 75) -> str:
    """Turn an image into a `data:` URI.

    Args:
        image: of any mode that becomes RGB
        longest_side: reduced to this many pixels where it is larger, never enlarged
        quality: from 0 to 100; None keeps every pixel as it is

    Returns:
        WebP, or JPEG and PNG where this installation has no WebP
    """
    scale = longest_side / max(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    kind, options = _encoding(quality)
    file = io.BytesIO()
    image.convert("RGB" if image.mode != "L" else "L").save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _encoding(quality: int | None) -> tuple[str, dict[str, Any]]:
    if features.check("webp"):
        return "WEBP", {"lossless": True} if quality is None else {"quality": quality, "method": 4}
    if quality is None:
        return "PNG", {"optimize": True}
    return "JPEG", {"quality": quality, "optimize": True}


def _fill(
    styles: Sequence[str],
    scripts: Sequence[str],
    data: Mapping[str, Any] | None,
    context: dict[str, Any],
) -> dict[str, Any]:
    style_texts = [css_variables(), *(_read(name) for name in ("style.css", *styles))]
    script_texts = [_read(name) for name in scripts]
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": " ".join(map(_hash, style_texts)),
        "script-src": " ".join(map(_hash, script_texts)) or "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    page = {
        "policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "styles": [Markup(text) for text in style_texts],
        "scripts": [Markup(text) for text in script_texts],
        "data": {name: to_json(value) for name, value in (data or {}).items()},
    }
    return {**context, "page": page}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = to_json
    return environment.get_template(name)


@cache
def _read(name: str) -> str:
    text = resources.files(_HOME).joinpath(name).read_text(encoding="utf-8")
    if not name.endswith(".j2") and (end := re.search("</(script|style)|<!--", text, re.I)):
        raise ValueError(f"Expected {name} to stand inside an element but it has {end[0]!r}")
    return text
