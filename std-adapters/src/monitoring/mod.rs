//! What happened on this host: the system monitor and the exporters.
