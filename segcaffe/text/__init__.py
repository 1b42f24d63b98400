"""Texts: the words of messages, characters that are not seen, whole numbers."""
