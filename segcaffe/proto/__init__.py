"""Configurations and binary messages: reading, upgrading, writing."""
