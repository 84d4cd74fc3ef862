"""Self-contained HTML pages: one file that opens from a disk and asks no network for anything."""

from wsol.pages.page import embed_image, render, to_json, write_page

__all__ = ["embed_image", "render", "to_json", "write_page"]
