"""Dividing work among threads that wait for it by watching."""
