"""The door of the agent's APIs: requests judged, and given their credentials."""
