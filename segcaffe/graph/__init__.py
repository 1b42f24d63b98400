"""The layers and blobs of a net as data, before there are arrays: built, filtered by rules, split, gradients routed."""
