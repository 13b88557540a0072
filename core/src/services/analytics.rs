//! What users do: events and metrics, counted within bounds.
