//! Items gathered into batches.
