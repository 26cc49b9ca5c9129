"""A provider that answers without a network, so that the gateway can be tried in one minute without a key."""
