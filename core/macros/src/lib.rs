//! The attributes of Daur. Use them through `daur_core` (feature `macros`) or `daur_std`, which re-export them.
