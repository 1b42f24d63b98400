"""Kills, full disks and two processes on one target: nothing is lost or mixed. By hand: python -m tests.harm."""
