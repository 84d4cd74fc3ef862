"""What is raised for an image that cannot be read, and what its reader can do about it."""

PYTHON_LIMIT = "eval.image_files.set_max_pixels"
_limit_name = PYTHON_LIMIT


class ImageError(ValueError):
    """An image that cannot be read; the message is the reason, without the file's name."""


def name_limit(name: str) -> None:
    """Set what messages call that which raises the limit of pixels, for all of this process.

    Args:
        name: such as the flag of a command line
    """
    global _limit_name
    _limit_name = name


def limit_name() -> str:
    """Tell what raises the limit of pixels: the function, or what a command line has for it."""
    return _limit_name
