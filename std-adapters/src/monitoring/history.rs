//! Series over time in SQLite, thinned out as they age.
