"""What nets of others may do here: run the Python modules that they name, write files where they say."""
