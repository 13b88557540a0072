//! Who may do what, on a host.
