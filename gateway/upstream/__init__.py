"""The upstream side: connections, one attempt, and the relay of its bytes to the client."""
