//! Batches of streams and channels.
