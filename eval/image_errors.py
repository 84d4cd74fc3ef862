"""What is raised for an image that cannot be read."""


class ImageError(ValueError):
    """An image that cannot be read; the message is the reason, without the file's name."""
