//! Devices at the end of a line: TCP and serial links, and the registry of what they say.
